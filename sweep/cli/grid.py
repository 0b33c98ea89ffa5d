"""Expand what the command line asks for into the cells of a plan, every one checked."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from sweep import console
from sweep.checks import without_password
from sweep.cli.compose import Jobs
from sweep.cli.refusal import REFUSALS, listed, one_sentence
from sweep.cli.typed import added_keys, is_read, lost_numbers, misspelt_keys, unread
from sweep.config.run import run_spec
from sweep.config.settings import CONTROL_KEYS
from sweep.config.spec import RunSpec
from sweep.engine.plan import Cell, Plan, unique
from sweep.errors import ConfigError, ConfigErrors

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader
    from omegaconf import DictConfig

__all__ = [
    "checked_cells",
    "command_line",
    "describes_run",
    "expand",
    "named_axes",
    "parsed",
    "split",
]

MANY_CELLS = 100
"""Checking more takes seconds, and is said."""


def expand(
    loader: ConfigLoader,
    master: DictConfig,
    params: Mapping[str, Any],
    arguments: Sequence[str],
    sweep_id: str,
) -> Plan:
    """Compose and check every cell of the grid before anything exists.

    Parameters
    ----------
    params
        The axes that the configuration names (``hydra.sweeper.params``).
    arguments
        The overrides of the command line; an axis named there replaces the one in `params`.
    sweep_id
        Given to every job as ``parent``.

    Raises
    ------
    ConfigErrors
        Every refused value of the grid, one sentence each.
    ConfigError
        The sweep's folder holds something already.
    """
    problems: list[str] = []
    cells: list[Cell] = []
    with listed(problems):
        _check_folder(Path(str(master.hydra.sweep.dir)))
    lines = [f"{key}={value}" for key, value in params.items() if value is not None]
    overrides = _parsed(loader, [*lines, *arguments])
    refused = [(override, text) for override in overrides for text in _refusals(override)]
    problems += [text for _, text in refused]
    # The others are looked at all the same, for their mistakes.
    sound = [each for each in overrides if not any(each is override for override, _ in refused)]
    axes = named_axes(sound, params)
    grid = split(sound)
    with listed(problems):
        cells = checked_cells(loader, master, grid, axes, sweep_id, Path.cwd())
    if problems:
        raise ConfigErrors(problems)
    return Plan(tuple(unique(cells)), axes, len(grid), command_line(), Path.cwd())


def parsed(loader: ConfigLoader, arguments: Sequence[str]) -> list[Override]:
    """Return the parsed overrides.

    Raises
    ------
    ConfigErrors
        A control key is given several values, an axis is a range without steps, or a number is
        beyond double precision.
    """
    overrides = _parsed(loader, arguments)
    problems = [text for override in overrides for text in _refusals(override)]
    if problems:
        raise ConfigErrors(problems)
    return overrides


def _parsed(loader: ConfigLoader, arguments: Sequence[str]) -> list[Override]:
    return OverridesParser.create(config_loader=loader).parse_overrides(list(arguments))


def split(overrides: Sequence[Override]) -> list[list[str]]:
    """Return the overrides of each point of the grid, the first axis slowest."""
    (grid,) = BasicSweeper.split_arguments(list(overrides), None)
    return grid


def checked_cells(
    loader: ConfigLoader,
    master: DictConfig,
    grid: Sequence[Sequence[str]],
    axes: Sequence[str],
    sweep_id: str,
    base: Path,
    first_job: int = 0,
) -> list[Cell]:
    """Compose and check the point of each override list, numbered as jobs from `first_job` on.

    Raises
    ------
    ConfigErrors
        Every refused value, one sentence each.
    """
    if len(grid) > MANY_CELLS:
        console.say(f"Checking {len(grid)} cells ...")
    jobs = Jobs(loader, master, [[*cell, f"parent={sweep_id}"] for cell in grid], first_job)
    cells: list[Cell] = []
    problems: list[str] = []
    composed: list[int] = []
    strange: dict[str, str] = {}
    for index, overrides in enumerate(grid):
        try:
            choices = jobs.choices(index)
            config = jobs.task_config(index)
            composed.append(index)
            strange |= misspelt_keys(config, choices)
            spec = run_spec(config, choices, base)
        except ConfigError as error:
            problems.extend(error.messages)
        except REFUSALS as error:
            problems.append(one_sentence(error))
        else:
            own = tuple(text for text in overrides if describes_run(text.partition("=")[0]))
            values = _values(axes, spec, choices)
            cells.append(Cell(index, own, values, spec, first_job + index))
    problems += _unread_keys(jobs, composed, master, strange)
    if problems:
        raise ConfigErrors(problems)
    return cells


def _unread_keys(
    jobs: Jobs, composed: Sequence[int], master: DictConfig, strange: Mapping[str, str]
) -> list[str]:
    """Return the refusal of each `strange` or added key that no cell of the grid reads."""
    added: dict[str, str] = {}
    for index in composed:
        if any(text.startswith("+") for text in jobs[index]):
            added = {**added_keys(jobs[index], jobs.choices(index)), **added}
    added = {**strange, **added}
    if not added:
        return []
    hydra = {"hydra": OmegaConf.to_container(master.hydra, resolve=False)}
    left = {key for key in added if not is_read(key, hydra)}
    for index in composed:
        if not left:
            break
        config = jobs.task_config(index, resolve=False)
        left -= {key for key in left if is_read(key, config)}
    return [unread(key, text) for key, text in added.items() if key in left]


def describes_run(key: str) -> bool:
    """Return whether an override of `key` describes a run, and not how the command runs."""
    return key.lstrip("+~").split(".")[0].split("@")[0] not in (*CONTROL_KEYS, "hydra")


def named_axes(overrides: Sequence[Override], params: Collection[str]) -> tuple[str, ...]:
    """Return the swept keys in the order of the grid: those of `params` and each list of values."""
    keys = dict.fromkeys(
        override.key_or_group
        for override in overrides
        if override.is_sweep_override() or override.key_or_group in params
    )
    return tuple(key for key in keys if not key.startswith("hydra."))


def command_line() -> str:
    """Return the command as a user would type it again; a password of an address is left out."""
    words = [without_password(word) for word in sys.argv[1:]]
    return shlex.join(["python", "-m", "sweep", *words])


def _refusals(override: Override) -> list[str]:
    """Return why an override can be no part of a grid, whatever else there is."""
    line, key = override.input_line, override.key_or_group
    problems = lost_numbers([override])
    if override.is_sweep_override():
        if not override.is_discrete_sweep():
            problems.append(
                f"{line}: a grid needs single values; list them or write range(a,b,step)."
            )
        if key.split(".")[0] in (*CONTROL_KEYS, "experiment", "hydra"):
            problems.append(
                f"{line}: {key} says how the command runs and cannot be an axis; give it one value."
            )
    return problems


def _check_folder(folder: Path) -> None:
    """Refuse a folder of the user's own that holds something: the sweep would write over it."""
    advice = "name a folder that is new or empty, or leave this key out"
    try:
        taken = os.path.lexists(folder) and not (folder.is_dir() and not any(folder.iterdir()))
    except OSError as error:
        raise ConfigError(
            f"hydra.sweep.dir={folder}: it cannot be read ({error.strerror}); {advice}."
        ) from error
    if taken:
        raise ConfigError(
            f"hydra.sweep.dir={folder}: there is something already that the sweep's files could "
            f"overwrite; {advice}."
        )


def _values(axes: Sequence[str], spec: RunSpec, choices: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for axis in axes:
        if axis == "rule":
            values[axis] = spec.rule  # null stands for the network's own
            continue
        if axis in choices:
            values[axis] = choices[axis]
            continue
        value: Any = spec.config
        for part in axis.split("."):
            value = value[int(part)] if isinstance(value, list) else value.get(part)
        values[axis] = value
    return values
