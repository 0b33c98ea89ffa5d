"""The command line: everything that knows Hydra.

app         the commands, their exit codes, one sentence for each error
guard       the check of a single run, before Hydra makes a folder
task        the task function of a job, and its plan for many jobs at once
command     what a sweep does: plan, open, launch
grid        axes -> the cells of a plan, each one checked
resume      the plan of a sweep that is finished later
compose     each job's configuration, made once and cheaply (recipe)
jobs        one job as Hydra runs it (returned)
plain       Hydra's configuration as plain values; refusal: its errors as one sentence
"""
