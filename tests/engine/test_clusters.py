"""Dask and Ray: real clusters on this machine, and what goes wrong in one."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from sweep.engine.executors import create
from sweep.errors import SweepError
from sweep.training.history import RunResult
from sweep.training.surroundings import Failure
from tests import processes
from tests.engine.clusters import ENGINES, Engine, ray_cluster, running_engine, wait_for
from tests.engine.driving import (
    Progressed,
    assert_falls,
    assert_stop_closes_generators,
    drive,
    trajectory,
)


@pytest.fixture(scope="module", params=ENGINES)
def engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    """Return a cluster of two workers with room for one task each."""
    with running_engine(request.param, tmp_path_factory.mktemp(request.param)) as found:
        yield found


def test_trainer_without_a_state_stays_where_it_was_built(engine: Engine) -> None:
    found = drive(engine.joined(), [trajectory("Slow", lr, 150, 300) for lr in (0.1, 0.2)])
    for lr in (0.1, 0.2):
        assert found[lr, 150].metrics == found[lr, 300].metrics
        assert_falls(found[lr, 300], lr, 300)


def test_caller_gets_control_and_what_it_leaves_is_kept(engine: Engine, tmp_path: Path) -> None:
    given, kept = trajectory("Resumable", 0.1, 10**6, folder=tmp_path), tmp_path / "kept"
    seen: list[object] = []

    def leave(event: object) -> None:
        seen.append(event)
        if isinstance(event, Progressed) and None in seen:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drive(engine.joined(), [given], on=leave, checkpoints=kept)
    assert len(list(kept.iterdir())) == 1
    rest = drive(engine.joined(), [given], checkpoints=kept, max_seconds=0.5)[0.1, 10**6]
    assert rest.outcome == "interrupted"
    assert (rest.errors == 0.1 / (1.0 + np.arange(len(rest.errors)))).all()
    assert list(tmp_path.glob("0.1 from *"))


def test_stop_from_outside_closes_the_generators(engine: Engine, tmp_path: Path) -> None:
    assert_stop_closes_generators(engine.joined(), tmp_path)


def test_worker_that_dies_costs_what_came_since_the_last_state(
    engine: Engine, tmp_path: Path
) -> None:
    given = [trajectory("DyingResumable", 1.5, 250, folder=tmp_path), trajectory("Slow", 0.2, 100)]
    found = drive(engine.joined(), given)
    assert_falls(found[1.5, 250], 1.5, 250)
    assert_falls(found[0.2, 100], 0.2, 100)
    assert len(list(tmp_path.glob("1.5 died *"))) == 2


def test_trajectory_that_kills_every_worker_fails_and_the_others_complete(
    engine: Engine, tmp_path: Path
) -> None:
    given = [trajectory("Falling", 2.0 + at, 9) for at in range(3)]
    given.insert(1, trajectory("DyingSlow", 0.5, 100, folder=tmp_path))
    found = drive(engine.joined(), given)
    failure = found.pop((0.5, 100))
    assert isinstance(failure, Failure)
    assert "died 3 times in a row" in failure.sentence and "\n" not in failure.sentence
    for (lr, iters), result in found.items():
        assert_falls(result, lr, iters)


def test_engine_without_a_worker_that_suits_ends_the_sweep_with_a_sentence(engine: Engine) -> None:
    with pytest.raises(SweepError, match="no worker that suits for 1 s.*resume=last"):
        drive(engine.joined(resources={"TPU": 1}, patience=1), [trajectory("Falling", 0.1, 5)])


OWN = """
import os, signal, sys
from pathlib import Path
import psutil
from sweep.engine.executors import create
from tests.engine.driving import events, trajectory

if __name__ == "__main__":
    here = Path.cwd()
    signal.signal(signal.SIGINT, lambda *_: None)
    with create(sys.argv[2], 2) as executor:
        given = [(trajectory("Slow", lr, 10**6, folder=here),) for lr in (0.1, 0.2)]
        if sys.argv[1] != "stops":
            given = [(trajectory("Busy", lr, 5, folder=here),) for lr in (0.1, 0.2)]
        seen = 0
        for event in events(given, executor):
            seen += type(event).__name__ == "Progressed"
            if len(list(here.glob("*.pids"))) == 2 or seen == 4:
                pids = [child.pid for child in psutil.Process().children(recursive=True)]
                print(*pids, flush=True)
                if sys.argv[1] == "killed":
                    os.kill(os.getpid(), signal.SIGKILL)
                os.killpg(0, signal.SIGINT)
                break
"""
"""A command (way, executor) whose cluster is its own, and which leaves its tasks in some way."""


@pytest.mark.parametrize("way", ["stops", "busy", "killed"])
@pytest.mark.parametrize("name", ENGINES)
def test_own_cluster_leaves_no_process(name: str, way: str, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    ended = processes.run([sys.executable, "own.py", way, name], tmp_path, timeout=120)
    pids = [int(file.read_text()) for file in tmp_path.glob("*.pids")]
    if way == "killed":
        assert ended.code == -signal.SIGKILL, ended
        wait_for(lambda: not any(psutil.pid_exists(pid) for pid in pids))
    else:
        assert ended.code == 0, ended
        left = [int(pid) for pid in ended.out.split()]
        assert left
        wait_for(lambda: not any(psutil.pid_exists(pid) for pid in left))


# Dask


@pytest.fixture
def dask(tmp_path: Path) -> Iterator[Engine]:
    with running_engine("dask", tmp_path / "cluster") as found:
        yield found


@pytest.mark.dask
def test_slices_of_a_command_that_is_killed_end_too(dask: Engine, tmp_path: Path) -> None:
    script = (
        "import os, signal\n"
        "from pathlib import Path\n"
        "from sweep.engine.executors import create\n"
        "from tests.engine.driving import Progressed, events, trajectory\n"
        "given = [(trajectory('Resumable', lr, 10**6, folder=Path.cwd()),) for lr in (0.1, 0.2)]\n"
        f"executor = create('dask', None, {{'address': {dask.address!r}}})\n"
        "for event in events(given, executor):\n"
        "    if isinstance(event, Progressed):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert processes.run([sys.executable, "-c", script], tmp_path).code == -signal.SIGKILL
    found = drive(dask.joined(), [trajectory("Falling", lr, 5) for lr in (0.1, 0.2, 0.3)])
    assert all(isinstance(result, RunResult) for result in found.values())


# Ray


@pytest.mark.ray
def test_trajectories_of_a_node_that_is_lost_go_on_elsewhere(tmp_path: Path) -> None:
    given = [trajectory("Resumable", lr, 400, folder=tmp_path) for lr in (0.1, 0.2, 0.3)]
    steps: list[Any] = []
    with ray_cluster() as cluster:
        doomed = cluster.add_node(num_cpus=1)

        def lose(event: object) -> None:
            if isinstance(event, Progressed):
                steps.append(event)
                if len(steps) == 3:
                    cluster.remove_node(doomed, allow_graceful=False)
                    cluster.add_node(num_cpus=1)

        executor = create("ray", 3, {"address": cluster.address})
        found = drive(executor, given, on=lose)
    for (lr, iters), result in found.items():
        assert isinstance(result, RunResult), result
        assert_falls(result, lr, iters)
