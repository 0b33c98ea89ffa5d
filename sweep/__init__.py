"""Sweeps over learning rates and iterations of a small network, with Hydra and MLflow."""

__version__ = "0.1.0"
