"""Environment variables that direct MLflow calls in training code to the grid point's run.

mlflow is only imported here if training code has imported it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from sweep.tracking import DEFAULTS
from sweep.tracking.settings import Tracking

RUN_ID = "MLFLOW_RUN_ID"


def environment(tracking: Tracking, experiment_id: str, run_id: str | None) -> dict[str, str]:
    """Return the variables that select a store, an experiment and, unless None, a run."""
    found = {
        **_defaults(),
        "MLFLOW_TRACKING_URI": tracking.address,
        "MLFLOW_EXPERIMENT_NAME": tracking.experiment,
        "MLFLOW_EXPERIMENT_ID": experiment_id,
    }
    return found if run_id is None else found | {RUN_ID: run_id}


def scratch(folder: Path) -> dict[str, str]:
    """Return the variables that select a temporary file store below `folder`."""
    return {
        **_defaults(),
        "MLFLOW_TRACKING_URI": folder.as_uri(),
        "MLFLOW_ALLOW_FILE_STORE": "true",
    }


def _defaults() -> dict[str, str]:
    return {name: os.environ.get(name, value) for name, value in DEFAULTS.items()}


def leave(variables: Mapping[str, str]) -> None:
    """End runs that training code left active and reset the grid point's run to RUNNING.

    The recorder writes its final status. `variables` are those that were set during training.
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
            if client.get_run(variables[RUN_ID]).info.status != "RUNNING":
                client.update_run(variables[RUN_ID], status="RUNNING")
