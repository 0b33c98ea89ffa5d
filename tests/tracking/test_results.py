"""Result files: a finished run is on disk before the store, and in the store exactly once."""

from __future__ import annotations

import os
import resource
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sweep.errors import StoreError, UnreachableError
from sweep.tracking import read, results
from sweep.tracking.entities import Point
from sweep.tracking.locks import close_abandoned
from sweep.tracking.results import RunRecord
from sweep.tracking.runs import create_run, find_run, store_result
from sweep.tracking.session import Session, create_sweep, deduplicate_runs
from sweep.tracking.store import Store, open_store
from tests.tracking.support import (
    CONFIG,
    PARAMS,
    SIGNATURE,
    SWEEP,
    plan,
    record_of,
    result,
    saved,
    start_script,
    tree,
)

DYING = """
import os, sys
from pathlib import Path
from sweep.tracking import results, runs
from sweep.tracking.session import create_sweep
from sweep.config.settings import Tracking
from sweep.tracking.store import open_store
from tests.tracking.support import CONFIG, SIGNATURE, SWEEP, plan, record_of, result, saved

kill = lambda *a, **k: os.kill(os.getpid(), 9)
store = open_store(Tracking(kind="local", outputs=Path(sys.argv[1])), mode="write")
parent = create_sweep(store, SWEEP, plan(*"012345"), {})
for name in "012345":  # each dies in a fork, at a later step
    if os.fork() == 0:
        store = open_store(Tracking(kind="local", outputs=Path(sys.argv[1])), mode="write")
        record = record_of(store, name=name, sweep_id=SWEEP, parent_run_id=parent,
            tags={"sweep.signature": SIGNATURE})
        if name == "0": runs.create_run = kill
        if name == "1": store.client.log_batch = kill
        if name == "2": type(store.artifacts).put = kill
        if name == "3": store.client.set_terminated = kill
        if name == "5": os.rename = kill  # the temporary folder is incomplete
        path = saved(store, record, result(int(name) + 10))
        if name == "4": results.remove = kill
        runs.store_result(store, path, results.read(path), None)
    os.wait()
"""


@pytest.fixture
def parent(store: Store) -> str:
    """Return the parent run of a sweep of two grid points."""
    return create_sweep(store, SWEEP, plan("a", "b"), {})


@pytest.fixture
def session(store: Store) -> Session:
    """Return a session that has claimed the sweep, as `resume` does."""
    made = Session(lambda: False, os.getpid())
    made.open_store(store.tracking)
    return made


def of_sweep(store: Store, parent: str, name: str = "a") -> RunRecord:
    tags = {"sweep.signature": SIGNATURE}
    return record_of(store, name, tags=tags, sweep_id=SWEEP, parent_run_id=parent)


def completed(store: Store, record: RunRecord, iters: int = 1000) -> Path:
    return saved(store, record, result(iters))


@pytest.mark.slow
def test_killed_at_any_step_of_recording_loses_nothing(store: Store, session: Session) -> None:
    process = start_script(DYING, store.tracking.outputs)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    session.lock_sweep(SWEEP)
    folder = results.folder_of(store.tracking.outputs, f"sweeps/{SWEEP}")
    left = sorted(folder.iterdir())
    assert [path.name for path in left] == list("01234")
    finished = session.finish_runs(left)
    assert [(one.cell, one.state) for one in finished] == [(cell, "stored") for cell in range(5)]
    runs = read.sweep_runs(store, SWEEP, every=True)
    assert [run.name for run in runs] == list("01234"), "no run was created twice"
    for run in runs:
        expected = result(int(run.name) + 10)
        assert (run.status, run.outcome, run.params) == ("FINISHED", "completed", PARAMS)
        assert run.metrics["final_error"] == expected.final_error
        assert (run.curve()[1] == expected.errors).all()
        assert run.config() == CONFIG
        history = store.client.get_metric_history(run.run_id, "error")
        assert len(history) == len({point.step for point in history})
    folder.rmdir()


def test_result_of_a_grid_point_that_is_finished_is_not_stored_again(
    store: Store, parent: str, session: Session
) -> None:
    session.lock_sweep(SWEEP)
    first = of_sweep(store, parent)
    session.finish_runs([completed(store, first)])
    later = replace(first, start_time=first.start_time + 5000)  # another attempt
    (again,) = session.finish_runs([completed(store, later)])
    (run,) = read.sweep_runs(store, SWEEP, every=True)
    assert (again.state, again.run_id) == ("stored", run.run_id)


def test_attempt_after_an_interrupted_one_has_a_run_of_its_own(
    store: Store, parent: str, session: Session
) -> None:
    session.lock_sweep(SWEEP)
    first = of_sweep(store, parent)
    session.finish_runs([saved(store, first, None)])
    later = replace(first, start_time=first.start_time + 5000)
    another = Session(lambda: False, os.getpid())
    another.open_store(store.tracking)
    another.finish_runs([completed(store, later)])
    every = read.sweep_runs(store, SWEEP, every=True)
    assert [run.status for run in every] == ["KILLED", "FINISHED"]
    (run,) = deduplicate_runs(store, read.find_sweep(store, SWEEP))
    assert run.status == "FINISHED"


def test_run_that_was_created_and_whose_creation_was_not_answered_is_found(
    store: Store, parent: str, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The calls fail as they do when a server is gone; the real one is in test_server."""
    session.parent_run_id = parent
    path = completed(store, of_sweep(store, parent))
    real = Store.call

    def unanswered(self: Store, *arguments: Any) -> None:
        real(self, *arguments)
        raise UnreachableError("http://127.0.0.1:9 does not answer.")

    monkeypatch.setattr(Store, "call", unanswered)
    (one,) = session.finish_runs([path])
    assert one.state == "waiting" and path.exists()
    monkeypatch.setattr(Store, "call", real)
    (one,) = session.finish_runs([path])
    assert one.state == "stored" and not path.exists()
    (run,) = read.sweep_runs(store, SWEEP, every=True)
    assert (run.run_id, run.status) == (one.run_id, "FINISHED")


def test_deleted_run_keeps_its_result_until_it_is_stored_again(
    store: Store, parent: str, session: Session
) -> None:
    session.parent_run_id = parent
    record = of_sweep(store, parent)
    session.start_run(record)
    (run,) = read.sweep_runs(store, SWEEP)
    store.client.delete_run(run.run_id)
    path = completed(store, record)
    (one,) = session.finish_runs([path])
    assert one.state == "gone" and "restore" in one.problem and str(path) in one.problem
    assert (path / results.FILES / "curve.parquet").is_file()
    store.client.restore_run(run.run_id)
    session.lock_sweep(SWEEP)
    session.finish_runs([path])
    (again,) = read.sweep_runs(store, SWEEP, every=True)
    assert (again.run_id, again.status) == (run.run_id, "FINISHED")
    assert len(again.curve()[0]) == 1001


@pytest.mark.parametrize(
    ("name", "content"),
    [(name, content) for name in ("curve.parquet", "config.yaml") for content in (b"", None)]
    + [("../run.json", one) for one in (b"", None, b"{}", b"[1]", b"\xff", b'{"metrics": [[1]]}')],
)
def test_result_that_is_damaged_or_that_a_power_cut_left_empty_does_not_count(
    name: str, content: bytes | None, store: Store, parent: str, session: Session
) -> None:
    session.lock_sweep(SWEEP)
    path = completed(store, of_sweep(store, parent))
    (path / results.FILES / name).unlink()
    if content is not None:
        (path / results.FILES / name).write_bytes(content)
    assert results.read(path) is None
    (one,) = session.finish_runs([path])
    assert one.state == "damaged"
    assert read.sweep_runs(store, SWEEP) == []


def test_stored_run_whose_files_are_empty_is_not_finished(
    store: Store, parent: str, session: Session
) -> None:
    session.lock_sweep(SWEEP)
    session.finish_runs([completed(store, of_sweep(store, parent))])
    (run,) = read.sweep_runs(store, SWEEP)
    folder = store.tracking.artifacts / run.run_id / "artifacts"
    (folder / "stderr.txt").touch()  # that training code logged
    assert run.is_whole()
    (folder / "curve.parquet").write_bytes(b"")
    assert not run.is_whole()
    with pytest.raises(ValueError):
        run.curve()
    again = replace(of_sweep(store, parent), start_time=(run.start_time or 0) + 5000)
    session.finish_runs([completed(store, again)])
    (healed,) = deduplicate_runs(store, read.find_sweep(store, SWEEP))
    assert healed.run_id != run.run_id and healed.is_whole()
    assert [each.run_id for each in read.sweep_runs(store, SWEEP)] == [healed.run_id]


def test_record_survives_its_text(tmp_path: Path) -> None:
    points = (Point("error", 5e-324, 3), Point("x", 1.7976931348623157e308, 0))
    record = RunRecord("s", 7, "n\udc80", {"lr": "é"}, {"t": "\n"}, 1, 2, "completed", points)
    path = results.write(tmp_path, record, {"a": b"12"})
    assert results.read(path) == replace(record, sizes={"a": 2})
    assert path == tmp_path / "7"


def test_full_disk_is_one_sentence_and_leaves_no_part(store: Store, parent: str) -> None:
    """A limit on the size of files stands for a full disk: the write fails the same way."""
    record = of_sweep(store, parent)
    before = tree(store.tracking.outputs)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
    try:
        with pytest.raises(StoreError, match="the disk is full"):
            completed(store, record)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert set(tree(store.tracking.outputs)) == set(before)
    assert completed(store, record).exists()  # once there is space


def test_short_single_run_that_is_killed_while_it_is_stored_is_closed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise errors.pop(0)

    errors = [UnreachableError("x"), KeyboardInterrupt()]
    session = Session(lambda: False, os.getpid())
    session.open_store(store.tracking, run_lock="runs/x/lock")
    path = completed(store, record_of(store, "lr=1", tags={"sweep.signature": SIGNATURE}))
    with monkeypatch.context() as patch:
        patch.setattr("sweep.tracking.runs.create_run", fail)
        assert session.finish_runs([path])[0].state == "waiting"
    monkeypatch.setattr(type(store.artifacts), "put", fail)
    with pytest.raises(KeyboardInterrupt):
        session.finish_runs([path])
    assert close_abandoned(store) == [], "its lock is held"
    session._held.close()
    assert len(close_abandoned(store)) == 1


def test_single_run_is_found_by_its_signature_and_start(store: Store, session: Session) -> None:
    record = record_of(store, "lr=1", tags={"sweep.signature": SIGNATURE})
    run_id = create_run(store, record)
    later = replace(record, start_time=record.start_time + 1)
    assert find_run(store, record) == (run_id, False)
    assert find_run(store, later) == (None, False)
    path = completed(store, record)
    found = results.read(path)
    assert found is not None
    store_result(store, path, found, run_id)
    assert find_run(open_store(store.tracking, mode="read"), record) == (run_id, True)
