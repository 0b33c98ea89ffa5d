"""The code of a logged model: MLflow runs this file in the program that serves it.

It needs the installed package and the run's own files, which are artifacts of the model.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from sweep.model import model_of
from sweep.tracking import files
from sweep.training.data.files import Source

__all__ = ["Served"]


class Served(PythonModel):
    """A run's network, for frames with the columns that its inputs had."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the run's files."""
        found = {name: Path(path).read_bytes() for name, path in context.artifacts.items()}
        weights = next(name for name in (files.WEIGHTS, files.WEIGHTS_LARGE) if name in found)
        document = found.get(files.PREPARATION)
        self.model = model_of(
            files.read_config(found[files.CONFIG]),
            files.read_weights(found[weights], weights),
            None if document is None else json.loads(document),
        )

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Return a row for each row, with a column a target, or a label and its shares."""
        rows, _ = self.model.rows(Source.of(model_input))
        return pd.DataFrame(rows, columns=self.model.columns)


set_model(Served())
