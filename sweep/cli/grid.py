"""Expand what the command line asks for into the cells of a plan, every one checked."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from sweep import console
from sweep.cli.arguments import command_line, describes_run
from sweep.cli.axes import (
    default_axes,
    doubled_keys,
    grid_of,
    is_axis,
    parse,
    refusals,
)
from sweep.cli.compose import Composer
from sweep.cli.messages import listed
from sweep.cli.validate import Validation
from sweep.config.run import value_of
from sweep.config.spec import RunSpec
from sweep.engine.plan import Cell, Plan, unique
from sweep.errors import ConfigError, ConfigErrors

__all__ = ["checked_cells", "expand", "named_axes", "sound"]

MANY_CELLS = 100
"""Checking more takes seconds, and is said."""


def expand(
    composer: Composer,
    master: DictConfig,
    configured: Sequence[Override],
    typed: Sequence[Override],
    sweep_id: str,
) -> Plan:
    """Compose and check every cell of the grid before anything exists.

    Parameters
    ----------
    configured
        The axes that the configuration names (``hydra.sweeper.params``).
    typed
        The overrides of the command line; an axis named there replaces the one in `configured`.
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
    named = {override.key_or_group for override in typed}
    by_default = master.hydra.runtime.choices.get("experiment") == "none"
    if by_default and not default_axes(
        typed
    ):  # the notebook's grid says nothing of another problem
        configured = [override for override in configured if override.key_or_group in named]
    problems += doubled_keys(typed)
    # The others are looked at all the same, for their mistakes.
    overrides = sound([*configured, *typed], problems)
    with listed(problems):
        overrides += _folds(composer, overrides, sweep_id)
    keys = {override.key_or_group for override in configured}
    axes = named_axes(overrides, keys)
    grid = grid_of(overrides, Path.cwd())
    with listed(problems):
        cells = checked_cells(composer, master, grid, axes, sweep_id, Path.cwd())
    if problems:
        raise ConfigErrors(problems)
    return Plan(
        tuple(unique(cells)),
        axes,
        len(grid),
        command_line(),
        Path.cwd(),
        default_axes=tuple(key for key in axes if by_default and key in keys - named),
        doubled=doubled(cells),
    )


def _folds(composer: Composer, overrides: Sequence[Override], sweep_id: str) -> list[Override]:
    """Return the axis of the parts that ``data.folds`` makes, unless the command names them."""
    if any(override.key_or_group == "data.fold" for override in overrides):
        return []
    first = [*grid_of(overrides, Path.cwd())[0], f"parent={sweep_id}"]
    data = composer.compose(first, 0).values.get("data")
    folds = data.get("folds") if isinstance(data, Mapping) else None
    if not isinstance(folds, int) or folds < 2:
        return []
    return parse(None, [f"data.fold={','.join(map(str, range(folds)))}"])


def sound(overrides: Sequence[Override], problems: list[str]) -> list[Override]:
    """Return the overrides that may be part of a grid; why others may not goes to `problems`."""
    fine = []
    for override in overrides:
        found = refusals(override, Path.cwd())
        problems += found
        if not found:
            fine.append(override)
    return fine


def doubled(cells: Sequence[Cell]) -> dict[str, int]:
    """Return the name of each grid point that was asked for several times -> how often."""
    names = {cell.key: cell.name for cell in cells}
    counted = Counter(cell.key for cell in cells)
    return {names[key]: times for key, times in counted.items() if times > 1}


def checked_cells(
    composer: Composer,
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
    hydra: Any = OmegaConf.to_container(master.hydra, resolve=False)
    validation = Validation(base, hydra)
    cells: list[Cell] = []
    for index, point in enumerate(grid):
        number, lines = first_job + index, [*point, f"parent={sweep_id}"]
        with listed(validation.problems):
            composed = composer.compose(lines, number)
            spec = validation.run(
                composed.values,
                composed.choices,
                point,
                partial(composer.unresolved, lines, number),
            )
            own = tuple(text for text in point if describes_run(text))
            values = {axis: _value(axis, spec, composed.choices) for axis in axes}
            cells.append(Cell(index, own, values, spec, number))
    validation.end()
    return cells


def named_axes(overrides: Sequence[Override], keys: Collection[str]) -> tuple[str, ...]:
    """Return the swept keys in the order of the grid: `keys` and each list of values."""
    names = dict.fromkeys(
        override.key_or_group
        for override in overrides
        if is_axis(override) or override.key_or_group in keys
    )
    return tuple(key for key in names if not key.startswith("hydra."))


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


def _value(axis: str, spec: RunSpec, choices: Mapping[str, Any]) -> Any:
    if axis == "rule":
        return spec.rule  # null stands for the network's own
    try:
        return value_of(axis, spec.config, choices)
    except KeyError:
        return None  # an axis of `~key` removes it
