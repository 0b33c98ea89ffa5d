"""A single run: the driver, the recorder and the result file of a sweep, without a parent."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sweep import console
from sweep.config.settings import Settings
from sweep.config.spec import RunSpec
from sweep.engine.driver import Driver
from sweep.engine.events import Charted, Ended, Failure, Printed, Progressed
from sweep.engine.executors import create
from sweep.engine.plan import Cell, Trajectory
from sweep.engine.runs import Runs
from sweep.engine.signals import Interrupted, StopRequest, stop_on_signals
from sweep.errors import NotFoundError, RunFailed, StoreError
from sweep.progress import ProgressDisplay
from sweep.tracking import results
from sweep.tracking.entities import run_tags
from sweep.tracking.settings import from_options

if TYPE_CHECKING:
    from concurrent.futures import Future

    from sweep.tracking.recorder import Recorder
    from sweep.tracking.runs import Finished
    from sweep.training.curve import CurveSlice
    from sweep.training.history import RunResult

__all__ = ["resume_single", "run_single", "waits"]

log = logging.getLogger(__name__)


def run_single(spec: RunSpec, options: Settings, run_id: str) -> float | None:
    """Train one run without a parent, print its numbers, record it and say where.

    The store is opened when there is something to write: at the end, or where training takes
    long, when a first part of its curve can be shown.

    Parameters
    ----------
    run_id
        The run's own id: its folder is ``runs/<id>``.

    Raises
    ------
    RunFailed
        The trainer raised, and the run is stored as FAILED with its traceback; or it trained
        longer than max_seconds, and is stored as KILLED with its curve.
    StoreError
        The store cannot be used; the numbers were printed before, and the result is on disk.
    """
    cell = Cell(0, (), {}, spec)
    with _single(options, run_id) as single:
        single.runs.start(cell, run_tags(spec))
        try:
            with (progress := ProgressDisplay(spec.iters, 1)):
                outcome = _train(single, cell, options.max_seconds, progress)
        except Interrupted as interruption:
            console.single_interrupted(interruption.signum, single.interrupt())
            raise
        if isinstance(outcome, Failure):
            whole = outcome.traceback or outcome.sentence
            content = results.failed(whole, spec.config, outcome.printed)
            path = single.runs.finish(cell, content)
            where = single.store(path)
            raise RunFailed(
                f"The run failed: {outcome.sentence} (the whole traceback is an artifact of "
                f"run {where})."
            )
        console.single_run(spec, outcome)
        content = results.completed(outcome, spec.config, spec.preparation)
        where = single.store(single.runs.finish(cell, content))
        log.info("%s, final error %r, stored as run %s", *_shown(outcome), where)
        console.stored(where, options)
        if outcome.failure is not None:
            raise RunFailed(
                f"The run failed after its training: {outcome.failure.sentence} (its curve, its "
                "final error and the whole traceback are stored)."
            )
        if options.model is not None and outcome.outcome == "completed":
            from sweep.tracking.models import log_model

            console.say(f"Model:  {log_model(options, where)}")
        if outcome.outcome == "interrupted":
            raise RunFailed(
                f"The run was ended after max_seconds={options.max_seconds}; its curve up to then "
                "is stored."
            )
        _check_metric(options.metric, spec, content)
        return outcome.final_error


def _check_metric(metric: str | None, spec: RunSpec, content: results.Content) -> None:
    """Refuse a metric that a trainer of a user's own does not give; others are checked before."""
    names = {point.key for point in content.metrics}
    if metric is None or spec.trainer.built_in or metric in names:
        return
    shown = ", ".join(sorted(name for name in names if not name.startswith("weights/")))
    raise RunFailed(f"metric={metric}: the run has no such metric; it has {shown}.")


def _shown(result: RunResult) -> tuple[str, float | None]:
    return result.outcome, result.final_error


def waits(options: Settings) -> bool:
    """Return whether ``resume=<id>`` names a single run whose result is not stored yet.

    Raises
    ------
    NotFoundError
        It names a single run of which nothing waits on disk.
    """
    owner = options.outputs / "runs" / str(options.resume)
    known = owner.parent == options.outputs / "runs" and owner.name not in ("", ".", "..")
    if not known or not owner.is_dir():
        return False
    if 0 not in results.waiting(results.folder_of(options.outputs, f"runs/{owner.name}")):
        raise NotFoundError(
            f"resume={owner.name}: nothing of this single run waits on disk; its result is stored "
            "already, or it ended before it had one and is to be run again."
        )
    return True


def resume_single(options: Settings) -> None:
    """Store the result that a single run left on disk, and say where.

    Raises
    ------
    NotFoundError
        The result file is not whole.
    StoreError
        The store cannot be used; the result stays on disk.
    """
    assert options.resume is not None
    with _single(options, options.resume) as single:
        path = single.runs.folder / "0"
        record = results.read(path)
        if record is None:
            raise NotFoundError(f"resume={options.resume}: {path} is not whole; run it again.")
        if record.store != from_options(options).name:
            raise NotFoundError(f"resume={options.resume}: its result is for {record.store}.")
        single.runs.adopt({0: path})
        console.stored(single.store(path), options)


class _Single:
    """A single run while it lives; its store is opened late."""

    def __init__(
        self, options: Settings, run_id: str, recorder: Recorder, stop: StopRequest
    ) -> None:
        self.id = run_id
        self.stop = stop
        self._options = options
        self._recorder = recorder
        self._opened: Future[tuple[str, list[str]]] | None = None
        self._finished: list[Finished] = []
        tracking, owner = from_options(options), f"runs/{run_id}"
        self.runs = Runs(recorder, tracking, owner, stop, self._finished.append)

    def environment(self, trajectory: Trajectory) -> Mapping[str, str]:
        """Return the variables with which a trainer of a user's own finds MLflow and its run."""
        if trajectory.spec.trainer.built_in:
            return {}
        self._recorder.result(self._open())
        return self.runs.environment(trajectory)

    def show(self, cell: Cell, part: CurveSlice) -> None:
        """Show a part of the curve; what the store has against it is said at the end."""
        if self._opened is None:
            self._open()
        assert self._opened is not None
        if not (self._opened.done() and self._opened.exception()):
            self.runs.show(cell, part)

    def _open(self) -> Future[tuple[str, list[str]]]:
        from sweep.tracking.session import Session

        tracking = from_options(self._options)
        self._opened = self._recorder.submit(
            Session.open_store, tracking, 0, f"runs/{self.id}/lock"
        )
        return self._opened

    def _is_open(self) -> bool:
        opened = self._opened
        return opened is not None and not (opened.done() and opened.exception())

    def store(self, path: Path) -> str:
        """Bring the result file into the store; return the run's id.

        Raises
        ------
        Interrupted
            A signal asked the command to end; the result stays on disk.
        StoreError
            It is not stored; the message says where it lies.
        """
        try:
            opened = self._opened if self._is_open() and self._opened else self._open()
            for sentence in self._recorder.result(opened)[1]:
                if f"resume={self.id} " not in sentence:
                    console.say(sentence)
            self.runs.settle()
            if self._finished[-1].state != "stored":
                raise StoreError(self._finished[-1].problem)
        except StoreError as error:
            left = f"The result lies in {path}; resume={self.id} stores it."
            if self.stop():  # it was not waited for longer
                console.error(f"{error}\n{left}")
                self.stop.check()
            raise StoreError(f"{error}\n{left}") from error
        except Interrupted:
            console.error(f"The result lies in {path}; resume={self.id} stores it.")
            raise
        return self._finished[-1].run_id

    def interrupt(self) -> str:
        """Close the run as KILLED, if there is one yet; return what became of it, in words."""
        if not self._is_open():
            return "is not stored"
        try:
            self.runs.interrupt()
        except StoreError as error:
            console.error(str(error))
            return "is stored as KILLED by the next command"
        return "is stored as KILLED"


@contextmanager
def _single(options: Settings, run_id: str) -> Iterator[_Single]:
    from sweep.tracking.recorder import recorder

    with stop_on_signals() as stop, recorder(console.notice, stop) as recording:
        yield _Single(options, run_id, recording, stop)


def _train(
    single: _Single, cell: Cell, max_seconds: float | None, progress: ProgressDisplay
) -> RunResult | Failure:
    with create("serial") as executor:
        environment = single.environment
        alone = Trajectory((cell,))
        driver = Driver([(alone,)], executor, max_seconds=max_seconds, environment=environment)
        with closing(driver.events()) as events:
            for event in events:
                single.stop.check()
                match event:
                    case Progressed(iterations):
                        progress.advance(iterations)
                    case Charted(_, part):
                        single.show(cell, part)
                    case Printed(_, lines):
                        progress.printed(lines)
                    case Ended(_, outcome):
                        return outcome
    raise AssertionError("a trajectory ends")
