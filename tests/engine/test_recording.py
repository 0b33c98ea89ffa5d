"""Training beside a recorder that does not answer."""

from __future__ import annotations

import pickle
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sweep.config.settings import settings
from sweep.engine.executors import create
from sweep.engine.lifecycle import Opening, sweep_lifecycle
from sweep.engine.plan import Plan, Trajectory
from sweep.engine.recording import Recording
from sweep.engine.signals import Interrupted, StopRequest
from sweep.engine.single import interrupted
from sweep.tracking.recorder import recorder
from sweep.training.history import RunResult
from tests.commands import _in_thread
from tests.engine.driving import trajectory


@pytest.fixture
def held_up(tmp_path: Path) -> Iterator[Recording]:
    """Yield the recording of a single run; its recorder is busy until the end of the test."""
    tracking = {"kind": "local", "experiment": "x"}
    options = settings({"outputs": "outputs", "tracking": tracking}, tmp_path)
    free, stop = threading.Event(), StopRequest()
    with recorder(stop, inline=True) as inline:
        try:
            inline.submit(lambda session: free.wait())
            yield Recording(options, "runs/x", inline, stop)
        finally:
            free.set()


def numbered(number: int, cls: str, *cuts: int) -> Trajectory:
    own = trajectory(cls, 0.1 + number, *cuts)
    return Trajectory(tuple(replace(cell, index=10 * number + cell.index) for cell in own.cells))


@pytest.mark.parametrize("cls", ["Falling", "Interrupting"])
def test_users_trainer_is_not_held_up_by_a_recorder_that_does_not_answer(
    cls: str,
    held_up: Recording,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A class that may not share its process waits for its run, but others train meanwhile."""
    monkeypatch.setattr("sweep.engine.recording.ACTIVE_SECONDS", 0.5)
    given = [numbered(0, "Falling", 5), numbered(1, cls, 5, 10), numbered(2, "Falling", 5)]
    sweep = Recording(held_up.options, "sweeps/x", held_up.recorder, held_up.stop)
    sweep.experiment_id = "0"
    with create("processes", 2) as executor:
        ended = list(sweep.train([(one,) for one in given], executor))
    assert len(ended) == 4
    assert all(isinstance(outcome, RunResult) for _, outcome in ended)
    assert ("no part of its run" in capsys.readouterr().err) == (cls == "Interrupting")


def test_signal_ends_a_single_run_that_waits_for_its_store(held_up: Recording) -> None:
    held_up.stop.handle(signal.SIGTERM, None)
    with create("serial") as executor, pytest.raises(Interrupted):
        list(held_up.train([(numbered(0, "Falling", 5),)], executor))
    assert interrupted(held_up) == "is stored as KILLED by the next command"


@pytest.mark.slow
def test_signal_that_also_ended_the_jobs_of_a_launcher_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweep.tracking.recorder._start", _in_thread)
    tracking = {"kind": "local", "experiment": "x"}
    options = settings({"outputs": "outputs", "tracking": tracking}, tmp_path)
    plan = Plan(numbered(0, "Falling", 5).cells, (), 1, "", tmp_path)
    opening = Opening("x", plan, options, tmp_path / "x", {})
    with pytest.raises(Interrupted) as raised, sweep_lifecycle(opening) as sweep:
        sweep.stop.handle(signal.SIGINT, None)
        raise RuntimeError("A worker was ended by a signal.")
    again = pickle.loads(pickle.dumps(raised.value))  # as such a job returns it
    assert again.signum == signal.SIGINT


def test_job_that_ends_leaves_the_result_that_another_one_writes(held_up: Recording) -> None:
    part = held_up.folder / ".7.4242.part"
    part.mkdir(parents=True)
    held_up.settle()
    assert part.is_dir()
    part.rmdir()
    held_up.settle()
    assert not held_up.folder.exists()
