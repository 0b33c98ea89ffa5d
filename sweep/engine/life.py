"""A sweep's life: one context manager that opens it, hands it to a launcher and closes it.

Every check comes before the first file. Then, in this order: the store, the folder, the
parent run with plan.json; then whatever launcher was chosen runs the cells; and in any case
statuses, metrics and the report are written at the end.
"""

from __future__ import annotations

import datetime
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sweep import console
from sweep.engine.plan import Cell, Plan
from sweep.engine.signals import Interrupted, StopRequest, stop_on_signals
from sweep.errors import RunFailed
from sweep.spec import RunSpec, Settings

if TYPE_CHECKING:
    from sweep.report.build import Report
    from sweep.tracking.store import Store
    from sweep.training import RunResult

__all__ = ["Sweep", "current", "exit_code", "sweep_began", "sweep_life"]


class _Process:
    """The sweep that this process drives, and how the command shall end."""

    sweep: Sweep | None = None
    began = False
    exit_code = 0


def current() -> Sweep | None:
    """Return the sweep that this process drives, if it drives one."""
    return _Process.sweep


def exit_code() -> int:
    """Return the code that the sweeps of this process ask for: 1 after a failed run, else 0."""
    return _Process.exit_code


def sweep_began() -> bool:
    """Return whether this process has opened a sweep: from then on an error is no refusal."""
    return _Process.began


class Sweep:
    """A sweep while it lives: its plan, its place in the store, and what became of its cells."""

    def __init__(
        self,
        sweep_id: str,
        parent_run_id: str,
        plan: Plan,
        options: Settings,
        store: Store,
        stop: StopRequest,
    ) -> None:
        self.id = sweep_id
        self.parent_run_id = parent_run_id
        self.plan = plan
        self.options = options
        self.store = store
        self.stop = stop
        self.pending: tuple[Cell, ...] = plan.cells
        self.failures: list[tuple[str, str]] = []
        self.progress = console.Progress(plan.iterations(), len(plan.cells))
        self._run_ids: dict[int, str] = {}

    def start(self, cell: Cell) -> None:
        """Create the cell's run, status RUNNING, once."""
        from sweep.tracking import write

        if cell.index not in self._run_ids:
            self._run_ids[cell.index] = write.start_run(
                self.store,
                name=cell.name,
                params=cell.params(),
                tags=run_tags(cell.spec),
                sweep_id=self.id,
                parent_run_id=self.parent_run_id,
            )

    def record(self, cell: Cell, result: RunResult) -> float | None:
        """Store a cell's result, the run's status last; return its final error."""
        from sweep.tracking import write

        self.start(cell)
        run_id = self._run_ids[cell.index]
        write.record(self.store, run_id, result, cell.spec.config)
        self.progress.run_ended(cell.name, result)
        return result.final_error

    def fail(self, cell: Cell, error: BaseException, text: str | None = None) -> None:
        """Store that a cell failed, with its traceback; the other cells go on."""
        from sweep.tracking import write

        self.start(cell)
        text = text or "".join(traceback.format_exception(error))
        write.fail(self.store, self._run_ids[cell.index], text)
        sentence = f"{type(error).__name__}: {error}".splitlines()[0]
        self.failures.append((cell.name, sentence))
        self.progress.run_failed(cell.name, sentence)

    def run(self, spec: RunSpec) -> float | None:
        """Train one cell alone and record it; what it raises is recorded and raised again."""
        from sweep.engine.work import Progress, TrajectoryWork

        if self.failed_fast:
            self.refuse()
        cell = self.plan.find(spec)
        assert cell is not None, "a job's configuration is not in the plan of its sweep"
        self.start(cell)
        results: list[RunResult] = []

        def emit(value: RunResult | Progress) -> None:
            if isinstance(value, Progress):
                self.progress.advance(value.iterations)
            else:
                results.append(value)

        try:
            with self.stop.interruptible():
                TrajectoryWork(spec, (spec.iters,), self.options.max_seconds)(emit, self.stop)
        except Exception as error:
            self.fail(cell, error)
            raise
        self.stop.check()
        return self.record(cell, results[0])

    @property
    def failed_fast(self) -> bool:
        """Whether a run failed and none shall follow it."""
        return self.options.fail_fast and bool(self.failures)

    def refuse(self, *_: object) -> None:
        """Leave a run out after the first failure; it has no row in the store.

        Raises
        ------
        RunFailed
            Always.
        """
        raise RunFailed("Left out: an earlier run failed and fail_fast=true.")

    def kill_started(self) -> None:
        """Close every run that was started and has not ended as KILLED."""
        from sweep.tracking import write

        write.kill_running(self.store, self.id)


@contextmanager
def sweep_life(
    plan: Plan, options: Settings, sweep_id: str, folder: Path, files: Mapping[str, str]
) -> Iterator[Sweep]:
    """Open a sweep, yield it to be launched, and close and report it in any case.

    Parameters
    ----------
    folder
        The sweep's own folder, made here; `files` (name to text) are written into it.

    Raises
    ------
    StoreError
        The store cannot be used; no parent run was made.
    Interrupted
        A signal asked the command to end; everything is closed by then.
    """
    from sweep.tracking import settings as tracking_settings
    from sweep.tracking import store as tracking_store
    from sweep.tracking import write

    started = time.monotonic()
    store = tracking_store.open_store(tracking_settings.from_options(options), mode="write")
    folder.mkdir(parents=True, exist_ok=folder.name != sweep_id)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    document = plan.document(sweep_id, options.experiment, created)
    parent_run_id = write.start_sweep(store, sweep_id, document, platform_tags())
    console.sweep_started(sweep_id, plan)
    with stop_on_signals() as stop:
        sweep = Sweep(sweep_id, parent_run_id, plan, options, store, stop)
        _Process.sweep, _Process.began = sweep, True
        try:
            with sweep.progress:
                yield sweep
            stop.check()
        except Interrupted as interruption:
            sweep.kill_started()
            close(sweep, started, "KILLED")
            console.interrupted(sweep_id, interruption.signum)
            raise
        except BaseException:
            sweep.kill_started()
            close(sweep, started, "FAILED")
            raise
        else:
            close(sweep, started, "FAILED" if sweep.failures else "FINISHED")
            if sweep.failures:
                _Process.exit_code = 1
        finally:
            _Process.sweep = None


def close(sweep: Sweep, started: float, status: str) -> None:
    """Write the sweep's metrics, its report (unless it was interrupted) and its status, last."""
    from sweep.tracking import write

    report = None
    try:
        if status != "KILLED":
            report = _report(sweep)
    finally:  # a report that cannot be built leaves no sweep open
        write.finish_sweep(
            sweep.store,
            sweep.parent_run_id,
            sweep_id=sweep.id,
            status=status,
            note=report.note if report else None,
            report_folder=report.folder if report else None,
        )
    if report:
        console.sweep_ended(report, sweep.failures, sweep.options, time.monotonic() - started)


def _report(sweep: Sweep) -> Report:
    from sweep.report.build import build_report
    from sweep.tracking import read

    return build_report(
        read.find_sweep(sweep.store, sweep.id),
        read.sweep_runs(sweep.store, sweep.id),
        sweep.options.outputs / "reports" / sweep.id,
        command_ui=console.ui_command(sweep.options),
    )


def platform_tags() -> dict[str, str]:
    """Return the tags that say on what kind of machine and with which versions a run trained."""
    import platform
    from importlib.metadata import version

    versions = {
        name: version(name) for name in ("numpy", "numba", "pandas", "mlflow", "hydra-core")
    }
    kind = [platform.machine(), platform.system(), f"Python {platform.python_version()}"]
    kind += [f"NumPy {versions['numpy']}", f"numba {versions['numba']}"]
    return {
        "sweep.platform": ", ".join(kind),
        "sweep.versions": ", ".join(f"{name} {text}" for name, text in versions.items()),
    }


def run_tags(spec: RunSpec) -> dict[str, str]:
    """Return the tags of a run that its specification determines."""
    return {"sweep.signature": spec.signature, **platform_tags()}
