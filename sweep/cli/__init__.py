"""The command line: everything that knows Hydra.

app         the commands, their exit codes, one sentence for each error; the task of a job
arguments   flags and overrides in order, and what a resumed sweep keeps
axes        overrides -> the lines of a grid; ranges: values that are spaced or drawn
points      points that are given one by one, conditions that leave points out
compose     each point's configuration, once for each choice of groups
grid        points -> the cells of a plan; validate: a single run and each point alike
command     what a sweep does: plan, open, launch or print the plan
resume      the plan of a sweep that is finished later
launch      cells -> training, without jobs, in Hydra's own or by another launcher
messages    Hydra's errors as one sentence, keys that nothing reads
plain       Hydra's configuration as plain values; what differs between 1.3 and 1.4
"""
