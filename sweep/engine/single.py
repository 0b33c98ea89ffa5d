"""Train and record a single run, which has no parent run."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sweep import console
from sweep.config.settings import Settings
from sweep.config.spec import RunSpec
from sweep.engine.executors import create
from sweep.engine.plan import Cell, Trajectory
from sweep.engine.recording import Recording
from sweep.engine.signals import Interrupted, stop_on_signals
from sweep.errors import NotFoundError, RunFailed, StoreError
from sweep.progress import ProgressDisplay
from sweep.tracking import results
from sweep.tracking.entities import NOTE, run_metrics
from sweep.training.surroundings import Failure

if TYPE_CHECKING:
    from sweep.training.history import RunResult

log = logging.getLogger(__name__)


def run_single(spec: RunSpec, options: Settings, run_id: str, command: str) -> float | None:
    """Train, print and record one run; return its final error.

    The store is opened at the first write: the first part of a long run's curve, or the end.
    The run's folder is ``runs/<run_id>``; `command` repeats it.

    Raises RunFailed, after recording, if the trainer raised or an error followed its training, if
    it took longer than max_seconds, or if a user's trainer has no metric named `options.metric`.
    Raises StoreError if the store cannot be used; the numbers are printed and the result file
    stays on disk.
    """
    cell = Cell(0, (), {}, spec)
    with _recording(options, run_id) as single:
        single.command = command
        single.start(cell)
        single.progress = ProgressDisplay(spec.iters, 1)
        try:
            with create("serial") as executor, single.progress:
                with closing(single.train([(Trajectory((cell,)),)], executor)) as runs:
                    _, outcome = next(runs)
        except Interrupted as interruption:
            console.single_interrupted(interruption.signum, interrupted(single))
            raise
        if isinstance(outcome, Failure):
            where = _store(single, single.finish(cell, outcome))
            raise RunFailed(
                f"The run failed: {outcome.sentence} (the whole traceback is an artifact of "
                f"run {where})."
            )
        console.single_run(spec, outcome)
        where = _store(single, single.finish(cell, outcome))
        final_error = outcome.final_error
        log.info("%s, final error %r, stored as run %s", outcome.outcome, final_error, where)
        console.stored(where, options)
        if outcome.failure is not None:
            raise RunFailed(
                f"The run failed after its training: {outcome.failure.sentence} (its curve, its "
                "final error and the whole traceback are stored)."
            )
        if options.model is not None and outcome.outcome == "completed":
            from sweep.tracking.models import log_model

            console.echo(f"Model:  {log_model(options, where)}")
        if outcome.outcome == "interrupted":
            raise RunFailed(
                f"The run was ended after max_seconds={options.max_seconds}; its curve up to then "
                "is stored."
            )
        _check_metric(options.metric, spec, outcome)
        return final_error


def _check_metric(metric: str | None, spec: RunSpec, result: RunResult) -> None:
    """Raise RunFailed if a user's trainer lacks `metric`; others are validated before training."""
    names = {point.key for point in run_metrics(result)}
    if metric is None or spec.trainer.built_in or metric in names:
        return
    shown = ", ".join(sorted(name for name in names if not name.startswith("weights/")))
    raise RunFailed(f"metric={metric}: the run has no such metric; it has {shown}.")


def resume_single(options: Settings) -> bool:
    """Store the result file of the single run `resume`; return False if it names none.

    Raises NotFoundError if the run has no complete result file, or one for another store, and
    StoreError if the store cannot be used; the result file stays on disk.
    """
    owner = options.outputs / "runs" / str(options.resume)
    known = owner.parent == options.outputs / "runs" and owner.name not in ("", ".", "..")
    if not known or not owner.is_dir():
        return False
    path = results.folder_of(options.outputs, f"runs/{owner.name}") / "0"
    if not path.exists():
        raise NotFoundError(
            f"resume={owner.name}: nothing of this single run waits on disk; its result is stored "
            "already, or it ended before it had one and is to be run again."
        )
    if options.dry_run:
        console.echo(f"The result of run {options.resume} waits on disk. Nothing was written.")
        return True
    record = results.read(path)
    if record is None:
        raise NotFoundError(f"resume={options.resume}: {path} is not whole; run it again.")
    if record.store != options.tracking.name:
        raise NotFoundError(f"resume={options.resume}: its result is for {record.store}.")
    with _recording(options, owner.name) as single:
        single.waiting[0] = path
        console.stored(_store(single, path), options)
    return True


class _Single(Recording):
    command = ""  # that repeats the run

    def tags(self, cell: Cell) -> dict[str, str]:
        return super().tags(cell) | {NOTE: self.command}


@contextmanager
def _recording(options: Settings, run_id: str) -> Iterator[_Single]:
    from sweep.tracking.recorder import recorder

    with stop_on_signals() as stop, recorder(stop) as started:
        yield _Single(options, f"runs/{run_id}", started, stop)


def _store(single: Recording, path: Path) -> str:
    """Store a result file and return the MLflow run id.

    Raises Interrupted if a signal requested a stop, and StoreError if the run cannot be stored.
    The result file then stays on disk; its path is printed.
    """
    left = f"The result lies in {path}; resume={single.id} stores it."
    try:
        single.await_store()
        single.settle()
        (stored,) = single.finished.values()
        if stored.state != "stored":
            raise StoreError(stored.problem)
    except StoreError as error:
        if single.stop():  # a stop request ended the wait
            console.error(f"{error}\n{left}")
            single.stop.check()
        raise StoreError(f"{error}\n{left}") from error
    except Interrupted:
        console.error(left)
        raise
    return stored.run_id


def interrupted(single: Recording) -> str:
    """Close a run as KILLED, if it was created; return its state for a message."""
    if not single.is_open:
        return "is not stored"
    try:
        single.interrupt()
    except StoreError as error:
        console.error(str(error))
        return "is stored as KILLED by the next command"
    return "is stored as KILLED"
