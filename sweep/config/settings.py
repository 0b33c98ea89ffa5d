"""Settings of a command (output folder, tracking, resume, ...); not part of signatures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweep.checks import invalid_value
from sweep.errors import ConfigErrors, collect_errors

CONTROL_KEYS = (
    *("name", "note", "tags", "outputs", "tracking", "parent", "resume", "reuse", "dry_run"),
    *("fail_fast", "max_seconds", "budget", "model", "metric", "mode", "repeats"),
)
"""The keys of Settings; none can be an axis."""


@dataclass(frozen=True)
class Settings:
    """Settings common to all runs of a command; not part of signatures.

    Attributes
    ----------
    about
        The sweep's ``name``, ``note`` and ``tags``, if set.
    metric, mode, repeats
        None: those of the sweep's plan, or the default.
    """

    outputs: Path
    tracking_kind: str
    tracking_uri: str | None
    experiment: str
    resume: str | None
    reuse: bool
    dry_run: bool
    fail_fast: bool
    max_seconds: float | None
    model: str | None
    metric: str | None
    mode: str | None
    repeats: tuple[str, ...] | None
    parent: str | None
    about: Mapping[str, Any] = field(default_factory=dict)
    budget_seconds: float | None = None
    budget_runs: int | None = None


def settings(config: Mapping[str, Any], cwd: Path) -> Settings:
    """Validate the control keys of a resolved configuration; a relative `outputs` is below `cwd`.

    Raises ConfigErrors with one message for each mistake.
    """
    from sweep.config.messages import validated
    from sweep.config.models import Budget, Control, Tracking

    problems: list[str] = []
    control = tracking = None
    budget = Budget(seconds=None, runs=None)
    with collect_errors(problems):
        control = validated(Control, config)
    with collect_errors(problems):
        tracking = validated(Tracking, config.get("tracking"), "tracking")
    with collect_errors(problems):
        budget = validated(Budget, config.get("budget", {}), "budget")
    if tracking is not None and tracking.kind == "local" and tracking.uri is not None:
        problems.append(
            invalid_value(
                "tracking.uri", tracking.uri, "write tracking=server too, or leave it out"
            )
        )
    if control is None or tracking is None or problems:
        raise ConfigErrors(problems)
    values = control.model_dump() | {"outputs": (cwd / control.outputs).resolve()}
    values["repeats"] = None if control.repeats is None else tuple(control.repeats)
    about = {key: values.pop(key) for key in ("name", "note", "tags")}
    return Settings(
        tracking_kind=tracking.kind,
        tracking_uri=tracking.uri,
        experiment=tracking.experiment,
        about={key: value for key, value in about.items() if value is not None},
        budget_seconds=budget.seconds,
        budget_runs=budget.runs,
        **values,
    )


reading_settings = settings
"""For commands that only read the store and have only some of the keys."""
