"""How a command runs: where it writes and stores, what it resumes. In no signature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.checks import told
from sweep.errors import ConfigErrors, gathered

if TYPE_CHECKING:
    from sweep.config.models import Sweeper

__all__ = ["CONTROL_KEYS", "Settings", "reading_settings", "settings", "sweeper_settings"]

CONTROL_KEYS = (
    "outputs",
    "resume",
    "reuse",
    "dry_run",
    "fail_fast",
    "max_seconds",
    "model",
    "tracking",
    "parent",
)
"""The keys that say how a command runs; none of them can be an axis."""


@dataclass(frozen=True)
class Settings:
    """How a command runs: the same for all its runs, and in no signature."""

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
    parent: str | None


def settings(config: Mapping[str, Any], cwd: Path) -> Settings:
    """Check the control keys of a resolved configuration; a command that reads has a few alone.

    Raises
    ------
    ConfigErrors
        Everything that is wrong, one sentence each.
    """
    from sweep.config.models import Control, Tracking, validated

    problems: list[str] = []
    control = tracking = None
    with gathered(problems):
        control = validated(Control, config)
    with gathered(problems):
        tracking = validated(Tracking, config.get("tracking"), "tracking")
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
        model=control.model,
        parent=None if control.parent is None else str(control.parent),
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
