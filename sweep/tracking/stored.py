"""A sweep and its runs as a store holds them: plain values that travel between processes.

Knows nothing of MLflow, so the report can be built where it is not loaded.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sweep.tracking import files
from sweep.tracking.artifacts import Artifacts
from sweep.tracking.metrics import NOT_FINITE, ORIGINAL
from sweep.training.curve import Points

__all__ = ["SUPERSEDED", "StoredRun", "StoredSweep"]

SUPERSEDED = "sweep.superseded_by"
"""The tag of a run that does not count: another attempt at its cell does."""


@dataclass(frozen=True)
class StoredRun:
    """A run as the store holds it.

    Attributes
    ----------
    outcome
        ``completed``, ``diverged``, ``failed`` or ``interrupted``; None while it runs.
    metrics
        The last value of each; floats come back exactly.
    start_time, end_time
        Milliseconds since the epoch, or None.
    cell
        The grid point's index in the sweep's plan.
    """

    run_id: str
    name: str
    status: str
    outcome: str | None
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]
    start_time: int | None
    end_time: int | None
    cell: int = 0
    artifacts: Artifacts | None = field(default=None, repr=False, compare=False)

    def is_whole(self) -> bool:
        """Return whether a finished run has its files; a power cut may have left them empty."""
        return self.artifacts is None or self.artifacts.is_whole(self.run_id)

    def _file(self, name: str) -> bytes | None:
        return self.artifacts.read(self.run_id, name) if self.artifacts else None

    def config(self) -> dict[str, Any]:
        """Return the resolved configuration; empty where none was written."""
        content = self._file(files.CONFIG)
        return files.read_config(content) if content else {}

    def curve(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Return the kept steps and their errors, shape (n,) each; n = 0 where there are none."""
        content = self._file(files.CURVE)
        if content is None:
            return np.empty(0, dtype=np.int64), np.empty(0)
        return files.read_curve(content)

    def validation(self) -> npt.NDArray[np.float64] | None:
        """Return the validation errors at the curve's steps; None where there are none."""
        content = self._file(files.CURVE)
        return None if content is None else files.read_validation(content)

    def named_curves(self) -> dict[str, Points]:
        """Return the steps and values of each curve that a user's trainer named."""
        content = self._file(files.CURVE)
        return files.read_named(content) if content else {}

    def metric_names(self) -> dict[str, str]:
        """Return metric -> its own name, where MLflow does not take that."""
        return self._tagged(ORIGINAL)

    def not_finite(self) -> dict[str, str]:
        """Return metric -> ``nan``, ``inf`` or ``-inf``, which is not stored as a value."""
        return self._tagged(NOT_FINITE)

    def _tagged(self, start: str) -> dict[str, str]:
        found = self.tags.items()
        return {key.removeprefix(start): text for key, text in found if key.startswith(start)}

    def printed(self) -> str:
        """Return what the training printed."""
        return (self._file(files.LOG) or b"").decode("utf-8", "replace")

    def weights(self) -> dict[str, dict[str, Any]]:
        """Return ``{"initial": {name: value}, "final": {…}}``; empty where none were written."""
        for name in (files.WEIGHTS, files.WEIGHTS_LARGE):
            content = self._file(name)
            if content:
                return files.read_weights(content, name)
        return {}

    def preparation(self) -> dict[str, Any] | None:
        """Return how the run's data was prepared; None where its rows were taken as they stand."""
        content = self._file(files.PREPARATION)
        return None if content is None else dict(json.loads(content))

    def thresholds(self) -> dict[int, int | None]:
        """Return k -> first step with error <= 10^-k, or None."""
        content = self._file(files.THRESHOLDS)
        return files.read_thresholds(content) if content else {}

    def traceback(self) -> str | None:
        """Return the traceback of a failed run."""
        content = self._file(files.TRACEBACK)
        return None if content is None else content.decode("utf-8", "replace")


@dataclass(frozen=True)
class StoredSweep:
    """A sweep's parent run as the store holds it."""

    sweep_id: str
    run_id: str
    status: str
    tags: dict[str, str]
    metrics: dict[str, float]
    start_time: int | None
    end_time: int | None
    artifacts: Artifacts | None = field(default=None, repr=False, compare=False)

    def plan(self) -> dict[str, Any]:
        """Return ``plan.json``; empty where the sweep died before it was written."""
        content = self.artifacts.read(self.run_id, "plan.json") if self.artifacts else None
        loaded = json.loads(content) if content else {}
        return loaded if isinstance(loaded, dict) else {}
