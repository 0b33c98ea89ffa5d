"""A single run: train, print, and only then load MLflow and record."""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING, NoReturn

from sweep import console
from sweep.engine.plan import cell_name
from sweep.engine.signals import Interrupted, stop_on_signals
from sweep.engine.work import Progress, TrajectoryWork
from sweep.errors import RunFailed, StoreError
from sweep.progress import ProgressDisplay
from sweep.settings import Settings
from sweep.spec import RunSpec
from sweep.training import CurvePart, RunResult

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
    results: list[RunResult] = []
    progress = ProgressDisplay(spec.iters, 1)
    row = _Row(spec, options)

    def emit(value: RunResult | Progress | CurvePart) -> None:
        if isinstance(value, Progress):
            progress.advance(value.iterations)
        elif isinstance(value, CurvePart):
            with stop.held():
                row.show(value)
        else:
            results.append(value)

    with stop_on_signals() as stop:
        try:
            with progress, stop.interruptible():
                TrajectoryWork(spec, (spec.iters,), options.max_seconds)(emit, stop)
            stop.check()
        except Interrupted as interruption:
            row.kill()
            console.single_interrupted(interruption.signum)
            raise
        except StoreError:
            raise
        except Exception as error:  # a user's trainer may raise anything
            row.fail(error)
        console.single_run(spec, results[0])
        return row.record(results[0])


class _Row:
    """The run in the store, made with the first word that is to be written."""

    def __init__(self, spec: RunSpec, options: Settings) -> None:
        self.spec = spec
        self.options = options
        self._made: tuple[Store, str] | None = None

    def _row(self) -> tuple[Store, str]:
        from sweep.engine.sweep import run_tags
        from sweep.tracking import settings as tracking_settings
        from sweep.tracking import store as tracking_store
        from sweep.tracking import write

        if self._made is None:
            tracking = tracking_settings.from_options(self.options)
            store = tracking_store.open_store(tracking, mode="write")
            run_id = write.start_run(
                store,
                name=cell_name({"lr": self.spec.lr, "iters": self.spec.iters}),
                params=self.spec.params(),
                tags=run_tags(self.spec),
            )
            self._made = store, run_id
        return self._made

    def show(self, part: CurvePart) -> None:
        """Write a part of the curve while training goes on."""
        from sweep.tracking import write

        write.show(*self._row(), part.steps, part.errors, part.validation)

    def kill(self) -> None:
        """Close the run as KILLED, if there is one yet."""
        from sweep.tracking import write

        if self._made is not None:
            write.kill(*self._made, config=self.spec.config)

    def fail(self, error: Exception) -> NoReturn:
        """Store that the trainer raised, with the traceback."""
        from sweep.tracking import write

        store, run_id = self._row()
        write.fail(store, run_id, "".join(traceback.format_exception(error)), self.spec.config)
        sentence = f"{type(error).__name__}: {error}".splitlines()[0]
        raise RunFailed(
            f"The run failed: {sentence} (the whole traceback is an artifact of run {run_id})."
        ) from error

    def record(self, result: RunResult) -> float | None:
        """Store the result and say where."""
        from sweep.tracking import write

        store, run_id = self._row()
        write.record(store, run_id, result, self.spec.config)
        log.info("%s, final error %r, stored as run %s", result.outcome, result.final_error, run_id)
        console.stored(run_id, self.options)
        if result.outcome == "interrupted":
            raise RunFailed(
                f"The run was ended after max_seconds={self.options.max_seconds}; its curve up to "
                "then is stored."
            )
        return result.final_error
