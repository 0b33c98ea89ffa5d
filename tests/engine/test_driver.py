"""The driver over every executor of this machine, and what a worker can do to itself.

Trainers say what happened by files, so that no test depends on how fast something is; the time
limits only end a test that hangs.
"""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from sweep.engine import listener
from sweep.engine.executors import create
from sweep.engine.executors.worker import call_here
from sweep.engine.listener import BatchItem, Listener
from sweep.errors import ConfigError
from sweep.training.surroundings import Failure
from sweep.training.task import Task
from tests import processes
from tests.engine.driving import (
    Charted,
    Ended,
    Progressed,
    assert_falls,
    assert_stop_closes_generators,
    drive,
    events,
    trajectory,
)

PATIENCE = 60.0
NAMES = ("serial", "threads", "processes")
"""The clusters have a file of their own, which runs some of the same tests."""

every = pytest.mark.parametrize(
    "name", ["serial", "threads", pytest.param("processes", marks=pytest.mark.slow)]
)


def test_threads_of_one_worker_keep_their_trainings_but_not_those_of_commands_long_gone() -> None:
    item = BatchItem(trajectory("Falling", 0.1, 10**9), Listener(), math.inf).task_item()
    names = [f"{command} thread {number}" for number in range(20) for command in ("one", "two")]
    for name in names:
        assert call_here(name, "advance", Task(0, 0, 1e-3, (item,)))
    assert all(call_here(name, "advance", Task(0, 1, 1e-3, None)) for name in names)
    for number in range(20):
        call_here(f"{number} thread 0", "close")
    assert not any(call_here(name, "advance", Task(0, 2, 1e-3, None)) for name in names)


def running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@every
def test_caller_gets_control_while_a_trainer_is_busy(name: str, tmp_path: Path) -> None:
    given = trajectory("Meeting", 0.1, 1, folder=tmp_path)

    def meet(event: object) -> None:
        if event is None:
            for other in ("here a", "here b"):
                (tmp_path / other).touch()

    assert_falls(drive(create(name, 1), [given], on=meet)[0.1, 1], 0.1, 1)


def test_long_run_is_charted_while_it_trains_and_no_point_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listener, "CHART_SECONDS", 0.0)
    steps: list[int] = []

    def note(event: object) -> None:
        if isinstance(event, Charted):
            steps.extend(event.part.steps.tolist())

    drive(create("threads", 1), [trajectory("Slow", 0.1, 150)], on=note)
    assert len(steps) > 5 and sorted(set(steps)) == steps and steps[0] == 0


@every
def test_trainer_without_a_state_stays_where_it_was_built(name: str) -> None:
    """It is built once for all of its slices, however slow that is."""
    found = drive(create(name, 2), [trajectory("Slow", lr, 60, 120) for lr in (0.1, 0.2)])
    for lr in (0.1, 0.2):
        first, last = found[lr, 60].metrics, found[lr, 120].metrics
        assert first == last
        assert_falls(found[lr, 120], lr, 120)


@every
def test_every_run_ends_with_its_own_prefix_and_a_failure_is_its_own(name: str) -> None:
    failing = {0.2: ("Failing", "ValueError: lr is odd"), 0.4: ("Exiting", "SystemExit: 3")}
    given = [trajectory("Falling", lr, 3, 70) for lr in (0.1, 3, 5)]
    given[1:1] = [trajectory(cls, lr, 5, 9) for lr, (cls, _) in failing.items()]
    found = drive(create(name, 2), given)
    for lr, (_, sentence) in failing.items():
        for iters in (5, 9):
            failure = found.pop((lr, iters))
            assert isinstance(failure, Failure)
            assert failure.sentence == sentence
            assert "in advance\n" in str(failure.traceback)
            assert failure.trained is not None and failure.trained.steps.tolist() == [0]
    assert len(found) == 6
    for (lr, iters), result in found.items():
        assert_falls(result, lr, iters)


def test_more_says_whether_what_waits_may_begin() -> None:
    ended: list[object] = []

    def note(event: object) -> None:
        if isinstance(event, Ended):
            ended.append(event)

    given = [trajectory("Slow", 0.1 * (1 + at), 5) for at in range(8)]
    drive(create("threads", 2), given, on=note, more=lambda: not ended)
    assert 1 <= len(ended) <= 4


def test_max_seconds_ends_a_run_and_no_other() -> None:
    given = [trajectory("Slow", 0.1, 2, 10**6), trajectory("Falling", 0.2, 5)]
    found = drive(create("threads", 2), given, max_seconds=0.3)
    assert found[0.1, 2].outcome == "completed"
    long = found[0.1, 10**6]
    assert long.outcome == "interrupted" and long.train_seconds >= 0.3
    assert (long.errors == 0.1 / (1.0 + np.arange(len(long.errors)))).all()
    assert_falls(found[0.2, 5], 0.2, 5)


def test_same_bits_for_every_executor_and_number_of_workers() -> None:
    found = set()
    threads = set()
    for name, workers in [("serial", 1), ("threads", 3), ("processes", 2)]:
        given = [trajectory("Product", lr, 1) for lr in (0.1, 0.2, 0.3)]
        for result in drive(create(name, workers), given).values():
            found.add(result.metrics["digest"])
            threads.add(result.metrics["most_threads"])
    assert len(found) == 1
    assert threads == {1}


@every
def test_stop_from_outside_closes_the_generators(name: str, tmp_path: Path) -> None:
    assert_stop_closes_generators(create(name, 2), tmp_path)


# Threads


def test_threads_run_as_many_tasks_at_once_as_there_are_workers(tmp_path: Path) -> None:
    given = [trajectory("Meeting", lr, 1, folder=tmp_path) for lr in (0.1, 0.2, 0.3)]
    assert len(drive(create("threads", 3), given)) == 3


def test_trainer_that_is_not_safe_in_threads_gets_processes() -> None:
    found = drive(create("threads", 2, thread_safe=False), [trajectory("Falling", 0.1, 5)])
    assert found[0.1, 5].metrics["pid"] != os.getpid()


# Workers that die


def test_worker_killed_in_mid_trajectory_costs_what_came_since_its_last_state(
    tmp_path: Path,
) -> None:
    """It has a state after each slice; only the steps since then are trained again."""
    given = [trajectory("DyingResumable", 1.5, 200, folder=tmp_path), trajectory("Slow", 0.2, 100)]
    found = drive(create("processes", 2), given)
    assert_falls(found[1.5, 200], 1.5, 200)
    assert_falls(found[0.2, 100], 0.2, 100)
    starts = [int(path.name.split()[-1]) for path in tmp_path.glob("1.5 from *")]
    assert starts and all(0 < step < 60 for step in starts)


def test_trainer_without_a_state_begins_anew_after_a_death(tmp_path: Path) -> None:
    found = drive(create("processes", 1), [trajectory("DyingSlow", 1.5, 40, 100, folder=tmp_path)])
    assert_falls(found[1.5, 40], 1.5, 40)
    assert_falls(found[1.5, 100], 1.5, 100)
    assert len(list(tmp_path.glob("1.5 died *"))) == 2


@pytest.mark.parametrize(
    ("cls", "how"), [("DyingResumable", "SIGKILL"), ("Leaving", "exit code 7")]
)
def test_trajectory_that_kills_its_workers_fails_and_the_others_complete(
    cls: str, how: str, tmp_path: Path
) -> None:
    given = [trajectory("Falling", 2.0 + at, 9) for at in range(6)]
    given.insert(2, trajectory(cls, 0.5, 30, 200, folder=tmp_path))
    found = drive(create("processes", 2), given)
    failure = found.pop((0.5, 200))
    assert isinstance(failure, Failure)
    assert "died 3 times in a row" in failure.sentence and how in failure.sentence
    if cls == "DyingResumable":
        assert_falls(found.pop((0.5, 30)), 0.5, 30)
    else:
        assert isinstance(found.pop((0.5, 30)), Failure)
    for (lr, iters), result in found.items():
        assert_falls(result, lr, iters)


@pytest.mark.slow
def test_last_try_is_alone(tmp_path: Path) -> None:
    """What dies for want of memory may live with nothing beside it."""
    given = [trajectory("Alone", lr, 40, folder=tmp_path) for lr in (0.1, 5.0, 0.2, 0.3, 0.4)]
    found = drive(create("processes", 3), given)
    assert found[5.0, 40].metrics["beside"] == 0
    assert all(result.outcome == "completed" for result in found.values())


def test_worker_that_died_while_it_had_nothing_to_do_is_replaced() -> None:
    with create("processes", 1) as executor:

        def pid(lr: float) -> int:
            found = events([(trajectory("Falling", lr, 5),)], executor)
            (outcome,) = [event.outcome for event in found if isinstance(event, Ended)]
            assert not isinstance(outcome, Failure)
            return int(outcome.metrics["pid"])

        first = pid(0.1)
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: not running(first))
        assert pid(0.2) != first


def test_worker_that_cannot_start_ends_its_run_with_a_sentence(tmp_path: Path) -> None:
    script = (
        "import os, resource\n"
        "from sweep.engine.executors import create\n"
        "from tests.engine.driving import Ended, events, trajectory\n"
        "given = [(trajectory('Falling', 0.1, 5),)]\n"
        "with create('processes', 1) as executor:\n"
        "    free = os.dup(0)\n"
        "    os.close(free)\n"
        "    resource.setrlimit(resource.RLIMIT_NOFILE, (free, free))\n"
        "    for event in events(given, executor):\n"
        "        if isinstance(event, Ended):\n"
        "            print(event.outcome.sentence)\n"
    )
    ended = processes.run([sys.executable, "-c", script], tmp_path, timeout=PATIENCE)
    assert ended.code == 0, ended
    assert "WorkerDied" in ended.out and "Too many open files" in ended.out


def test_worker_ignores_ctrl_c_and_leaves_the_decision_to_the_command() -> None:
    found = drive(create("processes", 1), [trajectory("Interrupting", 0.1, 5)])
    assert found[0.1, 5].metrics == {"leads": True}
    assert_falls(found[0.1, 5], 0.1, 5)


# Checkpoints


def leave_after(count: int) -> Callable[[object], None]:
    """Return a callback that leaves the driver after so many events of progress."""
    left = [count]

    def note(event: object) -> None:
        left[0] -= isinstance(event, Progressed)
        if not left[0]:
            raise KeyboardInterrupt

    return note


@every
def test_what_is_left_early_goes_on_where_it_was(name: str, tmp_path: Path) -> None:
    given = trajectory("Resumable", 0.1, 20, 200, folder=tmp_path)
    kept = tmp_path / "kept"
    with pytest.raises(KeyboardInterrupt):
        drive(create(name, 1), [given], on=leave_after(3), checkpoints=kept)
    assert len(list(kept.iterdir())) == 1
    rest = trajectory("Resumable", 0.1, 200, folder=tmp_path)
    assert_falls(drive(create(name, 1), [rest], checkpoints=kept)[0.1, 200], 0.1, 200)
    starts = [int(path.name.split()[-1]) for path in tmp_path.glob("0.1 from *")]
    assert len(starts) == 1 and starts[0] >= 20
    assert not kept.exists()


def test_checkpoint_of_another_platform_is_not_used_and_a_sentence_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = trajectory("Resumable", 0.1, 200, folder=tmp_path)
    kept = tmp_path / "kept"
    with pytest.raises(KeyboardInterrupt):
        drive(create("serial"), [given], on=leave_after(2), checkpoints=kept)
    (file,) = kept.iterdir()
    with np.load(file) as arrays:
        found = dict(arrays)
    np.savez(file, **{**found, "platform": np.array("VAX")})
    assert_falls(drive(create("serial"), [given], checkpoints=kept)[0.1, 200], 0.1, 200)
    assert capsys.readouterr().out == (
        f"{given.cells[0].name} starts from step 0: its checkpoint was made on another platform "
        "(VAX).\n"
    )
    assert not list(tmp_path.glob("0.1 from *"))


def test_long_training_is_kept_on_disk_while_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "KEEP_SECONDS", 0.0)
    kept = tmp_path / "kept"
    seen: set[bool] = set()
    drive(
        create("threads", 1),
        [trajectory("Resumable", 0.1, 100, folder=tmp_path)],
        on=lambda event: seen.add(kept.exists()),
        checkpoints=kept,
    )
    assert True in seen
    assert not kept.exists()


# Nothing is left

PROGRAM = """
import os, signal, sys
from pathlib import Path
import psutil
from sweep.engine.executors import create
from tests.engine.driving import events, trajectory

if __name__ == "__main__":
    way, here = sys.argv[1], Path.cwd()
    try:
        with create("processes", 2) as executor:
            given = [(trajectory("Family", lr, 5, folder=here),) for lr in (0.1, 0.2)]
            for event in events(given, executor):
                if len(list(here.glob("*.pids"))) == 2:
                    if way == "killed":
                        os.kill(os.getpid(), signal.SIGKILL)
                    if way == "interrupted":
                        os.killpg(0, signal.SIGINT)
    except KeyboardInterrupt:
        pass
"""


@pytest.mark.parametrize(("way", "code"), [("interrupted", 0), ("killed", -signal.SIGKILL)])
def test_no_worker_and_no_child_of_one_is_left(way: str, code: int, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    process = processes.start([sys.executable, "program.py", way], tmp_path)
    ended = processes.finish(process, PATIENCE)
    assert ended.code == code, ended
    assert not [line for line in ended.err.splitlines() if "resource_tracker" not in line]
    pids = [int(pid) for file in tmp_path.glob("*.pids") for pid in file.read_text().split()]
    assert len(pids) == 4
    wait_for(lambda: not any(map(running, pids)))


def test_executor_that_is_closed_leaves_no_thread_and_no_process() -> None:
    before = threading.active_count()
    for name in NAMES:
        drive(create(name, 2), [trajectory("Falling", lr, 5) for lr in (0.1, 0.2, 0.3)])
    wait_for(lambda: threading.active_count() == before)
    children = [child.cmdline() for child in psutil.Process().children(recursive=True)]
    assert not [words for words in children if "resource_tracker" not in " ".join(words)]


# create


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("thread",), ["thread", "serial, threads, processes"]),
        (("threads", 0), ["0", "at least 1"]),
        (("threads", -1), ["-1", "at least 1"]),
        (("processes", True), ["True", "at least 1"]),
        (("processes", 2.0), ["2.0", "at least 1"]),
        (("threads", 2, {"adress": "x"}), ["threads", "adress"]),
    ],
)
def test_create_refuses_what_it_does_not_know(arguments: Any, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        create(*arguments)
    assert all(word in str(caught.value) for word in words)
