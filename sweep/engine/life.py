"""A sweep's life: one context manager that opens it, hands it to a launcher and closes it.

Every check comes before the first file. Then, in this order: the store, the folder, the
parent run with plan.json; then whatever launcher was chosen runs the cells; and in any case
statuses, metrics and the report are written at the end.
"""

from __future__ import annotations

import datetime
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sweep import console
from sweep.config.settings import Settings
from sweep.engine.estimate import Estimate, disk_bytes, estimate
from sweep.engine.plan import Cell, Plan
from sweep.engine.signals import Interrupted, StopRequest, stop_on_signals
from sweep.engine.stored import finished_cells, take_over, take_results
from sweep.engine.sweep import Sweep, store_needed
from sweep.errors import StoreError, StoreLost
from sweep.tracking.entities import platform_tags
from sweep.tracking.question import question_of
from sweep.tracking.session import Session
from sweep.tracking.settings import from_options
from sweep.ui.links import ending_lines, run_pages, store_arguments

if TYPE_CHECKING:
    from sweep.report.build import Report
    from sweep.tracking.recorder import Recorder
    from sweep.tracking.stored import StoredRun, StoredSweep


class _Process:
    """What this process does."""

    sweep: Sweep | None = None  # that it drives
    began = False  # whether it has opened one: from then on an error is no refusal
    exit_code = 0  # 1 after a failed run


process = _Process()


@dataclass(frozen=True)
class Opening:
    """All that is needed to open a sweep, checked.

    Attributes
    ----------
    folder
        The sweep's own folder; `files` (name to text) are written into it.
    parent_run_id
        The parent run of a sweep that is resumed; None for a new one.
    workers
        How many trajectories train at once, as far as that is known.
    elsewhere
        Whether they train on other machines than the command.
    """

    sweep_id: str
    plan: Plan
    options: Settings
    folder: Path
    files: Mapping[str, str]
    parent_run_id: str | None = None
    workers: int = 1
    elsewhere: bool = False

    def estimate(self, cells: Sequence[Cell]) -> Estimate | None:
        """Estimate the training of cells; None for a trainer of a user's own, which is not tried.

        It may be slow to build, or write something.
        """
        if not all(cell.spec.trainer.built_in for cell in cells):
            return None
        return estimate(
            self.plan,
            cells,
            self.workers,
            server=self.options.tracking_kind == "server",
            elsewhere=self.elsewhere,
            max_seconds=self.options.max_seconds,
        )


@contextmanager
def sweep_life(opening: Opening) -> Iterator[Sweep]:
    """Open a sweep, yield it to be launched, and close and report it in any case.

    Raises
    ------
    StoreError
        The store cannot be used, or another process works on the sweep.
    Interrupted
        A signal asked the command to end; everything is closed by then.
    """
    from sweep.tracking.recorder import recorder as start_recorder

    began = time.monotonic()
    with stop_on_signals() as stop, start_recorder(console.notice, stop) as recorder:
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
                    if sweep.spent:
                        sweep.end_budget()
                    stop.check()
            except (Interrupted, StoreLost):
                raise
            except BaseException:
                with suppress(StoreError):  # the first error is the one to show
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
            with suppress(StoreError):  # what stays open, the next command closes
                _end_early(sweep)
            console.interrupted(sweep, interruption.signum)
            raise
        except StoreLost as lost:
            with suppress(StoreError):  # as much as the store still takes
                _end_early(sweep)
            raise lost.error from None
        finally:
            process.sweep = None


def _open(opening: Opening, stop: StopRequest, recorder: Recorder) -> Sweep:
    plan, options, sweep_id = opening.plan, opening.options, opening.sweep_id
    new, estimated = opening.parent_run_id is None, None
    with stop.interruptible():  # nothing of the sweep exists yet
        need = disk_bytes(plan.cells) if new else 0  # else it is not known what is left to do
        opened = recorder.submit(Session.open_store, from_options(options), need)
        if new and not options.reuse:
            estimated = _foreseen(opening, plan.cells)  # loads what trains, too
        # What the end needs is loaded while the store is opened elsewhere.
        from sweep.report import build  # noqa: F401

        experiment, sentences = recorder.result(opened)
        stored = [] if new else recorder.call(Session.claim_sweep, sweep_id)
    for sentence in sentences:
        if new or f"resume={sweep_id} " not in sentence:
            console.echo(sentence)
    _make_folder(opening)
    created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    question = question_of({}, options.metric, options.mode, options.repeats).document()
    document = plan.document(sweep_id, options.experiment, created, question)
    sweep = Sweep(sweep_id, plan, options, recorder, stop)
    sweep.run_pages = run_pages(options, experiment)
    if opening.parent_run_id is None:
        tags = platform_tags()
        sweep.parent_run_id = recorder.call(Session.start_sweep, sweep_id, document, tags)
    else:
        sweep.parent_run_id = opening.parent_run_id
        sweep.leave_out(finished_cells(plan, stored))
        take_results(sweep)
        need = disk_bytes(sweep.pending)
        recorder.call(Session.resume_sweep, sweep_id, document, need)
        estimated = _foreseen(opening, sweep.pending)
    sweep.estimate = estimated
    console.sweep_started(sweep)
    return sweep


def _foreseen(opening: Opening, cells: Sequence[Cell]) -> Estimate | None:
    try:
        return opening.estimate(cells)
    except Exception:  # it raises again in its run, and is recorded there
        return None


def _make_folder(opening: Opening) -> None:
    """Make the sweep's folder; one of that id must be new, unless the sweep is resumed."""
    folder = opening.folder
    new = opening.parent_run_id is None and folder.name == opening.sweep_id
    try:
        folder.mkdir(parents=True, exist_ok=not new)
        for name, text in opening.files.items():
            with (folder / name).open("x", encoding="utf-8") as file:  # another sweep's are kept
                file.write(text)
    except OSError as error:
        raise StoreError(
            f"The sweep's folder {folder} cannot be made ({error.strerror}); "
            "choose a folder that you can write with outputs=..."
        ) from error


def _end_early(sweep: Sweep) -> None:
    """Close what was started and the sweep, without a report."""
    sweep.interrupt()
    sweep.recorder.call(Session.finish_sweep, "KILLED", sweep.totals())


def _close(sweep: Sweep, began: float, status: str | None = None) -> None:
    """Write the sweep's metrics, its report and its status, last.

    Raises
    ------
    Interrupted
        A signal came before the report was built; the sweep is still to be closed.
    """
    recorder, stop = sweep.recorder, sweep.stop
    try:
        try:
            sweep.settle()
        except StoreError:
            status = status or "FAILED"  # without what the store refused it is not finished
            raise
        elsewhere = sweep.known < len(sweep.plan.cells)
        collected = recorder.submit(Session.collect_runs, sweep.id, elsewhere)
        with stop.interruptible():
            stored, runs = recorder.result(collected)
        sweep.learn(runs)
        recorder.submit(Session.save_views)  # MLflow's page, while the pictures are drawn
        with stop.interruptible():
            built = _report(stored, runs, sweep)
    except Interrupted:
        raise
    except BaseException:  # a report that cannot be built leaves no sweep open
        with suppress(StoreError):  # the first error is the one to show
            recorder.call(Session.finish_sweep, status or sweep.status, sweep.totals())
        raise
    ending = status or sweep.status, sweep.totals(), built.note, built.folder
    links = recorder.call(Session.finish_sweep, *ending)
    console.sweep_ended(built, sweep, time.monotonic() - began)
    options = sweep.options
    question = question_of({}, options.metric, options.mode, options.repeats)
    if unanswered := question.unanswered(runs):  # known at the end where a trainer is the user's
        console.error(unanswered)
        process.exit_code = 1
    if sweep.options.model is not None and built.best is not None:
        from sweep.tracking.models import log_model

        console.echo(f"Model:       {log_model(sweep.options, built.best.run_id)}")
    for line in ending_lines(sweep.options, sweep.id, links) if links else ():
        console.echo(line)


def _report(stored: StoredSweep, runs: Sequence[StoredRun], sweep: Sweep) -> Report:
    from sweep.report.build import build_report

    folder = sweep.options.outputs / "reports" / sweep.id
    try:
        return build_report(
            stored,
            runs,
            folder,
            command_ui=console.ui_command(sweep.options),
            links={"runs": sweep.run_pages},
            store_arguments=shlex.join(store_arguments(sweep.options)),
        )
    except OSError as error:
        raise StoreError(
            f"The report cannot be written to {folder} ({error.strerror}), though every run is "
            "stored; free some space or give permission and run python -m sweep.report."
        ) from error
