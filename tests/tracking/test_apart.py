"""The process that records for a command: it answers in order, and ends with it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from sweep.errors import StoreError
from sweep.tracking import read
from sweep.tracking.apart import Apart, apart
from sweep.tracking.ending import ending_of
from sweep.tracking.ledger import Ledger
from sweep.tracking.messages import Recorded
from sweep.tracking.settings import Tracking
from sweep.tracking.store import open_store
from tests.tracking.support import CONFIG, PARAMS, SIGNATURE, SWEEP, plan, result

LAST = 60.0


def never() -> bool:
    return False


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def recorder(said: list[str]) -> Iterator[Apart]:
    with apart(said.append, never) as made:
        yield made


@pytest.fixture
def tracking(tmp_path: Path) -> Tracking:
    return Tracking("local", tmp_path / "outputs")


def begin(recorder: Apart, tracking: Tracking, *names: str) -> None:
    recorder.ask(Ledger.open, tracking, 0, SWEEP, None)
    recorder.ask(Ledger.begin, plan(*names), {})
    for key, name in enumerate(names):
        recorder.tell(Ledger.start, key, name, PARAMS, {"sweep.signature": SIGNATURE}, True)


def all_news(recorder: Apart, count: int) -> list[Any]:
    news: list[Any] = []
    until = time.monotonic() + LAST
    while len(news) < count and time.monotonic() < until:
        news += recorder.news(0.1)
    return news


def servant(recorder: Apart) -> psutil.Process:
    return psutil.Process(recorder._process.pid)


def test_answer_that_nobody_waits_for_any_more_is_no_news(
    recorder: Apart, tracking: Tracking
) -> None:
    """A signal ended the waiting: what is asked next must not meet that answer."""
    begin(recorder, tracking, *"ab")
    recorder.begin(Ledger.gather, 2)
    recorder.ask(Ledger.kill_started)
    assert list(recorder.news()) == []
    recorder.tell(Ledger.start, 7, "c", PARAMS, {"sweep.signature": SIGNATURE}, True)
    recorder.tell(Ledger.record, 7, ending_of(result(), CONFIG))
    (recorded,) = all_news(recorder, 1)
    assert recorded.key == 7


def test_runs_are_recorded_in_order_and_gathered(recorder: Apart, tracking: Tracking) -> None:
    begin(recorder, tracking, *"abc")
    for key in range(3):
        recorder.tell(Ledger.record, key, ending_of(result(), CONFIG))
    news = all_news(recorder, 3)
    assert [one.key for one in news] == [0, 1, 2] and not any(one.gone for one in news)
    sweep, runs, said = recorder.ask(Ledger.gather, 3)
    assert (sweep.sweep_id, said) == (SWEEP, [])
    assert [(run.name, run.status) for run in runs] == [(name, "FINISHED") for name in "abc"]
    assert [run.run_id for run in runs] == [one.run_id for one in news]
    assert len(runs[0].curve()[0]) == 1001, "its files can be read from here"
    recorder.ask(Ledger.finish, "FINISHED")
    store = open_store(tracking, mode="read")
    assert read.find_sweep(store, SWEEP).status == "FINISHED"


def test_run_that_trains_on_is_created_by_itself(recorder: Apart, tracking: Tracking) -> None:
    begin(recorder, tracking, "a")
    store = open_store(tracking, mode="read")
    until = time.monotonic() + LAST
    while not (runs := read.sweep_runs(store, SWEEP)):
        assert time.monotonic() < until
        time.sleep(0.1)
    assert [(run.name, run.status, run.outcome) for run in runs] == [("a", "RUNNING", None)]
    recorder.ask(Ledger.kill_started)
    (run,) = read.sweep_runs(store, SWEEP)
    assert (run.status, run.outcome, run.params) == ("KILLED", "interrupted", PARAMS)
    assert run.config() == CONFIG


def test_run_that_was_begun_a_moment_ago_is_killed(recorder: Apart, tracking: Tracking) -> None:
    begin(recorder, tracking, "a", "b")
    recorder.tell(Ledger.record, 0, ending_of(result(), CONFIG))
    recorder.ask(Ledger.kill_started)
    runs = read.sweep_runs(open_store(tracking, mode="read"), SWEEP)
    assert [run.status for run in runs] == ["FINISHED", "KILLED"]


def test_deleted_run_is_told_and_kept(recorder: Apart, tracking: Tracking) -> None:
    begin(recorder, tracking, "a")
    store = open_store(tracking, mode="write")
    until = time.monotonic() + LAST
    while not (runs := read.sweep_runs(store, SWEEP)):
        assert time.monotonic() < until
        time.sleep(0.1)
    store.client.delete_run(runs[0].run_id)
    recorder.tell(Ledger.record, 0, ending_of(result(), CONFIG))
    (recorded,) = all_news(recorder, 1)
    assert isinstance(recorded, Recorded) and "restore" in str(recorded.gone)
    assert list(tracking.spool.rglob("*.json"))


def test_what_the_store_refuses_is_raised_as_it_is(recorder: Apart, tracking: Tracking) -> None:
    tracking.outputs.mkdir()
    tracking.database.write_text("no database")
    with pytest.raises(StoreError, match="is not a SQLite database"):
        recorder.ask(Ledger.open, tracking, 0, SWEEP, None)


def test_mistake_of_ours_is_raised_with_its_traceback(recorder: Apart) -> None:
    recorder.tell(Ledger.kill_started)  # nothing is open
    with pytest.raises(StoreError, match="AttributeError.*resume=last") as raised:
        all_news(recorder, 1)
    assert "in kill_started" in raised.value.__notes__[0], "the whole traceback is kept"


def test_refusal_of_what_was_told_is_raised_and_what_follows_is_done(
    recorder: Apart, tracking: Tracking
) -> None:
    begin(recorder, tracking, "a")
    for _ in range(2):
        recorder.tell(Ledger.record, 7, ending_of(result(), CONFIG))  # no such run was started
    recorder.tell(Ledger.record, 0, ending_of(result(), CONFIG))
    with pytest.raises(StoreError, match="KeyError"):
        recorder.ask(Ledger.kill_started)
    recorder.ask(Ledger.finish, "KILLED")  # one's own answer again
    assert [one.key for one in recorder.news()] == [0]
    store = open_store(tracking, mode="read")
    assert [run.status for run in read.sweep_runs(store, SWEEP)] == ["FINISHED"]
    assert read.find_sweep(store, SWEEP).status == "KILLED"


def test_process_that_still_loads_ends_with_the_command_at_once() -> None:
    recorder = apart(print, never)
    process = servant(recorder)
    assert recorder._process.stdin is not None and recorder._process.stdout is not None
    recorder._process.stdin.close()
    process.wait(LAST)
    assert recorder._process.stdout.read() == b"", "it was asked nothing, and said nothing"
    recorder._process.wait()
    recorder._process.stdout.close()


def test_results_under_way_survive_the_command(tracking: Tracking) -> None:
    """The other end of the pipe is closed, as by SIGKILL, with many results in it."""
    recorder = apart(print, never)
    names = [str(number) for number in range(20)]
    begin(recorder, tracking, *names)
    process = servant(recorder)
    for key in range(20):
        recorder.tell(Ledger.record, key, ending_of(result(), CONFIG))
    assert recorder._process.stdin is not None and recorder._process.stdout is not None
    recorder._process.stdin.close()
    process.wait(LAST)
    recorder._process.wait()
    recorder._process.stdout.close()
    store = open_store(tracking, mode="read")
    assert {run.status for run in read.sweep_runs(store, SWEEP)} == {"FINISHED"}
    assert len(read.sweep_runs(store, SWEEP)) == 20


def test_death_of_the_process_is_told(recorder: Apart, tracking: Tracking) -> None:
    begin(recorder, tracking, "a")
    process = servant(recorder)
    process.kill()
    process.wait(LAST)  # dying, it could still be told something
    with pytest.raises(StoreError, match="died.*resume=last"):
        recorder.ask(Ledger.kill_started)
    with pytest.raises(StoreError, match="died"):
        recorder.tell(Ledger.kill_started)


def test_process_ends_with_the_block_and_gives_the_sweep_back(tracking: Tracking) -> None:
    for _ in range(2):  # the second finds no lock
        with apart(print, never) as recorder:
            process = servant(recorder)
            recorder.ask(Ledger.open, tracking, 0, SWEEP, None)
        assert not process.is_running()
    assert not list(tracking.locks.glob("*.json"))
    assert not tracking.database.with_name("mlflow.db-wal").exists()


def test_signals_of_the_terminal_do_not_reach_it(recorder: Apart, tracking: Tracking) -> None:
    recorder.ask(Ledger.open, tracking, 0, SWEEP, None)
    process = servant(recorder)
    assert os.getsid(process.pid) == process.pid
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        process.send_signal(signum)
    assert recorder.ask(Ledger.begin, plan("a"), {})


def test_locked_database_holds_nobody_up_who_is_in_a_hurry(
    tracking: Tracking, said: list[str]
) -> None:
    import sqlite3

    with apart(said.append, lambda: bool(said)) as recorder:  # in a hurry once it is told
        begin(recorder, tracking, "a")
        with sqlite3.connect(tracking.database, isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match="locked by another program"):
                recorder.ask(Ledger.record, 0, ending_of(result(), CONFIG))
            other.execute("ROLLBACK")
    assert "locked by another program" in said[0]
