"""A single run: train, print, and only then load MLflow and record."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

from sweep import console
from sweep.engine.plan import cell_name
from sweep.engine.signals import Interrupted, stop_on_signals
from sweep.engine.work import Progress, TrajectoryWork
from sweep.errors import RunFailed
from sweep.progress import ProgressDisplay
from sweep.settings import Settings
from sweep.spec import RunSpec

if TYPE_CHECKING:
    from sweep.training import RunResult

__all__ = ["run_single"]


def run_single(spec: RunSpec, options: Settings) -> float | None:
    """Train one run without a parent, print its numbers, record it and say where.

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

    def emit(value: RunResult | Progress) -> None:
        if isinstance(value, Progress):
            progress.advance(value.iterations)
        else:
            results.append(value)

    error: Exception | None = None
    with stop_on_signals() as stop:
        try:
            with progress, stop.interruptible():
                TrajectoryWork(spec, (spec.iters,), options.max_seconds)(emit, stop)
        except Interrupted as interruption:
            console.single_interrupted(interruption.signum)
            raise
        except Exception as raised:  # a user's trainer may raise anything: it is stored below
            error = raised
        else:
            stop.check()
            console.single_run(spec, results[0])
        return _record(spec, options, results, error)


def _record(
    spec: RunSpec, options: Settings, results: list[RunResult], error: Exception | None
) -> float | None:
    from sweep.engine.sweep import run_tags
    from sweep.tracking import settings as tracking_settings
    from sweep.tracking import store as tracking_store
    from sweep.tracking import write

    store = tracking_store.open_store(tracking_settings.from_options(options), mode="write")
    run_id = write.start_run(
        store,
        name=cell_name({"lr": spec.lr, "iters": spec.iters}),
        params=spec.params(),
        tags=run_tags(spec),
    )
    if error is not None:
        write.fail(store, run_id, "".join(traceback.format_exception(error)))
        sentence = f"{type(error).__name__}: {error}".splitlines()[0]
        raise RunFailed(
            f"The run failed: {sentence} "
            f"(the whole traceback is an artifact of run {run_id})."
        ) from error
    write.record(store, run_id, results[0], spec.config)
    console.stored(run_id, options)
    if results[0].outcome == "interrupted":
        raise RunFailed(
            f"The run was ended after max_seconds={options.max_seconds}; its curve up to then is "
            "stored."
        )
    return results[0].final_error
