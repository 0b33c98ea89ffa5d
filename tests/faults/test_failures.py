"""State that lies: jobs that raise, runs and experiments that are deleted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sweep.tracking import read
from tests.commands import run_here
from tests.faults.conftest import Begin
from tests.faults.support import (
    assert_brief,
    assert_whole,
    open_reader,
    statuses,
    trainer,
    wait_for,
    wait_for_line,
)
from tests.processes import finish
from tests.stores import client_of

GRID = ["lr=0.5,2", "iters=1,9"]
"""Of four runs with the failing trainer the last fails."""


@pytest.mark.faults
@pytest.mark.parametrize("launcher", ["trajectory", "basic"])
def test_some_jobs_raise(launcher: str, tmp_path: Path) -> None:
    own = trainer(tmp_path, "Failing")
    arguments = ["-m", *own, *GRID, f"hydra/launcher={launcher}"]
    ended = run_here(arguments, tmp_path)
    assert ended.code == 1, ended
    assert "Traceback" not in ended.err and "Traceback" not in ended.out
    failed = [line for line in ended.out.splitlines() if line.startswith("Failed: ")]
    assert len(failed) == 1 and "lr=2,iters=9" in failed[0] or "lr=2.0,iters=9" in failed[0]
    assert "ArithmeticError: lr 2 is <too> much" in failed[0]
    path = re.search(r"whole traceback: (.*)\)", failed[0])
    assert path and "and this is the second line" in (tmp_path / path[1]).read_text()
    store = open_reader(tmp_path)
    stored = read.find_sweep(store, "last")
    assert stored.status == "FAILED" and stored.metrics["runs_failed"] == 1
    *others, last = read.sweep_runs(store, stored.sweep_id)
    assert [run.status for run in others] == ["FINISHED"] * 3
    assert last.status == "FAILED" and "second line" in (last.traceback() or "")
    again = run_here([*own[:2], "resume=last"], tmp_path)
    assert again.code == 1 and "3 of them stored already, 1 to do" in again.out


@pytest.mark.faults
def test_single_run_raises(tmp_path: Path) -> None:
    ended = run_here([*trainer(tmp_path, "Failing"), "lr=2", "iters=9"], tmp_path)
    assert_brief(ended, 1, "ArithmeticError: lr 2 is <too> much")
    assert statuses(tmp_path) == {"FAILED": 1}


@pytest.mark.faults
def test_deleted_run_is_computed_again_and_a_deleted_experiment_is_named(tmp_path: Path) -> None:
    assert run_here(["-m", "lr=0.1", "iters=1,2"], tmp_path).code == 0
    store = open_reader(tmp_path)
    first = read.sweep_runs(store, read.find_sweep(store, "last").sweep_id)[0]
    client_of(tmp_path / "outputs").delete_run(first.run_id)
    ended = run_here(["resume=last"], tmp_path)
    assert ended.code == 0, ended
    assert "1 of them stored already, 1 to do" in ended.out
    assert_whole(tmp_path)
    client_of(tmp_path / "outputs").delete_experiment(store.experiment_id)
    ended = run_here(["resume=last"], tmp_path)
    restore = f"mlflow experiments restore --experiment-id {store.experiment_id}"
    assert_brief(ended, 3, restore, lines=1)


@pytest.mark.faults
@pytest.mark.parametrize("what", ["run", "sweep", "experiment"])
def test_deleted_while_running(begin: Begin, what: str, tmp_path: Path) -> None:
    own = trainer(tmp_path, "Lasting", seconds=0.05)
    process = begin(["-m", *own, "lr=0.1", "iters=1,120,121"], tmp_path)
    wait_for_line(process, "[1/3]")
    store = open_reader(tmp_path)
    name = "attributes.run_name = 'lr=0.1,iters=120'"
    wait_for(lambda: list(read.search(store, name)), "the run in the store")
    (found,) = read.search(store, name)
    victim = found.info.run_id
    if what == "run":
        store.client.delete_run(victim)
    elif what == "sweep":
        store.client.delete_run(read.find_sweep(store, "last").run_id)
    else:
        store.client.delete_experiment(store.experiment_id)
    ended = finish(process, 60)
    assert ended.code == (1 if what == "run" else 3), ended
    assert "Traceback" not in ended.err and len(ended.err.strip().splitlines()) <= 3, ended.err
    assert "restore" in ended.err, ended
    # What it says to do is done, and nothing was lost.
    if what == "run":
        store.client.restore_run(victim)
    elif what == "sweep":
        (gone,) = read.search(store, read.SWEEPS, deleted=True)
        store.client.restore_run(gone.info.run_id)
    else:
        store.client.restore_experiment(store.experiment_id)
    again = run_here([*own[:2], "resume=last"], tmp_path)
    assert again.code == 0, again
    assert_whole(tmp_path)


@pytest.mark.faults
def test_single_run_is_deleted_while_it_trains(begin: Begin, tmp_path: Path) -> None:
    """Training goes on, the numbers are printed, and the result is on disk."""
    own = trainer(tmp_path, "Lasting", seconds=0.2)
    process = begin([*own, "lr=0.1", "iters=50"], tmp_path)
    wait_for(
        lambda: (tmp_path / "outputs" / "mlflow.db").exists() and statuses(tmp_path)["RUNNING"],
        "a run that is shown",
    )
    store = open_reader(tmp_path)
    (run,) = read.search(store, "")
    store.client.delete_run(run.info.run_id)
    ended = finish(process, 60)
    (left,) = tmp_path.glob("outputs/runs/*/results/0")
    run_id = left.parents[1].name
    assert_brief(ended, 3, "was deleted while it was written", f"resume={run_id} stores it")
    assert "After 50 iterations" in ended.out
    again = run_here([f"resume={run_id}"], tmp_path)
    assert again.code == 0 and "Stored as run" in again.out, again
    (stored,) = read.search(store, "")
    assert stored.info.status == "FINISHED" and stored.info.run_id != run.info.run_id
    assert not left.exists()
