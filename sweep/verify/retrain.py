"""Retrain stored runs, each trajectory once, and return the verdict on each run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from sweep.engine.driver import Driver
from sweep.engine.executors import create
from sweep.engine.listener import Listener, Outcome
from sweep.engine.plan import Plan, Trajectory
from sweep.engine.signals import StopRequest
from sweep.tracking import scratch_environment
from sweep.training.surroundings import Failure
from sweep.verify.check import DIFFERS, EQUAL, Case, Verdict
from sweep.verify.compare import (
    MISSING,
    Near,
    difference,
    differences,
    exact,
    result_values,
    stored_metrics,
)

if TYPE_CHECKING:
    from sweep.tracking.read import History, StoredRun
    from sweep.tracking.store import Store


def trajectories(cases: Sequence[Case]) -> list[Trajectory]:
    """Return the trajectories that the cases need."""
    return Plan(tuple(case.cell for case in cases), (), len(cases), "", Path()).trajectories()


def verdicts(
    cases: Sequence[Case],
    platform: str,
    store: Store,
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
                found = _compared(case, outcome, store, near=near)
                yield Verdict(case.run.name, DIFFERS if found else EQUAL, case.reason, found, near)


class _Scratch(Listener):
    """Redirects what a user's trainer logs to a temporary store."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def environment(self, trajectory: Trajectory) -> Mapping[str, str]:
        own = Path(self._folder, str(trajectory.cells[0].index))
        return {} if trajectory.spec.trainer.built_in else scratch_environment(own)


def _compared(case: Case, result: Outcome, store: Store, *, near: bool) -> list[str]:
    run = case.run
    if isinstance(result, Failure):
        raised = difference("training", run.outcome or MISSING, result.sentence)
        return [*differences(case.stored, case.expected, exact), raised]
    if run.status == "KILLED" and result.outcome == "completed":  # trained up to its last step
        ended: Any = {"outcome": "interrupted", "final_error": None, "final_validation_error": None}
        result = replace(result, **ended)
    stored, trained = result_values(run, result, case.cell.spec.preparation)
    for key, value in stored_metrics(run, _history(store, run)).items():
        # A user's trainer may log metrics by itself.
        built_in = case.cell.spec.trainer.built_in
        if built_in or not key.startswith("metric ") or key.partition("@")[0] in trained:
            stored[key] = value
    same = Near(result, run.metrics.get("best_step")) if near else exact
    return differences(case.stored | stored, case.expected | trained, same)


def _history(store: Store, run: StoredRun) -> History:
    """Return all stored values of a run's metrics."""
    found = {}
    for key in run.metrics:
        values = store.call(store.client.get_metric_history, run.run_id, key)
        found[key] = tuple(sorted({(one.step, one.value) for one in values}))
    return found


def foreign(run: StoredRun, platform: str) -> str:
    """Return the platform that a run was trained on, or an empty string if it is `platform`."""
    other = run.tags.get("sweep.platform", platform)
    return "" if other == platform else other
