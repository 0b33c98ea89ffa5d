"""Read a finished run back as the result that it was made from."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from typing import Any

from sweep.tracking.metrics import OURS
from sweep.tracking.read import search, stored_run
from sweep.tracking.store import Store
from sweep.tracking.stored import StoredRun
from sweep.training.history import RunResult

__all__ = ["finished_by_signature", "result_of"]


def finished_by_signature(store: Store, signatures: Collection[str]) -> dict[str, StoredRun]:
    """Return for each signature the oldest finished run that has it, over all sweeps."""
    found: dict[str, StoredRun] = {}
    condition = "tags.`sweep.role` = 'run' and attributes.status = 'FINISHED'"
    for run in search(store, condition, "attributes.start_time ASC"):
        signature = run.data.tags.get("sweep.signature", "")
        if signature in signatures and signature not in found:
            found[signature] = stored_run(store, run)
    return found


def _numbers(value: Any) -> Any:
    """Return weights as they were: what was not finite is null in JSON, here NaN."""
    if isinstance(value, dict):
        return {name: _numbers(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_numbers(one) for one in value]
    return math.nan if value is None else value


def result_of(run: StoredRun) -> RunResult | None:
    """Return the result that a finished run was recorded from; None if its files are not whole."""
    try:
        steps, errors = run.curve()
        validation, curves = run.validation(), run.named_curves()
        weights, thresholds, metrics = run.weights(), run.thresholds(), run.metrics
        initial, final = _numbers(weights["initial"]), _numbers(weights["final"])
    except (KeyError, OSError, ValueError):
        return None
    if not len(steps) or not thresholds or "train_seconds" not in metrics:
        return None

    def whole(name: str) -> int | None:
        return int(metrics[name]) if name in metrics else None

    return RunResult(
        iters=int(run.params["iters"]),
        outcome=run.outcome or "completed",
        steps=steps,
        errors=errors,
        best_error=metrics.get("best_error"),
        best_step=whole("best_step"),
        initial_error=metrics.get("initial_error"),
        final_error=metrics.get("final_error"),
        diverged_at=whole("diverged_at"),
        stalled_at=whole("stalled_at"),
        thresholds=thresholds,
        initial_weights=initial,
        final_weights=final,
        train_seconds=metrics["train_seconds"],
        validation=validation,
        final_validation_error=metrics.get("final_validation_error"),
        best_validation_error=metrics.get("best_validation_error"),
        stopped_at=whole("stopped_at"),
        best_weights=_numbers(weights["best"]) if "best" in weights else None,
        curves=curves,
        metrics={name: value for name, value in _own_metrics(run) if name not in curves},
        printed=run.printed(),
    )


def _own_metrics(run: StoredRun) -> Iterator[tuple[str, float]]:
    """Yield the metrics of a user's trainer, each under the name that it was given."""
    names = run.metric_names()
    for key, value in run.metrics.items():
        if key not in OURS and not key.startswith("weights/"):
            yield names.get(key, key), value
    for key, text in run.not_finite().items():
        yield names.get(key, key), float(text)
