"""Expand what the command line asks for into the cells of a plan, every one checked."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf, open_dict, read_write

from sweep import console
from sweep.compose import Jobs
from sweep.config import CONTROL_KEYS, run_spec, settings
from sweep.engine.plan import Cell, Plan, new_id, unique
from sweep.errors import ConfigErrors
from sweep.plain import plain_values
from sweep.refusal import REFUSALS, one_sentence
from sweep.spec import RunSpec

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader
    from hydra.core.utils import JobReturn
    from hydra.plugins.launcher import Launcher
    from omegaconf import DictConfig

__all__ = ["expand", "named_axes", "run_sweep"]


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
    """
    lines = [f"{key}={value}" for key, value in params.items() if value is not None]
    overrides = OverridesParser.create(config_loader=loader).parse_overrides([*lines, *arguments])
    axes = named_axes(overrides, params)
    _refuse_axes(overrides)
    (grid,) = BasicSweeper.split_arguments(overrides, None)
    jobs = Jobs(loader, master, [[*cell, f"parent={sweep_id}"] for cell in grid])
    base = Path.cwd()
    cells: list[Cell] = []
    problems: list[str] = []
    for index, cell in enumerate(grid):
        try:
            choices = jobs.choices(index)
            spec = run_spec(jobs.task_config(index), choices, base)
        except ConfigErrors as error:
            problems.extend(error.messages)
        except REFUSALS as error:
            problems.append(one_sentence(error))
        else:
            cells.append(Cell(index, tuple(cell), _values(axes, spec, choices), spec))
    if problems:
        raise ConfigErrors(problems)
    return Plan(tuple(unique(cells)), axes, len(grid), command_line(), base)


def named_axes(overrides: Sequence[Override], params: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the swept keys in the order of the grid: those of `params` and each list of values."""
    keys = dict.fromkeys(
        override.key_or_group
        for override in overrides
        if override.is_sweep_override() or override.key_or_group in params
    )
    return tuple(key for key in keys if not key.startswith("hydra."))


def command_line() -> str:
    """Return the command as a user would type it again."""
    return shlex.join(["python", "-m", "sweep", *sys.argv[1:]])


def _refuse_axes(overrides: Sequence[Override]) -> None:
    problems = [
        f"{override.input_line}: a grid needs single values; list them or write range(a,b,step)."
        for override in overrides
        if override.is_sweep_override() and not override.is_discrete_sweep()
    ]
    problems += [
        f"{override.input_line}: {override.key_or_group} says how the command runs and cannot be "
        "an axis; give it one value."
        for override in overrides
        if override.is_sweep_override()
        and override.key_or_group.split(".")[0] in (*CONTROL_KEYS, "hydra")
    ]
    if problems:
        raise ConfigErrors(problems)


def _values(axes: Sequence[str], spec: RunSpec, choices: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for axis in axes:
        if axis in choices:
            values[axis] = choices[axis]
            continue
        value: Any = spec.config
        for part in axis.split("."):
            value = value[int(part)] if isinstance(value, list) else value.get(part)
        values[axis] = value
    return values


def run_sweep(
    loader: ConfigLoader,
    master: DictConfig,
    launcher: Launcher,
    params: Mapping[str, Any],
    arguments: Sequence[str],
    max_batch_size: int | None,
) -> list[Sequence[JobReturn]]:
    """Run one sweep from the command line to its report.

    Returns
    -------
    list
        The returns of each batch's jobs, as Hydra's own sweeper gives them.

    Raises
    ------
    ConfigErrors
        The configuration was refused; nothing was created.
    StoreError
        The store cannot be used; no run was started.
    """
    from sweep.engine.life import sweep_life

    sweep_id = new_id()
    with read_write(master), open_dict(master):
        master.parent = sweep_id
    options = settings(plain_values(master, CONTROL_KEYS), Path.cwd())
    plan = expand(loader, master, params, arguments, sweep_id)
    if options.dry_run:
        console.sweep_plan(plan)
        return []
    folder = Path(str(master.hydra.sweep.dir))
    files = {
        "multirun.yaml": OmegaConf.to_yaml(master),
        "overrides.yaml": OmegaConf.to_yaml(OmegaConf.create(list(arguments))),
    }
    returns = []
    with sweep_life(plan, options, sweep_id, folder, files) as sweep:
        jobs = [[*cell.overrides, f"parent={sweep_id}"] for cell in sweep.pending]
        size = max_batch_size or max(len(jobs), 1)
        for first in range(0, len(jobs), size):
            batch = Jobs(loader, master, jobs[first : first + size], first_job=first)
            returns.append(launcher.launch(batch, initial_job_idx=first))
    return returns
