"""Select the stored runs to retrain, retrain them, and return the verdict on each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from sweep.config.spec import BUILT_IN
from sweep.engine.driver import Driver
from sweep.engine.executors import create
from sweep.engine.member import Listener, Outcome
from sweep.engine.plan import Plan, Trajectory
from sweep.engine.signals import StopRequest
from sweep.errors import StoreError
from sweep.question import question_of, totals_of
from sweep.tracking import scratch_environment
from sweep.training.surroundings import Failure
from sweep.verify.cases import Case, case_of
from sweep.verify.compare import (
    MISSING,
    Difference,
    Near,
    differences,
    exact,
    flat,
    result_values,
    stored_metrics,
)

if TYPE_CHECKING:
    from sweep.tracking.read import History, StoredRun, StoredSweep
    from sweep.tracking.store import Store

EQUAL, DIFFERS, UNVERIFIED, UNCOMPARED = "equal", "differs", "not verified", "not compared"


@dataclass(frozen=True)
class Verdict:
    """The result for a run: ``equal``, ``differs``, ``not verified`` or ``not compared``.

    Not verified: it cannot be retrained here. Not compared: it has no curve. `near`: it was trained
    on another kind of machine and is compared within the tolerance.
    """

    name: str
    word: str
    reason: str = ""
    differences: Sequence[Difference] = ()
    near: bool = False


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
        return sweep, sweep.plan(), runs or read.sweep_runs(store, sweep.sweep_id)
    except ValueError as error:
        raise StoreError(f"plan.json of sweep {sweep.sweep_id}: {error}.") from error


def prepared(
    runs: Sequence[StoredRun], plan: Mapping[str, Any], base: Path, trainer: str = BUILT_IN
) -> tuple[list[Verdict], list[Case]]:
    """Return the verdicts that need no training, and the cases to retrain.

    Relative data files are relative to `base`; `trainer` is the class configured now.
    """
    settled: list[Verdict] = []
    cases: list[Case] = []
    cells = _cells(plan)
    for run in runs:
        last = _last_step(run) if run.status == "KILLED" else None
        if run.status != "FINISHED" and not last:
            settled.append(Verdict(run.name, UNCOMPARED, f"it is {run.status}"))
            continue
        case = case_of(run, cells.get(_index(run)), base, trainer)
        if plan and _index(run) not in cells:
            case.stored["run"] = run.run_id
        if case.cell is None:
            found = differences(case.stored, case.expected, exact)
            word = DIFFERS if found else UNVERIFIED
            settled.append(Verdict(run.name, word, case.reason, found))
            continue
        spec = replace(case.cell.spec, iters=last) if last else case.cell.spec
        cases.append(replace(case, cell=replace(case.cell, index=len(cases), spec=spec)))
    return settled, cases


def _cells(plan: Mapping[str, Any]) -> dict[int, Mapping[str, Any]]:
    """Return the grid points of a plan by index."""
    cells = plan.get("cells")
    found = enumerate(cells if isinstance(cells, list) else [])
    return {index: cell if isinstance(cell, Mapping) else {} for index, cell in found}


def _index(run: StoredRun) -> int:
    text = run.tags.get("sweep.cell", "")
    return int(text) if text.isdecimal() else -1


def _last_step(run: StoredRun) -> int | None:
    """Return the last step of an interrupted run's curve; None without a curve."""
    try:
        steps, _ = run.curve()
    except Exception:  # damaged bytes: reported by the comparison
        return 1
    return int(steps[-1]) if len(steps) else None


def trajectories(cases: Sequence[Case]) -> list[Trajectory]:
    """Return the trajectories that the cases need."""
    cells = tuple(case.cell for case in cases if case.cell is not None)
    return Plan(cells, (), len(cells), "", Path()).trajectories()


def verdicts(
    cases: Sequence[Case],
    platform: str,
    history: Callable[[StoredRun], History],
    stop: StopRequest,
) -> Iterator[Verdict]:
    """Train each trajectory once, on all cores; yield the verdict on each run as it ends.

    `platform` is this machine's ``sweep.platform`` tag. Raises Interrupted, after all workers
    have ended, if a signal stops the command.
    """
    needed = trajectories(cases)
    safe = all(one.spec.trainer.thread_safe for one in needed)
    with TemporaryDirectory() as folder, create("threads", thread_safe=safe) as executor:
        driver = Driver([(one,) for one in needed], executor, _Scratch(folder))
        for ended in driver.outcomes():
            stop.check()
            if ended is not None:
                cell, outcome = ended
                case = cases[cell.index]
                near = bool(foreign(case.run, platform))
                found = _compared(case, outcome, history, near)
                word = DIFFERS if found else EQUAL
                yield Verdict(case.run.name, word, case.reason, found, near)


class _Scratch(Listener):
    """Redirects what a user's trainer logs to a temporary store."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def environment(self, trajectory: Trajectory) -> Mapping[str, str]:
        own = Path(self._folder, str(trajectory.cells[0].index))
        return {} if trajectory.spec.trainer.built_in else scratch_environment(own)


def _compared(
    case: Case,
    result: Outcome,
    history: Callable[[StoredRun], History],
    near: bool,
) -> list[Difference]:
    run = case.run
    if isinstance(result, Failure):
        raised = Difference("training", run.outcome or MISSING, result.sentence)
        return [*differences(case.stored, case.expected, exact), raised]
    if run.status == "KILLED" and result.outcome == "completed":  # trained up to its last step
        without: dict[str, Any] = {"final_error": None, "final_validation_error": None}
        result = replace(result, outcome="interrupted", **without)
    stored, trained = result_values(run, result)
    for key, value in stored_metrics(run, history(run)).items():
        # A user's trainer may log metrics by itself.
        own = case.cell is not None and not case.cell.spec.trainer.built_in
        if not own or not key.startswith("metric ") or key.partition("@")[0] in trained:
            stored[key] = value
    same = Near(result, run.metrics.get("best_step")) if near else exact
    return differences(case.stored | stored, case.expected | trained, same)


def foreign(run: StoredRun, platform: str) -> str:
    """Return the platform that a run was trained on, or an empty string if it is `platform`."""
    other = run.tags.get("sweep.platform", platform)
    return "" if other == platform else other


def totals(sweep: StoredSweep, runs: Sequence[StoredRun]) -> list[Verdict]:
    """Return verdicts on grid points without a run, and on the sweep's metrics."""
    cells = _cells(sweep.plan())
    found = []
    for index in sorted(cells.keys() - {_index(run) for run in runs}):
        name = str(cells[index].get("name"))
        if sweep.status == "FINISHED":
            gone = Difference("run", MISSING, "a finished run")
            found.append(Verdict(name, DIFFERS, differences=[gone]))
        else:
            found.append(Verdict(name, UNCOMPARED, "it was not started"))
    if sweep.status not in ("FINISHED", "FAILED"):
        return found
    expected = {"runs_total": float(len(cells))}
    expected |= totals_of(runs, question_of(sweep.plan()))
    wrong = differences(flat({"metric": sweep.metrics}), flat({"metric": expected}), exact)
    if wrong:
        found.append(Verdict(f"sweep {sweep.sweep_id}", DIFFERS, differences=wrong))
    return found
