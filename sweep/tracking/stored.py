"""Stored sweeps and runs as picklable values, read without loading MLflow."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sweep.tracking import files
from sweep.tracking.artifacts import Artifacts
from sweep.tracking.entities import NOT_FINITE, ORIGINAL, OURS
from sweep.training.curve import Points
from sweep.training.history import RunResult

SUPERSEDED = "sweep.superseded_by"
"""The tag of a run that does not count, with the id of the attempt that does."""

ERRORS = ("initial_error", "final_error", "best_error")
VALUES = (*ERRORS, "final_validation_error", "best_validation_error")
STEPS = ("best_step", "diverged_at", "stalled_at", "stopped_at")
"""Metrics that are fields of `RunResult` by the same name."""


@dataclass(frozen=True)
class StoredRun:
    """A run as stored.

    Attributes
    ----------
    outcome
        ``completed``, ``diverged``, ``failed`` or ``interrupted``; None while it runs.
    metrics
        The last value of each metric; floats are exact.
    start_time, end_time
        Milliseconds since the epoch, or None.
    cell
        Index of the grid point in the sweep's plan.
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
        """Return whether the files of a finished run are complete; a power cut may empty them."""
        return self.artifacts is None or self.artifacts.is_whole(self.run_id)

    def _file(self, name: str) -> bytes | None:
        return self.artifacts.read(self.run_id, name) if self.artifacts else None

    def config(self) -> dict[str, Any]:
        """Return the resolved configuration; empty if none was written."""
        content = self._file(files.CONFIG)
        return files.read_config(content) if content else {}

    def curve(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Return the kept steps and their errors, shape (n,) each; n = 0 without a curve."""
        columns = self._columns()
        return columns["step"], columns["error"]

    def validation(self) -> npt.NDArray[np.float64] | None:
        """Return the validation errors at the curve's steps, shape (n,), or None."""
        return self._columns().get("validation_error")

    def named_curves(self) -> dict[str, Points]:
        """Return the steps and values of each metric that a user's trainer yielded by name."""
        return _named(self._columns())

    def _columns(self) -> dict[str, npt.NDArray[Any]]:
        content = self._file(files.CURVE)
        if content is None:
            return {"step": np.empty(0, dtype=np.int64), "error": np.empty(0)}
        return files.read_curve(content)

    def metric_names(self) -> dict[str, str]:
        """Return metric -> its original name, where MLflow does not accept that name."""
        return self._tagged(ORIGINAL)

    def not_finite(self) -> dict[str, str]:
        """Return metric -> ``nan``, ``inf`` or ``-inf``, which are not stored as values."""
        return self._tagged(NOT_FINITE)

    def _tagged(self, start: str) -> dict[str, str]:
        found = self.tags.items()
        return {key.removeprefix(start): text for key, text in found if key.startswith(start)}

    def weights(self) -> dict[str, dict[str, Any]]:
        """Return ``{"initial": {name: value}, "final": {…}}``; empty if none were written."""
        for name in (files.WEIGHTS, files.WEIGHTS_LARGE):
            content = self._file(name)
            if content:
                return files.read_weights(content, name)
        return {}

    def preparation(self) -> dict[str, Any] | None:
        """Return how the run's data was prepared; None if its rows were used unchanged."""
        content = self._file(files.PREPARATION)
        return None if content is None else dict(json.loads(content))

    def thresholds(self) -> dict[int, int | None]:
        """Return k -> first step with error <= 10^-k, or None."""
        content = self._file(files.THRESHOLDS)
        return files.read_thresholds(content) if content else {}

    def traceback(self) -> str | None:
        """Return the traceback of a failed run, or None."""
        content = self._file(files.TRACEBACK)
        return None if content is None else content.decode("utf-8", "replace")

    def result(self) -> RunResult | None:
        """Return the result of a finished run; None if its files are missing or damaged."""
        metrics = self.metrics
        try:
            columns, weights, thresholds = self._columns(), self.weights(), self.thresholds()
            parts = {part: _numbers(named) for part, named in weights.items()}
            steps, errors = columns["step"], columns["error"]
            initial, final, seconds = parts["initial"], parts["final"], metrics["train_seconds"]
        except (KeyError, OSError, ValueError):
            return None
        if not len(steps) or not thresholds:
            return None

        curves = _named(columns)
        found: dict[str, Any] = {name: metrics.get(name) for name in VALUES}
        found |= {name: int(metrics[name]) if name in metrics else None for name in STEPS}
        return RunResult(
            iters=int(self.params["iters"]),
            outcome=self.outcome or "completed",
            steps=steps,
            errors=errors,
            thresholds=thresholds,
            initial_weights=initial,
            final_weights=final,
            best_weights=parts.get("best"),
            train_seconds=seconds,
            validation=columns.get("validation_error"),
            curves=curves,
            metrics={name: value for name, value in self._own_metrics() if name not in curves},
            printed=(self._file(files.LOG) or b"").decode("utf-8", "replace"),
            **found,
        )

    def _own_metrics(self) -> Iterator[tuple[str, float]]:
        """Yield the metrics of a user's trainer under their original names."""
        names = self.metric_names()
        for key, value in self.metrics.items():
            if key not in OURS and not key.startswith("weights/"):
                yield names.get(key, key), value
        for key, text in self.not_finite().items():
            yield names.get(key, key), float(text)


def _named(columns: dict[str, npt.NDArray[Any]]) -> dict[str, Points]:
    curves = {}
    for name, values in columns.items():
        if name.startswith("trainer/"):
            there = np.isfinite(values)
            curves[name.removeprefix("trainer/")] = columns["step"][there], values[there]
    return curves


def _numbers(value: Any) -> Any:
    """Replace None, which JSON has for weights that are not finite, by NaN."""
    if isinstance(value, dict):
        return {name: _numbers(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_numbers(one) for one in value]
    return math.nan if value is None else value


@dataclass(frozen=True)
class StoredSweep:
    """A sweep's parent run as stored."""

    sweep_id: str
    run_id: str
    status: str
    tags: dict[str, str]
    metrics: dict[str, float]
    start_time: int | None
    end_time: int | None
    artifacts: Artifacts | None = field(default=None, repr=False, compare=False)

    def plan(self) -> dict[str, Any]:
        """Return ``plan.json``; empty if the sweep died before it was written."""
        content = self.artifacts.read(self.run_id, "plan.json") if self.artifacts else None
        loaded = json.loads(content) if content else {}
        return loaded if isinstance(loaded, dict) else {}
