"""Finish a sweep that the store knows (``resume=last`` or its id)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import Override

from sweep.cli.compose import Jobs
from sweep.cli.grid import (
    checked_cells,
    command_line,
    describes_run,
    named_axes,
    parsed,
    split,
)
from sweep.cli.refusal import REFUSALS, one_sentence
from sweep.config.run import run_spec
from sweep.config.spec import canonical
from sweep.engine.plan import Plan, unique
from sweep.errors import ConfigError, ConfigErrors, NotFoundError

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader
    from omegaconf import DictConfig

    from sweep.config.settings import Settings
    from sweep.config.spec import RunSpec
    from sweep.tracking.stored import StoredSweep

__all__ = ["resumed_plan", "stored_sweep"]

SHOWN = 5
"""So many changed cells are named; the rest is counted."""


def stored_sweep(options: Settings) -> tuple[StoredSweep, Mapping[str, Any]]:
    """Return the sweep that `resume` names and its plan.json, read without changing anything.

    Raises
    ------
    NotFoundError
        There is no store, no such sweep, or a sweep without a plan.
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
    # An exported sweep is its own base; any other one has an absolute path there.
    return sweep, {**document, "base": str(options.outputs / document["base"])}


def resumed_plan(
    loader: ConfigLoader,
    master: DictConfig,
    arguments: Sequence[str],
    options: Settings,
    document: Mapping[str, Any],
) -> Plan:
    """Return the stored plan, checked against today's configuration, with the cells added.

    Parameters
    ----------
    arguments
        The overrides of the command line. An axis named there adds its values, with each
        stored cell's values of the other axes.
    document
        The sweep's plan.json. What it holds is data: a trainer that it names is built only
        where today's configuration names the same, from the same source.

    Raises
    ------
    ConfigErrors
        Today's configuration would give a stored cell other numbers, or a new cell is wrong.
    """
    sweep_id, stored, base = document["sweep_id"], document["cells"], Path(document["base"])
    overrides = [[*cell["overrides"], f"parent={sweep_id}"] for cell in stored]
    numbers = [cell.get("number", place) for place, cell in enumerate(stored)]
    jobs = Jobs(loader, master, overrides, numbers=numbers)
    changed = []
    specs: dict[int, RunSpec] = {}
    for number, cell in enumerate(stored):
        try:
            today = run_spec(jobs.task_config(number), jobs.choices(number), base)
        except (*REFUSALS, ConfigError) as error:
            changed.append(f"{cell['name']}: {one_sentence(error)}")
            continue
        if today.signature != cell["signature"]:
            what = ", ".join(_differences(cell["config"], today.config))
            changed.append(f"{cell['name']}: {what} changed since.")
        elif canonical(today.config) == canonical(cell["config"]):
            specs[number] = today
        else:  # what differs changes no number: the stored configuration counts, save for
            # the trainer, whose name the store cannot be trusted with
            config = {**cell["config"], "trainer": jobs.task_config(number)["trainer"]}
            specs[number] = run_spec(config, cell["choices"], base)
    _refuse(options, changed)
    plan = Plan.from_document(document, specs)
    typed = parsed(loader, arguments)
    known = {text for cell in stored for text in cell["overrides"]}
    named = [
        override
        for override in typed
        if describes_run(override.key_or_group)
        and override.key_or_group != "experiment"
        and _as_stored(override) not in known  # it says what every cell says already
    ]
    return _with_cells(loader, master, plan, named, sweep_id) if named else plan


def _as_stored(override: Override) -> str:
    """Return the text of an override as a cell keeps it, with what is special escaped."""
    if override.is_sweep_override() or override.is_delete():
        return str(override.input_line)
    return split([override])[0][0]


def _refuse(options: Settings, changed: Sequence[str]) -> None:
    if not changed:
        return
    more = [f"... and {len(changed) - SHOWN} more."] if len(changed) > SHOWN else []
    first = (
        f"resume={options.resume}: {len(changed)} of its cells would have other numbers today; "
        "put back what changed, or start a new sweep."
    )
    raise ConfigErrors([first, *changed[:SHOWN], *more])


def _differences(stored: Mapping[str, Any], today: Mapping[str, Any]) -> Iterator[str]:
    keys = [key for key in stored if canonical(stored[key]) != canonical(today.get(key))]
    yield from keys or ["the data's content, the trainer's source or the algorithm"]


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
    first_job = 1 + max((cell.job for cell in plan.cells), default=-1)
    cells = checked_cells(loader, master, grid, axes, sweep_id, plan.base, first_job)
    both = tuple(unique([*plan.cells, *cells]))
    return Plan(both, axes, len(both), f"{plan.command} && {command_line()}", plan.base)
