"""Ray: the same works as for every backend, on a real cluster of several nodes that loses one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import psutil
import pytest

from sweep.engine.backends import Backend, Done, Emit, Emitted, Stop, WorkerDied, create
from sweep.errors import ConfigError, SweepError
from tests import processes
from tests.engine import test_backends as contract
from tests.engine.clusters import OWN, ray_cluster, wait_for
from tests.engine.test_backends import Count, collect, dies, ends, products, values

cloudpickle.register_pickle_by_value(sys.modules[__name__])

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Return a cluster of a head and two nodes with room for one work each."""
    with ray_cluster() as found:
        yield found


def joined(cluster: Any, workers: int | None = None) -> Backend:
    return create("ray", workers, {"address": cluster.address})


@pytest.mark.parametrize(
    "check",
    [
        contract.test_works_submitted_while_taking_events_are_done_too,
        contract.test_values_arrive_before_their_work_ends,
        contract.test_driver_is_woken_while_a_work_is_silent,
        contract.test_error_of_a_work_is_told_and_harms_no_other,
        contract.test_stop_reaches_works_that_run_and_works_that_wait,
        contract.test_works_that_emit_wait_for_the_driver,
        contract.test_one_blas_thread_while_works_run_and_as_before_afterwards,
    ],
    ids=lambda check: check.__name__.removeprefix("test_"),
)
def test_same_as_every_backend(
    check: Any, cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contract, "create", lambda name, workers=None: joined(cluster, workers))
    if "tmp_path" in check.__code__.co_varnames[: check.__code__.co_argcount]:
        check("ray", tmp_path)
    else:
        check("ray")


def told_pid(emit: Emit, stop: Stop) -> None:
    emit(os.getpid())
    wait_for(stop)


def test_works_of_a_node_that_is_lost_run_again_elsewhere(cluster: Any) -> None:
    """One node has the room for `here`, so the work that needs it shows which one to remove."""
    doomed = cluster.add_node(num_cpus=1, resources={"here": 1})
    starts: list[Any] = []
    with create("ray", 3, {"address": cluster.address}) as backend:
        for key in range(3):
            backend.submit(key, told_pid)
        done = []
        for event in backend.events():
            if isinstance(event, Emitted):
                starts.append(event.value)
                if len(starts) == 3:
                    cluster.remove_node(doomed, allow_graceful=False)
                    cluster.add_node(num_cpus=1)
                if len(starts) == 4:
                    backend.stop()
            elif event is not None:
                done.append(event)
    assert len(set(starts)) == 4
    assert sorted(done, key=lambda end: end.key) == [Done(key) for key in range(3)]


def test_work_that_kills_every_worker_is_found_and_the_others_complete(cluster: Any) -> None:
    with joined(cluster) as backend:
        for key, work in enumerate([Count(), dies, Count(), Count()]):
            backend.submit(key, work)
        events = collect(backend)
    done = ends(events)
    error = done.pop(1).error
    assert isinstance(error, WorkerDied)
    assert "Each of the 4 Ray workers" in str(error)
    assert "\n" not in str(error)
    assert [done[key].error for key in sorted(done)] == [None] * 3


def test_same_bits_as_serial_and_large_arrays_travel_once(cluster: Any) -> None:
    import numpy as np

    shared = np.arange(100_000.0)
    with create("serial") as serial, joined(cluster, 1) as backend:
        serial.submit(0, products)
        backend.submit(0, products)
        for key in (1, 2, 3):
            backend.submit(key, lambda emit, stop: emit(float(shared.sum())))
        events = collect(backend)
        assert values(events) == values(collect(serial))
        assert [values(events, key) for key in (1, 2, 3)] == [[float(shared.sum())]] * 3
        assert len(backend._parts) == 1  # type: ignore[attr-defined]


def test_engine_without_a_worker_that_suits_ends_the_sweep_with_a_sentence(cluster: Any) -> None:
    options = {"address": cluster.address, "resources": {"TPU": 1}, "patience": 1}
    with create("ray", None, options) as backend:
        backend.submit(0, Count())
        with pytest.raises(SweepError, match="no worker that suits for 1 s.*resume=last"):
            collect(backend)


def test_address_where_nobody_answers_is_refused() -> None:
    with create("ray", 1, {"address": "127.0.0.1:9"}) as backend:
        with pytest.raises(ConfigError, match="no Ray cluster answers"):
            backend.submit(0, Count())


@pytest.mark.parametrize("way", ["interrupted", "deaf", "killed"])
def test_own_cluster_leaves_no_process(way: str, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    ended = processes.run([sys.executable, "own.py", way, "ray"], tmp_path)
    if way == "killed":
        wait_for(lambda: not any(psutil.pid_exists(int(pid)) for pid in ended.out.split()))
    else:
        told = {"interrupted": "['stopped', 'stopped']", "deaf": "[]"}[way]
        assert ended == (0, f"{told}\nleft 0\n", "")
