"""Dask and Ray alike: the same works as for every backend, and what goes wrong in a cluster."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import psutil
import pytest

from sweep.engine.backends import Emit, Stop, WorkerDied, WorkError, create
from sweep.errors import ConfigError, SweepError
from tests import processes
from tests.engine import test_backends as contract
from tests.engine.clusters import ENGINES, OWN, Engine, running_engine, wait_for
from tests.engine.test_backends import Count, collect, dies, ends, products, values

cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.fixture(scope="module", params=ENGINES)
def engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    """Return a cluster of two workers with room for one work each."""
    with running_engine(request.param, tmp_path_factory.mktemp(request.param)) as found:
        yield found


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
    check: Any, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contract, "create", lambda name, workers=None: engine.joined(workers))
    if "tmp_path" in check.__code__.co_varnames[: check.__code__.co_argcount]:
        check(engine.name, tmp_path)
    else:
        check(engine.name)


def test_work_that_kills_every_worker_is_found_and_the_others_complete(engine: Engine) -> None:
    with engine.joined() as backend:
        for key, work in enumerate([Count(), dies, Count(), Count()]):
            backend.submit(key, work)
        events = collect(backend)
    done = ends(events)
    error = done.pop(1).error
    assert isinstance(error, WorkerDied)
    assert "workers that had this run died" in str(error)
    assert "native code that crashes" in str(error) and "\n" not in str(error)
    assert [done[key].error for key in sorted(done)] == [None] * 3


def test_same_bits_as_serial_and_large_arrays_travel_once(engine: Engine) -> None:
    shared = np.arange(100_000.0)
    with create("serial") as serial, engine.joined() as backend:
        serial.submit(0, products)
        backend.submit(0, products)
        for key in range(1, 6):
            backend.submit(key, lambda emit, stop, n=key: emit(float(shared[n])))
        events = collect(backend)
        assert values(events) == values(collect(serial))
        assert len(backend._parts) == 1  # type: ignore[attr-defined]
    assert [values(events, key) for key in range(1, 6)] == [[float(key)] for key in range(1, 6)]


def test_what_cannot_travel_ends_its_work_with_a_sentence(engine: Engine) -> None:
    lock = threading.Lock()

    def holds(emit: Emit, stop: Stop) -> None:
        lock.acquire()

    with engine.joined() as backend:
        works = [holds, contract.emits(threading.Lock), contract.emits(contract.Unreadable)]
        for key, work in enumerate([*works, Count()]):
            backend.submit(key, work)
        done = ends(collect(backend))
    assert [type(done[key].error) for key in range(4)] == [WorkError] * 3 + [type(None)]


def test_engine_without_a_worker_that_suits_ends_the_sweep_with_a_sentence(engine: Engine) -> None:
    with engine.joined(resources={"TPU": 1}, patience=1) as backend:
        backend.submit(0, Count())
        with pytest.raises(SweepError, match="no worker that suits for 1 s.*resume=last"):
            collect(backend)


@pytest.mark.parametrize("name", ENGINES)
def test_address_where_nobody_answers_is_refused_before_anything_is_created(name: str) -> None:
    with pytest.raises(ConfigError, match="no (Dask|Ray) .* answers .*start one with `"):
        create(name, 1, {"address": "127.0.0.1:9"})


@pytest.mark.parametrize("way", ["interrupted", "deaf", "killed"])
@pytest.mark.parametrize("name", ENGINES)
def test_own_cluster_leaves_no_process(name: str, way: str, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    ended = processes.run([sys.executable, "own.py", way, name], tmp_path)
    if way == "killed":
        wait_for(lambda: not any(psutil.pid_exists(int(pid)) for pid in ended.out.split()))
    else:
        told = {"interrupted": "['stopped', 'stopped']", "deaf": "[]"}[way]
        assert ended == (0, f"{told}\nleft 0\n", "")
