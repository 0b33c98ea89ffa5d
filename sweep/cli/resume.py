"""Finish a sweep that the store knows (``resume=last`` or its id)."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from sweep import console
from sweep.cli.arguments import command_line, config_flags, describes_run, kept, key_of
from sweep.cli.axes import doubled_keys, grid_of, is_axis, parse
from sweep.cli.compose import Composer
from sweep.cli.grid import checked_cells, joined, sound
from sweep.cli.messages import REFUSALS, listed, one_sentence
from sweep.cli.points import points_of
from sweep.cli.validate import set_keys
from sweep.config.run import run_spec
from sweep.config.spec import canonical
from sweep.engine.plan import Plan, unique
from sweep.engine.stored import stored_cells
from sweep.errors import ConfigError, ConfigErrors, NotFoundError

if TYPE_CHECKING:
    from sweep.config.settings import Settings
    from sweep.config.spec import RunSpec
    from sweep.config.sweeper import Sweeper
    from sweep.tracking.stored import StoredSweep

__all__ = ["resumed_plan", "settings_of", "stored_sweep"]

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


def settings_of(document: Mapping[str, Any], master: DictConfig, given: Sequence[str]) -> list[str]:
    """Set on `master` how the sweep ran when it began; return the overrides that say so.

    Parameters
    ----------
    document
        The sweep's plan.json; only KEPT_KEYS are taken from it.
    given
        Overrides of this command line, which come first.
    """
    names = {key_of(text) for text in given}
    stored = kept(str(text) for text in document.get("kept", {}).get("overrides", ()))
    added = [text for text in stored if key_of(text) not in names]
    for override in parse(None, added):
        key, line = override.key_or_group, str(override.input_line)
        if key == "hydra.sweep.dir" and not Path(str(override.value()), "multirun.yaml").is_file():
            console.notice(f"{line}: the sweep's folder is not here; its files go below outputs.")
            added.remove(line)
            continue
        with read_write(master.hydra), open_dict(master):
            if override.is_delete():
                continue
            OmegaConf.update(master, key, override.value(), force_add=True)
            if override.is_hydra_override():
                master.hydra.overrides.hydra.append(line)
    if added:
        console.say(f"As the sweep began: {' '.join(added)}")
    return added


def resumed_plan(
    composer: Composer,
    master: DictConfig,
    sweeper: Sweeper,
    typed: Sequence[Override],
    options: Settings,
    document: Mapping[str, Any],
) -> Plan:
    """Return the stored plan, checked against today's configuration, with the cells added.

    Parameters
    ----------
    typed
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
    problems = doubled_keys(typed)
    typed = sound(typed, problems)
    if problems:
        raise ConfigErrors(problems)
    sweep_id, stored, base = document["sweep_id"], document["cells"], Path(document["base"])
    changed = []
    specs: dict[int, RunSpec] = {}
    mended: dict[int, RunSpec] = {}
    for place, cell in enumerate(stored):
        lines = [*cell["overrides"], f"parent={sweep_id}"]
        try:
            found = composer.compose(lines, cell.get("number", place))
            keys = set_keys(cell["overrides"])
            today = run_spec(found.values, found.choices, base, keys)
        except (*REFUSALS, ConfigError) as error:
            changed.append(f"{cell['name']}: {one_sentence(error)}")
            continue
        former = _with_source(today, cell.get("source"))
        if cell["signature"] not in (today.signature, former.signature):
            what = ", ".join(_differences(cell["config"], today.config))
            changed.append(f"{cell['name']}: {what} changed since.")
            continue
        if canonical(today.config) != canonical(cell["config"]):
            # What differs changes no number: the stored configuration counts, save for the
            # trainer, whose name the store cannot be trusted with.
            config = {**cell["config"], "trainer": found.values["trainer"]}
            today = run_spec(config, cell["choices"], base, keys)
        if cell["signature"] != today.signature:
            mended[place] = today
        specs[place] = _with_source(today, cell.get("source"))
    _refuse(options, changed, document)
    plan = Plan.from_document(document, specs)
    if mended:
        plan = _trained_anew(plan, mended, options, sweep_id)
    known = {text for cell in stored for text in cell["overrides"]}
    named = [
        override
        for override in typed
        if describes_run(override.key_or_group)
        and override.key_or_group != "experiment"
        and _as_stored(override) not in known  # it says what every cell says already
    ]
    if not named and sweeper.points is None:
        return plan
    return _with_cells(composer, master, sweeper, plan, named, sweep_id)


def _with_source(spec: RunSpec, source: Any) -> RunSpec:
    """Return a run as a trainer of a user's own made it when its file had another content."""
    if spec.trainer.built_in or not isinstance(source, str):
        return spec
    return replace(spec, trainer=replace(spec.trainer, source=source))


def _trained_anew(
    plan: Plan, mended: Mapping[int, RunSpec], options: Settings, sweep_id: str
) -> Plan:
    """Return a plan whose unfinished cells are those of `mended`: what the trainer is today."""
    done = {cell.index for cell in stored_cells(plan, options, sweep_id)}
    cells = tuple(
        replace(cell, spec=mended[cell.index], planned=None)
        if cell.index in mended and cell.index not in done
        else cell
        for cell in plan.cells
    )
    old = len(done & mended.keys())
    console.say(
        f"The trainer's source has changed: {len(mended) - old} grid points are trained with the "
        f"new one, {old} were made by the old one and stay as they are."
    )
    return replace(plan, cells=cells)


def _as_stored(override: Override) -> str:
    """Return the text of an override as a cell keeps it, with what is special escaped."""
    if is_axis(override) or override.is_delete():
        return str(override.input_line)
    return grid_of([override], Path())[0][0]


def _refuse(options: Settings, changed: Sequence[str], document: Mapping[str, Any]) -> None:
    if not changed:
        return
    advice = "put back what changed, or start a new sweep"
    flags = [str(word) for word in document.get("kept", {}).get("flags", ())]
    if flags and flags != config_flags(sys.argv[1:]):
        advice = f"name {' '.join(flags)} as the sweep did when it began, or {advice}"
    more = [f"... and {len(changed) - SHOWN} more."] if len(changed) > SHOWN else []
    first = (
        f"resume={options.resume}: {len(changed)} of its cells would have other numbers today; "
        f"{advice}."
    )
    raise ConfigErrors([first, *changed[:SHOWN], *more])


def _differences(stored: Mapping[str, Any], today: Mapping[str, Any]) -> Iterator[str]:
    keys = [key for key in stored if canonical(stored[key]) != canonical(today.get(key))]
    yield from keys or ["the data's content, the trainer's source or the algorithm"]


def _with_cells(
    composer: Composer,
    master: DictConfig,
    sweeper: Sweeper,
    plan: Plan,
    named: Sequence[Override],
    sweep_id: str,
) -> Plan:
    """Return the plan with the points that are named, by the stored values of all other keys."""
    problems: list[str] = []
    points: list[list[Override]] = []
    with listed(problems):
        if sweeper.points is not None:
            points = points_of(sweeper.points, Path.cwd(), None)
    keys = {override.key_or_group for override in named}
    lines, axes = joined(named, keys, points, sweeper, master, problems)
    if problems:
        raise ConfigErrors(problems)

    @cache
    def others(own: frozenset[str]) -> list[tuple[str, ...]]:
        found = (tuple(t for t in cell.overrides if key_of(t) not in own) for cell in plan.cells)
        return list(dict.fromkeys(found))

    grid = [[*rest, *point] for point in lines for rest in others(frozenset(map(key_of, point)))]
    axes = tuple(dict.fromkeys([*plan.axes, *axes]))
    first_job = 1 + max((cell.job for cell in plan.cells), default=-1)
    cells, left_out = checked_cells(
        composer, master, grid, axes, sweep_id, plan.base, sweeper, first_job
    )
    both = tuple(unique([*plan.cells, *cells]))
    command = f"{plan.command} && {command_line()}"
    counts = {key: plan.left_out.get(key, 0) + count for key, count in left_out.items()}
    return replace(
        plan,
        cells=both,
        axes=axes,
        asked=len(both),
        command=command,
        left_out={**plan.left_out, **counts},
    )
