"""What the tests of faults share: a user's trainers, ways to wait, and what a store must hold."""

from __future__ import annotations

import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import yaml

from sweep.config.settings import Tracking
from sweep.tracking.store import Store, open_store
from tests.processes import Ended
from tests.stores import assert_once, content

LAST = 120.0
"""Seconds after which a wait is a failure: a guard against hanging, never a measure."""


def trainer(folder: Path, name: str, **settings: Any) -> list[str]:
    """Write a `trainer` option of the test's own; return the arguments that choose it."""
    group = folder / "own" / "trainer"
    group.mkdir(parents=True, exist_ok=True)
    option = {"_target_": f"tests.faults.trainers.{name}", "lr": "${lr}", **settings}
    (group / f"{name.lower()}.yaml").write_text(yaml.safe_dump(option))
    return ["--config-dir", str(folder / "own"), f"trainer={name.lower()}"]


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Wait until something is so."""
    until = time.monotonic() + LAST
    while not condition():
        assert time.monotonic() < until, what
        time.sleep(0.02)


def wait_for_line(process: subprocess.Popen[str], text: str) -> None:
    """Read a process's standard output until a line holds `text`; what was read is gone."""
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if text in line:
            return
    assert process.stderr is not None
    raise AssertionError(f"no line with {text!r} in {seen[-20:]}\n{process.stderr.read()}")


def recorder_of(process: subprocess.Popen[str]) -> psutil.Process:
    """Return the recorder process for a command."""
    children = psutil.Process(process.pid).children()
    (found,) = [one for one in children if "spawn_main" in " ".join(one.cmdline())]
    return found


def assert_brief(ended: Ended, code: int, *told: str, lines: int = 3) -> None:
    """Assert an exit code and that standard error is short, complete and no traceback."""
    assert ended.code == code, ended
    assert 1 <= len(ended.err.strip().splitlines()) <= lines, ended.err
    assert "Traceback" not in ended.err, ended.err
    for text in told:
        assert text in ended.err, ended.err


def open_reader(folder: Path, experiment: str = "sweep") -> Store:
    """Return the store below `folder`, opened as the report opens it."""
    return open_store(
        Tracking(kind="local", outputs=folder / "outputs", experiment=experiment), mode="read"
    )


def statuses(folder: Path) -> Counter[str]:
    """Return how many runs of a local store have each status, read past MLflow."""
    with closing(sqlite3.connect(folder / "outputs" / "mlflow.db")) as connection:
        return Counter(status for (status,) in connection.execute("SELECT status FROM runs"))


def assert_whole(folder: Path, like: Path | None = None, sweeps: Sequence[str] = ("last",)) -> None:
    """Assert what must hold of a store once a sweep is finished, whatever came before.

    Exactly one finished run for each cell of each sweep, nothing RUNNING, nothing waiting or
    left over on disk, a sound database; and, where `like` is given, the same as in the last
    sweep there, to the bit.
    """
    with closing(sqlite3.connect(folder / "outputs" / "mlflow.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    named = ".locks artifacts mlflow.db mlflow.db-shm mlflow.db-wal reports runs sweeps"
    left = {path.name for path in (folder / "outputs").iterdir()}
    assert left <= {*named.split()}, left
    store = open_reader(folder)
    assert_once(store.tracking, sweeps)
    for sweep_id in sweeps if like is not None else ():
        assert content(store.tracking, sweep_id) == content(open_reader(like).tracking)
