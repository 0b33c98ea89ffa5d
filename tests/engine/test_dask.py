"""Dask: the same works as for every backend, on a real scheduler, and workers that die."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import psutil
import pytest

from sweep.engine.backends import Backend, Done, Emit, Emitted, Stop, WorkerDied, WorkError, create
from sweep.errors import ConfigError, SweepError
from tests import processes
from tests.engine import test_backends as contract
from tests.engine.clusters import OWN, dask_cluster, wait_for
from tests.engine.test_backends import Count, collect, dies, ends, products, values

cloudpickle.register_pickle_by_value(sys.modules[__name__])

pytestmark = pytest.mark.dask


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of a scheduler with two workers, which come back when they die."""
    with dask_cluster(tmp_path_factory.mktemp("dask")) as found:
        yield found


def joined(address: str, workers: int | None = None) -> Backend:
    return create("dask", workers, {"address": address})


@pytest.mark.parametrize(
    "check",
    [
        contract.test_events_come_in_each_works_order,
        contract.test_no_work_is_no_event,
        contract.test_works_submitted_while_taking_events_are_done_too,
        contract.test_events_can_be_taken_again_after_a_break,
        contract.test_values_arrive_before_their_work_ends,
        contract.test_driver_is_woken_while_a_work_is_silent,
        contract.test_error_of_a_work_is_told_and_harms_no_other,
        contract.test_stop_reaches_works_that_run_and_works_that_wait,
        contract.test_close_ends_a_work_that_emits_for_ever,
        contract.test_works_that_emit_wait_for_the_driver,
        contract.test_one_blas_thread_while_works_run_and_as_before_afterwards,
    ],
    ids=lambda check: check.__name__.removeprefix("test_"),
)
def test_same_as_every_backend(
    check: Any, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contract, "create", lambda name, workers=None: joined(address, workers))
    if "tmp_path" in check.__code__.co_varnames[: check.__code__.co_argcount]:
        check("dask", tmp_path)
    else:
        check("dask")


def told_pid(emit: Emit, stop: Stop) -> None:
    emit(os.getpid())
    wait_for(stop)


def test_worker_killed_in_the_middle_of_its_task_costs_nothing_but_time(address: str) -> None:
    starts: list[Emitted] = []
    done = []
    with joined(address) as backend:
        backend.submit(0, told_pid)
        backend.submit(1, told_pid)
        for event in backend.events():
            if isinstance(event, Emitted):
                starts.append(event)
                if len(starts) == 2:
                    os.kill(event.value, signal.SIGKILL)
                if len(starts) == 3:
                    backend.stop()
            elif event is not None:
                done.append(event)
    neighbour, victim, again = starts
    assert (victim.key, again.key) == (again.key, 1 - neighbour.key)
    assert victim.value != again.value
    assert sorted(done, key=lambda end: end.key) == [Done(0), Done(1)]


def test_work_that_kills_every_worker_is_found_and_the_others_complete(address: str) -> None:
    with joined(address) as backend:
        for key, work in enumerate([Count(), dies, Count(), Count()]):
            backend.submit(key, work)
        events = collect(backend)
    done = ends(events)
    error = done.pop(1).error
    assert isinstance(error, WorkerDied)
    assert "native code that crashes" in str(error)
    assert [done[key].error for key in sorted(done)] == [None] * 3


def test_work_of_a_driver_that_is_killed_ends_too(address: str, tmp_path: Path) -> None:
    script = (
        "import os, signal, sys, time\n"
        "from pathlib import Path\n"
        "from sweep.engine.backends import create\n"
        "def work(emit, stop):\n"
        "    emit('started')\n"
        "    while not stop():\n"
        "        time.sleep(0.02)\n"
        f"    Path({str(tmp_path)!r}, 'stopped').touch()\n"
        f"backend = create('dask', None, {{'address': {address!r}}})\n"
        "backend.submit(0, work)\n"
        "next(event for event in backend.events() if event is not None)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert processes.run([sys.executable, "-c", script], tmp_path).code == -signal.SIGKILL
    wait_for((tmp_path / "stopped").exists)


def test_large_arrays_travel_once(address: str) -> None:
    import numpy as np

    shared = np.arange(100_000.0)
    works = [lambda emit, stop, n=n: emit(float(shared[n])) for n in range(6)]
    with joined(address) as backend:
        for key, work in enumerate(works):
            backend.submit(key, work)
        assert len(backend._parts) == 1  # type: ignore[attr-defined]
        events = collect(backend)
    assert [values(events, key) for key in range(6)] == [[float(n)] for n in range(6)]


def test_same_bits_as_serial(address: str) -> None:
    with create("serial") as serial, joined(address) as backend:
        serial.submit(0, products)
        backend.submit(0, products)
        assert values(collect(backend)) == values(collect(serial))


def test_what_cannot_travel_ends_its_work_with_a_sentence(address: str) -> None:
    import threading

    lock = threading.Lock()

    def holds(emit: Emit, stop: Stop) -> None:
        lock.acquire()

    with joined(address) as backend:
        works = [holds, contract.emits(threading.Lock), contract.emits(contract.Unreadable)]
        for key, work in enumerate([*works, Count()]):
            backend.submit(key, work)
        done = ends(collect(backend))
    assert [type(done[key].error) for key in range(4)] == [WorkError] * 3 + [type(None)]


def test_engine_without_a_worker_that_suits_ends_the_sweep_with_a_sentence(address: str) -> None:
    options = {"address": address, "resources": {"GPU": 1}, "patience": 1}
    with create("dask", None, options) as backend:
        backend.submit(0, Count())
        with pytest.raises(SweepError, match="no worker that suits for 1 s.*resume=last"):
            collect(backend)


def test_scheduler_that_goes_away_ends_the_sweep_with_a_sentence(tmp_path: Path) -> None:
    with dask_cluster(tmp_path / "cluster", 1) as address:
        backend = joined(address)
        backend.submit(0, told_pid)
        next(event for event in backend.events() if isinstance(event, Emitted))
    with backend, pytest.raises(SweepError, match="resume=last"):
        collect(backend)


def test_address_where_nobody_answers_is_refused() -> None:
    with create("dask", 1, {"address": "tcp://127.0.0.1:9"}) as backend:
        with pytest.raises(ConfigError, match="no Dask scheduler answers"):
            backend.submit(0, Count())


@pytest.mark.parametrize("way", ["interrupted", "deaf", "killed"])
def test_own_cluster_leaves_no_process(way: str, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    ended = processes.run([sys.executable, "own.py", way, "dask"], tmp_path)
    if way == "killed":
        wait_for(lambda: not any(psutil.pid_exists(int(pid)) for pid in ended.out.split()))
    else:
        told = {"interrupted": "['stopped', 'stopped']", "deaf": "[]"}[way]
        assert ended == (0, f"{told}\nleft 0\n", "")
