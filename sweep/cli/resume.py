"""Resume a stored sweep (``resume=last`` or its id)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from sweep import console
from sweep.checks import written
from sweep.cli.arguments import command_line, config_flags, kept
from sweep.cli.axes import grid_of, parse, quoted
from sweep.cli.grid import Planner
from sweep.cli.messages import HYDRA_ERRORS, one_sentence
from sweep.cli.overrides import describes_run, key_of, run_keys
from sweep.config.run import run_spec
from sweep.config.spec import canonical
from sweep.engine.plan import Plan, unique
from sweep.engine.stored import stored_cells
from sweep.errors import ConfigError, NotFoundError, StoreError
from sweep.question import question_of

if TYPE_CHECKING:
    from sweep.config.settings import Settings
    from sweep.config.spec import RunSpec
    from sweep.tracking.read import StoredSweep

SHOWN = 5  # changed grid points listed in a message

PLAN = {"base": str, "axes": list, "command": str, "cells": list}
CELL = {"name": str, "signature": str, "overrides": list}
CELL |= dict.fromkeys(("values", "params", "choices", "config"), dict)
"""Types of the fields in plan.json, and in each of its grid points, that a sweep is resumed by."""


def stored_sweep(options: Settings) -> tuple[StoredSweep, Mapping[str, Any]]:
    """Return the sweep that `resume` selects, and its plan.json; the store is opened read-only.

    Raises NotFoundError if there is no store, no such sweep, or no plan, and StoreError if a field
    of the plan has a wrong type.
    """
    from sweep.tracking import read
    from sweep.tracking.store import open_store

    assert options.resume is not None
    sweep = read.find_sweep(open_store(options.tracking, mode="read"), options.resume)
    try:
        document = sweep.plan()
        damage = _damage(document) if document else ""
    except ValueError as error:
        document, damage = {}, f"it cannot be read ({error})"
    if damage:
        raise StoreError(
            f"plan.json of sweep {sweep.sweep_id} is damaged: {damage}; put that file back, or "
            "start a new sweep."
        )
    if not document:
        raise NotFoundError(
            f"resume={options.resume}: sweep {sweep.sweep_id} ended before its plan was written; "
            "start a new one."
        )
    # The base is relative (to `outputs`) in an exported sweep, else absolute.
    return sweep, {**document, "base": str(options.outputs / document["base"])}


def _damage(document: Mapping[str, Any]) -> str:
    """Say which field of plan.json is missing or has a wrong type; empty if none."""
    cells = document.get("cells")
    places = {f"cells.{at} ": cell for at, cell in enumerate(cells if type(cells) is list else ())}
    for place, found in {"": document, **places}.items():
        for key, kind in (CELL if place else PLAN).items():
            value = found.get(key) if isinstance(found, Mapping) else None
            if not isinstance(value, kind):
                return f"{place}{key} is {'missing' if value is None else repr(value)[:40]}"
    return ""


def kept_settings(options: Settings, master: DictConfig, given: Sequence[str]) -> list[str]:
    """Return how a sweep runs as overrides of KEPT_KEYS, whether a preset or `given` ones set it.

    Of the keys of jobs those that are `given`: a preset sets them again in each job.
    """
    values = {f"budget.{name}": value for name, value in options.budget}
    values |= options.model_dump(include={"fail_fast", "max_seconds", "model"})
    values["hydra.sweeper.max_batch_size"] = master.hydra.sweeper.max_batch_size
    folder = str(master.hydra.sweep.dir)  # ${now:} is resolved
    if Path(folder).resolve() != (options.outputs / "sweeps" / str(master.parent)).resolve():
        values["hydra.sweep.dir"] = folder
    lines = (text for text in kept(given) if text.lstrip("+~").startswith("hydra."))
    return [*(text for text in lines if key_of(text) not in values), *_overrides(values)]


def settings_of(
    document: Mapping[str, Any], master: DictConfig, options: Settings, named: Collection[str]
) -> list[str]:
    """Apply the settings stored in plan.json to `master`, and return those that differ from it.

    The keys that are `named` on this command line keep their values.
    """
    question = question_of(document).document()
    if "metric" in named and options.metric != question["metric"]:
        del question["mode"]  # it belongs to the stored metric
    stored = kept(map(str, document.get("kept", {}).get("overrides", ())))
    stored += _overrides(question)
    today = kept_settings(options, master, ())
    today += _overrides(options.model_dump(include=set(question)))
    added = [text for text in stored if key_of(text) not in named and text not in today]
    for override in parse(None, added):
        key, line = override.key_or_group, str(override.input_line)
        if key == "hydra.sweep.dir" and not Path(str(override.value()), "multirun.yaml").is_file():
            console.notice(f"{line}: the sweep's folder is not here; its files go below outputs.")
            added.remove(line)
            continue
        if override.is_delete():
            continue
        with read_write(master.hydra), open_dict(master):
            OmegaConf.update(master, key, override.value(), force_add=True)
            if override.is_hydra_override():
                master.hydra.overrides.hydra.append(line)
    if added:
        console.echo(f"As the sweep began: {' '.join(added)}")
    return added


def _overrides(values: Mapping[str, Any]) -> list[str]:
    text = partial(quoted, kind=str)
    return [f"{key}={written(value, text)}" for key, value in values.items()]


def resumed_plan(planner: Planner, options: Settings, document: Mapping[str, Any]) -> Plan:
    """Return the stored plan, validated against the current configuration, plus new grid points.

    Each new value of the planner's axes is combined with the stored values of other axes. The
    trainer is built from the composed configuration, never from the resolved ones in plan.json
    (`document`). Raises ConfigError if the current configuration would change the numbers of a
    stored grid point, or if a new one is invalid.
    """
    given = planner.sound(planner.command)
    if planner.problems:
        raise ConfigError(*planner.problems)
    stored, base = document["cells"], Path(document["base"])
    changed = []
    specs: dict[int, RunSpec] = {}
    mended: dict[int, RunSpec] = {}
    targets = [override for override in given if _may_name_code(override)]
    allowed = {line for point in grid_of(targets, Path()) for line in point}
    for index, cell in enumerate(stored):
        try:
            for line in cell["overrides"]:
                override = planner.composer.parse(line)
                if not describes_run(override.key_or_group):
                    raise ConfigError(f"{line} comes from the store and does not describe a run.")
                if _may_name_code(override) and line not in allowed:
                    raise ConfigError(
                        f"{line} comes from the store and names code to run; repeat it on the "
                        "command line to allow that."
                    )
            lines = [*cell["overrides"], planner.parent]
            found = planner.composer.compose(lines, cell.get("number", index))
            keys = run_keys(cell["overrides"])
            today = run_spec(found.values, found.choices, base, keys)
        except (*HYDRA_ERRORS, ConfigError) as error:
            changed.append(f"{cell['name']}: {one_sentence(error)}")
            continue
        former = _with_source(today, cell.get("source"))
        if cell["signature"] not in (today.signature, former.signature):
            what = ", ".join(_differences(cell["config"], today.config))
            changed.append(f"{cell['name']}: {what} changed since.")
            continue
        if canonical(today.config) != canonical(cell["config"]):
            # The difference changes no number: use the stored configuration, except for the
            # trainer, because the store is not trusted with names to import.
            config = {**cell["config"], "trainer": found.values["trainer"]}
            today = run_spec(config, cell["choices"], base, keys)
        if cell["signature"] != today.signature:
            mended[index] = today
        specs[index] = _with_source(today, cell.get("source"))
    if changed:
        raise ConfigError(*_changed_messages(options, changed, document))
    plan = Plan.from_document(document, specs)
    if mended:
        plan = _trained_anew(plan, mended, options, str(planner.composer.master.parent))
    known = {text for cell in stored for text in cell["overrides"]}
    named = [
        override
        for override in given
        if run_keys([override.key_or_group]) and _as_stored(override) not in known  # adds nothing
    ]
    if not named and planner.sweeper.points is None:
        return plan
    return _with_cells(planner, plan, named)


def _may_name_code(override: Override) -> bool:
    """Whether an override may set the trainer's ``_target_``: by its key, or in a mapping."""
    value = str(override.input_line).partition("=")[2]
    inside = override.key_or_group == "trainer" and not {"{", "$"}.isdisjoint(value)
    return inside or override.key_or_group.startswith("trainer._target_")


def _with_source(spec: RunSpec, source: Any) -> RunSpec:
    """Return `spec` with the stored source hash of a user's trainer."""
    if spec.trainer.built_in or not isinstance(source, str):
        return spec
    return replace(spec, trainer=replace(spec.trainer, source=source))


def _trained_anew(
    plan: Plan, mended: Mapping[int, RunSpec], options: Settings, sweep_id: str
) -> Plan:
    """Return `plan` with unfinished grid points replaced by `mended` (the current trainer)."""
    done = {cell.index for cell in stored_cells(plan, options, sweep_id)}
    cells = tuple(
        replace(cell, spec=mended[cell.index], planned=None)
        if cell.index in mended and cell.index not in done
        else cell
        for cell in plan.cells
    )
    old = len(done & mended.keys())
    console.echo(
        f"The trainer's source has changed; grid points to train with the new one: "
        f"{len(mended) - old}, finished with the old one: {old}."
    )
    return replace(plan, cells=cells)


def _as_stored(override: Override) -> str:
    """Return the text of an override in the form that a plan stores (escaped)."""
    if override.is_sweep_override() or override.is_delete():
        return str(override.input_line)
    return grid_of([override], Path())[0][0]


def _changed_messages(
    options: Settings, changed: Sequence[str], document: Mapping[str, Any]
) -> Iterator[str]:
    advice = "put back what changed, or start a new sweep"
    flags = [str(word) for word in document.get("kept", {}).get("flags", ())]
    if flags and flags != config_flags():
        advice = f"name {' '.join(flags)} as the sweep did when it began, or {advice}"
    count = f"{len(changed)} of its grid points would have other numbers today"
    yield f"resume={options.resume}: {count}; {advice}."
    yield from changed[:SHOWN]
    if len(changed) > SHOWN:
        yield f"... and {len(changed) - SHOWN} more."


def _differences(stored: Mapping[str, Any], today: Mapping[str, Any]) -> Iterator[str]:
    keys = [key for key in stored if canonical(stored[key]) != canonical(today.get(key))]
    yield from keys or ["the data's content, the trainer's source or the algorithm"]


def _with_cells(planner: Planner, plan: Plan, named: Sequence[Override]) -> Plan:
    """Return `plan` with the points of `named`, combined with the stored values of other keys.

    The stored conditions of ``hydra.sweeper.skip`` apply to the new points too.
    """
    if "seed" not in plan.axes and plan.cells:
        planner.seed = plan.cells[0].spec.seed
    lines, axes = planner.lines(named, {override.key_or_group for override in named})
    if planner.problems:
        raise ConfigError(*planner.problems)

    @cache
    def others(own: frozenset[str]) -> list[tuple[str, ...]]:
        found = (tuple(t for t in cell.overrides if key_of(t) not in own) for cell in plan.cells)
        return list(dict.fromkeys(found))

    grid = [[*rest, *point] for point in lines for rest in others(frozenset(map(key_of, point)))]
    axes = tuple(dict.fromkeys([*plan.axes, *axes]))
    skip = list(dict.fromkeys([*map(str, plan.kept.get("skip", ())), *planner.sweeper.skip]))
    first_job = 1 + max((cell.job for cell in plan.cells), default=-1)
    cells, left_out = planner.cells(grid, axes, plan.base, skip, first_job)
    both = tuple(unique([*plan.cells, *cells]))
    return replace(
        plan,
        cells=both,
        axes=axes,
        asked=len(both),
        command=f"{plan.command} && {command_line()}",
        kept={**plan.kept, "skip": skip},
        left_out=left_out,
    )
