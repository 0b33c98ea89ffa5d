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
from tests.engine.clusters import dask_cluster, wait_for
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
