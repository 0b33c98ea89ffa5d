"""Silent wrong results: numbers that are another run's, not finite, cut, doubled or misplaced."""

from __future__ import annotations

import json
import math
import shutil
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from sweep.config.run import run_spec
from sweep.config.settings import Tracking, settings
from sweep.engine.plan import Cell
from sweep.engine.recording import Recording
from sweep.engine.signals import StopRequest
from sweep.tracking import read, results
from sweep.tracking.read import StoredRun
from sweep.tracking.recorder import recorder
from sweep.tracking.runs import store_result
from sweep.tracking.session import create_sweep
from sweep.tracking.store import open_store
from sweep.training.trainers import build_batch
from tests.commands import run_here
from tests.configuration import spec
from tests.faults.conftest import Begin
from tests.faults.support import assert_whole, open_reader, trainer
from tests.processes import finish
from tests.tracking.support import plan, result
from tests.training.alone import train

RANDOM = """
layers: [4, 3, 2]
activation: sigmoid
bias: per_neuron
init: {scheme: xavier}
"""
"""A network whose weights depend on the seed, so that no two sweeps have equal ones."""


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_eight_sweeps_started_in_the_same_second(begin: Begin, tmp_path: Path) -> None:
    option = tmp_path / "own" / "network" / "random.yaml"
    option.parent.mkdir(parents=True)
    option.write_text(RANDOM)
    own = ["--config-dir", "own", "network=random"]
    grid = ["lr=0.1,1", "iters=10,500"]
    begun = [begin(["-m", *own, *grid, f"seed={seed}"], tmp_path) for seed in range(8)]
    for process in begun:
        ended = finish(process, 500)
        assert ended.code == 0, ended
    assert len(list((tmp_path / "outputs" / "sweeps").iterdir())) == 8
    store = open_reader(tmp_path)
    sweeps = read.list_sweeps(store)
    assert len(sweeps) == 8
    assert_whole(tmp_path, sweeps=[sweep.sweep_id for sweep in sweeps])
    finals = []
    for sweep in sweeps:
        for run in read.sweep_runs(store, sweep.sweep_id):
            weights = run.weights()["final"]
            assert weights == retrained(run, tmp_path), run.name
            finals.append(json.dumps(weights))
    assert len(set(finals)) == len(finals) == 32


def retrained(run: StoredRun, folder: Path) -> dict[str, float]:
    """Return the final weights that a run's stored configuration gives today."""
    spec = run_spec(run.config(), {"network": "random"}, folder)
    (trained,) = train(build_batch([spec]), [spec.iters])
    return {name: float(value) for name, value in trained.final_weights.items()}


@pytest.fixture(scope="module")
def burst(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a sweep whose runs become infinite, NaN and huge at step 5."""
    folder = tmp_path_factory.mktemp("burst")
    own = trainer(folder, "Bursting", value="inf", at=5)
    values = "trainer.value='inf','-inf','nan','1.8e282'"
    ended = run_here(["-m", *own, "lr=0.5", "iters=3,9", values], folder)
    assert ended.code == 0, ended
    return folder


@pytest.mark.faults
def test_divergence(burst: Path) -> None:
    store = open_reader(burst)
    sweep = read.find_sweep(store, "last")
    runs = read.sweep_runs(store, sweep.sweep_id)
    assert len(runs) == 8 and {run.status for run in runs} == {"FINISHED"}
    assert sweep.metrics["runs_finished"] == 8 and sweep.metrics["runs_diverged"] == 3
    for run in runs:
        value, iters = float(run.params["trainer.value"]), int(run.params["iters"])
        diverged = iters == 9 and not math.isfinite(value)
        assert run.outcome == ("diverged" if diverged else "completed")
        assert run.metrics.get("diverged_at") == (5 if diverged else None)
        assert ("final_error" in run.metrics) is not diverged
        steps, errors = run.curve()
        assert list(steps) == list(range(5 if diverged else iters + 1))
        assert np.isfinite(errors).all()
        assert all(math.isfinite(value) for value in run.metrics.values())
    finite = [run.metrics["final_error"] for run in runs if "final_error" in run.metrics]
    assert sweep.metrics["best_final_error"] == min(finite)


@pytest.mark.faults
def test_stalling(tmp_path: Path) -> None:
    ended = run_here(["-m", "lr=1,1000", "iters=10,20000"], tmp_path)
    assert ended.code == 0, ended
    store = open_reader(tmp_path)
    sweep_id = read.find_sweep(store, "last").sweep_id
    runs = {run.name: run for run in read.sweep_runs(store, sweep_id)}
    stalled = [name for name, run in runs.items() if "stalled_at" in run.metrics]
    saturated = ["lr=1000.0,iters=10", "lr=1000.0,iters=20000"]
    assert set(saturated) <= set(stalled), stalled
    for name in saturated:
        assert runs[name].outcome == "completed"
        assert runs[name].metrics["final_error"] == pytest.approx(0.00625)
    folder = tmp_path / "outputs" / "reports" / sweep_id
    assert "stalled" in (folder / "report.md").read_text()


@pytest.mark.faults
def test_doubled_cells_and_long_params(tmp_path: Path) -> None:
    """A cell runs once; a param longer than MLflow keeps is whole in the run's configuration."""
    layers = [4, 40, 2]
    weights = [
        [[round(0.001 * (i + j), 6) for j in range(b)] for i in range(a)]
        for a, b in pairwise(layers)
    ]
    option = {"layers": layers, "activation": "sigmoid", "bias": "shared"}
    option |= {"weights": weights, "biases": [0.5, 0.5]}
    path = tmp_path / "own" / "network" / "long.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(option))
    long = json.dumps([9] * 4000).replace(" ", "")
    preset = tmp_path / "own" / "experiment" / "noted.yaml"
    preset.parent.mkdir()
    preset.write_text("# @package _global_\nremark: null\n")
    grid = ["experiment=noted", "network=long", "lr=0.1,0.1,0.2", "iters=2", f"remark={long},1"]
    ended = run_here(["-m", "--config-dir", "own", *grid], tmp_path)
    assert ended.code == 0, ended
    assert "6 grid points, 4 unique" in ended.out
    assert_whole(tmp_path)
    store = open_reader(tmp_path)
    for run in read.sweep_runs(store, read.find_sweep(store, "last").sweep_id):
        config = run.config()
        assert config["network"]["weights"] == weights
        assert config["remark"] in ([9] * 4000, 1)
        assert len(run.params["remark"]) <= 6000


@pytest.mark.faults
def test_project_folder_moved(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new place"
    old.mkdir()
    assert run_here(["-m", "lr=0.1", "iters=1,20"], old).code == 0
    old.rename(new)
    first = run_here([], new, module="sweep.report")
    assert first.code == 0, first
    verified = run_here([], new, module="sweep.verify")
    assert verified.code == 0, verified
    again = run_here(["-m", "lr=0.1", "iters=1,30"], new)
    assert again.code == 0 and "The store was moved" in first.err + verified.err + again.err
    resumed = run_here(["resume=last"], new)
    assert resumed.code == 0 and "2 of them stored already" in resumed.out
    assert not old.exists()  # nothing was written to the old place
    sweeps = [sweep.sweep_id for sweep in read.list_sweeps(open_reader(new))]
    assert len(sweeps) == 2
    assert_whole(new, sweeps=sweeps)
    copy = tmp_path / "a copy"
    shutil.copytree(new, copy)
    assert run_here([], copy, module="sweep.report").code == 0


def test_clock_set_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run lasts as long as the monotonic clock says, and later sweeps stay later."""
    store = open_store(Tracking(kind="local", outputs=tmp_path / "outputs"), mode="write")
    first = create_sweep(store, "20260102-030405-aaaa", plan("a"), {})
    options = settings(
        {"outputs": "outputs", "tracking": {"kind": "local", "experiment": "x"}}, tmp_path
    )
    cell = Cell(0, (), {}, spec())
    now = time.time_ns
    with recorder(lambda: False, inline=True) as inline:
        recording = Recording(options, "runs/x", inline, StopRequest())
        recording.start(cell)
        monkeypatch.setattr(time, "time_ns", lambda: now() - 3600 * 10**9)
        path = recording.finish(cell, result())
    ended = results.read(path)
    assert ended is not None
    run_id = store_result(store, path, ended, None)
    second = create_sweep(store, "20260102-020405-bbbb", plan("a"), {})
    info = store.client.get_run(run_id).info
    assert 0 <= info.end_time - info.start_time < 600_000
    started = [store.client.get_run(key).info.start_time for key in (first, second)]
    assert started[1] < started[0]
    assert read.find_sweep(store, "last").run_id == second
