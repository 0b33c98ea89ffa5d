"""Engines behind the seam: the same works through all of them, and what a worker can do to itself.

Works and drivers tell each other what happened through files and events, so that no test
depends on how fast something is; the time limits only end a test that hangs.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import psutil
import pytest
import threadpoolctl

from sweep.engine.backends import (
    Backend,
    Done,
    Emit,
    Emitted,
    Event,
    Stop,
    Work,
    WorkerDied,
    WorkError,
    create,
)
from sweep.engine.backends.seam import ONE_THREAD
from sweep.errors import ConfigError, RunFailed
from tests import processes

# Workers need not import this module, and pytest with it, to know the works below.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

PATIENCE = 60.0
NAMES = ("serial", "threads", "processes")
"""The others have files of their own, which run the same tests against their clusters."""

every = pytest.mark.parametrize("name", NAMES)


def collect(backend: Backend) -> list[Event]:
    return [event for event in backend.events() if event is not None]


def run(name: str, works: Iterable[Work], workers: int | None = 2) -> list[Event]:
    with create(name, workers) as backend:
        for key, work in enumerate(works):
            backend.submit(key, work)
        return collect(backend)


def values(events: Iterable[Event], key: int = 0) -> list[Any]:
    return [event.value for event in events if isinstance(event, Emitted) and event.key == key]


def ends(events: Iterable[Event]) -> dict[int, Done]:
    """Return the Done of each key, after a check that each has one and nothing follows it."""
    done: dict[int, Done] = {}
    for event in events:
        assert event.key not in done
        if isinstance(event, Done):
            done[event.key] = event
    return done


def wait_for(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Count:
    """Emit 0, 1, … n - 1."""

    def __init__(self, n: int = 3) -> None:
        self.n = n

    def __call__(self, emit: Emit, stop: Stop) -> None:
        for number in range(self.n):
            emit(number)


def until_stopped(emit: Emit, stop: Stop) -> None:
    emit("started")
    wait_for(stop)
    emit("stopped")


def dies(emit: Emit, stop: Stop) -> None:
    emit("alive")
    os.kill(os.getpid(), signal.SIGKILL)


# What every backend does


@every
def test_events_come_in_each_works_order(name: str) -> None:
    events = run(name, [Count(n) for n in range(6)])
    assert {key: done.error for key, done in ends(events).items()} == dict.fromkeys(range(6))
    for key in range(6):
        assert values(events, key) == list(range(key))


@every
def test_no_work_is_no_event(name: str) -> None:
    assert run(name, []) == []


@every
def test_works_submitted_while_taking_events_are_done_too(name: str) -> None:
    """The driver's own loop: fill up to the capacity, and again with each that is done."""
    left = list(range(12))
    flying: set[int] = set()
    done = []
    with create(name, 2) as backend:

        def fill() -> None:
            while left and len(flying) < backend.capacity:
                flying.add(left[0])
                backend.submit(left.pop(0), Count(1))

        fill()
        for event in backend.events():
            if isinstance(event, Done):
                flying.remove(event.key)
                done.append(event.key)
                fill()
    assert sorted(done) == list(range(12))


@every
def test_events_can_be_taken_again_after_a_break(name: str) -> None:
    with create(name, 1) as backend:
        backend.submit(0, Count(3))
        first = next(event for event in backend.events() if event is not None)
        backend.submit(1, Count(1))
        rest = collect(backend)
        backend.submit(2, Count(1))
        rest += collect(backend)
    assert first == Emitted(0, 0)
    assert sorted(ends(rest)) == [0, 1, 2]
    assert values(rest, 0) == [1, 2]


@every
def test_values_arrive_before_their_work_ends(name: str, tmp_path: Path) -> None:
    def work(emit: Emit, stop: Stop) -> None:
        emit("first")
        wait_for((tmp_path / "seen").exists)
        emit("second")

    seen = []
    with create(name, 2) as backend:
        backend.submit(0, work)
        for event in backend.events():
            if isinstance(event, Emitted):
                seen.append(event.value)
                (tmp_path / "seen").touch()
    assert seen == ["first", "second"]


@every
def test_driver_is_woken_while_a_work_is_silent(name: str, tmp_path: Path) -> None:
    def work(emit: Emit, stop: Stop) -> None:
        wait_for((tmp_path / "woken").exists)

    with create(name, 2) as backend:
        backend.submit(0, work)
        for event in backend.events():
            if event is None:
                (tmp_path / "woken").touch()
    assert (tmp_path / "woken").exists()


@every
def test_error_of_a_work_is_told_and_harms_no_other(name: str) -> None:
    def fails(emit: Emit, stop: Stop) -> None:
        emit("before")
        raise ValueError("lr is odd")

    events = run(name, [Count(), fails, Count()])
    done = ends(events)
    assert values(events, 1) == ["before"]
    assert type(done[1].error) is ValueError
    assert str(done[1].error) == "lr is odd"
    assert done[1].error.__traceback__ is None
    # Newer releases of cloudpickle send a local function without the path of its source, so
    # that its line cannot be shown; where it was raised and what can.
    assert "in fails\n" in str(done[1].traceback)
    assert "ValueError: lr is odd" in str(done[1].traceback)
    assert done[0].error is done[2].error is None


@every
@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_error_that_ends_programs_ends_its_work_alone(name: str, error: BaseException) -> None:
    def fails(emit: Emit, stop: Stop) -> None:
        raise error

    done = ends(run(name, [fails, Count()]))
    assert type(done[0].error) is type(error)
    assert done[1].error is None


@every
def test_stop_reaches_works_that_run_and_works_that_wait(name: str) -> None:
    with create(name, 2) as backend:
        for key in range(5):
            backend.submit(key, until_stopped)
        events: list[Event] = []
        for event in backend.events():
            if event is not None:
                backend.stop()
                events.append(event)
        backend.submit(5, until_stopped)
        events += collect(backend)
    assert sorted(ends(events)) == list(range(6))
    assert all(values(events, key) == ["started", "stopped"] for key in range(6))


@every
def test_close_ends_a_work_that_emits_for_ever(name: str) -> None:
    def work(emit: Emit, stop: Stop) -> None:
        while True:
            emit("more")

    before = threading.active_count()
    with create(name, 2) as backend:
        backend.submit(0, work)
        backend.submit(1, work)
        next(backend.events())
    backend.close()
    assert list(backend.events()) == []
    assert threading.active_count() == before
    with pytest.raises(RuntimeError, match="closed"):
        backend.submit(2, work)


@every
def test_works_that_emit_wait_for_the_driver(name: str, tmp_path: Path) -> None:
    """Results must not pile up: at no moment is much more sent than taken."""
    sent = tmp_path / "sent"

    def work(emit: Emit, stop: Stop) -> None:
        for number in range(100):
            sent.write_text(str(number))
            emit(bytes(2**20))

    ahead = []
    with create(name, 1) as backend:
        backend.submit(0, work)
        taken = 0
        for event in backend.events():
            if isinstance(event, Emitted):
                taken += 1
                ahead.append(int(sent.read_text() or 0) - taken)
    assert taken == 100
    assert max(ahead) < 20


@every
def test_one_blas_thread_while_works_run_and_as_before_afterwards(name: str) -> None:
    def blas_threads(emit: Emit, stop: Stop) -> None:
        import numpy  # noqa: F401  (what a work computes with)

        pools = threadpoolctl.threadpool_info()
        emit([pool["num_threads"] for pool in pools if pool["user_api"] == "blas"])
        emit({variable: os.environ.get(variable) for variable in ONE_THREAD})

    environment = dict(os.environ)
    with threadpoolctl.threadpool_limits(2):
        before = threadpoolctl.threadpool_info()
        counts, variables = values(run(name, [blas_threads]))
        assert threadpoolctl.threadpool_info() == before
    assert counts and set(counts) == {1}
    assert variables == ONE_THREAD
    assert dict(os.environ) == environment


def products(emit: Emit, stop: Stop) -> None:
    """Emit digests of what large layers compute: sums whose order a thread count would change."""
    random = np.random.default_rng(7)
    layers = [random.standard_normal(shape) for shape in ((300, 700), (700, 900), (900, 50))]
    values = random.standard_normal((257, 300))
    for layer in layers:
        values = np.tanh(values @ layer)
        emit(hashlib.sha256(values.tobytes()).hexdigest())


def test_same_bits_for_every_backend_and_worker_count() -> None:
    found = {
        tuple(values(events, key))
        for name, workers in [("serial", 1), *((n, w) for n in NAMES[1:] for w in (1, 3))]
        for events in [run(name, [products] * 3, workers)]
        for key in range(3)
    }
    assert len(found) == 1
    assert len(found.pop()) == 3


# Serial


def test_serial_runs_one_work_at_a_time_in_the_order_of_submission() -> None:
    events = run("serial", [Count(2)] * 4, workers=8)
    expected = [[Emitted(key, 0), Emitted(key, 1), Done(key)] for key in range(4)]
    assert events == [event for group in expected for event in group]


def test_serial_work_waits_while_the_driver_deals_with_its_value() -> None:
    steps: list[int] = []

    def work(emit: Emit, stop: Stop) -> None:
        for number in range(20):
            steps.append(number)
            emit(number)

    with create("serial") as backend:
        backend.submit(0, work)
        for event in backend.events():
            if isinstance(event, Emitted):
                assert steps == list(range(event.value + 1))


# Threads


def test_threads_run_as_many_works_at_once_as_there_are_workers() -> None:
    meeting = threading.Barrier(3)

    def work(emit: Emit, stop: Stop) -> None:
        meeting.wait(PATIENCE)

    assert {done.error for done in ends(run("threads", [work] * 6, workers=3)).values()} == {None}


# Processes: what cannot travel


class Unreadable:
    """Can be pickled, and not unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return divmod, (1, 0)


class TwoArguments(Exception):
    """Pickles, but its constructor then misses an argument: common among people's errors."""

    def __init__(self, what: str, where: str) -> None:
        super().__init__(f"{what} in {where}")


def raises(error: Callable[[], BaseException]) -> Work:
    def work(emit: Emit, stop: Stop) -> None:
        raise error()

    return work


def emits(value: Callable[[], object]) -> Work:
    def work(emit: Emit, stop: Stop) -> None:
        emit("one")
        emit(value())
        emit("three")

    return work


def holds_a_lock() -> BaseException:
    error = ValueError("held")
    error.lock = threading.Lock()  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (emits(threading.Lock), "The work emitted a lock, which cannot be sent"),
        (emits(Unreadable), r"A value cannot be unpickled \(.*zero"),
        (raises(holds_a_lock), "ValueError: held"),
        (raises(lambda: TwoArguments("nan", "w1")), "TwoArguments: nan in w1"),
    ],
)
def test_what_cannot_travel_ends_its_work_with_a_sentence(work: Work, message: str) -> None:
    done = ends(run("processes", [work, Count()], workers=1))
    assert isinstance(done[0].error, WorkError)
    assert isinstance(done[0].error, RunFailed)
    with pytest.raises(WorkError, match=message):
        raise done[0].error
    assert "\n" not in str(done[0].error)
    assert done[1].error is None


def test_work_that_cannot_be_sent_ends_with_a_sentence() -> None:
    lock = threading.Lock()

    def work(emit: Emit, stop: Stop) -> None:
        lock.acquire()

    done = ends(run("processes", [work, Count()], workers=1))
    with pytest.raises(WorkError, match="The work cannot be sent to a worker process"):
        raise done[0].error or AssertionError
    assert done[1].error is None


def test_work_larger_than_any_pipe_travels() -> None:
    block = np.arange(3_000_000.0)

    def work(emit: Emit, stop: Stop) -> None:
        emit(block * 2)

    [value] = values(run("processes", [work], workers=1))
    assert np.array_equal(value, block * 2)


# Processes: workers that die


def leaves(emit: Emit, stop: Stop) -> None:
    os._exit(7)


def crashes(emit: Emit, stop: Stop) -> None:
    ctypes.string_at(0)


def stops_itself_while_sending(emit: Emit, stop: Stop) -> None:
    """Die with half a value sent: the driver does not take values now, so the socket is full."""
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGKILL)).start()
    while True:
        emit(bytes(2**22))


@pytest.mark.parametrize(
    ("killer", "how"),
    [(dies, "SIGKILL"), (leaves, "exit code 7"), (crashes, "SIGSEGV")],
)
def test_work_that_kills_its_worker_is_found_and_the_others_complete(
    killer: Work, how: str
) -> None:
    works: list[Work] = [Count()] * 6
    works.insert(2, killer)
    events = run("processes", works)
    done = ends(events)
    error = done.pop(2).error
    assert isinstance(error, WorkerDied)
    assert how in str(error)
    assert "\n" not in str(error)
    assert [done[key].error for key in sorted(done)] == [None] * 6
    assert all(values(events, key) == [0, 1, 2] for key in done)


def test_every_work_may_be_a_killer() -> None:
    done = ends(run("processes", [dies] * 4))
    assert len(done) == 4
    assert all(isinstance(end.error, WorkerDied) for end in done.values())


def test_worker_that_dies_in_the_middle_of_a_value_holds_up_nobody() -> None:
    done = ends(run("processes", [stops_itself_while_sending, Count(), Count()]))
    assert isinstance(done[0].error, WorkerDied)
    assert done[1].error is done[2].error is None


def test_work_whose_worker_died_once_is_repeated_from_its_start(tmp_path: Path) -> None:
    def work(emit: Emit, stop: Stop) -> None:
        emit("start")
        if not (tmp_path / "died").exists():
            (tmp_path / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        emit("end")

    events = run("processes", [work, Count()])
    assert values(events, 0) == ["start", "start", "end"]
    assert all(end.error is None for end in ends(events).values())


def test_repeated_work_runs_alone(tmp_path: Path) -> None:
    """What dies for want of memory may live without company; nobody runs beside it."""

    def work(emit: Emit, stop: Stop) -> None:
        mine = tmp_path / f"{os.getpid()}.running"
        mine.touch()
        if not (tmp_path / "died").exists():
            (tmp_path / "died").touch()
            mine.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        emit(len(list(tmp_path.glob("*.running"))))
        mine.unlink()

    def company(emit: Emit, stop: Stop) -> None:
        mine = tmp_path / f"{os.getpid()}.running"
        mine.touch()
        wait_for((tmp_path / "died").exists)
        time.sleep(0.05)  # long enough to be seen, were the two ever together
        mine.unlink()

    events = run("processes", [company, work, *[company] * 6], workers=3)
    assert values(events, 1) == [1]
    assert all(end.error is None for end in ends(events).values())


def test_worker_killed_from_outside_costs_nothing_but_time() -> None:
    def work(emit: Emit, stop: Stop) -> None:
        emit(os.getpid())
        wait_for(stop)

    starts: list[Emitted] = []
    done = []
    with create("processes", 2) as backend:
        backend.submit(0, work)
        backend.submit(1, work)
        for event in backend.events():
            if isinstance(event, Emitted):
                starts.append(event)
                if len(starts) == 1:
                    os.kill(event.value, signal.SIGKILL)
                else:
                    backend.stop()
            elif event is not None:
                done.append(event)
    victim, neighbour, again = starts
    assert (victim.key, again.key) == (again.key, 1 - neighbour.key)
    assert victim.value != again.value
    assert sorted(done, key=lambda end: end.key) == [Done(0), Done(1)]


def test_worker_that_died_while_it_had_nothing_to_do_is_replaced() -> None:
    def work(emit: Emit, stop: Stop) -> None:
        emit(os.getpid())

    with create("processes", 1) as backend:
        backend.submit(0, work)
        [first] = values(collect(backend))
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: not running(first))
        backend.submit(1, work)
        events = collect(backend)
    assert ends(events) == {1: Done(1)}
    assert values(events, 1) != [first]


def test_worker_that_cannot_start_ends_the_work_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no python"))
    done = ends(run("processes", [Count(), Count()]))
    assert len(done) == 2
    assert all(isinstance(end.error, Exception) for end in done.values())


def test_worker_whose_output_nobody_reads_goes_on(tmp_path: Path) -> None:
    script = (
        "import os, sys\n"
        "from sweep.engine.backends import create\n"
        "def work(emit, stop):\n"
        "    print('lost')\n"
        "reading, writing = os.pipe()\n"
        "os.close(reading)\n"
        "os.dup2(writing, 1)\n"
        "with create('processes', 1) as backend:\n"
        "    backend.submit(0, work)\n"
        "    print([event for event in backend.events() if event], file=sys.stderr)\n"
    )
    ended = processes.run([sys.executable, "-c", script], tmp_path, timeout=PATIENCE)
    assert ended.code == 0
    assert "[Done(key=0, error=None, traceback=None)]" in ended.err


def test_worker_ignores_ctrl_c_and_leaves_the_decision_to_the_driver() -> None:
    def work(emit: Emit, stop: Stop) -> None:
        emit(os.getpid())
        os.kill(os.getpid(), signal.SIGINT)
        emit(os.getpgid(0) == os.getpid())

    events = run("processes", [work])
    assert values(events)[1] is True
    assert ends(events)[0].error is None


# Processes: nothing is left

DRIVER = """
import os, signal, subprocess, sys, time
import psutil
from sweep.engine.backends import Done, create

class Work:                                     # a class of __main__, known to no module
    def __init__(self, endless):
        self.endless = endless
    def __call__(self, emit, stop):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        emit((os.getpid(), child.pid))
        while self.endless == "deaf" or (self.endless and not stop()):
            time.sleep(0.01)

way = sys.argv[1]
try:
    with create("processes", 2) as backend:
        endless = {"end": False, "deaf": "deaf"}.get(way, True)
        for key in range(2):
            backend.submit(key, Work(endless))
        seen = 0
        for event in backend.events():
            if event is None or isinstance(event, Done):
                continue
            print(*event.value, flush=True)
            seen += 1
            if seen == 2 and way == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if seen == 2 and way == "interrupted":
                os.kill(os.getpid(), signal.SIGINT)
            if seen == 2 and way == "raises":
                raise ValueError("of the driver")
            if seen == 2 and way == "exits":
                os._exit(9)
            if seen == 2 and way == "stop":
                backend.stop()
            if seen == 2 and way == "deaf":
                break
except (KeyboardInterrupt, ValueError):
    pass
print("left", len(psutil.Process().children(recursive=True)), flush=True)
"""


@pytest.mark.parametrize(
    ("way", "code"),
    [
        ("end", 0),
        ("stop", 0),
        ("deaf", 0),
        ("raises", 0),
        ("interrupted", 0),
        ("exits", 9),
        ("killed", -signal.SIGKILL),
    ],
)
def test_no_worker_and_no_child_of_one_is_left(way: str, code: int, tmp_path: Path) -> None:
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)
    ended = processes.run([sys.executable, script, way], tmp_path, timeout=PATIENCE)
    assert ended.code == code, ended.err
    lines = ended.out.split("\n")
    pids = [int(pid) for line in lines[:2] for pid in line.split()]
    assert len(pids) == 4
    assert lines[2:] == (["left 0", ""] if code == 0 else [""])
    wait_for(lambda: not any(map(running, pids)))


@pytest.mark.parametrize("name", ["serial", "threads"])
def test_work_that_never_asks_stop_does_not_keep_the_program_from_ending(
    name: str, tmp_path: Path
) -> None:
    script = (
        "import time\n"
        "from sweep.engine.backends import create\n"
        "def work(emit, stop):\n"
        "    emit('started')\n"
        "    time.sleep(600)\n"
        f"with create('{name}', 2) as backend:\n"
        "    backend.submit(0, work)\n"
        "    next(backend.events())\n"
        "print('ended')\n"
    )
    ended = processes.run([sys.executable, "-c", script], tmp_path, timeout=PATIENCE)
    assert ended == (0, "ended\n", "")


def test_module_from_a_folder_of_the_users_own_works_in_processes(tmp_path: Path) -> None:
    folder = tmp_path / "my conf"
    folder.mkdir()
    (folder / "mine.py").write_text("def work(emit, stop):\n    emit(__name__)\n")
    script = (
        "import sys\n"
        f"sys.path.insert(0, {str(folder)!r})\n"
        "import mine\n"
        "from sweep.engine.backends import create\n"
        "with create('processes', 1) as backend:\n"
        "    backend.submit(0, mine.work)\n"
        "    print([event for event in backend.events() if event])\n"
    )
    ended = processes.run([sys.executable, "-c", script], tmp_path, timeout=PATIENCE)
    assert ended.code == 0, ended.err
    assert "Emitted(key=0, value='mine'), Done(key=0, error=None" in ended.out


# create


def test_each_backend_has_a_use_for_more_than_one_work() -> None:
    assert create("serial").capacity == 1
    assert create("threads", 4).capacity >= 4
    assert create("processes", 4).capacity >= 4


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


def test_import_of_the_seam_loads_no_engine(tmp_path: Path) -> None:
    script = (
        "import sys, sweep.engine.backends\n"
        "print(sorted({'loky', 'cloudpickle', 'threadpoolctl', 'numpy'} & set(sys.modules)))"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", script],
            env=processes.clean_environment(),
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        == "[]\n"
    )
