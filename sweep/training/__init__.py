"""Network, data, trainers, kernels and error curves; independent of Hydra, MLflow and the disk."""
