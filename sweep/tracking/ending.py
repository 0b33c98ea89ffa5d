"""How a run ended, as what is to be written of it: made where it trained, without MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sweep.tracking.files import (
    CONFIG,
    PREPARATION,
    config_bytes,
    json_bytes,
    result_files,
    text_files,
)
from sweep.tracking.metrics import Point, metric_tags, run_metrics
from sweep.training.history import RunResult

__all__ = ["Ending", "ending_of", "failure", "interruption"]


@dataclass(frozen=True)
class Ending:
    """The end of a run.

    Attributes
    ----------
    outcome
        ``completed``, ``diverged``, ``failed`` or ``interrupted``.
    metrics
        Every point of every metric.
    files
        Name of each artifact -> its content.
    tags
        Further tags, written with the end.
    """

    outcome: str
    metrics: tuple[Point, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


def ending_of(
    result: RunResult, config: Mapping[str, Any], preparation: Mapping[str, Any] | None = None
) -> Ending:
    """Return the end of a run that has a result.

    Parameters
    ----------
    preparation
        How its data was prepared, where new rows need it.
    """
    files = result_files(result, config)
    if preparation is not None:
        files[PREPARATION] = json_bytes(preparation)
    return Ending(result.outcome, tuple(run_metrics(result)), files, metric_tags(result))


def failure(traceback: str, config: Mapping[str, Any] | None = None, printed: str = "") -> Ending:
    """Return the end of a run that raised, with what it had printed."""
    return Ending("failed", files=text_files(traceback, printed) | _config(config))


def interruption(config: Mapping[str, Any] | None = None) -> Ending:
    """Return the end of a run that was stopped before it had a result."""
    return Ending("interrupted", files=_config(config))


def _config(config: Mapping[str, Any] | None) -> dict[str, bytes]:
    return {} if config is None else {CONFIG: config_bytes(config)}
