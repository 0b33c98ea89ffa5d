"""Run the program as its users do: real processes, with a time limit and a clean environment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]

FOREIGN = ("COLUMNS", "FORCE_COLOR", "HYDRA_", "LINES", "MLFLOW_", "NO_COLOR", "PYTHON", "SWEEP_")
"""How the variables start that would make a test depend on the shell that it was begun in."""


class Ended(NamedTuple):
    """What a process left: its exit code (negative for a signal) and all that it printed."""

    code: int
    out: str
    err: str


def clean_environment(changes: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """Return this process's environment without foreign variables, with the checkout importable.

    `changes` are variables to set; None removes one.
    """
    env = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    env["PYTHONPATH"] = str(ROOT)
    for name, value in (changes or {}).items():
        if value is None:
            env.pop(name, None)
        else:
            env[name] = value
    return env


def start(
    command: Sequence[str | Path], cwd: Path, env: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Start a command in a process group of its own, as a terminal does."""
    return subprocess.Popen(
        [str(part) for part in command],
        cwd=cwd,
        env=dict(clean_environment() if env is None else env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str], timeout: float) -> Ended:
    """Wait until a process and all who hold its pipes are done; kill them after `timeout`."""
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        raise AssertionError(
            f"{process.args} still ran after {timeout} s\n--- out\n{out}\n--- err\n{err}"
        ) from None
    return Ended(process.returncode, out, err)


def run(
    command: Sequence[str | Path],
    cwd: Path,
    *,
    env: Mapping[str, str] | None = None,
    timeout: float = 120,
) -> Ended:
    """Run a command to its end; `env` is the whole environment."""
    return finish(start(command, cwd, env), timeout)


def sweep_command(args: Sequence[str], module: str = "sweep") -> list[str]:
    """Return the command line of `python -m sweep`, or of another module, with this Python."""
    return [sys.executable, "-m", module, *args]


def run_sweep(
    args: Sequence[str],
    cwd: Path,
    *,
    env: Mapping[str, str | None] | None = None,
    timeout: float = 120,
    module: str = "sweep",
) -> Ended:
    """Run `python -m sweep`, or another module, to its end; `env` changes the clean environment."""
    return run(sweep_command(args, module), cwd, env=clean_environment(env), timeout=timeout)


def start_sweep(
    args: Sequence[str],
    cwd: Path,
    *,
    env: Mapping[str, str | None] | None = None,
    module: str = "sweep",
) -> subprocess.Popen[str]:
    """Start `python -m sweep`, for tests that send signals; end it with `finish`."""
    return start(sweep_command(args, module), cwd, clean_environment(env))
