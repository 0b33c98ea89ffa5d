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
from sweep.engine.stored import finished_cells
from sweep.engine.sweep import Sweep
from sweep.errors import StoreError, StoreLost
from sweep.tracking.entities import platform_tags
from sweep.tracking.question import question_of
from sweep.tracking.session import Session
from sweep.tracking.settings import from_options
from sweep.ui.links import ending_lines, place_words, run_pages

if TYPE_CHECKING:
    from sweep.report.build import Report
    from sweep.tracking.recorder import Recorder
    from sweep.tracking.stored import StoredRun, StoredSweep

__all__ = ["Opening", "current", "exit_code", "sweep_began", "sweep_life"]


class _Process:
    """The sweep that this process drives, and how the command shall end."""

    sweep: Sweep | None = None
    began = False
    exit_code = 0


def current() -> Sweep | None:
    """Return the sweep that this process drives, if it drives one."""
    return _Process.sweep


def sweep_began() -> bool:
    """Return whether this process has opened a sweep: from then on an error is no refusal."""
    return _Process.began


def exit_code() -> int:
    """Return the code that the sweeps of this process ask for: 1 after a failed run, else 0."""
    return _Process.exit_code


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


@contextmanager
def sweep_life(opening: Opening) -> Iterator[Sweep]:
    """Open a sweep, yield it to be launched, and close and report it in any case.

    Raises
    ------
    StoreError
        The store cannot be used, or another process works on the sweep; nothing was started.
    Interrupted
        A signal asked the command to end; everything is closed by then.
    """
    from sweep.tracking.recorder import recorder as start_recorder

    started = time.monotonic()
    with stop_on_signals() as stop, start_recorder(console.notice, stop) as recorder:
        sweep = _open(opening, stop, recorder)
        _Process.sweep, _Process.began = sweep, True
        try:
            try:
                if sweep.options.reuse:
                    from sweep.engine.reuse import take_over

                    take_over(sweep)
                    sweep.estimate = _foreseen(sweep.pending, opening)
                sweep.keep_to_budget()
                with sweep.progress:
                    yield sweep
                if sweep.spent:
                    sweep.count_left_over()
                    sweep.runs.interrupt()
                stop.check()
            except (Interrupted, StoreLost):
                raise
            except BaseException:
                with suppress(StoreError, StoreLost):  # what is said is what came first
                    sweep.runs.interrupt()
                    try:
                        _close(sweep, started, "FAILED")
                    except Interrupted:
                        _end_early(sweep)
                raise
            _close(sweep, started)
            if not sweep.well:
                _Process.exit_code = 1
        except Interrupted as interruption:
            with suppress(StoreError, StoreLost):  # what stays open, the next command closes
                _end_early(sweep)
            console.interrupted(sweep, interruption.signum)
            raise
        except StoreLost as lost:
            with suppress(StoreError, StoreLost):  # as much as the store still takes
                _end_early(sweep)
            raise lost.error from None
        finally:
            _Process.sweep = None


def _open(opening: Opening, stop: StopRequest, recorder: Recorder) -> Sweep:
    options, sweep_id = opening.options, opening.sweep_id
    with stop.interruptible():  # nothing of the sweep exists yet
        new = opening.parent_run_id is None  # else it is not known yet what is to be done
        need = disk_bytes(opening.plan.cells) if new else 0
        opened = recorder.submit(Session.open_store, from_options(options), need)
        estimated = None
        if new and not options.reuse:
            estimated = _foreseen(opening.plan.cells, opening)  # loads what trains, too
        # What the end needs is loaded while the store is opened elsewhere.
        from sweep.report import build  # noqa: F401

        experiment, said = recorder.result(opened)
        stored = [] if new else recorder.call(Session.claim_sweep, sweep_id)
    for sentence in said:
        if new or f"resume={sweep_id} " not in sentence:
            console.say(sentence)
    _make_folder(opening)
    created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    question = question_of({}, options.metric, options.mode, options.repeats).document()
    document = opening.plan.document(sweep_id, options.experiment, created, question)
    sweep = Sweep(sweep_id, opening.plan, options, recorder, stop)
    sweep.run_pages = run_pages(options, experiment)
    if opening.parent_run_id is None:
        sweep.parent_run_id = recorder.call(
            Session.start_sweep, sweep_id, document, platform_tags()
        )
    else:
        sweep.parent_run_id = opening.parent_run_id
        sweep.leave_out(finished_cells(opening.plan, stored))
        _take_results(sweep)
        need = disk_bytes(sweep.pending)
        recorder.call(Session.resume_sweep, sweep_id, document, need)
        estimated = _foreseen(sweep.pending, opening)
    sweep.estimate = estimated
    console.sweep_started(sweep)
    return sweep


def _take_results(sweep: Sweep) -> None:
    taken = sweep.take_results()
    if taken:
        count = f"{len(taken)} {'result' if len(taken) == 1 else 'results'}"
        console.say(f"{count} that waited on disk {'is' if len(taken) == 1 else 'are'} stored now.")
        sweep.leave_out(taken)


def _foreseen(cells: Sequence[Cell], opening: Opening) -> Estimate | None:
    """Return what the cells will take; None for anybody else's trainer.

    That may be slow to build, or tell what it does.
    """
    if not all(cell.spec.trainer.built_in for cell in cells):
        return None
    try:
        server = opening.options.tracking_kind == "server"
        return estimate(
            opening.plan,
            cells,
            opening.workers,
            server=server,
            elsewhere=opening.elsewhere,
            max_seconds=opening.options.max_seconds,
        )
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
    """Close what was started and the sweep, without a report: the command was asked to end."""
    sweep.runs.interrupt()
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
            sweep.runs.settle()
        except StoreError:
            status = status or "FAILED"  # without what the store refused it is not finished
            raise
        elsewhere = sweep.known < len(sweep.plan.cells)
        gathered = recorder.submit(Session.gather, sweep.id, elsewhere)
        with stop.interruptible():
            stored, runs = recorder.result(gathered)
        sweep.learn(runs)
        recorder.submit(Session.arrange)  # MLflow's page, while the pictures are drawn
        with stop.interruptible():
            built = _report(stored, runs, sweep)
    except Interrupted:
        raise
    except BaseException:  # a report that cannot be built leaves no sweep open
        with suppress(StoreError):  # what is said is what came first
            recorder.call(Session.finish_sweep, status or sweep.status, sweep.totals())
        raise
    ended = status or sweep.status
    totals, note, folder = sweep.totals(), built.note, built.folder
    found = recorder.call(Session.finish_sweep, ended, totals, note, folder)
    console.sweep_ended(built, sweep, time.monotonic() - began)
    options = sweep.options
    question = question_of({}, options.metric, options.mode, options.repeats)
    if unanswered := question.unanswered(runs):  # known at the end where a trainer is the user's
        console.error(unanswered)
        _Process.exit_code = 1
    if sweep.options.model is not None and built.best is not None:
        from sweep.tracking.models import log_model

        console.say(f"Model:       {log_model(sweep.options, built.best.run_id)}")
    for line in ending_lines(sweep.options, sweep.id, found) if found else ():
        console.say(line)


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
            place=shlex.join(place_words(sweep.options)),
        )
    except OSError as error:
        raise StoreError(
            f"The report cannot be written to {folder} ({error.strerror}), though every run is "
            "stored; free some space or give permission and run python -m sweep.report."
        ) from error
