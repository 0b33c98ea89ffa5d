"""Train trajectories: network, data, trainers, kernels and the error curve.

Nothing here knows Hydra, MLflow or the disk.
"""
