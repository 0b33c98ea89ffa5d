"""Who holds what: the living are never touched, what the dead left is closed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from sweep.config.settings import settings
from sweep.engine import single
from sweep.errors import StoreBusyError, StoreError
from sweep.tracking import leases, read, spool, write
from sweep.tracking.claims import is_claimed
from sweep.tracking.deliver import EXPIRY
from sweep.tracking.holder import Holder, is_left_behind, me
from sweep.tracking.leases import claim, hold
from sweep.tracking.ledger import Ledger
from sweep.tracking.parent import check_same_cells
from sweep.tracking.recorder import Here
from sweep.tracking.store import Store, open_store
from sweep.tracking.tending import close_abandoned, tend
from sweep.training.history import CurvePart
from tests.configuration import configuration, spec
from tests.processes import ROOT, clean_environment
from tests.tracking.support import CONFIG, PARAMS, SIGNATURE, SWEEP, plan, result, start_script

OTHER = Holder("elsewhere", "boot", "space", 4242, 1.0)
"""A process on another machine."""

HOLDING = """
import sys
from pathlib import Path
from sweep.tracking import write
from sweep.tracking.leases import claim
from sweep.tracking.settings import Tracking
from sweep.tracking.store import open_store
from tests.tracking.support import CONFIG, PARAMS, SIGNATURE, SWEEP, plan, result

store = open_store(Tracking("local", Path(sys.argv[1])), mode="write")
with claim(store, SWEEP):
    parent = write.start_sweep(store, SWEEP, plan("done", "open", "not begun"), {})
    ids = []
    for name in ("done", "open"):
        ids.append(write.start_run(store, name=name, params=PARAMS,
            tags={"sweep.signature": SIGNATURE}, sweep_id=SWEEP, parent_run_id=parent))
    write.record(store, ids[0], result(), CONFIG)
    alone = write.start_run(store, name="alone", params=PARAMS, tags={})
    print(alone, flush=True)
    sys.stdin.read() if sys.stdin else None
    import time
    time.sleep(600)
"""


@pytest.fixture
def held(store: Store) -> Iterator[tuple[Store, object]]:
    """Yield a store and a living process that holds a sweep and a single run in it."""
    process = start_script(HOLDING, store.tracking.outputs)
    assert process.stdout is not None and process.stderr is not None
    line = process.stdout.readline()
    assert line, process.stderr.read()
    yield store, process
    process.kill()
    process.communicate()


def begin(store: Store, parent: str | None, name: str, holder: Holder | None = None) -> str:
    run_id = write.start_run(
        store,
        name=name,
        params=PARAMS,
        tags={"sweep.signature": SIGNATURE},
        sweep_id=SWEEP if parent else None,
        parent_run_id=parent,
    )
    if holder is not None:
        store.client.set_tag(run_id, "sweep.holder" if parent else "sweep.lease", told(holder))
    return run_id


def told(holder: Holder, ago: float = 0.0) -> str:
    return json.dumps({**asdict(holder), "time": time.time() - ago})


def status(store: Store, run_id: str) -> str:
    return str(store.client.get_run(run_id).info.status)


def statuses(store: Store) -> dict[str, str]:
    return {
        run.info.run_name: run.info.status
        for run in store.client.search_runs([store.experiment_id])
    }


def test_living_process_keeps_its_runs_and_a_killed_one_loses_them(held) -> None:  # type: ignore[no-untyped-def]
    store, process = held
    assert tend(store) == []
    running = {"done": "FINISHED", "open": "RUNNING", "alone": "RUNNING", SWEEP: "RUNNING"}
    assert statuses(store) == running
    with pytest.raises(StoreBusyError, match=f"process {process.pid} on "):
        with claim(store, SWEEP):
            pass
    sweep = read.find_sweep(store, SWEEP)
    process.kill()
    process.wait()
    with claim(store, SWEEP, sweep.run_id):  # a dead holder hinders nobody
        pass
    assert len(tend(store)) == 1
    assert statuses(store) == {**running, "open": "KILLED", "alone": "KILLED", SWEEP: "KILLED"}
    open_run = next(run for run in read.sweep_runs(store, SWEEP) if run.name == "open")
    assert open_run.outcome == "interrupted"
    # From the plan: its process could not write them.
    assert open_run.params == PARAMS and open_run.config() == CONFIG
    assert tend(store) == []


def test_reading_closes_nothing(store: Store) -> None:
    run_id = begin(store, None, "open", replace(me(), boot="another"))
    reader = open_store(store.tracking, mode="read")
    assert tend(reader) == [] and close_abandoned(reader) == []
    assert status(store, run_id) == "RUNNING"
    assert close_abandoned(store) == [run_id]


def test_own_runs_are_not_closed(store: Store) -> None:
    parent = write.start_sweep(store, SWEEP, plan("a"), {})
    begin(store, parent, "a")
    begin(store, None, "alone")
    assert close_abandoned(store) == []


@pytest.mark.parametrize(
    "change", [{"boot": "before the last one"}, {"started": -5.0}, {"pid": 2**22 + 1}]
)
def test_process_of_this_machine_that_is_gone(change: dict[str, object], store: Store) -> None:
    """Rebooted since; its number used again by another process; no such number."""
    gone = replace(me(), **change)
    run_id = begin(store, None, "left", gone)
    assert close_abandoned(store) == [run_id]


def test_other_machine_is_left_alone_until_its_lease_is_old(store: Store) -> None:
    parent = write.start_sweep(store, SWEEP, plan("a"), {})
    store.client.set_tag(parent, "sweep.lease", told(OTHER))
    child = begin(store, parent, "a", OTHER)
    single = begin(store, None, "single", OTHER)
    assert close_abandoned(store) == []
    with pytest.raises(StoreBusyError, match="process 4242 on elsewhere"):
        with claim(store, SWEEP, parent):
            pass
    store.client.set_tag(parent, "sweep.lease", told(OTHER, ago=EXPIRY + 60))
    store.client.set_tag(single, "sweep.lease", told(OTHER, ago=EXPIRY + 60))
    # The child was begun a moment ago, so its process was heard of then.
    assert close_abandoned(store) == [single]
    assert status(store, parent) == "RUNNING"
    store.client.set_tag(child, "sweep.holder", told(replace(me(), boot="before")))
    assert close_abandoned(store) == [child, parent]


def test_containers_of_one_machine_do_not_know_each_other(store: Store) -> None:
    neighbour = replace(me(), space="pid:[1]", pid=7)
    run_id = begin(store, None, "theirs", neighbour)
    assert close_abandoned(store) == []
    assert status(store, run_id) == "RUNNING"


def test_job_of_a_launcher_keeps_its_sweep_open(store: Store) -> None:
    """The driver is gone, a job that it started elsewhere is not."""
    parent = write.start_sweep(store, SWEEP, plan("a", "b"), {})
    store.client.set_tag(parent, "sweep.lease", told(replace(me(), boot="before")))
    with hold(store, parent, beside=True):
        begin(store, parent, "a")
        left = begin(store, parent, "b", replace(me(), boot="before"))
        assert close_abandoned(store) == [left]
        assert status(store, parent) == "RUNNING"


def test_runs_of_other_programs_are_not_touched(store: Store) -> None:
    run = store.client.create_run(store.experiment_id)
    odd = store.client.create_run(
        store.experiment_id, tags={"sweep.role": "run", "sweep.holder": "[1]", "sweep.id": "'"}
    )
    assert close_abandoned(store) == []
    assert {status(store, each.info.run_id) for each in (run, odd)} == {"RUNNING"}


def test_result_that_waits_is_delivered_and_not_closed(store: Store) -> None:
    """The process died between its spool and the store."""
    parent = write.start_sweep(store, SWEEP, plan("a"), {})
    run_id = begin(store, parent, "a")
    entry = write._started(store, run_id).entry("completed")
    dead = told(replace(me(), boot="before"))
    entry = replace(entry, tags={**entry.tags, "sweep.holder": dead})
    store.client.set_tag(run_id, "sweep.holder", dead)
    spool.save(store, entry, {"traceback.txt": b"x"})
    assert close_abandoned(store) == []
    assert len(tend(store)) == 1
    assert status(store, run_id) == "FINISHED"


def test_lease_is_renewed_while_it_is_held(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = write.start_sweep(store, SWEEP, plan("a"), {})
    before = store.client.get_run(parent).data.tags["sweep.lease"]
    monkeypatch.setattr(leases, "RENEWAL", 0.0)
    with hold(store, parent):
        while store.client.get_run(parent).data.tags["sweep.lease"] == before:
            time.sleep(0.01)


def test_single_run_that_is_seen_while_it_trains_renews_its_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "RENEWAL", 0.0)
    row = single._Row(spec(), settings({**configuration(), "outputs": "outputs"}, tmp_path))
    with row:
        row.show(CurvePart(np.arange(3), np.array([0.5, 0.4, 0.3]), None))
        assert row._made is not None
        store, run_id = row._made
        before = store.client.get_run(run_id).data.tags["sweep.lease"]
        while store.client.get_run(run_id).data.tags["sweep.lease"] == before:
            time.sleep(0.01)


def test_job_that_outlives_its_driver_keeps_its_sweep(store: Store) -> None:
    """Ctrl-C ends the driver and not what a scheduler has started: nobody trains beside it."""
    parent = write.start_sweep(store, SWEEP, plan("a"), {})
    store.client.set_tag(parent, "sweep.lease.job", told(OTHER))
    store.client.set_terminated(parent, "KILLED")
    with pytest.raises(StoreBusyError, match="process 4242 on elsewhere"):
        with claim(store, SWEEP, parent):
            pass
    store.client.set_tag(parent, "sweep.lease.job", told(OTHER, EXPIRY + 1))
    store.client.set_tag(parent, "sweep.lease", told(OTHER))  # the driver's own: it has ended
    with claim(store, SWEEP, parent):
        pass


CLOSING = """
import sys
from pathlib import Path
from sweep.tracking.settings import Tracking
from sweep.tracking.store import open_store
from sweep.tracking.tending import close_abandoned

store = open_store(Tracking("local", Path(sys.argv[1])), mode="write")
print(flush=True)
sys.stdin.readline()
print(len(close_abandoned(store)))
"""


def test_two_commands_close_what_was_left_open(store: Store) -> None:
    parent = write.start_sweep(store, SWEEP, plan(*map(str, range(30))), {})
    gone = replace(me(), started=1.0)
    for number in range(30):
        begin(store, parent, str(number), gone)
    command = [sys.executable, "-c", CLOSING, str(store.tracking.outputs)]
    both = [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=clean_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in both:
        assert process.stdout is not None and process.stdout.readline()
    for process in both:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    ended = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], ended
    assert sum(int(out) for out, _ in ended) == 30
    assert {run.status for run in read.sweep_runs(store, SWEEP)} == {"KILLED"}


def test_claim_of_a_new_sweep_is_free_again_afterwards(store: Store) -> None:
    for _ in range(2):
        with claim(store, SWEEP):
            parent = write.start_sweep(store, SWEEP, plan("a"), {})
    with claim(store, SWEEP, parent):
        write.reopen_sweep(store, parent)
    assert status(store, parent) == "RUNNING"


def test_plan_that_was_read_before_another_command_added_cells_is_refused(store: Store) -> None:
    write.start_sweep(store, SWEEP, plan("a", "b"), {})
    check_same_cells(store, SWEEP, plan("a", "b", "c"))
    with pytest.raises(StoreBusyError, match="got other cells"):
        check_same_cells(store, SWEEP, plan("a"))


def test_resume_needs_space_for_what_is_left_and_leaves_the_sweep_as_it_was(store: Store) -> None:
    parent = write.start_sweep(store, SWEEP, plan("a"), {})
    store.client.set_terminated(parent, "KILLED")
    with Here(print, lambda: False) as recorder:
        recorder.ask(Ledger.open, store.tracking, 0, SWEEP, parent)
        with pytest.raises(StoreError, match="MB are free and the plan needs"):
            recorder.ask(Ledger.resume, parent, plan("a"), 10**18)
        assert status(store, parent) == "KILLED"
        recorder.ask(Ledger.resume, parent, plan("a"), 1)
    assert status(store, parent) == "RUNNING"


def test_holder_survives_its_texts() -> None:
    assert Holder.from_json(me().to_json()) == me()
    assert Holder.from_json(told(me())) == me()
    for text in ("", "null", "[]", "{}", '{"pid": "x"}', "x" * 500):
        assert Holder.from_json(text) is None
    assert is_left_behind(me().key) is False
    assert is_left_behind(replace(me(), started=1.0).key) is True
    assert is_left_behind(OTHER.key) is None
    assert is_left_behind("anything") is None


def test_finished_run_is_recorded_once_though_closed_by_another(store: Store) -> None:
    """A process that was taken for gone comes back with its result: the result counts."""
    parent = write.start_sweep(store, SWEEP, plan("a"), {})
    run_id = begin(store, parent, "a", replace(me(), boot="before"))
    assert close_abandoned(store) == [run_id]
    assert write.record(store, run_id, result(), CONFIG)
    (run,) = read.sweep_runs(store, SWEEP)
    assert (run.status, run.outcome) == ("FINISHED", "completed")


def test_lock_that_cannot_be_made_is_one_sentence(store: Store) -> None:
    """A folder in its place stands for a lock file that is not ours to open."""
    (store.tracking.locks / f"{SWEEP}.lock").mkdir(parents=True)
    with pytest.raises(StoreError, match="cannot be locked"):
        with claim(store, SWEEP):
            pass
    assert is_claimed(store.tracking, SWEEP)  # nobody can tell, so it is left alone
