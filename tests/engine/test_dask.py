"""Dask: workers and drivers that die, a scheduler that goes away."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import cloudpickle
import pytest

from sweep.engine.backends import Done, Emitted
from sweep.errors import SweepError
from tests import processes
from tests.engine import clusters
from tests.engine.clusters import Engine, running_engine, told_pid, wait_for
from tests.engine.test_backends import collect

cloudpickle.register_pickle_by_value(clusters)

pytestmark = pytest.mark.dask


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Return a scheduler with two workers, which come back when they die."""
    with running_engine("dask", tmp_path_factory.mktemp("dask")) as found:
        yield found


def test_worker_killed_in_the_middle_of_its_task_costs_nothing_but_time(engine: Engine) -> None:
    starts: list[Emitted] = []
    done = []
    with engine.joined() as backend:
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


def test_work_of_a_driver_that_is_killed_ends_too(engine: Engine, tmp_path: Path) -> None:
    script = (
        "import os, signal, sys, time\n"
        "from pathlib import Path\n"
        "from sweep.engine.backends import create\n"
        "def work(emit, stop):\n"
        "    emit('started')\n"
        "    while not stop():\n"
        "        time.sleep(0.02)\n"
        f"    Path({str(tmp_path)!r}, 'stopped').touch()\n"
        f"backend = create('dask', None, {{'address': {engine.address!r}}})\n"
        "backend.submit(0, work)\n"
        "next(event for event in backend.events() if event is not None)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert processes.run([sys.executable, "-c", script], tmp_path).code == -signal.SIGKILL
    wait_for((tmp_path / "stopped").exists)


def test_workers_are_free_again_though_nobody_empties_a_dead_drivers_queue(
    engine: Engine, tmp_path: Path
) -> None:
    """The driver hears nothing any more, the workers wait for it, and then it is killed."""
    script = (
        "import os, signal, time\n"
        "from pathlib import Path\n"
        "from sweep.engine.backends import create\n"
        "class Talks:\n"
        "    def __init__(self, name):\n"
        "        self.name = name\n"
        "    def __call__(self, emit, stop):\n"
        "        try:\n"
        "            while True:\n"
        "                emit('said')\n"
        "                time.sleep(0.02)\n"
        "        finally:\n"
        f"            Path({str(tmp_path)!r}, self.name).touch()\n"
        f"backend = create('dask', None, {{'address': {engine.address!r}}})\n"
        "for key in range(2):\n"
        "    backend.submit(key, Talks(f'ended {key}'))\n"
        "next(event for event in backend.events() if event is not None)\n"
        "size = lambda: backend._client.sync(backend._client.scheduler.queue_qsize,"
        " name=backend._name)\n"
        "while size() <= 4:\n"
        "    time.sleep(0.05)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = processes.run([sys.executable, "-c", script], tmp_path)
    assert ended.code == -signal.SIGKILL, ended
    wait_for((tmp_path / "ended 0").exists)
    wait_for((tmp_path / "ended 1").exists)
    with engine.joined() as backend:
        backend.submit(0, lambda emit, stop: emit("here"))
        assert [event.value for event in collect(backend) if isinstance(event, Emitted)] == ["here"]


def test_scheduler_that_goes_away_ends_the_sweep_with_a_sentence(tmp_path: Path) -> None:
    with running_engine("dask", tmp_path / "cluster") as engine:
        backend = engine.joined()
        backend.submit(0, told_pid)
        next(event for event in backend.events() if isinstance(event, Emitted))
    with backend, pytest.raises(SweepError, match="resume=last"):
        collect(backend)
