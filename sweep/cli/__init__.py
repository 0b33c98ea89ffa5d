"""The command line: all modules that use Hydra.

app            commands and exit codes; the task function of a job
arguments      parse flags and overrides; the mistakes of a command
overrides      keys and numbers of override texts
axes           expand overrides to a grid; ranges that Hydra does not have
points         listed points, and conditions that exclude points
compose        compose each point's configuration; group choices are composed once
grid           build the validated grid points of a plan
validate       validate single runs and grid points
command        run a sweep
dry_run        print a plan and its estimate
resume         the plan of a resumed sweep
hydra_config   Hydra's configuration folder, resolvers and containers
messages       errors of Hydra as messages
"""
