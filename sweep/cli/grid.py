"""Expand what the command line asks for into the cells of a plan, every one checked."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from sweep import console
from sweep.cli.arguments import command_line, describes_run
from sweep.cli.axes import (
    default_axes,
    doubled_keys,
    grid_of,
    is_axis,
    is_drawn,
    parse,
    refusals,
    typed_text,
)
from sweep.cli.compose import Composer
from sweep.cli.messages import REFUSALS, listed
from sweep.cli.points import conditions, fold_axis, points_of, skipped
from sweep.cli.validate import Validation
from sweep.config.run import value_of
from sweep.config.spec import RunSpec
from sweep.engine.plan import Cell, Plan, unique
from sweep.errors import ConfigError, ConfigErrors, MisfitError

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader

    from sweep.config.sweeper import Sweeper

__all__ = ["checked_cells", "expand", "joined", "named_axes", "sound"]

MANY_CELLS = 100
"""Checking more takes seconds, and is said."""


def expand(
    composer: Composer,
    master: DictConfig,
    sweeper: Sweeper,
    typed: Sequence[Override],
    loader: ConfigLoader,
    sweep_id: str,
) -> Plan:
    """Compose and check every cell of the grid before anything exists.

    Parameters
    ----------
    sweeper
        The configuration's axes, which one that is typed replaces, its points, and what is left
        out.
    typed
        The overrides of the command line.
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
    with listed(problems):
        _check_folder(Path(str(master.hydra.sweep.dir)))
    named = {override.key_or_group for override in typed}
    by_default = master.hydra.runtime.choices.get("experiment") == "none"
    ours = default_axes(typed)
    lines = [
        f"{key}={value}"
        for key, value in (sweeper.params or {}).items()
        # the notebook's grid says nothing of another problem, and points stand in its place
        if value is not None and not (by_default and (sweeper.points or not (ours or key in named)))
    ]
    configured: list[Override] = []
    with listed(problems):
        configured = parse(loader, lines)
    problems += doubled_keys(typed)
    # The others are looked at all the same, for their mistakes.
    overrides = sound([*configured, *typed], problems)
    with listed(problems):
        overrides += fold_axis(composer, overrides, sweep_id)
    keys = {override.key_or_group for override in configured}
    points: list[list[Override]] = []
    with listed(problems):
        if sweeper.points is not None:
            points = points_of(sweeper.points, Path.cwd(), loader)
    grid, axes = joined(overrides, keys, points, sweeper, master, problems)
    cells: list[Cell] = []
    left_out: dict[str, int] = {}
    with listed(problems):
        cells, left_out = checked_cells(composer, master, grid, axes, sweep_id, Path.cwd(), sweeper)
    if problems:
        raise ConfigErrors(problems)
    return Plan(
        tuple(unique(cells)),
        axes,
        len(cells),
        command_line(),
        Path.cwd(),
        default_axes=tuple(key for key in axes if by_default and key in keys - named),
        doubled=doubled(cells),
        left_out=left_out,
    )


def joined(
    overrides: Sequence[Override],
    keys: Collection[str],
    points: Sequence[Sequence[Override]],
    sweeper: Sweeper,
    master: DictConfig,
    problems: list[str],
) -> tuple[list[list[str]], tuple[str, ...]]:
    """Return the lines of each grid point, and the axes.

    An axis multiplies the points that do not name its key. Where points name the key of an axis,
    the grid of the axes is joined to them; else the points stand in its place.
    """
    axes = named_axes(overrides, keys)
    of_points = dict.fromkeys(one.key_or_group for point in points for one in point)
    for override in overrides:
        if override.key_or_group in of_points and override.key_or_group not in axes:
            problems.append(
                f"{override.input_line} and hydra.sweeper.points: {override.key_or_group} is given "
                "twice; keep one of them."
            )
    groups = [list(overrides)] if not points or set(axes) & set(of_points) else []
    for point in points:
        own = {one.key_or_group for one in point}
        groups.append([*point, *(one for one in overrides if one.key_or_group not in own)])
    drawn = [typed_text(one) for group in groups for one in group if is_drawn(one)]
    if drawn and sweeper.samples is None:
        problems.append(
            f"{drawn[0]}: say how many points are drawn from it, as hydra.sweeper.samples=20."
        )
    if sweeper.samples is not None and not drawn:
        problems.append(
            f"hydra.sweeper.samples={sweeper.samples}: no axis is drawn; write one as "
            "lr=loguniform(1e-4,1), or leave it out."
        )
    samples, seed = sweeper.samples or 1, master.seed if drawn else 0
    grid = [line for group in groups for line in grid_of(group, Path.cwd(), samples, seed)]
    return grid, tuple(dict.fromkeys([*of_points, *axes]))


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
    sweeper: Sweeper,
    first_job: int = 0,
) -> tuple[list[Cell], dict[str, int]]:
    """Compose and check the point of each override list, numbered as jobs from `first_job` on.

    Returns
    -------
    The cells, and why others were left out -> how many.

    Raises
    ------
    ConfigErrors
        Every refused value, one sentence each.
    """
    if len(grid) > MANY_CELLS:
        console.say(f"Checking {len(grid)} cells ...")
    hydra: Any = OmegaConf.to_container(master.hydra, resolve=False)
    validation = Validation(base, hydra)
    out = _skipped(composer, grid, axes, sweep_id, sweeper.conditions)
    reasons: Counter[str] = Counter(f"where {text}" for text in out.values())
    cells: list[Cell] = []
    for index, point in enumerate(grid):
        if index in out:
            continue
        number, lines = first_job + len(cells), [*point, f"parent={sweep_id}"]
        with listed(validation.problems):
            composed = composer.compose(lines, number)
            try:
                spec = validation.run(
                    composed.values,
                    composed.choices,
                    point,
                    partial(composer.unresolved, lines, number),
                )
            except MisfitError as error:
                if sweeper.misfits == "refuse":
                    raise
                reasons[error.messages[0]] += 1
                continue
            own = tuple(text for text in point if describes_run(text))
            values = {axis: _value(axis, spec, composed.choices) for axis in axes}
            cells.append(Cell(len(cells), own, values, spec, number))
    if not cells and reasons and not validation.problems:
        validation.problems.append(
            f"Nothing is left of {len(grid)} grid points: {'; '.join(reasons)}."
        )
    validation.end()
    return cells, dict(reasons)


def _skipped(
    composer: Composer,
    grid: Sequence[Sequence[str]],
    axes: Sequence[str],
    sweep_id: str,
    texts: Sequence[str],
) -> dict[int, str]:
    """Return the number of each point that a condition leaves out -> the condition.

    Raises
    ------
    ConfigError
        A condition cannot be read or applied.
    """
    if not texts:
        return {}
    queries = conditions(texts, axes)
    values = {}
    for index, point in enumerate(grid):
        try:
            composed = composer.compose([*point, f"parent={sweep_id}"], index)
        except REFUSALS:
            continue  # it is refused where it is checked
        values[index] = {axis: _found(axis, composed.values, composed.choices) for axis in axes}
    return skipped(queries, axes, values)


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
    # a null rule stands for the network's own
    return spec.rule if axis == "rule" else _found(axis, spec.config, choices)


def _found(axis: str, config: Mapping[str, Any], choices: Mapping[str, Any]) -> Any:
    try:
        return value_of(axis, config, choices)
    except KeyError:
        return None  # an axis of `~key` removes it
