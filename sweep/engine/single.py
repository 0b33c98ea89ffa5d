"""A single run: train, print, and only then load MLflow and record."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, NoReturn

from sweep import console
from sweep.config.settings import Settings
from sweep.config.spec import RunSpec
from sweep.engine.driver import Driver
from sweep.engine.events import Charted, Ended, Failure, Progressed
from sweep.engine.executors import create
from sweep.engine.plan import Cell, Trajectory, cell_name
from sweep.engine.signals import Interrupted, StopRequest, stop_on_signals
from sweep.errors import RunFailed, StoreError
from sweep.progress import ProgressDisplay
from sweep.training.history import CurvePart, RunResult

if TYPE_CHECKING:
    from sweep.tracking.store import Store

__all__ = ["run_single"]

log = logging.getLogger(__name__)


def run_single(spec: RunSpec, options: Settings) -> float | None:
    """Train one run without a parent, print its numbers, record it and say where.

    The run's row is made when there is something to write: at the end, or where training takes
    long, when a first part of its curve can be shown.

    Raises
    ------
    RunFailed
        The trainer raised, and the run is stored as FAILED with its traceback; or it trained
        longer than max_seconds, and is stored as KILLED with its curve.
    StoreError
        The store cannot be used; the numbers were printed before.
    """
    progress = ProgressDisplay(spec.iters, 1)
    row = _Row(spec, options)
    with stop_on_signals() as stop, row:
        row.hurried = stop
        try:
            with progress:
                outcome = _train(spec, options.max_seconds, stop, progress, row)
        except Interrupted as interruption:
            console.single_interrupted(interruption.signum, row.kill())
            raise
        if isinstance(outcome, Failure):
            row.fail(outcome)
        console.single_run(spec, outcome)
        try:
            final_error = row.record(outcome)
        except StoreError as error:
            if stop():  # it was not waited for longer
                console.error(str(error))
            else:
                raise
        stop.check()
        return final_error


def _train(
    spec: RunSpec,
    max_seconds: float | None,
    stop: StopRequest,
    progress: ProgressDisplay,
    row: _Row,
) -> RunResult | Failure:
    alone = Trajectory((Cell(0, (), {}, spec),))
    with create("serial") as executor:
        driver = Driver([(alone,)], executor, max_seconds=max_seconds)
        with closing(driver.events()) as events:
            for event in events:
                stop.check()
                match event:
                    case Progressed(iterations):
                        progress.advance(iterations)
                    case Charted(_, part):
                        row.show(part)
                    case Ended(_, outcome):
                        return outcome
    raise AssertionError("a trajectory ends")


class _Row:
    """The run in the store, made with the first word that is to be written."""

    def __init__(self, spec: RunSpec, options: Settings) -> None:
        self.spec = spec
        self.options = options
        self.hurried: Callable[[], bool] = lambda: False
        self._made: tuple[Store, str] | None = None
        self._lease = ExitStack()

    def __enter__(self) -> None:
        self._lease.__enter__()

    def __exit__(self, *exc_info: object) -> None:
        self._lease.close()

    def _row(self, *, later: bool = False) -> tuple[Store, str]:
        """Return the store and the run; `later` leaves its creation to its end."""
        from sweep.engine.sweep import run_tags
        from sweep.tracking import leases, tending, write
        from sweep.tracking import settings as tracking_settings
        from sweep.tracking import store as tracking_store

        if self._made is None:
            tracking = tracking_settings.from_options(self.options)
            store = tracking_store.open_store(tracking, mode="write")
            store.hurried = lambda: self.hurried()
            try:
                for sentence in tending.tend(store):
                    console.say(sentence)
            except StoreError as error:  # what others left must not cost this run its result
                console.notice(str(error))
            run_id = write.start_run(
                store,
                name=cell_name({"lr": self.spec.lr, "iters": self.spec.iters}),
                params=self.spec.params(),
                tags=run_tags(self.spec),
                later=later,
            )
            self._made = store, run_id
            if store.started[run_id].run_id:  # it is seen while it trains, so it must seem alive
                self._lease.enter_context(leases.hold(store, run_id))
        return self._made

    def show(self, part: CurvePart) -> None:
        """Write a part of the curve while training goes on."""
        from sweep.tracking import write

        try:
            write.show(*self._row(), part.steps, part.errors, part.validation)
        except StoreError:
            if not self.hurried():  # else it was not waited for: the signal is what matters
                raise

    def kill(self) -> str:
        """Close the run as KILLED, if there is one yet; return what became of it, in words."""
        from sweep.tracking import write

        if self._made is None:
            return "is not stored"
        try:
            done = write.kill(*self._made, config=self.spec.config)
        except StoreError as error:
            console.error(str(error))
            done = False
        return "is stored as KILLED" if done else "is stored as KILLED by the next command"

    def fail(self, failed: Failure) -> NoReturn:
        """Store that the trainer raised, with the traceback."""
        from sweep.tracking import write
        from sweep.tracking.ending import failure

        store, key = self._row(later=True)
        whole = failed.traceback or failed.sentence
        run_id = write.end(store, key, failure(whole, self.spec.config))
        where = f"is an artifact of run {run_id}" if run_id else f"waits in {store.tracking.spool}"
        raise RunFailed(f"The run failed: {failed.sentence} (the whole traceback {where}).")

    def record(self, result: RunResult) -> float | None:
        """Store the result and say where."""
        from sweep.tracking import write
        from sweep.tracking.ending import ending_of

        store, key = self._row(later=True)
        run_id = write.end(store, key, ending_of(result, self.spec.config, self.spec.preparation))
        if run_id is None:
            raise StoreError(
                f"{store.where} does not answer: the result waits in {store.tracking.spool}; "
                "start the server, and the next command stores it."
            )
        log.info("%s, final error %r, stored as run %s", result.outcome, result.final_error, run_id)
        console.stored(run_id, self.options)
        if self.options.model is not None and run_id and result.outcome == "completed":
            from sweep.tracking.models import log_model

            console.say(f"Model:  {log_model(self.options, run_id)}")
        if result.outcome == "interrupted":
            raise RunFailed(
                f"The run was ended after max_seconds={self.options.max_seconds}; its curve up to "
                "then is stored."
            )
        return result.final_error
