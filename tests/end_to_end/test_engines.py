"""The real application on Dask and Ray: the same store as with threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.end_to_end.test_launchers import ARGUMENTS, NETWORKS, stored, user_folder
from tests.engine.clusters import dask_cluster, ray_cluster
from tests.processes import run_sweep


@contextmanager
def running(engine: str, folder: Path) -> Iterator[str]:
    """Start a cluster that knows nothing of this sweep; yield its address."""
    if engine == "dask":
        with dask_cluster(folder) as address:
            yield address
    else:
        with ray_cluster() as cluster:
            yield cluster.address


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("dask", marks=pytest.mark.dask),
        pytest.param("ray", marks=pytest.mark.ray),
    ],
)
def engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[str]]:
    """Return the words that name a cluster on the command line."""
    with running(request.param, tmp_path_factory.mktemp(request.param)) as address:
        yield [
            f"hydra.launcher.backend={request.param}",
            f"hydra.launcher.options.address={address}",
        ]


def test_same_store_as_threads(engine: list[str], tmp_path: Path) -> None:
    ends = [
        run_sweep([*NETWORKS, *words], folder)
        for words, folder in ((engine, tmp_path), ([], made(tmp_path / "threads")))
    ]
    assert [end.code for end in ends] == [0, 0], ends
    assert len(stored(tmp_path)) == 12
    assert stored(tmp_path) == stored(tmp_path / "threads")


def test_users_own_trainer_is_found_and_its_failure_is_one_runs_own(
    engine: list[str], tmp_path: Path
) -> None:
    folder = user_folder(tmp_path / "user")
    ended = run_sweep([*ARGUMENTS[:6], *engine], folder)
    assert ended.code == 1, ended
    found = stored(folder)
    assert sorted(run["status"] for run in found.values()) == ["FAILED"] * 2 + ["FINISHED"] * 4
    assert found["lr=0.1,iters=5"]["metrics"]["final_error"] == 0.1 / 2**5
    # The workers outlive the sweep, and must not train by what they once imported.
    code = (folder / "halving.py").read_text()
    (folder / "halving.py").write_text(code.replace("/ 2 **", "/ 4 **").replace("/ 2**", "/ 4**"))
    ended = run_sweep([*ARGUMENTS[:4], "lr=0.1", "iters=5", *engine, "outputs=again"], folder)
    assert ended.code == 0, ended
    (run,) = stored(folder, "again").values()
    assert run["metrics"]["final_error"] == 0.1 / 4**5


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder
