"""The real application on Dask and Ray: own trainers, long runs, and engines that come and go."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from sweep.config.settings import Tracking
from sweep.tracking import read
from sweep.tracking.store import open_store
from tests.commands import run_here
from tests.end_to_end.test_launchers import ARGUMENTS, user_folder
from tests.engine.clusters import (
    ENGINES,
    Engine,
    dask_cluster,
    dask_worker,
    running_engine,
    wait_for,
)
from tests.processes import finish, start_sweep
from tests.stores import assert_once, content, every_run

MEETS = '''
import time
from pathlib import Path


def Halving(lr):
    """Train once three of its kind run at the same time."""
    here = Path(__file__).parent
    (here / f"began-{lr}").touch()
    until = time.monotonic() + 90
    while len(list(here.glob("began-*"))) < 3:
        if time.monotonic() > until:
            raise RuntimeError("three never ran at once")
        time.sleep(0.05)
    while True:
        yield 0.5
'''

INSIDE = """
class Packed(Halving):
    pass
"""

ALONE = '''
import threading
import time

TRAINING = threading.Lock()


def Halving(lr):
    """Fail where another of its kind trains at the same time in the same process."""
    while True:
        if not TRAINING.acquire(blocking=False):
            raise RuntimeError("two at once")
        time.sleep(0.2)
        TRAINING.release()
        yield 0.5
'''

OWN = ["--config-dir", "my_conf", "trainer=halving", "lr=0.1,0.2,0.3,0.4", "iters=2"]


@pytest.fixture(scope="module", params=ENGINES)
def engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    """Return a cluster that outlives the sweeps."""
    with running_engine(request.param, tmp_path_factory.mktemp(request.param)) as found:
        yield found


@contextmanager
def begun(arguments: list[str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a sweep; nothing of it outlives the test."""
    process = start_sweep(["-m", *arguments], folder)
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def points(folder: Path) -> int:
    """Return how many points the store has of curves whose run is RUNNING."""
    tracking = Tracking(kind="local", outputs=folder / "outputs")
    if not tracking.database.exists():
        return 0
    store = open_store(tracking, mode="read")
    return sum(
        len(store.client.get_metric_history(run.info.run_id, "error"))
        for run in read.search(store, "tags.`sweep.role` = 'run'")
        if run.info.status == "RUNNING"
    )


def assert_curve_grows(words: list[str], folder: Path) -> None:
    with begun(["lr=0.1", "iters=1e12", *words], folder) as process:

        def more_than(number: int) -> bool:
            assert process.poll() is None, process.communicate()
            return points(folder) > number

        wait_for(lambda: more_than(10))
        seen = points(folder)
        wait_for(lambda: more_than(seen))
        process.send_signal(signal.SIGINT)
        ended = finish(process, 60)
    assert ended.code == 130, ended
    assert points(folder) == 0


@pytest.mark.slow
def test_long_run_in_a_process_shows_its_curve_and_ends_when_asked(tmp_path: Path) -> None:
    assert_curve_grows(["hydra.launcher.backend=processes"], tmp_path)


def test_long_run_on_a_cluster_shows_its_curve_and_ends_when_asked(
    engine: Engine, tmp_path: Path
) -> None:
    assert_curve_grows(engine.words, tmp_path)


def test_users_own_trainer_is_found_and_its_failure_is_one_runs_own(
    engine: Engine, tmp_path: Path
) -> None:
    folder = user_folder(tmp_path / "user")
    ended = run_here([*ARGUMENTS[:6], *engine.words], folder)
    assert ended.code == 1, ended
    found = content(Tracking(kind="local", outputs=folder / "outputs"))
    assert sorted(run["status"] for run in found.values()) == ["FAILED"] * 2 + ["FINISHED"] * 4
    assert found["lr=0.1,iters=5"]["metrics"]["final_error"] == 0.1 / 2**5
    # The workers outlive the sweep, and must not train by what they once imported.
    code = (folder / "halving.py").read_text()
    (folder / "halving.py").write_text(code.replace("/ 2 **", "/ 4 **").replace("/ 2**", "/ 4**"))
    arguments = [*ARGUMENTS[:4], "lr=0.1", "iters=5", *engine.words, "outputs=again"]
    ended = run_here(arguments, folder)
    assert ended.code == 0, ended
    (run,) = content(Tracking(kind="local", outputs=folder / "again")).values()
    assert run["metrics"]["final_error"] == 0.1 / 4**5
    # A trainer in a package, and a module of it that the sweep knows nothing of.
    package = folder / "inside"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "trainer.py").write_text("from inside.base import Halving\n\n\n" + INSIDE)
    (folder / "my_conf" / "trainer" / "halving.yaml").write_text(
        "_target_: inside.trainer.Packed\nlr: ${lr}\n"
    )
    for base in (2, 4):
        new = code.replace("2 **", f"{base} **").replace("2**", f"{base}**")
        (package / "base.py").write_text(new)
        ended = run_here([*arguments[:-1], f"outputs=base{base}"], folder)
        assert ended.code == 0, ended
        (run,) = content(Tracking(kind="local", outputs=folder / f"base{base}")).values()
        assert run["metrics"]["final_error"] == 0.1 / base**5


@pytest.mark.parametrize("name", ENGINES)
def test_one_command_starts_a_cluster_of_its_own(name: str, tmp_path: Path) -> None:
    ended = run_here(["-m", "lr=0.1,0.2", "iters=3", f"hydra.launcher.backend={name}"], tmp_path)
    assert ended.code == 0, ended
    assert_once(Tracking(kind="local", outputs=tmp_path / "outputs"))


@pytest.mark.parametrize("name", ENGINES)
def test_wrong_address_is_refused_and_nothing_is_created(name: str, tmp_path: Path) -> None:
    ended = run_here(["-m", *Engine(name, "127.0.0.1:9").words], tmp_path)
    assert ended.code == 2, ended
    (line,) = ended.err.splitlines()
    assert "hydra.launcher.options.address=127.0.0.1:9: no" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.dask
def test_workers_that_join_later_get_work(tmp_path: Path) -> None:
    folder = user_folder(tmp_path / "user")
    (folder / "halving.py").write_text(MEETS)
    with ExitStack() as running:
        address = running.enter_context(dask_cluster(tmp_path / "dask", 1))
        engine = Engine("dask", address)
        process = running.enter_context(begun([*OWN, *engine.words], folder))
        wait_for(lambda: bool(list(folder.glob("began-*"))))
        for _ in range(2):
            running.enter_context(dask_worker(tmp_path / "dask", address))
        ended = finish(process, 200)
    assert ended.code == 0, ended


@pytest.mark.dask
def test_trainer_that_is_not_safe_in_threads_trains_alone_in_a_worker_of_several(
    tmp_path: Path,
) -> None:
    folder = user_folder(tmp_path / "user")
    (folder / "halving.py").write_text(ALONE)
    with dask_cluster(tmp_path / "dask", 1, "--nthreads", "2") as address:
        ended = run_here(["-m", *OWN, *Engine("dask", address).words], folder)
    assert ended.code == 0, ended


@pytest.mark.dask
def test_engine_that_goes_away_ends_the_sweep_to_be_resumed(tmp_path: Path) -> None:
    with ExitStack() as cluster:
        engine = cluster.enter_context(running_engine("dask", tmp_path / "dask"))
        with begun(["lr=0.1", "iters=10,1e12", *engine.words], tmp_path) as process:
            assert process.stdout is not None
            assert any("[1/2]" in line for line in process.stdout)
            cluster.close()
            ended = finish(process, 120)
    assert ended.code == 1, ended
    assert engine.address in ended.err and "resume=last" in ended.err, ended
    tracking = Tracking(kind="local", outputs=tmp_path / "outputs")
    assert sorted(run["status"] for run in content(tracking).values()) == ["FINISHED", "KILLED"]
    assert not [run for run in every_run(tracking) if run.info.status == "RUNNING"]
    ended = run_here(["resume=last", *engine.words], tmp_path)
    assert ended.code == 2, ended  # nobody is there yet
    ended = run_here(["resume=last", "max_seconds=0.1"], tmp_path)
    assert ended.code == 1 and "1 of them stored already" in ended.out, ended
