"""Store lost: damaged, unwritable, full, held by another program, or not there."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from tests.commands import run_here
from tests.faults.conftest import Begin
from tests.faults.support import (
    assert_brief,
    assert_whole,
    recorder_of,
    statuses,
    trainer,
    wait_for_line,
)
from tests.processes import Ended, clean_environment, finish, run, sweep_command

GRID = ["-m", "lr=0.1", "iters=1,2"]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a small sweep that is finished; nobody writes to it."""
    folder = tmp_path_factory.mktemp("swept")
    ended = run_here(GRID, folder)
    assert ended.code == 0, ended
    return folder


@pytest.fixture
def copied(swept: Path, tmp_path: Path) -> Path:
    """Return a copy of it, its database in one file."""
    shutil.copytree(swept, tmp_path, dirs_exist_ok=True)
    with closing(sqlite3.connect(tmp_path / "outputs" / "mlflow.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return tmp_path


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda content: content[: len(content) // 2],
    "filled": lambda content: b"no database at all\n" * 4000,
    "emptied": lambda content: b"",
    "noise": lambda content: content[:4096] + bytes(i * 151 % 256 for i in range(len(content))),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "module", "arguments"),
    [("cut", "sweep", GRID), ("filled", "sweep", GRID), ("emptied", "sweep", ["resume=last"])]
    + [("noise", "sweep.report", [])],
)
def test_damaged_database_is_left_alone(
    how: str, module: str, arguments: list[str], copied: Path
) -> None:
    database = copied / "outputs" / "mlflow.db"
    content = DAMAGE[how](database.read_bytes())
    database.write_bytes(content)
    assert_brief(run_here(arguments, copied, module=module), 3, "mlflow.db")
    assert database.read_bytes() == content


def unprivileged(arguments: list[str], folder: Path) -> Ended:
    """Run a sweep with file permissions in force, which root otherwise passes over."""
    drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    command = sweep_command(arguments)
    return run(drop + command if os.geteuid() == 0 else command, folder, env=clean_environment())


@pytest.mark.slow
@pytest.mark.parametrize("place", ["outputs", "outputs/artifacts", "outputs/sweeps"])
def test_file_in_the_place_of_outputs(place: str, tmp_path: Path) -> None:
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text("mine")
    assert_brief(run_here(GRID, tmp_path), 3, "is a file")
    assert (tmp_path / place).read_text() == "mine"
    assert not (tmp_path / "outputs" / "mlflow.db").exists()


@pytest.mark.slow
def test_outputs_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "outputs").mkdir(mode=0o555)
    assert_brief(unprivileged(GRID, tmp_path), 3, "cannot be written")
    assert list((tmp_path / "outputs").iterdir()) == []


def test_outputs_of_a_single_run_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "outputs").mkdir(mode=0o555)
    assert_brief(unprivileged([], tmp_path), 3, "outputs")


@pytest.mark.slow
def test_database_is_read_only(copied: Path) -> None:
    database = copied / "outputs" / "mlflow.db"
    database.chmod(0o444)
    before = database.read_bytes()
    assert_brief(unprivileged(GRID, copied), 3, "read-only")
    assert database.read_bytes() == before


def limited(arguments: list[str], folder: Path, blocks: int) -> Ended:
    """Run a sweep that can write no file beyond `blocks` times 512 bytes.

    This stands for a disk that is full: a write fails in the middle of a file, with another
    error number. SIGXFSZ, which would come first, is ignored by Python.
    """
    script = f'ulimit -f {blocks}; exec "$@"'
    command = ["sh", "-c", script, "sh", *sweep_command(arguments)]
    return run(command, folder, env=clean_environment({"NUMBA_DISABLE_JIT": None}))


@pytest.mark.faults
def test_disk_is_full_while_logging(copied: Path) -> None:
    database = copied / "outputs" / "mlflow.db"
    blocks = database.stat().st_size // 512 + 200
    ended = limited(["-m", "lr=0.1,0.2,0.3,0.4,0.5,0.6", "iters=10,100,1000"], copied, blocks)
    assert_brief(ended, 3, "free space", "resume=last")
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    again = run_here(["resume=last"], copied)
    assert again.code == 0, again
    assert "18 runs" in again.out and "stored already" in again.out
    assert_whole(copied)


@pytest.mark.faults
def test_disk_is_really_full(begin: Begin, tmp_path: Path) -> None:
    """On a file system of some megabytes; where mounting is refused, the test above stands."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", disk]
    if subprocess.run(command, stderr=subprocess.DEVNULL).returncode:
        return
    try:
        place = [f"outputs={disk}/outputs"]
        assert_brief(run_here([*GRID, *place], tmp_path), 3, "free some space")
        subprocess.run(["mount", "-o", "remount,size=16m", disk], check=True)
        own = trainer(tmp_path, "Lasting", seconds=0.05)
        process = begin(["-m", *own, "lr=0.1,0.2", "iters=1,60,61", *place], tmp_path)
        wait_for_line(process, "[1/6]")
        filler = disk / "filler"
        with pytest.raises(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        assert_brief(finish(process, 60), 3, "the disk is full", "resume=last")
        filler.unlink()
        again = run_here([*own[:2], *place, "resume=last"], tmp_path)
        assert again.code == 0, again
        assert_whole(disk)
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.faults
def test_another_program_holds_the_lock(begin: Begin, tmp_path: Path) -> None:
    own = trainer(tmp_path, "Lasting", seconds=0.02)
    process = begin(["-m", *own, "lr=0.1", "iters=1,30"], tmp_path)
    wait_for_line(process, "[1/2]")
    with closing(
        sqlite3.connect(tmp_path / "outputs" / "mlflow.db", isolation_level=None)
    ) as holder:
        holder.execute("BEGIN IMMEDIATE")
        assert process.stderr is not None
        assert "is locked by another program" in process.stderr.readline()
        holder.execute("ROLLBACK")
    ended = finish(process, 60)
    assert ended.code == 0, ended
    assert "is free again" in ended.err
    assert_whole(tmp_path)


@pytest.mark.slow
def test_server_that_takes_connections_and_never_answers(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        server = ["tracking=server", f"tracking.uri=http://127.0.0.1:{port}"]
        ended = run_here([*GRID, *server], tmp_path)
    assert_brief(ended, 3, f"http://127.0.0.1:{port}", lines=1)
    assert not (tmp_path / "outputs" / "mlflow.db").exists()


@pytest.mark.faults
def test_process_that_records_dies(begin: Begin, tmp_path: Path) -> None:
    """As when the system ends it, short of memory."""
    process = begin(["-m", "lr=0.1", "iters=10,1e12"], tmp_path)
    wait_for_line(process, "[1/2]")
    recorder_of(process).kill()
    ended = finish(process, 60)
    assert_brief(ended, 3, "died", "resume=last")
    ended = run_here(["-m", "resume=last", "max_seconds=0.1"], tmp_path)
    assert ended.code == 1 and "1 of them stored already" in ended.out, ended
    assert statuses(tmp_path)["RUNNING"] == 0


@pytest.mark.faults
def test_process_that_records_dies_with_the_command(begin: Begin, tmp_path: Path) -> None:
    process = begin(["-m", "lr=0.1", "iters=10,1e12"], tmp_path)
    wait_for_line(process, "[1/2]")
    recorder = recorder_of(process)
    process.kill()
    finish(process, 60)
    psutil.wait_procs([recorder], timeout=30)
    assert not recorder.is_running()
