"""Select the stored runs to retrain; return the verdicts that need no training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.config.run import run_spec, value_of
from sweep.config.spec import BUILT_IN, RunSpec
from sweep.engine.plan import Cell, Plan
from sweep.errors import ConfigError, StoreError
from sweep.question import question_of, totals_of
from sweep.tracking.artifacts import CONFIG
from sweep.tracking.entities import entity_name, run_name, short
from sweep.verify.compare import (
    FIELD,
    FILE,
    MISSING,
    Values,
    difference,
    differences,
    exact,
    flat,
    own_config,
)

if TYPE_CHECKING:
    from sweep.tracking.read import StoredRun, StoredSweep
    from sweep.tracking.store import Store

EQUAL, DIFFERS, UNVERIFIED, UNCOMPARED = "equal", "differs", "not verified", "not compared"

SIGNATURE = "sweep.signature"

COMPARED = ("index", "name", "values", "params", "signature", "choices", "config")
"""The fields of a grid point in ``plan.json`` that its configuration determines."""


@dataclass(frozen=True)
class Verdict:
    """The result for a run: ``equal``, ``differs``, ``not verified`` or ``not compared``.

    Not verified: it cannot be retrained here. Not compared: it has no curve. `near`: it was trained
    on another kind of machine and is compared within the tolerance.
    """

    name: str
    word: str
    reason: str = ""
    differences: Sequence[str] = ()
    near: bool = False


@dataclass(frozen=True)
class Case:
    """A run to retrain as `cell`, and the stored and expected values of its configuration.

    `reason` explains a likely difference.
    """

    run: StoredRun
    stored: Values
    expected: Values
    cell: Cell
    reason: str = ""


def named(
    store: Store, sweep_id: str, run_id: str | None
) -> tuple[StoredSweep | None, Mapping[str, Any], list[StoredRun]]:
    """Return a sweep with its plan and runs; with `run_id` only that run.

    A single run has no sweep and an empty plan. Raises NotFoundError if there is no such sweep or
    run, StoreError if its plan cannot be read.
    """
    from sweep.tracking import read

    runs = [] if run_id is None else [read.find_run(store, str(run_id))]
    parent = runs[0].tags.get("sweep.id") if runs else sweep_id
    if parent is None:
        return None, {}, runs
    sweep = read.find_sweep(store, parent)
    try:
        plan = sweep.plan()
    except ValueError as error:
        raise StoreError(f"plan.json of sweep {sweep.sweep_id}: {error}.") from error
    if runs:
        return sweep, plan, runs
    runs = read.sweep_runs(store, sweep.sweep_id)
    return read.with_deleted(store, sweep, runs), plan, runs


def prepared(
    runs: Sequence[StoredRun], plan: Mapping[str, Any], base: Path, trainer: str = BUILT_IN
) -> tuple[list[Verdict], list[Case]]:
    """Return the verdicts that need no training, and the cases to retrain.

    Relative data files are relative to `base`; `trainer` is the class configured now. A stored
    trainer class is run only if it is built in or that class with its source unchanged.
    """
    settled: list[Verdict] = []
    cases: list[Case] = []
    cells = _cells(plan)
    for run in runs:
        last = _last_step(run) if run.status == "KILLED" else None
        if run.status != "FINISHED" and not last:
            settled.append(Verdict(run.name, UNCOMPARED, f"it is {run.status}"))
            continue
        index = _index(run)
        found = _case(run, cells.get(index), base, trainer)
        unplanned = bool(plan) and index not in cells
        if isinstance(found, Verdict):
            if unplanned:
                more = [*found.differences, difference("run", run.run_id, MISSING)]
                found = replace(found, word=DIFFERS, differences=more)
            settled.append(found)
            continue
        spec = replace(found.cell.spec, iters=last) if last else found.cell.spec
        if unplanned:
            found.stored["run"] = run.run_id
        cases.append(replace(found, cell=replace(found.cell, index=len(cases), spec=spec)))
    return settled, cases


def _index(run: StoredRun) -> int:
    text = run.tags.get("sweep.cell", "")
    return int(text) if text.isdecimal() else -1


def _cells(plan: Mapping[str, Any]) -> dict[int, Mapping[str, Any]]:
    cells = plan.get("cells")
    found = enumerate(cells if isinstance(cells, list) else [])
    return {index: cell if isinstance(cell, Mapping) else {} for index, cell in found}


def _last_step(run: StoredRun) -> int | None:
    """Return the last step of an interrupted run's curve; None without a curve."""
    try:
        steps, _ = run.curve()
    except Exception:  # damaged bytes: reported by the comparison
        return 1
    return int(steps[-1]) if len(steps) else None


def _case(
    run: StoredRun, document: Mapping[str, Any] | None, base: Path, trainer: str
) -> Case | Verdict:
    """Return the case of a run; `document` is its grid point in ``plan.json``, if it has one.

    The plan's configuration is retrained; the run's ``config.yaml`` if there is no plan, or if
    only the latter matches the stored signature.
    """
    own, plan = own_config(run), document or {}
    there = isinstance(own, Mapping)
    choices, keys = plan.get("choices"), plan.get("params")
    if not isinstance(choices, Mapping):
        choices = {group: run.params.get(group) for group in ("network", "data", "trainer")}
    keys = keys if isinstance(keys, Mapping) else run.params
    known = [run.tags.get(SIGNATURE), plan.get("signature")]
    specs, reasons = [], []
    configs = [config for config in (plan.get("config"), own) if isinstance(config, Mapping)]
    for config in configs:
        own_trainer = config.get("trainer")
        target = own_trainer.get("_target_") if isinstance(own_trainer, Mapping) else None
        if target not in (BUILT_IN, trainer):
            reasons.append(
                f"its trainer {target} is retrained only if your configuration names it "
                "(add trainer=NAME, with --config-dir where it is yours)"
            )
            continue
        try:
            spec = run_spec(config, choices, base, keys)
        except ConfigError as error:
            reasons.append(f"its configuration is refused today: {error}")
        except Exception as error:  # a manipulated configuration may contain anything
            reasons.append(f"its configuration cannot be used: {type(error).__name__}: {error}")
        else:
            if spec.trainer.built_in or spec.signature in known:
                specs.append(spec)
            else:
                reasons.append(
                    f"the source of {target}, its settings or the data do not match the signature"
                )
    if not specs:
        expected = configs[0] if configs and there else FILE
        wrong = differences(flat({CONFIG: own}), flat({CONFIG: expected}), exact)
        reason = (*reasons, "its configuration is missing")[0]
        return Verdict(run.name, DIFFERS if wrong else UNVERIFIED, reason, wrong)
    spec = next((spec for spec in specs if spec.signature == known[0]), specs[0])
    values = plan.get("values", None if "sweep.id" in run.tags else {})
    swept = _swept(values, spec) if isinstance(values, Mapping) else {}
    cell = Cell(_index(run), (), swept, spec)
    says, params = cell.document(), cell.params()
    stored = {CONFIG: own, "param": run.params, "tag": {SIGNATURE: known[0] or MISSING}}
    expected = {
        CONFIG: spec.config if there else FILE,
        "param": {entity_name(key): short(value) for key, value in params.items()},
        "tag": {SIGNATURE: spec.signature},
    }
    if isinstance(values, Mapping):  # else the name is not known
        stored["run name"], expected["run name"] = run.name, run_name(cell.name)
    elif "name" in plan:
        says["name"] = plan["name"]
    if document is not None:
        compared = [field for field in says if field in COMPARED or field not in plan]
        stored["plan.json"] = {field: plan.get(field, MISSING) for field in compared}
        expected["plan.json"] = {
            field: says[field] if field in plan else FIELD for field in compared
        }
    file = spec.config["data"].get("file") if spec.signature not in known else None
    reason = f"has its data file {file} changed?" if file else ""
    return Case(run, flat(stored), flat(expected), cell, reason)


def _swept(values: Mapping[str, Any], spec: RunSpec) -> dict[str, Any]:
    """Return the swept `values` of a grid point in ``plan.json`` as its configuration has them."""
    found = {}
    for key, stored in values.items():  # a key that was removed, or is a group of the user's, stays
        value = value_of(key, {**spec.config, "rule": spec.rule}, spec.choices, stored)
        found[key] = stored if isinstance(value, Mapping) else value
    return found


def totals(sweep: StoredSweep, runs: Sequence[StoredRun]) -> list[Verdict]:
    """Return verdicts on grid points without a run, and on the sweep's plan and metrics.

    The metrics count runs that were deleted later; they are not compared then.
    """
    plan = sweep.plan()
    cells = _cells(plan)
    found = []
    for index in sorted(cells.keys() - {_index(run) for run in runs}):
        why = "it was deleted" if index in sweep.deleted else "it was not started"
        gone = Verdict(str(cells[index].get("name")), UNCOMPARED, why)
        if index not in sweep.deleted and sweep.status == "FINISHED":
            what = [difference("run", MISSING, "a finished run")]
            gone = Verdict(gone.name, DIFFERS, differences=what)
        found.append(gone)
    fields = Plan((), (), 0, "", Path()).document("", "", "", {})
    wrong = [f"plan.json {field}" for field in fields if plan and field not in plan]
    wrong = [difference(field, MISSING, FIELD) for field in wrong]
    if runs and not plan:
        wrong = [difference("plan.json", MISSING, FILE)]
    elif sweep.status in ("FINISHED", "FAILED") and not sweep.deleted:
        expected = {"runs_total": float(len(cells)), **totals_of(runs, question_of(plan))}
        wrong += differences(flat({"metric": sweep.metrics}), flat({"metric": expected}), exact)
    if wrong:
        found.append(Verdict(f"sweep {sweep.sweep_id}", DIFFERS, differences=wrong))
    return found
