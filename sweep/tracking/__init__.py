"""Open the MLflow store, write runs and read them; the other packages do not import mlflow.

Importing this package sets defaults for MLflow's environment variables and loads nothing heavy.
mlflow is imported here only if training code has imported it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.training.names import OWN_RUN, RUN_ID

if TYPE_CHECKING:
    from sweep.config.settings import Tracking

__all__ = ["end_active_runs", "scratch_environment", "set_defaults", "training_environment"]

DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""No telemetry, no retries by MLflow (`sweep.tracking.settings` does them), no printed links."""

RUN_NAME = "SWEEP_RUN_NAME"


def set_defaults() -> None:
    """Set those DEFAULTS that the user has not set; MLflow reads some when it is imported."""
    os.environ.update(_defaults())


def _defaults() -> dict[str, str]:
    return {name: os.environ.get(name, value) for name, value in DEFAULTS.items()}


def training_environment(
    tracking: Tracking, experiment_id: str, run_id: str | None, name: str
) -> dict[str, str]:
    """Return variables that direct MLflow calls of training code to a store and experiment.

    Unless `run_id` is None, they select that run, which has that name, as the active one.
    """
    found = {
        **_defaults(),
        "MLFLOW_TRACKING_URI": tracking.address,
        "MLFLOW_EXPERIMENT_NAME": tracking.experiment,
        "MLFLOW_EXPERIMENT_ID": experiment_id,
    }
    return found if run_id is None else found | {RUN_ID: run_id, OWN_RUN: run_id, RUN_NAME: name}


def scratch_environment(folder: Path) -> dict[str, str]:
    """Return variables that direct MLflow calls to a temporary file store below `folder`."""
    uri = {"MLFLOW_TRACKING_URI": folder.as_uri(), "MLFLOW_ALLOW_FILE_STORE": "true"}
    return _defaults() | uri


def end_active_runs(variables: Mapping[str, str]) -> None:
    """End runs that training code left active, and reset the grid point's run.

    It gets its name back, and the status RUNNING; the recorder writes the final one. `variables`
    are those that were set during training.
    """
    if "mlflow" not in sys.modules:
        return
    import mlflow
    from mlflow.exceptions import MlflowException

    with suppress(MlflowException):  # an unavailable store is reported when the run is recorded
        while mlflow.active_run() is not None:
            mlflow.end_run()
        if RUN_ID in variables:
            client = mlflow.MlflowClient()
            name, info = variables[RUN_NAME], client.get_run(variables[RUN_ID]).info
            if (info.status, info.run_name) != ("RUNNING", name):
                client.update_run(info.run_id, status="RUNNING", name=name)


set_defaults()
