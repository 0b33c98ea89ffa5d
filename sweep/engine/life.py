"""A sweep's life: one context manager that opens it, hands it to a launcher and closes it.

Every check comes before the first file. Then, in this order: the store, the folder, the
parent run with plan.json; then whatever launcher was chosen runs the cells; and in any case
statuses, metrics and the report are written at the end.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sweep import console
from sweep.engine.estimate import disk_bytes
from sweep.engine.plan import Plan
from sweep.engine.signals import Interrupted, StopRequest, stop_on_signals
from sweep.engine.stored import finished_cells
from sweep.engine.sweep import Sweep, platform_tags
from sweep.errors import StoreError, StoreLost
from sweep.settings import Settings
from sweep.ui.links import ending_lines, run_pages

if TYPE_CHECKING:
    from sweep.report.build import Report
    from sweep.tracking.landing import Landing
    from sweep.tracking.store import Store

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
    """

    sweep_id: str
    plan: Plan
    options: Settings
    folder: Path
    files: Mapping[str, str]
    parent_run_id: str | None = None


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
    started = time.monotonic()
    with stop_on_signals() as stop, ExitStack() as held:
        sweep = _open(opening, stop, held)
        _Process.sweep, _Process.began = sweep, True
        try:
            if sweep.options.reuse:
                from sweep.engine.reuse import take_over

                take_over(sweep)
            with sweep.progress:
                yield sweep
            stop.check()
        except Interrupted as interruption:
            with suppress(StoreError):  # what stays open, the next command closes
                sweep.kill_started()
                _close(sweep, started, "KILLED", report=False)
            console.interrupted(sweep, interruption.signum)
            raise
        except StoreLost as lost:
            with suppress(StoreError):  # as much as the store still takes
                sweep.kill_started()
                _close(sweep, started, "KILLED", report=False)
            raise lost.error from None
        except BaseException:
            sweep.kill_started()
            _close(sweep, started, "FAILED")
            raise
        else:
            _close(sweep, started)
            if sweep.status != "FINISHED":
                _Process.exit_code = 1
        finally:
            _Process.sweep = None


def _open(opening: Opening, stop: StopRequest, held: ExitStack) -> Sweep:
    from sweep.tracking import leases, parent, read
    from sweep.tracking.settings import from_options
    from sweep.tracking.store import open_store

    options, sweep_id = opening.options, opening.sweep_id
    with stop.interruptible():  # nothing of the sweep exists yet
        need = disk_bytes(opening.plan.cells)
        store = open_store(from_options(options), mode="write", need_bytes=need)
        store.hurried = stop
        for sentence in leases.tend(store):
            console.say(sentence)
        held.enter_context(leases.claim(store, sweep_id, opening.parent_run_id))
    _make_folder(opening)
    created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    document = opening.plan.document(sweep_id, options.experiment, created)
    if opening.parent_run_id is None:
        parent_run_id = parent.start_sweep(store, sweep_id, document, platform_tags())
    else:
        parent_run_id = opening.parent_run_id
        parent.write_plan(store, parent_run_id, document)
        parent.reopen_sweep(store, parent_run_id)
    held.enter_context(leases.hold(store, parent_run_id))
    sweep = Sweep(sweep_id, parent_run_id, opening.plan, options, store, stop)
    if opening.parent_run_id is not None:
        sweep.leave_out(finished_cells(opening.plan, read.sweep_runs(store, sweep_id)))
    console.sweep_started(sweep)
    return sweep


def _make_folder(opening: Opening) -> None:
    """Make the sweep's folder; one of that id must be new, unless the sweep is resumed."""
    folder = opening.folder
    new = opening.parent_run_id is None and folder.name == opening.sweep_id
    try:
        folder.mkdir(parents=True, exist_ok=not new)
        for name, text in opening.files.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(
            f"The sweep's folder {folder} cannot be made ({error.strerror}); "
            "choose a folder that you can write with outputs=..."
        ) from error


def _close(sweep: Sweep, began: float, status: str | None = None, *, report: bool = True) -> None:
    """Write the sweep's metrics, its report and its status, last; `report` takes seconds."""
    from sweep.tracking import deliver, parent

    built = found = None
    deliver.await_delivery(sweep.store, hurry=not report)
    try:
        if report:
            _tend(sweep)
            built, found = _report(sweep.store, sweep)
    finally:  # a report that cannot be built leaves no sweep open
        parent.finish_sweep(
            sweep.store,
            sweep.parent_run_id,
            sweep_id=sweep.id,
            status=status or sweep.status,
            note=built.note if built else None,
            report_folder=built.folder if built else None,
            totals=None if report else sweep.totals(),
        )
    if built:
        console.sweep_ended(built, sweep, time.monotonic() - began)
    for line in ending_lines(sweep.options, sweep.id, found) if found else ():
        console.say(line)


def _tend(sweep: Sweep) -> None:
    """Close what jobs in other processes left open, if some ran there: they have ended by now."""
    from sweep.tracking import leases

    told = sweep.finished + sweep.interrupted + sweep.lost + len(sweep.failures)
    if told < len(sweep.plan.cells):
        for sentence in leases.tend(sweep.store):
            console.say(sentence)


def _report(store: Store, sweep: Sweep) -> tuple[Report, Landing]:
    """Build the report, and arrange MLflow's page: views, notes, links."""
    from sweep.report.build import build_report
    from sweep.tracking import landing, read

    stored, runs = read.find_sweep(store, sweep.id), read.sweep_runs(store, sweep.id)
    sweep.learn(runs)
    folder = sweep.options.outputs / "reports" / sweep.id
    try:
        built = build_report(
            stored,
            runs,
            folder,
            command_ui=console.ui_command(sweep.options),
            links={"runs": run_pages(sweep.options, store.experiment_id)},
        )
    except OSError as error:
        raise StoreError(
            f"The report cannot be written to {folder} ({error.strerror}), though every run is "
            "stored; free some space or give permission and run python -m sweep.report."
        ) from error
    landing.save_views(store, stored, runs)
    landing.remove_old_views(store)
    found = landing.landing_of(store, stored, runs)
    note = landing.describe(store, stored, found, built.note, built.folder)
    return replace(built, note=note), found
