"""The MLflow store: open it, write runs, read them back. Nobody else imports mlflow.

Importing this package loads nothing heavy. It states how MLflow shall behave in this process
and in those that it starts, unless the user's environment says otherwise: no telemetry, no
retries of its own (`sweep.tracking.retry` waits and tells), no lines between ours.
"""

import os

__all__ = ["DEFAULTS", "set_defaults"]

DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""Environment variables of MLflow that are set where the user has not."""


def set_defaults() -> None:
    """Set what the environment leaves open; MLflow reads some of it when it is imported."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)


set_defaults()
