"""Who works on what: the living are never touched, what the dead left is closed."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sweep.errors import StoreBusyError, StoreError
from sweep.tracking import read
from sweep.tracking.locks import (
    EXPIRY,
    HEARTBEAT,
    Beat,
    acquire,
    close_abandoned,
    is_held,
    recover,
    release,
)
from sweep.tracking.session import Session, check_same_cells, create_sweep
from sweep.tracking.store import Store, open_store
from tests.processes import finish, start
from tests.tracking.support import (
    CONFIG,
    PARAMS,
    SIGNATURE,
    SWEEP,
    plan,
    record_of,
    result,
    saved,
    start_run,
    start_script,
)

LOCK = f"sweeps/{SWEEP}/lock"
OTHER = Beat(LOCK, "elsewhere", "another machine", 4242, 1.0, 0.0)
"""A process on another machine."""

HOLDING = """
import os, sys, time
from pathlib import Path
from sweep.tracking import results
from sweep.tracking.session import Session
from sweep.config.settings import Tracking
from tests.tracking.support import CONFIG, SIGNATURE, SWEEP, plan, record_of, result, saved

session = Session(lambda: False, os.getpid())
session.open_store(Tracking(kind="local", outputs=Path(sys.argv[1])))
parent = session.start_sweep(SWEEP, plan("done", "open", "not begun"), {})
def record(name):
    return record_of(session.store, name, sweep_id=SWEEP, parent_run_id=parent,
        tags={"sweep.signature": SIGNATURE})
session.start_run(record("open"))
session.finish_runs([saved(session.store, record("done"), result())])
print(flush=True)
time.sleep(600)
"""


@pytest.fixture
def held(store: Store) -> Iterator[tuple[Store, subprocess.Popen[str]]]:
    """Yield a store and a living process that works on a sweep in it."""
    process = start_script(HOLDING, store.tracking.outputs)
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline(), process.stderr.read()
    yield store, process
    process.kill()
    process.communicate()


def begin(store: Store, parent: str, name: str = "a", beat: Beat | None = None) -> str:
    run_id = start_run(
        store, name=name, tags={"sweep.signature": SIGNATURE}, sweep_id=SWEEP, parent_run_id=parent
    )
    if beat is not None:
        write_beat(store, run_id, beat)
    return run_id


def write_beat(store: Store, run_id: str, beat: Beat, ago: float = 0.0) -> None:
    """Write a heartbeat as the other process would have some time ago."""
    text = json.dumps({**json.loads(beat.to_json()), "time": time.time() - ago})
    store.client.set_tag(run_id, HEARTBEAT, text)


def on_server(store: Store) -> Store:
    """Return the store as clients of a server see it, who share no disk with each other."""
    return replace(
        store,
        tracking=store.tracking.model_copy(
            update={"kind": "server", "uri": store.tracking.address}
        ),
    )


def claimer(store: Store) -> Session:
    made = Session(lambda: False, os.getpid())
    made.store = store
    return made


def status(store: Store, run_id: str) -> str:
    return str(store.client.get_run(run_id).info.status)


def statuses(store: Store) -> dict[str, str]:
    runs = store.client.search_runs([store.experiment_id])
    return {run.info.run_name: run.info.status for run in runs}


def test_living_process_keeps_its_runs_and_a_killed_one_loses_them(
    held: tuple[Store, subprocess.Popen[str]],
) -> None:
    store, process = held
    assert recover(store) == []
    running = {"done": "FINISHED", "open": "RUNNING", SWEEP: "RUNNING"}
    assert statuses(store) == running
    with pytest.raises(StoreBusyError, match=f"process {process.pid} on "):
        claimer(store).lock_sweep(SWEEP)
    process.kill()
    process.wait()
    assert len(recover(store)) == 1
    assert statuses(store) == {**running, "open": "KILLED", SWEEP: "KILLED"}
    open_run = next(run for run in read.sweep_runs(store, SWEEP) if run.name == "open")
    assert open_run.outcome == "interrupted"
    # From the plan: its process could not write them.
    assert open_run.params == PARAMS and open_run.config() == CONFIG
    assert recover(store) == []
    claimer(store).lock_sweep(SWEEP)  # a dead holder hinders nobody


def test_reading_closes_nothing(store: Store) -> None:
    parent = create_sweep(store, SWEEP, plan("a"), {HEARTBEAT: OTHER.to_json()})
    reader = open_store(store.tracking, mode="read")
    assert recover(reader) == []
    assert status(store, parent) == "RUNNING"
    assert close_abandoned(store) == [parent]


def test_own_runs_are_not_closed(store: Store) -> None:
    ours = claimer(store)
    parent = ours.start_sweep(SWEEP, plan("a"), {})
    run = begin(store, parent)
    for above in (run, "0" * 32):  # as training code makes them by start_run(nested=True)
        tags = {"mlflow.parentRunId": above}
        nested = store.client.create_run(store.experiment_id, tags=tags, run_name=above[:3])
    assert close_abandoned(store) == []
    ours._held.close()
    assert len(close_abandoned(store)) == 3
    assert status(store, nested.info.run_id) == "RUNNING", "its parent run is none of ours"


@pytest.mark.parametrize("content", [bytes(40), b'{"cells": null}', b'{"cells": [1]}'])
def test_damaged_plan_keeps_nothing_open(content: bytes, store: Store) -> None:
    ours = claimer(store)
    parent = ours.start_sweep(SWEEP, plan("a"), {})
    run = begin(store, parent)
    (store.tracking.artifacts / parent / "artifacts" / "plan.json").write_bytes(content)
    ours.collect_runs(SWEEP, False)
    ours.save_views()
    assert ours.finish_sweep("KILLED", {}), "the page is arranged"
    ours._held.close()
    assert close_abandoned(store) == [run]
    assert (status(store, parent), status(store, run)) == ("KILLED", "KILLED")


@pytest.mark.parametrize("change", [{"started": -5.0}, {"pid": 2**22 + 1}])
def test_process_of_this_machine_that_is_gone(change: dict[str, float], store: Store) -> None:
    """Its number is used again by another process; there is no such number."""
    server = on_server(store)
    mine = Beat.of("runs/x/lock", os.getpid())
    assert replace(mine, time=time.time()).is_alive(server.tracking)
    gone = replace(replace(mine, time=time.time()), **change)  # type: ignore[arg-type]
    assert not gone.is_alive(server.tracking)


def test_other_machine_is_left_alone_until_it_is_silent_for_long(store: Store) -> None:
    server = on_server(store)
    parent = create_sweep(store, SWEEP, plan("a"), {})
    write_beat(store, parent, OTHER)
    child = begin(store, parent)
    assert close_abandoned(server) == []
    with pytest.raises(StoreBusyError, match="process 4242 on elsewhere"):
        claimer(server).lock_sweep(SWEEP)
    write_beat(store, parent, OTHER, ago=EXPIRY + 60)
    assert close_abandoned(server) == [child, parent]


def test_job_of_a_launcher_keeps_its_sweep(store: Store) -> None:
    """Ctrl-C ends the driver and not what a scheduler has started: nobody trains beside it."""
    server = on_server(store)
    parent = create_sweep(store, SWEEP, plan("a", "b"), {})
    write_beat(store, parent, OTHER, ago=EXPIRY + 60)
    job = begin(store, parent, "a", replace(OTHER, lock=f"sweeps/{SWEEP}/job-0.lock"))
    left = begin(store, parent, "b")
    assert close_abandoned(server) == [left]
    assert (status(store, parent), status(store, job)) == ("RUNNING", "RUNNING")
    store.client.set_terminated(parent, "KILLED")
    with pytest.raises(StoreBusyError, match="process 4242 on elsewhere"):
        claimer(server).lock_sweep(SWEEP)
    write_beat(store, job, OTHER, ago=EXPIRY + 60)
    assert close_abandoned(server) == [job]


def test_runs_of_other_programs_are_not_touched(store: Store) -> None:
    run = store.client.create_run(store.experiment_id)
    odd = store.client.create_run(
        store.experiment_id, tags={"sweep.role": "run", HEARTBEAT: "[1]", "sweep.id": "'"}
    )
    assert close_abandoned(store) == []
    assert {status(store, each.info.run_id) for each in (run, odd)} == {"RUNNING"}


def test_heartbeat_is_a_record_that_names_a_lock_below_outputs() -> None:
    texts = ["", "null", "[]", "{}", '{"pid": "x"}', "x" * 500]
    for lock in ("../../x/lock", "sweeps/../../x/lock", "/etc/lock", "sweeps/a"):
        texts.append(replace(OTHER, lock=lock).to_json())
    assert [Beat.read({HEARTBEAT: text}) for text in texts] == [None] * 10


def test_heartbeat_is_renewed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweep.tracking.locks.BEAT", 0.01)
    ours = claimer(on_server(store))
    parent = ours.start_sweep(SWEEP, plan("a"), {})
    before = store.client.get_run(parent).data.tags[HEARTBEAT]
    while store.client.get_run(parent).data.tags[HEARTBEAT] == before:
        time.sleep(0.01)
    ours._held.close()


CLOSING = """
import sys
from pathlib import Path
from sweep.tracking.locks import close_abandoned
from sweep.config.settings import Tracking
from sweep.tracking.store import open_store

store = open_store(Tracking(kind="local", outputs=Path(sys.argv[1])), mode="write")
print(flush=True)
while not Path("gate").exists():
    pass
print(len(close_abandoned(store)))
"""


@pytest.mark.slow
def test_two_commands_close_what_was_left_open(store: Store, tmp_path: Path) -> None:
    parent = create_sweep(store, SWEEP, plan(*map(str, range(30))), {HEARTBEAT: "gone"})
    for number in range(30):
        begin(store, parent, str(number))
    command = [sys.executable, "-c", CLOSING, store.tracking.outputs]
    both = [start(command, tmp_path) for _ in range(2)]
    for process in both:
        assert process.stdout is not None and process.stdout.readline()
    (tmp_path / "gate").touch()
    ended = [finish(process, 120) for process in both]
    assert [one.code for one in ended] == [0, 0], ended
    assert sum(int(one.out) for one in ended) == 31
    assert {run.status for run in read.sweep_runs(store, SWEEP)} == {"KILLED"}


def test_two_that_look_at_a_lock_at_once_do_not_take_each_other_for_its_holder(
    tmp_path: Path,
) -> None:
    path = tmp_path / "lock"
    assert not is_held(path)
    held = acquire(path, 0)
    assert held is not None
    held.release()
    with path.open("rb") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)  # as the other one does while it looks
        assert not is_held(path)
    lock = acquire(path, 0)
    assert lock is not None and is_held(path)
    assert acquire(path, 0) is None
    release(lock, path)
    assert not is_held(path) and not path.exists()


def test_lock_whose_file_is_removed_while_it_is_waited_for_is_taken_again(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first = acquire(path, 0)
    assert first is not None
    threading.Timer(0.2, release, (first, path)).start()
    second = acquire(path, 10)
    assert second is not None and acquire(path, 0) is None
    second.release()


def test_lock_that_cannot_be_made_is_one_sentence(store: Store) -> None:
    """A folder in its place stands for a file system without locks."""
    (store.tracking.outputs / LOCK).mkdir(parents=True)
    with pytest.raises(StoreError, match="cannot be locked"):
        claimer(store).start_sweep(SWEEP, plan("a"), {})
    create_sweep(store, SWEEP, plan("a"), {HEARTBEAT: OTHER.to_json()})
    (store.tracking.locks / "recover.lock").mkdir(parents=True)
    with pytest.raises(StoreError, match="cannot be locked"):
        recover(store)


def test_plan_that_was_read_before_another_command_added_cells_is_refused(store: Store) -> None:
    create_sweep(store, SWEEP, plan("a", "b"), {})
    check_same_cells(store, SWEEP, plan("a", "b", "c"))
    with pytest.raises(StoreBusyError, match="got other cells"):
        check_same_cells(store, SWEEP, plan("a"))


def test_resume_needs_space_for_what_is_left_and_leaves_the_sweep_as_it_was(store: Store) -> None:
    parent = create_sweep(store, SWEEP, plan("a"), {})
    store.client.set_terminated(parent, "KILLED")
    ours = claimer(store)
    ours.lock_sweep(SWEEP)
    with pytest.raises(StoreError, match="MB are free and the plan needs"):
        ours.resume_sweep(SWEEP, plan("a"), 10**18)
    assert status(store, parent) == "KILLED"
    ours.resume_sweep(SWEEP, plan("a"), 1)
    assert status(store, parent) == "RUNNING"
    ours._held.close()


def test_result_of_a_process_that_was_taken_for_gone_counts(store: Store) -> None:
    """It was closed by another command, and comes back with its result."""
    parent = create_sweep(store, SWEEP, plan("a"), {HEARTBEAT: OTHER.to_json()})
    ours = claimer(store)
    ours.parent_run_id = parent
    record = record_of(store, "a", sweep_id=SWEEP, parent_run_id=parent)
    ours.start_run(record)
    assert len(close_abandoned(store)) == 2
    ours.finish_runs([saved(store, record, result())])
    (run,) = read.sweep_runs(store, SWEEP)
    assert (run.status, run.outcome) == ("FINISHED", "completed")
