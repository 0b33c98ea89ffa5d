"""The command line: everything that knows Hydra.

app         the commands, their exit codes, one sentence for each error; the task of a job
arguments   flags and overrides in order, and what a resumed sweep keeps
axes        overrides -> the lines of a grid; ranges that Hydra does not have
points      points that are given one by one, conditions that leave points out
compose     each point's configuration, once for each choice of groups
grid        lines -> the checked cells of a plan
validate    a single run and each grid point alike
command     what a sweep does: plan, open, train its cells or print the plan
resume      the plan of a sweep that is finished later
plain       Hydra's configuration as plain values, its errors as one sentence
"""
