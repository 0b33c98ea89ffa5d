"""Open the MLflow store, write runs and read them; the other packages do not import mlflow.

Importing this package sets defaults for MLflow's environment variables and loads nothing heavy.
"""

import os

__all__ = ["DEFAULTS", "set_defaults"]

DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""No telemetry, no retries by MLflow (`sweep.tracking.retry` does them), no printed links."""


def set_defaults() -> None:
    """Set those DEFAULTS that the user has not set; MLflow reads some when it is imported."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)


set_defaults()
