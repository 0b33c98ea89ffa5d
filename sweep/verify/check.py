"""Verify a sweep: the verdict on each of its runs, and on its own totals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sweep.engine.events import Failure
from sweep.engine.plan import Trajectory
from sweep.engine.signals import StopRequest
from sweep.training.history import RunResult
from sweep.verify.cases import Case, Origin, case_of, paired
from sweep.verify.closeness import Closeness, Exact, Near
from sweep.verify.compare import compare
from sweep.verify.difference import MISSING, Difference
from sweep.verify.retrain import retrain, trajectories

if TYPE_CHECKING:
    from sweep.tracking.histories import History
    from sweep.tracking.stored import StoredRun, StoredSweep

__all__ = ["Check", "Verdict", "prepared", "totals"]

EQUAL, DIFFERS, UNVERIFIED, UNCOMPARED = "equal", "differs", "not verified", "not compared"


@dataclass(frozen=True)
class Verdict:
    """What came of one run.

    Attributes
    ----------
    word
        ``equal``, ``differs``, ``not verified`` (it cannot be trained again here) or
        ``not compared`` (it has no curve, so it promises nothing).
    near
        It was compared to the tolerance: it trained on another kind of machine.
    """

    name: str
    word: str
    reason: str = ""
    differences: tuple[Difference, ...] = ()
    near: bool = False


@dataclass(frozen=True)
class Check:
    """A comparison that is about to begin.

    Attributes
    ----------
    settled
        The verdicts that need no training.
    cases
        The runs to train again, by the index of their cell.
    needed
        The trainings that they share.
    platform
        The kind of this machine, as runs are tagged with it.
    """

    settled: tuple[Verdict, ...]
    cases: tuple[Case, ...]
    needed: tuple[Trajectory, ...]
    platform: str

    def verdicts(
        self, history: Callable[[StoredRun], History], stop: StopRequest
    ) -> Iterator[Verdict]:
        """Train, compare and yield a verdict on each run, in the order in which they end.

        Raises
        ------
        Interrupted
            A signal asked the command to end.
        """
        yield from self.settled
        for index, result in retrain(self.needed, stop):
            yield self._verdict(self.cases[index], history, result)

    def _verdict(
        self,
        case: Case,
        history: Callable[[StoredRun], History],
        result: RunResult | Failure,
    ) -> Verdict:
        run = case.run
        if isinstance(result, Failure):
            raised = result.sentence
            failed = Difference("outcome", run.outcome or MISSING, raised)
            return Verdict(run.name, DIFFERS, differences=(*case.found, failed))
        if run.status == "KILLED" and result.outcome == "completed":  # as far as it had come
            result = replace(
                result, outcome="interrupted", final_error=None, final_validation_error=None
            )
        near = self.is_foreign(run)
        close: Closeness = Near(result) if near else Exact()
        found = (*case.found, *compare(run, history(run), result, close))
        return Verdict(run.name, DIFFERS if found else EQUAL, differences=found, near=near)

    def is_foreign(self, run: StoredRun) -> bool:
        """Tell whether a run was trained on another kind of machine than this one."""
        return run.tags.get("sweep.platform", self.platform) != self.platform


def prepared(
    runs: Sequence[StoredRun], plan: Mapping[str, Any], origin: Origin, platform: str
) -> Check:
    """Look at all that needs no training, and plan the training that the rest needs.

    Parameters
    ----------
    plan
        plan.json; empty for a run that belongs to no sweep.
    """
    settled: list[Verdict] = []
    cases: list[Case] = []
    pairs, _ = paired(runs, planned_cells(plan))
    for run, document in pairs:
        last = _last_step(run) if run.status == "KILLED" else None
        if run.status != "FINISHED" and not last:
            settled.append(Verdict(run.name, UNCOMPARED, f"it is {run.status}"))
            continue
        case = case_of(run, document, origin)
        if last and case.cell is not None:
            spec = replace(case.cell.spec, iters=last)
            case = replace(case, cell=replace(case.cell, spec=spec))
        if plan and document is None:
            unplanned = Difference(f"run {run.run_id}", "a run", MISSING, "in plan.json")
            case = replace(case, found=(unplanned, *case.found))
        if case.cell is not None:
            cases.append(replace(case, cell=replace(case.cell, index=len(cases))))
        elif case.found:
            settled.append(Verdict(run.name, DIFFERS, case.reason, case.found))
        else:
            settled.append(Verdict(run.name, UNVERIFIED, case.reason))
    needed = trajectories([case.cell for case in cases if case.cell is not None])
    return Check(tuple(settled), tuple(cases), tuple(needed), platform)


def _last_step(run: StoredRun) -> int | None:
    """Return the step up to which an interrupted run has a curve; None where it has none."""
    try:
        steps, _ = run.curve()
    except Exception:  # whatever its reader makes of damaged bytes: told when it is compared
        return 1
    return int(steps[-1]) if len(steps) else None


def planned_cells(plan: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the cells of a plan as data, whatever else stands there left out."""
    cells = plan.get("cells")
    return [cell for cell in cells if isinstance(cell, Mapping)] if isinstance(cells, list) else []


def totals(sweep: StoredSweep, runs: Sequence[StoredRun]) -> list[Verdict]:
    """Return verdicts on what belongs to no run: cells without one, the sweep's own metrics."""
    cells = planned_cells(sweep.plan())
    found = []
    for cell in paired(runs, cells)[1]:
        name = str(cell.get("name"))
        if sweep.status == "FINISHED":
            gone = Difference("run", MISSING, "a finished run", "plan.json and the sweep's status")
            found.append(Verdict(name, DIFFERS, differences=(gone,)))
        else:
            found.append(Verdict(name, UNCOMPARED, "no run of it was begun"))
    if sweep.status not in ("FINISHED", "FAILED"):
        return found
    best = {
        f"best_{name}": min(
            (run.metrics[name] for run in runs if name in run.metrics), default=MISSING
        )
        for name in ("final_error", "final_error_log10")
    }
    expected: dict[str, Any] = {
        "runs_total": float(len(cells)),
        "runs_finished": float(sum(run.status == "FINISHED" for run in runs)),
        "runs_failed": float(sum(run.status == "FAILED" for run in runs)),
        "runs_diverged": float(sum(run.outcome == "diverged" for run in runs)),
        **best,
    }
    stored = {key: sweep.metrics.get(key, MISSING) for key in expected}
    wrong = tuple(
        Difference(f"metric {key}", stored[key], value, "its runs give")
        for key, value in expected.items()
        if stored[key] != value
    )
    return (
        [*found, Verdict(f"sweep {sweep.sweep_id}", DIFFERS, differences=wrong)] if wrong else found
    )
