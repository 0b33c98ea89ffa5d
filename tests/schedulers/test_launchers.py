"""Other people's launchers, as they are: joblib, submitit on this machine and on Slurm."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from sweep.config.settings import Tracking
from tests.commands import run_here
from tests.faults.support import statuses, wait_for
from tests.processes import finish, start_sweep
from tests.schedulers.support import GRID, assert_like_the_default, sweep, user_folder
from tests.stores import assert_once, every_run


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_other_launchers_store_the_same_bits(
    launcher: str, tmp_path: Path, reference: dict[str, Any]
) -> None:
    folder = user_folder(tmp_path / "user")
    ended = sweep(folder, *GRID, f"hydra/launcher={launcher}")
    assert_like_the_default(Tracking(kind="local", outputs=folder / "outputs"), reference, ended)


@pytest.mark.slurm
def test_slurm_stores_the_same_bits(
    slurm: dict[str, str], tmp_path: Path, reference: dict[str, Any]
) -> None:
    folder = user_folder(tmp_path / "user")
    ended = sweep(folder, *GRID, "hydra/launcher=submitit_slurm", env=slurm)
    assert_like_the_default(Tracking(kind="local", outputs=folder / "outputs"), reference, ended)
    (job,) = (folder / "outputs" / "sweeps").glob("*/.submitit/*_0/*_result.pkl")
    assert job.is_file(), "Slurm ran it"


@pytest.mark.slow
def test_job_that_dies_is_closed_and_resumed(tmp_path: Path) -> None:
    folder = user_folder(tmp_path / "user")
    (folder / "kill").touch()
    tracking = Tracking(kind="local", outputs=folder / "outputs")
    arguments = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    ended = sweep(folder, "-m", "trainer=halving", "lr=0.1,0.3,0.4", "iters=5", *arguments)
    assert ended.code == 1, ended
    assert not (folder / "kill").exists()
    statuses = {run.info.run_name: run.info.status for run in every_run(tracking)}
    assert "RUNNING" not in statuses.values()
    # Training does not wait for the store, so the job may die before its run is there.
    assert statuses.get("lr=0.3,iters=5", "KILLED") == "KILLED"
    ended = sweep(folder, "trainer=halving", "resume=last", *arguments)
    assert ended.code == 0, ended
    assert_once(tracking)


@pytest.mark.slow
def test_interrupted_sweep_counts_what_its_jobs_have_stored(tmp_path: Path) -> None:
    launcher = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    process = start_sweep(["-m", "lr=0.1", "iters=1,1e12,2e12", *launcher], tmp_path)
    database = tmp_path / "outputs" / "mlflow.db"
    wait_for(lambda: database.exists() and statuses(tmp_path)["FINISHED"], "a finished run")
    os.killpg(process.pid, signal.SIGINT)
    ended = finish(process, 60)
    assert ended.code == 130 and "1 of 3 runs are done" in ended.err, ended
    tracking = Tracking(kind="local", outputs=tmp_path / "outputs")
    (parent,) = [run for run in every_run(tracking) if "runs_total" in run.data.metrics]
    assert (parent.info.status, parent.data.metrics["runs_finished"]) == ("KILLED", 1)


@pytest.mark.slow
def test_time_limit_of_a_job_elsewhere_ends_the_sweep_alike(tmp_path: Path) -> None:
    codes = {}
    for launcher in ("trajectory", "joblib"):
        arguments = [f"hydra/launcher={launcher}", f"outputs={launcher}", "max_seconds=0.2"]
        ended = sweep(user_folder(tmp_path / launcher), "-m", "lr=0.1", "iters=1e12", *arguments)
        runs = every_run(Tracking(kind="local", outputs=tmp_path / launcher / launcher))
        codes[launcher] = ended.code, sorted(run.info.status for run in runs)
    assert codes["trajectory"] == (1, ["KILLED", "KILLED"])
    assert codes["joblib"] == codes["trajectory"]


@pytest.mark.slow
def test_resume_of_a_finished_sweep_asks_nothing_of_a_launcher(tmp_path: Path) -> None:
    """submitit refuses an empty list of jobs."""
    ended = run_here(["-m", "lr=0.1", "iters=3"], tmp_path)
    assert ended.code == 0, ended
    ended = run_here(["resume=last", "hydra/launcher=submitit_local"], tmp_path)
    assert ended.code == 0 and "0 to do" in ended.out, ended
