"""MLflow as training code finds it: the sweep's store, and the grid point's run.

MLflow is not imported here before training code has done so.
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
    """Return the variables that lead MLflow to a store and, where there is one, to a run."""
    found = {
        **_defaults(),
        "MLFLOW_TRACKING_URI": tracking.address,
        "MLFLOW_EXPERIMENT_NAME": tracking.experiment,
        "MLFLOW_EXPERIMENT_ID": experiment_id,
    }
    return found if run_id is None else found | {RUN_ID: run_id}


def scratch(folder: Path) -> dict[str, str]:
    """Return the variables that lead MLflow to a temporary folder."""
    return {
        **_defaults(),
        "MLFLOW_TRACKING_URI": folder.as_uri(),
        "MLFLOW_ALLOW_FILE_STORE": "true",
    }


def _defaults() -> dict[str, str]:
    return {name: os.environ.get(name, value) for name, value in DEFAULTS.items()}


def leave(variables: Mapping[str, str]) -> None:
    """End the runs that training code has left active; set the grid point's own RUNNING again.

    Its end is written by the recorder.

    Parameters
    ----------
    variables
        Environment variables that were set while it trained.
    """
    if "mlflow" not in sys.modules:
        return
    import mlflow
    from mlflow.exceptions import MlflowException

    with suppress(MlflowException):  # the store is not there: the end of the run meets the same
        while mlflow.active_run() is not None:
            mlflow.end_run()
        if RUN_ID in variables:
            client = mlflow.MlflowClient()
            if client.get_run(variables[RUN_ID]).info.status != "RUNNING":
                client.update_run(variables[RUN_ID], status="RUNNING")
