"""One grid on every backend and store: weights, curves and signatures to the bit.

Launchers of other projects have tests of their own in tests/schedulers.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sweep.config.settings import Tracking
from tests.commands import run_here
from tests.engine.clusters import running_engine
from tests.processes import run_sweep
from tests.server.conftest import Server, running_server, server
from tests.stores import assert_once, content

__all__ = ["running_server", "server"]

GRID = ["-m", "network.init={scheme: normal}", "network.weights=null", "network.biases=null"]
GRID += ["network.layers=[4,3,2],[4,300,300,2]", "lr=0.5", "iters=1,40"]
"""Networks with and without weights as metrics; BLAS could share out the larger one's products."""

BACKEND = "hydra.launcher.backend="

WAYS = {
    "basic": ["hydra/launcher=basic"],
    "serial": [f"{BACKEND}serial"],
    "one thread": [f"{BACKEND}threads", "hydra.launcher.workers=1"],
    "three threads": [f"{BACKEND}threads", "hydra.launcher.workers=3"],
    "processes": [f"{BACKEND}processes", "hydra.launcher.workers=2"],
    "dask": [],
    "ray": [],
}
"""Launchers and backends; where a cluster is, a fixture says."""

MARKS = {name: [getattr(pytest.mark, name)] for name in ("dask", "ray")}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what the default launcher stores in SQLite, cells in the opposite order."""
    folder = tmp_path_factory.mktemp("reference")
    backwards = [*GRID[:-3], "network.layers=[4,300,300,2],[4,3,2]", "lr=0.5", "iters=40,1"]
    ended = run_here(backwards, folder)
    assert ended.code == 0, ended
    found = content(Tracking(kind="local", outputs=folder / "outputs"))
    assert len(found) == 4
    assert sum(run["weights.npz"] is not None for run in found.values()) == 2
    assert all(run["curve.parquet"] and run["signature"] for run in found.values())
    return found


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    with running_engine("dask", tmp_path_factory.mktemp("dask")) as engine:
        yield engine.words


@pytest.fixture(scope="module")
def ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    with running_engine("ray", tmp_path_factory.mktemp("ray")) as engine:
        yield engine.words


@pytest.mark.slow
@pytest.mark.parametrize(
    ("way", "store"),
    [pytest.param(way, "local", marks=MARKS.get(way, ())) for way in WAYS]
    + [
        pytest.param(way, "server", marks=[pytest.mark.postgres, *MARKS.get(way, ())])
        for way in ("serial", "basic")
    ],
)
def test_same_bits_everywhere(
    way: str, store: str, tmp_path: Path, request: pytest.FixtureRequest, reference: dict[str, Any]
) -> None:
    words = [*WAYS[way]]
    env: dict[str, str] = {}
    if way in ("dask", "ray"):
        words += request.getfixturevalue(way)
    tracking = Tracking(kind="local", outputs=tmp_path / "outputs")
    if store == "server":
        server: Server = request.getfixturevalue("server")
        tracking = server.tracking(tmp_path / "outputs", f"bits-{way}")
        env |= server.env
        words += ["tracking=server", f"tracking.experiment={tracking.experiment}"]
    if store == "server" or way in ("dask", "ray"):
        ended = run_sweep([*GRID, *words], tmp_path, env=env, timeout=250)
    else:
        ended = run_here([*GRID, *words], tmp_path)
    assert ended.code == 0, ended
    assert_once(tracking)
    assert content(tracking) == reference
