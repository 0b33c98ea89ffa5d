"""How a command runs: where it writes and stores, what it resumes. In no signature."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.checks import is_number, no_such_key, refuse_quotes, told
from sweep.errors import ConfigError, ConfigErrors

__all__ = ["CONTROL_KEYS", "Settings", "reading_settings", "settings"]

CONTROL_KEYS = (
    "outputs",
    "resume",
    "reuse",
    "dry_run",
    "fail_fast",
    "max_seconds",
    "tracking",
    "parent",
)
"""The keys that say how a command runs; none of them can be an axis."""

TRACKING_KEYS = ("kind", "experiment", "uri")


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
    parent: str | None


def settings(config: Mapping[str, Any], cwd: Path) -> Settings:
    """Check the control keys of a resolved configuration.

    Raises
    ------
    ConfigErrors
        Everything that is wrong, one sentence each.
    """
    problems: list[str] = []
    tracking = config.get("tracking")
    if not isinstance(tracking, Mapping):
        raise ConfigErrors([told("tracking", tracking, "choose tracking=local or tracking=server")])
    unknown = set(tracking) - set(TRACKING_KEYS)
    problems += [no_such_key("tracking", key, TRACKING_KEYS) for key in sorted(unknown)]
    if tracking.get("kind") not in ("local", "server"):
        problems.append(told("tracking.kind", tracking.get("kind"), "use local or server"))
    experiment = tracking.get("experiment")
    if not isinstance(experiment, str) or not experiment.strip() or len(experiment) > 250:
        problems.append(
            told("tracking.experiment", experiment, "give a name of 1 to 250 characters")
        )
    uri = tracking.get("uri")
    if uri is not None and not isinstance(uri, str):
        problems.append(told("tracking.uri", uri, "give the server's address"))
    if uri is not None and tracking.get("kind") == "local":
        problems.append(told("tracking.uri", uri, "say tracking=server too, or leave it out"))
    outputs = config.get("outputs")
    if not isinstance(outputs, str) or not outputs.strip() or "\0" in outputs:
        problems.append(told("outputs", outputs, "give the path of a folder"))
    for key in ("reuse", "dry_run", "fail_fast"):
        if not isinstance(config.get(key), bool):
            problems.append(told(key, config.get(key), "say true or false"))
    resume = config.get("resume")
    if resume is not None and not isinstance(resume, str):
        problems.append(told("resume", resume, "give `last` or a sweep's id"))
    seconds = None
    try:
        seconds = _seconds(config.get("max_seconds"))
    except ConfigError as error:
        problems.append(str(error))
    parent = config.get("parent")
    if problems:
        raise ConfigErrors(problems)
    return Settings(
        outputs=(cwd / str(outputs)).resolve(),
        tracking_kind=str(tracking["kind"]),
        tracking_uri=uri,
        experiment=str(experiment),
        resume=resume,
        reuse=bool(config["reuse"]),
        dry_run=bool(config["dry_run"]),
        fail_fast=bool(config["fail_fast"]),
        max_seconds=seconds,
        parent=None if parent is None else str(parent),
    )


def _seconds(value: Any) -> float | None:
    refuse_quotes("max_seconds", value, _seconds)
    if value is None:
        return None
    if not is_number(value) or not 0 < value <= sys.float_info.max:
        advice = "give a finite number of seconds above 0, or null for no limit"
        raise ConfigError(told("max_seconds", value, advice))
    return float(value)


def reading_settings(config: Mapping[str, Any], cwd: Path) -> Settings:
    """Check the configuration of a command that only reads: `outputs` and `tracking`.

    Raises
    ------
    ConfigErrors
        Everything that is wrong, one sentence each.
    """
    unused = {"reuse": False, "dry_run": False, "fail_fast": False}
    return settings({**unused, **config}, cwd)
