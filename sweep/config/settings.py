"""How a command runs: where it writes and stores, what it resumes. In no signature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.checks import told
from sweep.errors import ConfigErrors, gathered

if TYPE_CHECKING:
    from sweep.config.models import Sweeper

__all__ = ["CONTROL_KEYS", "Settings", "reading_settings", "settings", "sweeper_settings"]

CONTROL_KEYS = (
    "name",
    "note",
    "tags",
    "budget",
    "outputs",
    "resume",
    "reuse",
    "dry_run",
    "fail_fast",
    "max_seconds",
    "metric",
    "mode",
    "repeats",
    "tracking",
    "parent",
)
"""The keys that say how a command runs; none of them can be an axis."""


@dataclass(frozen=True)
class Settings:
    """How a command runs: the same for all its runs, and in no signature.

    `about` holds the sweep's ``name``, ``note`` and ``tags``, those that are given. After
    `budget_seconds` from its opening, or with `budget_runs` runs, a sweep ends with what it has.
    `metric`, `mode` and `repeats` are None for what the sweep's plan says, or the default.
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
    metric: str | None
    mode: str | None
    repeats: tuple[str, ...] | None
    parent: str | None
    about: Mapping[str, Any] = field(default_factory=dict)
    budget_seconds: float | None = None
    budget_runs: int | None = None


def settings(config: Mapping[str, Any], cwd: Path) -> Settings:
    """Check the control keys of a resolved configuration; a command that reads has a few alone.

    Raises
    ------
    ConfigErrors
        Everything that is wrong, one sentence each.
    """
    from sweep.config.models import Budget, Control, Tracking, validated

    problems: list[str] = []
    control = tracking = None
    budget = Budget(seconds=None, runs=None)
    with gathered(problems):
        control = validated(Control, config)
    with gathered(problems):
        tracking = validated(Tracking, config.get("tracking"), "tracking")
    with gathered(problems):
        budget = validated(Budget, config.get("budget", {}), "budget")
    if tracking is not None and tracking.kind == "local" and tracking.uri is not None:
        problems.append(
            told("tracking.uri", tracking.uri, "write tracking=server too, or leave it out")
        )
    if control is None or tracking is None or problems:
        raise ConfigErrors(problems)
    return Settings(
        outputs=(cwd / control.outputs).resolve(),
        tracking_kind=tracking.kind,
        tracking_uri=tracking.uri,
        experiment=tracking.experiment,
        resume=control.resume,
        reuse=control.reuse,
        dry_run=control.dry_run,
        fail_fast=control.fail_fast,
        max_seconds=control.max_seconds,
        metric=control.metric,
        mode=control.mode,
        repeats=None if control.repeats is None else tuple(control.repeats),
        parent=None if control.parent is None else str(control.parent),
        about={
            key: value
            for key in ("name", "note", "tags")
            if (value := getattr(control, key)) is not None
        },
        budget_seconds=budget.seconds,
        budget_runs=budget.runs,
    )


def sweeper_settings(config: Mapping[str, Any]) -> Sweeper:
    """Check what ``hydra.sweeper`` says.

    Raises
    ------
    ConfigErrors
        Everything that is wrong, one sentence each.
    """
    from sweep.config.models import Sweeper, validated

    return validated(Sweeper, config, "hydra.sweeper")


reading_settings = settings
"""The same for a command that only reads, which has a few of the keys alone."""
