"""The peer of the overhead benchmarks: what one would write with Hydra and MLflow alone."""
