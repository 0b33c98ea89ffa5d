"""Log a run's network as an MLflow model. It loads the run's files; nothing is pickled."""

from __future__ import annotations

import json
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from mlflow.types import ColSpec, Schema

from sweep.checks import without_password
from sweep.config.settings import Settings
from sweep.model import model_of
from sweep.tracking import read
from sweep.tracking.artifacts import (
    CONFIG,
    PREPARATION,
    WEIGHTS,
    WEIGHTS_LARGE,
    read_config,
    read_weights,
)
from sweep.tracking.store import open_store
from sweep.training.data.files import Source

MODEL = "model"
"""Artifact folder of the model: ``runs:/<run id>/model``."""

NAMES = (CONFIG, PREPARATION, WEIGHTS, WEIGHTS_LARGE)

CODE = """\
from mlflow.models import set_model
from sweep.tracking.models import Served

set_model(Served())
"""
"""Model code that MLflow executes to load the model."""


class Served(PythonModel):
    """The network of a run. Input frames need the columns of its training inputs."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the network from the run's files."""
        found = {name: Path(path).read_bytes() for name, path in context.artifacts.items()}
        weights = next(name for name in (WEIGHTS, WEIGHTS_LARGE) if name in found)
        document = found.get(PREPARATION)
        self.model = model_of(
            read_config(found[CONFIG]),
            read_weights(found[weights], weights),
            None if document is None else json.loads(document),
        )

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Return one row per input row: a column per target, or a label and its shares."""
        return self.model.predict(Source.of(model_input))[0]


def log_model(options: Settings, run_id: str) -> str:
    """Log the model of a completed run as its artifact; return the command that serves it.

    Raises ConfigError if the run has no network of the built-in trainer, StoreError if the store
    cannot be written.
    """
    store = open_store(options.tracking, mode="read")
    run = read.find_run(store, run_id)
    model = model_of(run.config(), run.weights(), run.preparation(), what=f"run {run_id}")
    labels = model.columns[:1] if model.labels is not None else []
    # No input schema: MLflow would reject integers in a column of type double.
    outputs: list[Any] = [
        ColSpec("string" if one in labels else "double", one) for one in model.columns
    ]
    with tempfile.TemporaryDirectory(prefix="sweep-") as aside:
        code = Path(aside, "served.py")
        code.write_text(CODE, encoding="utf-8")
        artifacts = {}
        for name in NAMES:
            file = store.artifacts.read(run_id, name)
            if file is not None:
                path = Path(aside, name)
                path.write_bytes(file)
                artifacts[name] = str(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about the missing input example
            mlflow.pyfunc.save_model(
                path=str(Path(aside, MODEL)),
                python_model=str(code),
                artifacts=artifacts,
                signature=ModelSignature(outputs=Schema(outputs)),
                pip_requirements=[f"{name}=={version(name)}" for name in ("sweep", "mlflow")],
            )
        made = [path for path in Path(aside, MODEL).rglob("*") if path.is_file()]
        content = {path.relative_to(aside).as_posix(): path.read_bytes() for path in made}
        store.call(store.artifacts.copy, run_id, content)
    address = without_password(store.tracking.address)
    return (
        f"MLFLOW_TRACKING_URI='{address}' mlflow models serve -m runs:/{run_id}/{MODEL} "
        "--env-manager local"
    )
