"""State that lies: a sweep that is killed, interrupted, hung up on, or told twice."""

from __future__ import annotations

import os
import shlex
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest

from sweep.tracking import read
from tests.commands import run_here
from tests.faults.conftest import Begin
from tests.faults.support import (
    assert_brief,
    assert_whole,
    open_reader,
    recorder_of,
    statuses,
    trainer,
    wait_for,
    wait_for_line,
)
from tests.processes import clean_environment, finish, run, sweep_command

SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
GRID = ["-m", "lr=0.1", "iters=10,1e12"]
"""One run that ends at once and one that never does."""

RESULTS = "outputs/*/*/results/[0-9]*/run.json"
"""The result files that the store does not have."""

LAUNCHERS = {
    "threads": [],
    "serial": ["hydra.launcher.backend=serial"],
    "processes": ["hydra.launcher.backend=processes"],
    "basic": ["hydra/launcher=basic"],
}


@pytest.mark.faults
@pytest.mark.parametrize(
    ("signum", "launcher"),
    [*((signum, "threads") for signum in SIGNALS)] + [(signal.SIGTERM, "basic")],
)
def test_signal_ends_a_sweep(
    begin: Begin, signum: signal.Signals, launcher: str, tmp_path: Path
) -> None:
    process = begin([*GRID, *LAUNCHERS[launcher]], tmp_path)
    wait_for_line(process, "[1/2]")
    os.kill(process.pid, signum)
    ended = finish(process, 30)
    assert_brief(ended, SIGNALS[signum])
    last = ended.err.strip().splitlines()[-1]
    assert "1 of 2 runs are done" in last and "python -m sweep -m " in last
    assert " resume=" in last
    assert statuses(tmp_path)["RUNNING"] == 0
    assert statuses(tmp_path)["KILLED"] >= 1  # the sweep's own run


@pytest.mark.parametrize(
    "signum",
    [
        signal.SIGTERM,
        pytest.param(signal.SIGINT, marks=pytest.mark.faults),
        pytest.param(signal.SIGHUP, marks=pytest.mark.faults),
    ],
)
def test_signal_ends_a_single_run(begin: Begin, signum: signal.Signals, tmp_path: Path) -> None:
    process = begin(["iters=1e12", "hydra.verbose=false"], tmp_path)
    wait_for(lambda: list(tmp_path.glob("outputs/runs/*")), "the run's folder")
    wait_for(lambda: catches(process, signum), "a handler for the signal")
    os.kill(process.pid, signum)
    ended = finish(process, 30)
    assert_brief(ended, SIGNALS[signum], f"Ended by {signum.name}")
    assert not (tmp_path / "outputs" / "mlflow.db").exists()


def catches(process: subprocess.Popen[str], signum: int) -> bool:
    """Tell whether a process has a handler of its own for a signal (Linux)."""
    text = Path(f"/proc/{process.pid}/status").read_text()
    mask = int(text.partition("SigCgt:")[2].split()[0], 16)
    hangup = 1 << (signal.SIGHUP - 1)  # Python itself never catches this one
    return bool(mask & hangup) and bool(mask & 1 << (signum - 1))


@pytest.mark.faults
@pytest.mark.parametrize("backend", ["threads", "serial", "processes"])
def test_signal_ends_a_trainer_that_never_returns(
    begin: Begin, backend: str, tmp_path: Path
) -> None:
    own = trainer(tmp_path, "Hanging")
    grid = ["lr=0.5,2", "iters=9", f"hydra.launcher.backend={backend}"]
    process = begin(["-m", *own, *grid], tmp_path)
    wait_for_line(process, "[1/2]")
    wait_for(lambda: statuses(tmp_path)["RUNNING"] == 2 or backend == "serial", "the second run")
    os.kill(process.pid, signal.SIGTERM)
    assert_brief(finish(process, 30), 143, "1 of 2 runs are done", "--config-dir")
    assert statuses(tmp_path)["RUNNING"] == 0
    assert not children_left(tmp_path)


def children_left(folder: Path) -> list[str]:
    """Return the commands of processes that still work in a folder (Linux)."""
    left = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and (entry / "cwd").resolve() == folder.resolve():
                if int(entry.name) != os.getpid():
                    left.append((entry / "cmdline").read_text())
        except OSError:
            continue
    return left


@pytest.mark.faults
def test_ignored_signal_stays_ignored(begin_command: Begin, tmp_path: Path) -> None:
    own = trainer(tmp_path, "Lasting", seconds=0.05)
    script = 'trap "" HUP INT; exec "$@"'  # as nohup and a script's `&` leave them
    command = sweep_command(["-m", *own, "lr=0.1", "iters=1,40"])
    process = begin_command(["sh", "-c", script, "sh", *command], tmp_path, clean_environment())
    wait_for_line(process, "[1/2]")
    os.kill(process.pid, signal.SIGHUP)
    os.kill(process.pid, signal.SIGINT)
    ended = finish(process, 60)
    assert ended.code == 0, ended
    assert_whole(tmp_path)


@pytest.mark.faults
def test_signal_while_a_single_run_waits_for_the_lock(begin: Begin, tmp_path: Path) -> None:
    """Its numbers are printed, its result waits on disk, and `resume` stores it."""
    first = run_here(["iters=3"], tmp_path)
    assert first.code == 0, first
    with closing(sqlite3.connect(tmp_path / "outputs" / "mlflow.db")) as holder:
        holder.isolation_level = None
        holder.execute("BEGIN IMMEDIATE")
        process = begin(["iters=4"], tmp_path)
        wait_for(lambda: list(tmp_path.glob(RESULTS)), "a result that waits")
        os.kill(process.pid, signal.SIGTERM)
        ended = finish(process, 30)
        (left,) = tmp_path.glob(RESULTS)
        run_id = left.parents[2].name
        assert_brief(ended, 143, f"resume={run_id} stores it")
    after = run_here([f"resume={run_id}"], tmp_path)
    assert after.code == 0 and "Stored as run" in after.out, after
    assert statuses(tmp_path) == {"FINISHED": 2}
    assert not list(tmp_path.glob(RESULTS))
    assert run_here([f"resume={run_id}"], tmp_path).code == 2, "nothing is left to resume"


@pytest.mark.faults
def test_signal_while_a_single_run_is_shown_in_a_locked_store(begin: Begin, tmp_path: Path) -> None:
    own = trainer(tmp_path, "Lasting", seconds=0.05)
    process = begin([*own, "lr=0.1", "iters=1e6"], tmp_path)
    database = tmp_path / "outputs" / "mlflow.db"
    wait_for(lambda: database.exists() and statuses(tmp_path)["RUNNING"], "a run that is shown")
    with closing(sqlite3.connect(database, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        time.sleep(1)  # so that the next part of the curve is waiting, most of the time
        os.kill(process.pid, signal.SIGTERM)
        ended = finish(process, 30)
        assert_brief(ended, 143, "as KILLED by the next command")
    after = run_here(["iters=2"], tmp_path)
    assert after.code == 0 and "1 run was still open" in after.out, after
    assert statuses(tmp_path) == {"FINISHED": 1, "KILLED": 1}


@pytest.mark.faults
@pytest.mark.parametrize("launcher", ["threads", "basic"])
def test_reader_that_goes_away_ends_no_sweep(launcher: str, tmp_path: Path) -> None:
    own = trainer(tmp_path, "Lasting", seconds=0.01)
    sweep = shlex.join(sweep_command(["-m", *own, "lr=0.1,0.2", "iters=9", *LAUNCHERS[launcher]]))
    script = f"set -o pipefail; {sweep} | head -n 1"
    ended = run(["bash", "-c", script], tmp_path, env=clean_environment())
    assert ended.code == 0 and ended.err == "" and len(ended.out.splitlines()) == 1, ended
    assert_whole(tmp_path)


@pytest.mark.faults
@pytest.mark.parametrize("times", [1, 2])
def test_interrupt_while_another_program_holds_the_lock(
    begin: Begin, times: int, tmp_path: Path
) -> None:
    """The first waits a moment for the lock and the second for nothing; the next command tidies."""
    process = begin(GRID, tmp_path)
    wait_for_line(process, "[1/2]")
    wait_for(lambda: statuses(tmp_path)["RUNNING"] == 2, "the long run in the store")
    database = tmp_path / "outputs" / "mlflow.db"
    with closing(sqlite3.connect(database, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        for _ in range(times):
            os.kill(process.pid, signal.SIGINT)
            time.sleep(0.1)  # two at one moment would be one
        ended = finish(process, 30)
        assert ended.code == 130 and "Traceback" not in ended.err, ended
    assert statuses(tmp_path)["RUNNING"] == 2
    listed = run_here([], tmp_path, module="sweep.report")
    assert listed.code == 0 and "KILLED now" in listed.out + listed.err, listed
    assert statuses(tmp_path)["RUNNING"] == 0


@pytest.mark.faults
def test_signal_while_the_report_is_drawn(begin: Begin, tmp_path: Path) -> None:
    grid = ["lr=" + ",".join(f"{n / 10}" for n in range(1, 21)), "iters=1,10,100", "seed=0,1,2"]
    process = begin(["-m", *grid], tmp_path)
    wait_for(lambda: list(tmp_path.glob("outputs/reports/*/runs.csv")), "the report's first file")
    os.kill(process.pid, signal.SIGTERM)
    ended = finish(process, 30)
    assert_brief(ended, 143, "180 of 180 runs are done", "resume=")
    assert statuses(tmp_path) == {"FINISHED": 180, "KILLED": 1}
    (report,) = tmp_path.glob("outputs/reports/*")
    assert not (report / "index.html").exists() and not list(report.glob(".*"))
    again = run_here(["resume=last"], tmp_path)
    assert again.code == 0 and "0 to do" in again.out, again
    assert (report / "index.html").exists()
    assert_whole(tmp_path)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a sweep that nobody disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    ended = run_here(LONG, folder)
    assert ended.code == 0, ended
    return folder


LONG = ["-m", "lr=0.1,1,20", "iters=10,1000,4000000"]


@pytest.mark.faults
@pytest.mark.parametrize("launcher", ["threads", "processes", "basic"])
def test_killed_sweep_is_resumed(
    begin: Begin, launcher: str, undisturbed: Path, tmp_path: Path
) -> None:
    process = begin([*LONG, *LAUNCHERS[launcher]], tmp_path)
    wait_for_line(process, "[2/9]")
    wait_for(lambda: statuses(tmp_path)["FINISHED"] >= 2, "two runs in the store")
    process.kill()
    finish(process, 30)
    left = statuses(tmp_path)
    assert left["RUNNING"] >= 1 and left["FINISHED"] >= 2, left
    ended = run_here(["-m", "resume=last"], tmp_path)
    assert ended.code == 0, ended
    assert_whole(tmp_path, like=undisturbed)
    store = open_reader(tmp_path)
    sweep_id = read.find_sweep(store, "last").sweep_id
    attempts = read.sweep_runs(store, sweep_id, every=True)
    assert len(attempts) - 9 <= left["RUNNING"] - 1  # those in flight alone are done again


@pytest.mark.faults
@pytest.mark.parametrize("shared", [True, False], ids=["trajectory", "basic"])
def test_whole_group_is_killed_with_results_that_wait(
    begin: Begin, shared: bool, tmp_path: Path
) -> None:
    """As by the system's memory killer, or by Slurm: none that had ended is trained again."""
    rates = ",".join(str(number) for number in range(1, 41))
    launcher = [] if shared else ["hydra/launcher=basic"]
    grid = ["-m", f"lr={rates}", "iters=10", "seed=0", *launcher]
    process = begin(grid, tmp_path)
    wait_for_line(process, "[1/40]")
    recorder = recorder_of(process)
    recorder.suspend()
    try:
        wait_for_line(process, "[40/40]")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        recorder.kill()
    finish(process, 30)
    left = statuses(tmp_path)["FINISHED"]
    waiting = len(list(tmp_path.glob(RESULTS)))
    assert waiting > 20 and left + waiting >= 40
    ended = run_here(["resume=last"], tmp_path)
    assert ended.code == 0 and "0 to do" in ended.out, ended
    assert f"{40 - left} results that waited on disk are stored now" in ended.out
    assert_whole(tmp_path)


@pytest.mark.faults
def test_interrupted_sweep_is_resumed_by_the_command_that_it_names(
    begin: Begin, tmp_path: Path
) -> None:
    own = trainer(tmp_path, "Lasting", seconds=0.05)
    place = ["outputs=else where/out", "tracking.experiment=a name"]
    process = begin(["-m", *own, *place, "lr=0.1", "iters=1,100"], tmp_path)
    wait_for_line(process, "[1/2]")
    os.kill(process.pid, signal.SIGTERM)
    last = finish(process, 30).err.strip().splitlines()[-1]
    words = shlex.split(last.partition("finish it with: ")[2])
    assert words[:3] == ["python", "-m", "sweep"]
    ended = run_here(words[3:], tmp_path)
    assert ended.code == 0, ended
    assert "1 of them stored already, 1 to do" in ended.out
