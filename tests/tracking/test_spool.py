"""Results before records: what a dying process left is delivered exactly once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace

import pytest
from filelock import FileLock

from sweep.errors import StoreBusyError, StoreError
from sweep.tracking import read, spool, write
from sweep.tracking.claims import claimed
from sweep.tracking.deliver import await_delivery, deliver, waiting
from sweep.tracking.entry import Entry
from sweep.tracking.files import result_files
from sweep.tracking.holder import me
from sweep.tracking.metrics import Point, run_metrics
from sweep.tracking.patience import UnreachableError
from sweep.tracking.store import Store, open_store
from sweep.tracking.stored import SUPERSEDED
from sweep.tracking.tending import tend
from tests.processes import clean_environment
from tests.tracking.support import (
    CONFIG,
    PARAMS,
    SIGNATURE,
    SWEEP,
    plan,
    result,
    start_script,
    tree,
)

DEAD = replace(me(), started=1.0)
"""A process of this machine whose number is another's by now."""

DYING = """
import os, sys
from pathlib import Path
from sweep.tracking import spool, write
from sweep.tracking.settings import Tracking
from sweep.tracking.store import open_store
from tests.tracking.support import CONFIG, PARAMS, SIGNATURE, SWEEP, plan, result

store = open_store(Tracking("local", Path(sys.argv[1])), mode="write")
parent = write.start_sweep(store, SWEEP, plan("0", "1", "2", "3", "4"), {})
client, kill = store.client, lambda *a, **k: os.kill(os.getpid(), 9)

def run(name):
    return write.start_run(store, name=name, params=PARAMS,
        tags={"sweep.signature": SIGNATURE}, sweep_id=SWEEP, parent_run_id=parent)

for name in "01234":  # each dies in a fork, at a later step but for the last
    if os.fork() == 0:
        from sweep.tracking import holder
        store = open_store(Tracking("local", Path(sys.argv[1])), mode="write")
        run_id = run(name)
        if name == "0": store.artifacts.put = kill
        if name == "1": store.client.log_batch = kill
        if name == "2": store.client.set_terminated = kill
        if name == "3": spool.forget = kill
        if name == "4": spool.entry_of = kill  # its files are there, and nothing says so
        write.record(store, run_id, result(int(name) + 10), CONFIG)
    os.wait()
"""


@pytest.fixture
def sweep(store: Store) -> str:
    """Return the parent run of a sweep of one cell."""
    return write.start_sweep(store, SWEEP, plan("a"), {})


def begin(store: Store, parent: str) -> str:
    return write.start_run(
        store,
        name="a",
        params=PARAMS,
        tags={"sweep.signature": SIGNATURE},
        sweep_id=SWEEP,
        parent_run_id=parent,
    )


def left_by_the_dead(store: Store, run_id: str, *, known: bool = True) -> Entry:
    """Save the end of a run as a process that is gone would have left it."""
    entry = write._started(store, run_id).entry("completed", run_metrics(result()))
    gone = replace(me(), boot="before").to_json()
    entry = replace(entry, tags={**entry.tags, "sweep.holder": gone})
    if not known:
        entry = replace(entry, run_id=None)
    spool.save(store, entry, result_files(result(), CONFIG))
    return entry


def test_killed_at_any_step_of_recording_loses_nothing(store: Store) -> None:
    process = start_script(DYING, store.tracking.outputs)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert len(list(waiting(store))) == 4
    reader = open_store(store.tracking, mode="write")
    assert deliver(reader) == 4
    assert deliver(reader) == 0
    *runs, lost = read.sweep_runs(reader, SWEEP, every=True)
    assert (lost.name, lost.status) == ("4", "RUNNING")  # its result was not whole on disk
    assert [run.name for run in runs] == ["0", "1", "2", "3"]
    for run in runs:
        expected = result(int(run.name) + 10)
        assert (run.status, run.outcome, run.params) == ("FINISHED", "completed", PARAMS)
        assert run.metrics["final_error"] == expected.final_error
        assert (run.curve()[1] == expected.errors).all()
        assert run.config() == CONFIG
        history = reader.client.get_metric_history(run.run_id, "error")
        assert len(history) == len({point.step for point in history})
    assert not store.tracking.spool.exists()


def test_run_that_was_never_created_is_created_once(store: Store, sweep: str) -> None:
    run_id = begin(store, sweep)
    entry = left_by_the_dead(store, run_id, known=False)  # created, but nobody heard of it
    assert deliver(store) == 1
    assert [run.run_id for run in read.sweep_runs(store, SWEEP, every=True)] == [run_id]
    spool.save(store, replace(entry, delivery=f"{SWEEP}/x/second"), {})
    assert deliver(store) == 1  # another attempt has finished this cell: nothing to add
    assert len(read.sweep_runs(store, SWEEP, every=True)) == 1


def test_result_that_comes_after_another_attempt_is_superseded(store: Store, sweep: str) -> None:
    late = left_by_the_dead(store, begin(store, sweep))
    faster = begin(store, sweep)
    assert write.record(store, faster, result(), CONFIG)
    assert deliver(store) == 1
    assert late.run_id is not None
    run = store.client.get_run(late.run_id)
    assert (run.info.status, run.data.tags[SUPERSEDED]) == ("FINISHED", faster)
    assert [run.run_id for run in read.sweep_runs(store, SWEEP)] == [faster]


def test_resume_waits_for_a_command_that_delivers(store: Store, sweep: str) -> None:
    left_by_the_dead(store, begin(store, sweep))
    store.tracking.locks.mkdir(exist_ok=True)
    other = FileLock(store.tracking.locks / "deliver.lock", thread_local=False)
    other.acquire()
    assert tend(store) == []
    threading.Timer(0.5, other.release).start()
    assert len(tend(store, resumed=True)) == 1
    assert [run.status for run in read.sweep_runs(store, SWEEP)] == ["FINISHED"]


def test_what_others_left_is_not_counted_as_ones_own(store: Store, sweep: str) -> None:
    left_by_the_dead(store, begin(store, sweep))
    store.waiting = 1
    assert deliver(store) == 1 and store.waiting == 1


def test_living_process_delivers_its_own(store: Store, sweep: str) -> None:
    run_id = begin(store, sweep)
    entry = write._started(store, run_id).entry("completed")
    parent = os.getppid()
    import psutil

    other = replace(me(), pid=parent, started=_start_of(parent))
    assert psutil.pid_exists(parent)
    spool.save(store, replace(entry, tags={**entry.tags, "sweep.holder": other.to_json()}), {})
    assert deliver(store) == 0
    assert store.client.get_run(run_id).info.status == "RUNNING"


def _start_of(pid: int) -> float:
    from sweep.tracking import holder

    started = holder._start_of(pid)
    assert started is not None
    return started


def test_deleted_run_keeps_its_result_until_it_is_restored(
    store: Store, sweep: str, said: list[str]
) -> None:
    run_id = begin(store, sweep)
    left_by_the_dead(store, run_id)
    store.client.delete_run(run_id)
    deliver(store)
    assert len(said) == 1 and "restore" in said[0]
    ((folder, _),) = waiting(store)
    assert str(folder) in said[0] and (folder / "curve.parquet").is_file()
    deliver(store)
    assert len(said) == 1  # told once by a command
    store.client.restore_run(run_id)
    store = open_store(store.tracking, mode="write")
    assert deliver(store) == 1
    assert store.client.get_run(run_id).info.status == "FINISHED"
    (run,) = read.sweep_runs(store, SWEEP)
    assert run.curve() is not None


def test_result_waits_for_its_own_store(store: Store, sweep: str) -> None:
    """Two stores, or two experiments, may share a folder of outputs."""
    left_by_the_dead(store, begin(store, sweep))
    other = open_store(replace(store.tracking, experiment="another"), mode="write")
    assert deliver(other) == 0 and list(waiting(other)) == []
    assert [text for text in tend(other) if "1 results wait in" in text and "'sweep'" in text]
    assert deliver(store) == 1


def test_what_a_process_still_records_for_a_dead_driver_is_left_to_it(
    store: Store, sweep: str
) -> None:
    """The process holds the lock of the sweep to its end."""
    entry = left_by_the_dead(store, begin(store, sweep))
    unfinished = spool.entry_of(store.tracking.spool / SWEEP / f"{DEAD.key}-x").with_suffix("")
    unfinished.mkdir()
    code = """
import sys
from pathlib import Path
from sweep.tracking.claims import claimed
from sweep.tracking.settings import Tracking
with claimed(Tracking("local", Path(sys.argv[1])), sys.argv[2], print):
    print("held", flush=True)
    sys.stdin.readline()
"""
    outputs = str(store.tracking.outputs)
    with subprocess.Popen(
        [sys.executable, "-c", code, outputs, SWEEP],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=clean_environment(),
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        store.client.set_tag(entry.run_id, "sweep.holder", DEAD.to_json())
        assert tend(store) == [] and unfinished.exists()
        with pytest.raises(StoreBusyError, match=f"held by process {process.pid}"):
            with claimed(store.tracking, SWEEP, print):
                pass
        note = store.tracking.locks / f"{SWEEP}.json"
        note.write_text(DEAD.to_json())  # its driver is gone
        told: list[str] = []

        def say(sentence: str) -> None:
            told.append(sentence)
            assert process.stdin is not None
            process.stdin.write("end\n")
            process.stdin.flush()

        with claimed(store.tracking, SWEEP, say):
            assert len(told) == 1 and "waiting for its last results" in told[0]
    assert len(tend(store)) == 1 and not unfinished.exists()
    assert store.client.get_run(entry.run_id).info.status == "FINISHED"


def test_unfinished_folder_of_the_dead_is_removed(store: Store) -> None:
    parts = store.tracking.spool / f"{spool.PART}{replace(me(), started=1.0).key}-run"
    mine = store.tracking.spool / f"{spool.PART}{me().key}-run"
    for folder in (parts, mine):
        (folder / "files").mkdir(parents=True)
    deliver(store)
    assert not parts.exists() and mine.exists()


def test_files_without_entry_of_the_dead_are_removed(store: Store) -> None:
    """The process died after the files of a result and before the entry that makes them count."""
    dead, living = (
        store.tracking.spool / SWEEP / f"{who.key}-x-y"
        for who in (replace(me(), started=1.0), me())
    )
    for folder in (dead, living):
        folder.mkdir(parents=True)
        (folder / "curve.parquet").write_bytes(b"-")
    dead.with_name(f"{dead.name}.part").write_bytes(b"{")
    assert deliver(store) == 0
    assert [path.name for path in dead.parent.iterdir()] == [living.name]


COMING_AND_GOING = """
import sys
from pathlib import Path

spool = Path(sys.argv[1])
print(flush=True)
while True:
    try:
        (spool / "sweep").mkdir(parents=True, exist_ok=True)
        (spool / "sweep").rmdir()
        spool.rmdir()
    except OSError:
        continue
"""


def test_folders_that_others_remove_meanwhile_are_no_mistake(store: Store) -> None:
    process = start_script(COMING_AND_GOING, store.tracking.spool)
    try:
        assert process.stdout is not None and process.stdout.readline()
        for _ in range(700):
            assert list(waiting(store)) == []
            assert deliver(store) == 0
            with spool.staging(store):
                pass
        assert process.poll() is None
    finally:
        process.kill()
        process.communicate()


def test_unreadable_entry_is_left_alone(store: Store, said: list[str]) -> None:
    path = spool.entry_of(store.tracking.spool / SWEEP / "x")
    path.parent.mkdir(parents=True)
    for content in (b"", b"{}", b"[1]", b"\xff", b'{"metrics": [[1]]}'):
        path.write_bytes(content)
        assert deliver(store) == 0
    assert len(said) == 5 and path.exists()


def test_entry_survives_its_text() -> None:
    points = (Point("error", 5e-324, 3), Point("x", 1.7976931348623157e308, 0))
    entry = Entry("d", None, None, "n", {"lr": "é"}, {"t": "\n"}, points, "KILLED", 1, 2)
    assert Entry.from_json(entry.to_json()) == entry


def test_delivery_name_stays_inside_the_spool(store: Store) -> None:
    for delivery in ("../../../x/y/z", "..", "/etc/x", "a"):
        entry = Entry(delivery, None, None, "n", {}, {}, (), "KILLED", 1, 2)
        folder = spool.save(store, entry, {})
        assert folder.resolve().is_relative_to(store.tracking.spool)


def test_full_disk_is_one_sentence_and_leaves_no_part(store: Store, sweep: str) -> None:
    """A limit on the size of files stands for a full disk: the write fails the same way."""
    import resource

    run_id = begin(store, sweep)
    before = tree(store.tracking.outputs)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
    try:
        with pytest.raises(StoreError, match="the disk is full"):
            write.record(store, run_id, result(), CONFIG)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    after = tree(store.tracking.outputs)
    assert set(after) == set(before)
    assert write.record(store, run_id, result(), CONFIG)  # once there is space


def test_silent_server_does_not_stop_the_training(
    store: Store, sweep: str, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The calls fail as they do when a server is gone; the real one is in test_server."""
    real = Store.call

    def gone(self: Store, action: object) -> None:
        raise UnreachableError("http://127.0.0.1:9 does not answer.")

    monkeypatch.setattr(Store, "call", gone)
    run_id = begin(store, sweep)
    assert run_id.startswith("waiting-")
    assert write.record(store, run_id, result(), CONFIG) is False
    assert store.waiting == 1 and len(list(waiting(store))) == 1
    monkeypatch.setattr("sweep.tracking.deliver.SERVER_RETURNS", 0.0)
    with pytest.raises(StoreError, match="1 results wait"):
        await_delivery(store)
    monkeypatch.setattr(Store, "call", real)
    await_delivery(store)
    assert store.waiting == 0 and not store.tracking.spool.exists()
    (run,) = read.sweep_runs(store, SWEEP)
    assert (run.status, run.name) == ("FINISHED", "a")
