"""The recorder process for a command: it answers in order, and ends with it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from sweep.config.settings import Tracking
from sweep.errors import StoreError
from sweep.tracking import read, results
from sweep.tracking.recorder import Recorder, discard, prepare, recorder
from sweep.tracking.session import Session
from sweep.tracking.store import open_store
from tests.processes import ROOT, clean_environment
from tests.tracking.support import CONFIG, PARAMS, SIGNATURE, SWEEP, plan, result

LAST = 60.0


def never() -> bool:
    return False


@pytest.fixture(scope="module")
def recording() -> Iterator[Recorder]:
    """Yield a recorder for all tests that leave it alive, each with a store of its own."""
    with recorder(never) as made:
        yield made


@pytest.fixture
def tracking(first_store: Path, tmp_path: Path) -> Tracking:
    (tmp_path / "outputs").mkdir()
    shutil.copy(first_store / "mlflow.db", tmp_path / "outputs")
    return Tracking(kind="local", outputs=tmp_path / "outputs")


def worker(recording: Recorder) -> psutil.Process:
    assert recording._process is not None
    return psutil.Process(recording._process.pid)


def written(tracking: Tracking, parent: str, cell: int) -> Path:
    """Write the result file of a run of the sweep."""
    tags = {"sweep.role": "run", "sweep.signature": SIGNATURE, "sweep.id": SWEEP}
    tags |= {"sweep.cell": str(cell), "mlflow.parentRunId": parent}
    record = results.RunRecord(tracking.name, cell, f"run {cell}", PARAMS, tags, 1)
    folder = results.folder_of(tracking.outputs, f"sweeps/{SWEEP}")
    files = results.run_files(result(), CONFIG)
    return results.write(folder, results.ended(record, result(), 0.001), files)


def begin(recording: Recorder, tracking: Tracking, *names: str) -> str:
    recording.call(Session.open_store, tracking)
    return recording.call(Session.start_sweep, SWEEP, plan(*names), {})


def test_runs_are_recorded_in_order_and_gathered(recording: Recorder, tracking: Tracking) -> None:
    parent = begin(recording, tracking, *"abc")
    paths = [written(tracking, parent, cell) for cell in range(3)]
    batches = [recording.submit(Session.finish_runs, [path]) for path in paths]
    finished = [one for batch in batches for one in recording.result(batch)]
    assert [(one.cell, one.state) for one in finished] == [(cell, "stored") for cell in range(3)]
    sweep, runs = recording.call(Session.collect_runs, SWEEP, False)
    assert sweep.sweep_id == SWEEP
    assert [(run.run_id, run.status) for run in runs] == [(r.run_id, "FINISHED") for r in finished]
    assert len(runs[0].curve()[0]) == 1001, "its files can be read from here"
    recording.call(Session.finish_sweep, "FINISHED", {})
    assert read.find_sweep(open_store(tracking, mode="read"), SWEEP).status == "FINISHED"


def test_what_the_store_refuses_is_raised_as_it_is(recording: Recorder, tracking: Tracking) -> None:
    tracking.database.write_text("no database")
    with pytest.raises(StoreError, match="is not a SQLite database"):
        recording.call(Session.open_store, tracking)


def test_mistake_of_ours_is_raised_with_its_traceback(recording: Recorder) -> None:
    with pytest.raises(StoreError, match="Error: .*resume=last") as raised:
        recording.call(Session.finish_runs, None)  # type: ignore[arg-type]
    assert "in finish_runs" in raised.value.__notes__[0], "the traceback is kept"


def test_death_of_the_process_is_reported() -> None:
    with recorder(never) as recording:
        assert recording._process is not None
        recording._process.kill()
        recording._process.join(LAST)  # by nobody else: a process is waited for once
        for _ in range(2):
            with pytest.raises(StoreError, match="died.*resume=last"):
                recording.call(Session.finish_runs, [])


@pytest.mark.slow
def test_process_ends_with_the_block_and_releases_the_sweep(tracking: Tracking) -> None:
    with recorder(never) as recording:
        process = worker(recording)
        begin(recording, tracking, "a")
    assert not process.is_running()
    assert not tracking.database.with_name("mlflow.db-wal").exists()
    with recorder(never, inline=True) as recording:
        recording.call(Session.open_store, tracking)
        assert recording.call(Session.lock_sweep, SWEEP) == []


def test_signals_of_the_terminal_do_not_reach_it(recording: Recorder, tracking: Tracking) -> None:
    recording.call(Session.open_store, tracking)
    process = worker(recording)
    assert os.getsid(process.pid) == process.pid
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        process.send_signal(signum)
    assert recording.call(Session.start_sweep, SWEEP, plan("a"), {})


@pytest.mark.slow
def test_recorder_that_hangs_holds_nobody_up_once_the_command_shall_end(tracking: Tracking) -> None:
    with recorder(never) as recording:
        begin(recording, tracking, "a")
        process = worker(recording)
        process.suspend()
        began = time.monotonic()
        recording.stopping = lambda: True
        with pytest.raises(StoreError, match="does not answer"):
            recording.call(Session.finish_sweep, "KILLED", {})
        with pytest.raises(StoreError, match="does not answer"):
            recording.call(Session.finish_sweep, "KILLED", {})
        assert time.monotonic() - began < 4, "the time is one for all calls"
    assert not process.is_running()


def test_prepared_recorder_that_is_not_used_ends() -> None:
    before = set(psutil.Process().children())
    prepare()
    started = set(psutil.Process().children()) - before
    discard()
    assert started and not any(process.is_running() for process in started)


STILLBORN = """
import multiprocessing, sys
from multiprocessing import resource_tracker
resource_tracker.ensure_running()
multiprocessing.set_executable("/bin/false")  # what is spawned from here on ends at once
from sweep.cli.app import main
sys.argv = ["sweep", "-m", "lr=0.1", "iters=1"]
main()
"""


def test_process_that_ends_at_once_is_reported(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", STILLBORN],
        cwd=tmp_path,
        env=clean_environment({"PYTHONPATH": str(ROOT)}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 3, ended
    assert "Traceback" not in ended.stderr and "The recorder process" in ended.stderr, ended
