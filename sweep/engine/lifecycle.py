"""Open, run and close a sweep.

In this order: the store, the folder, the parent run with plan.json, the runs by any launcher;
finally, also after an error, the metrics, the report and the status.
"""

from __future__ import annotations

import datetime
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sweep import console
from sweep.config.settings import Settings
from sweep.engine.driver import Ended
from sweep.engine.estimate import Estimate, disk_bytes, estimate
from sweep.engine.plan import Cell, Plan
from sweep.engine.signals import Interrupted, StopRequest, stop_on_signals
from sweep.engine.stored import finished_cells, take_over, take_results
from sweep.engine.sweep import Sweep, store_needed
from sweep.errors import StoreError, StoreLost
from sweep.question import question_of
from sweep.tracking.entities import platform_tags
from sweep.tracking.session import Session

if TYPE_CHECKING:
    from sweep.report.build import Report
    from sweep.tracking.read import StoredRun, StoredSweep
    from sweep.tracking.recorder import Recorder


@dataclass
class _Process:
    sweep: Sweep | None = None  # the open sweep
    began: bool = False  # whether a sweep was opened; later errors do not exit with code 2
    exit_code: int = 0  # 1 after a failed run
    trained: list[Ended] = field(default_factory=list)  # recorded by the next job


process = _Process()


@dataclass(frozen=True)
class Opening:
    """The validated settings of a sweep to open."""

    sweep_id: str
    plan: Plan
    options: Settings
    folder: Path  # the sweep's, where `files` are written
    files: Mapping[str, str]  # name -> text
    parent_run_id: str | None = None  # of a resumed sweep; None for a new one
    workers: int = 1  # trajectories that train at once, if known
    elsewhere: bool = False  # whether they train on other machines

    def estimate(self, cells: Sequence[Cell]) -> Estimate | None:
        """Estimate the training of `cells` (see `estimate.estimate`)."""
        return estimate(
            self.plan,
            cells,
            self.workers,
            server=self.options.tracking.kind == "server",
            elsewhere=self.elsewhere,
            max_seconds=self.options.max_seconds,
        )


@contextmanager
def sweep_lifecycle(opening: Opening) -> Iterator[Sweep]:
    """Open a sweep, yield it to be launched, then report and close it, also after an error.

    Raises StoreError if the store cannot be used or another process has locked the sweep, and
    Interrupted if a signal requested a stop; the sweep is closed by then, without a report.
    """
    from sweep.tracking.recorder import recorder as start_recorder

    began = time.monotonic()
    with stop_on_signals() as stop, start_recorder(stop) as recorder:
        sweep = _open(opening, stop, recorder)
        process.sweep, process.began = sweep, True
        try:
            try:
                with store_needed():
                    if sweep.options.reuse:
                        take_over(sweep)
                        sweep.estimate = _foreseen(opening, sweep.pending)
                    sweep.keep_to_budget()
                    with sweep.progress:
                        yield sweep
                    if sweep.out_of_time:
                        sweep.end_budget()
                    stop.check()
            except (Interrupted, StoreLost):
                raise
            except BaseException:
                stop.check()  # the signal also ended jobs, which is no error
                with suppress(StoreError):  # show the first error
                    sweep.interrupt()
                    try:
                        _close(sweep, began, "FAILED")
                    except Interrupted:
                        _end_early(sweep)
                raise
            _close(sweep, began)
            if not sweep.well:
                process.exit_code = 1
        except Interrupted as interruption:
            with suppress(StoreError):  # the next command closes what stays open
                _end_early(sweep)
            console.interrupted(sweep, interruption.signum)
            raise
        except StoreLost as lost:
            with suppress(StoreError):  # `lost.error` is the one to show
                _end_early(sweep)
            raise lost.error from None
        finally:
            process.sweep = None


def _open(opening: Opening, stop: StopRequest, recorder: Recorder) -> Sweep:
    plan, options, sweep_id = opening.plan, opening.options, opening.sweep_id
    sweep = Sweep(sweep_id, plan, options, recorder, stop)
    new, stored = opening.parent_run_id is None, []
    with stop.interruptible():  # the sweep does not exist yet
        sweep.need_bytes = disk_bytes(plan.cells) if new else 0  # a resumed one is checked below
        sweep.open_store()
        if new and not options.reuse:
            sweep.estimate = _foreseen(opening, plan.cells)  # also loads the training code
        # Import what the end needs while the recorder opens the store.
        from sweep.report import build  # noqa: F401

        sweep.await_store()
        sweep.began = time.monotonic()
        if not new:
            stored = recorder.call(Session.lock_sweep, sweep_id)
    _make_folder(opening)
    created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    question = question_of({}, options.metric, options.mode, options.repeats).document()
    document = plan.document(sweep_id, options.tracking.experiment, created, question)
    if opening.parent_run_id is None:
        tags = platform_tags()
        sweep.parent_run_id = recorder.call(Session.start_sweep, sweep_id, document, tags)
    else:
        sweep.parent_run_id = opening.parent_run_id
        unfinished = (run for run in stored if run.status != "FINISHED")
        sweep.earlier = {(run.run_id, run.status) for run in unfinished}
        sweep.leave_out(finished_cells(plan, stored))
        take_results(sweep)
        need = disk_bytes(sweep.pending)
        recorder.call(Session.resume_sweep, sweep_id, document, need)
        sweep.estimate = _foreseen(opening, sweep.pending)
    console.sweep_started(sweep)
    return sweep


def _foreseen(opening: Opening, cells: Sequence[Cell]) -> Estimate | None:
    try:
        return opening.estimate(cells)
    except Exception:  # training raises it again, and records it
        return None


def _make_folder(opening: Opening) -> None:
    """Write the sweep's folder; raise StoreError if it fails, or if a new sweep's id is taken."""
    folder = opening.folder
    new = opening.parent_run_id is None and folder.name == opening.sweep_id
    try:
        folder.mkdir(parents=True, exist_ok=not new)
        for name, text in opening.files.items():
            with (folder / name).open("x", encoding="utf-8") as file:  # never overwrite a file
                file.write(text)
    except OSError as error:
        raise StoreError(
            f"The sweep's folder {folder} cannot be made ({error.strerror}); "
            "choose a folder that you can write with outputs=..."
        ) from error


def _end_early(sweep: Sweep) -> None:
    """Close the started runs and the sweep, without a report."""
    sweep.interrupt()
    if sweep.launched:
        sweep.learn(sweep.recorder.call(Session.collect_runs, sweep.id, False)[1])
    sweep.recorder.call(Session.finish_sweep, "KILLED", sweep.totals())


def _close(sweep: Sweep, began: float, status: str | None = None) -> None:
    """Write the sweep's metrics and report, then its status.

    Raises Interrupted if a signal comes before the report is built; the sweep is then still open.
    """
    recorder, stop, options = sweep.recorder, sweep.stop, sweep.options
    try:
        try:
            sweep.settle()
        except StoreError:
            status = status or "FAILED"  # the store refused a result
            raise
        elsewhere = len(sweep.ended) + sweep.lost < len(sweep.plan.cells)
        collected = recorder.submit(Session.collect_runs, sweep.id, elsewhere)
        with stop.interruptible():
            stored, runs = recorder.result(collected)
            sweep.learn(runs)
        recorder.submit(Session.save_views)  # in parallel with the report
        with stop.interruptible():
            built = _report(stored, runs, sweep)
    except Interrupted:
        raise
    except BaseException:  # close the sweep even if its report cannot be built
        with suppress(StoreError):  # show the first error
            recorder.call(Session.finish_sweep, status or sweep.status, sweep.totals())
        raise
    ending = status or sweep.status, sweep.totals(), built.note, built.folder
    links = recorder.call(Session.finish_sweep, *ending)
    console.sweep_ended(built, sweep, time.monotonic() - began, links.get("compare"))
    question = question_of({}, options.metric, options.mode, options.repeats)
    if unanswered := question.unanswered(runs):  # metrics of a user's trainer are only known now
        console.error(unanswered)
        process.exit_code = 1
    if options.model is not None and built.best is not None:
        from sweep.tracking.models import log_model

        console.echo(f"Model:       {log_model(options, built.best.run_id)}")


def _report(stored: StoredSweep, runs: Sequence[StoredRun], sweep: Sweep) -> Report:
    from sweep.report.build import build_report

    folder = sweep.options.outputs / "reports" / sweep.id
    try:
        return build_report(
            stored,
            runs,
            folder,
            command_ui=console.ui_command(sweep.options),
            run_pages=console.run_pages(sweep.options, sweep.experiment_id),
            store_arguments=shlex.join(console.store_arguments(sweep.options)),
        )
    except OSError as error:
        raise StoreError(
            f"The report cannot be written to {folder} ({error.strerror}), though every run is "
            "stored; free some space or give permission and run python -m sweep.report."
        ) from error
