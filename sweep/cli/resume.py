"""Finish a sweep that the store knows (``resume=last`` or its id)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.override_parser.types import Override

from sweep.cli.compose import Jobs
from sweep.cli.grid import checked_cells, describes_run, named_axes, parsed, split
from sweep.cli.refusal import REFUSALS, one_sentence
from sweep.config import run_spec
from sweep.engine.plan import Plan, unique
from sweep.errors import ConfigError, ConfigErrors, NotFoundError

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader
    from omegaconf import DictConfig

    from sweep.settings import Settings
    from sweep.spec import RunSpec

__all__ = ["resumed_plan", "stored_plan"]

SHOWN = 5
"""So many changed cells are named; the rest is counted."""


def stored_plan(options: Settings) -> tuple[str, str, Plan]:
    """Return a sweep's id, its parent run and its plan, read without changing anything.

    Raises
    ------
    NotFoundError
        There is no store, no such sweep, or a sweep without a plan.
    ConfigErrors
        A stored configuration cannot be run today, or would give other numbers.
    """
    from sweep.tracking import read
    from sweep.tracking.settings import from_options
    from sweep.tracking.store import open_store

    assert options.resume is not None
    sweep = read.find_sweep(open_store(from_options(options), mode="read"), options.resume)
    document = sweep.plan()
    if not document:
        raise NotFoundError(
            f"resume={options.resume}: sweep {sweep.sweep_id} ended before its plan was written; "
            "start a new one."
        )
    plan = Plan.from_document(document)
    changed = [
        f"{cell.name}: its data, trainer or algorithm changed since."
        for cell, stored in zip(plan.cells, document["cells"], strict=True)
        if cell.spec.signature != stored["signature"]
    ]
    _refuse(options, changed)
    return sweep.sweep_id, sweep.run_id, plan


def resumed_plan(
    loader: ConfigLoader,
    master: DictConfig,
    arguments: Sequence[str],
    options: Settings,
    sweep_id: str,
    plan: Plan,
) -> Plan:
    """Return the stored plan, checked against today's configuration, with the cells added.

    Parameters
    ----------
    arguments
        The overrides of the command line. An axis named there adds its values, with each
        stored cell's values of the other axes.

    Raises
    ------
    ConfigErrors
        Today's configuration would give a stored cell other numbers, or a new cell is wrong.
    """
    jobs = Jobs(loader, master, [[*cell.overrides, f"parent={sweep_id}"] for cell in plan.cells])
    changed = []
    for position, cell in enumerate(plan.cells):
        try:
            today = run_spec(jobs.task_config(position), jobs.choices(position), plan.base)
        except (*REFUSALS, ConfigError) as error:
            changed.append(f"{cell.name}: {one_sentence(error)}")
            continue
        if today.signature != cell.spec.signature:
            what = ", ".join(_differences(cell.spec, today))
            changed.append(f"{cell.name}: {what} changed since.")
    _refuse(options, changed)
    overrides = parsed(loader, arguments)
    named = [override for override in overrides if describes_run(override.key_or_group)]
    return _with_cells(loader, master, plan, named, sweep_id) if named else plan


def _refuse(options: Settings, changed: Sequence[str]) -> None:
    if not changed:
        return
    more = [f"... and {len(changed) - SHOWN} more."] if len(changed) > SHOWN else []
    first = (
        f"resume={options.resume}: {len(changed)} of its cells would have other numbers today; "
        "put back what changed, or start a new sweep."
    )
    raise ConfigErrors([first, *changed[:SHOWN], *more])


def _differences(stored: RunSpec, today: RunSpec) -> Iterator[str]:
    keys = [key for key in stored.config if stored.config[key] != today.config.get(key)]
    if stored.data_digest != today.data_digest and "data" not in keys:
        keys.append("the data's content")
    if stored.trainer.source != today.trainer.source:
        keys.append("the trainer's source")
    yield from keys or ["the algorithm"]


def _with_cells(
    loader: ConfigLoader,
    master: DictConfig,
    plan: Plan,
    named: Sequence[Override],
    sweep_id: str,
) -> Plan:
    keys = {override.key_or_group for override in named}
    others = dict.fromkeys(
        tuple(text for text in cell.overrides if text.partition("=")[0].lstrip("+~") not in keys)
        for cell in plan.cells
    )
    grid = [[*rest, *point] for rest in others for point in split(named)]
    axes = tuple(dict.fromkeys([*plan.axes, *named_axes(named, keys)]))
    cells = checked_cells(loader, master, grid, axes, sweep_id, Path.cwd())
    both = tuple(unique([*plan.cells, *cells]))
    return Plan(both, axes, len(both), plan.command, plan.base)
