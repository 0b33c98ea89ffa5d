"""MLflow's server as a child process: on this machine alone, and never left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sweep.errors import ConfigError, StoreError

__all__ = ["HOST", "checked_port", "serve", "wait"]

HOST = "127.0.0.1"
STARTS_WITHIN = 120.0
ENDS_WITHIN = 5.0
PAUSE = 0.1

QUIET = {
    # Without it MLflow starts eight more processes, for evaluations of language models.
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "PYTHONWARNINGS": "ignore",
}


def checked_port(value: Any) -> int:
    """Return the port to serve on; for 0 one that is free.

    Raises
    ------
    ConfigError
        It is no port, or another program listens there.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 65535:
        raise ConfigError(f"port={value}: this is no port; give a whole number up to 65535.")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, value))
        except PermissionError as error:
            raise ConfigError(
                f"port={value}: only an administrator may serve there; take one above 1023."
            ) from error
        except OSError as error:
            raise ConfigError(
                f"port={value} is in use by another program; end it or choose another, as in "
                f"port={value + 1 if value < 65535 else 5000}."
            ) from error
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serve(address: str, port: int, stop: Callable[[], bool]) -> Iterator[subprocess.Popen[bytes]]:
    """Serve the store of a SQLite `address` until the block ends; yield once it answers.

    Parameters
    ----------
    stop
        Returns True once the command shall end: the waiting ends, too.

    Raises
    ------
    StoreError
        The server ended by itself, or did not answer in time, with its last words.
    """
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port)]
    command += ["--workers", "1", "--backend-store-uri", address]
    with tempfile.TemporaryDirectory(prefix="sweep-ui-") as folder:
        log = Path(folder) / "server.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=folder,  # whatever it writes beside the store
                env={**os.environ, **QUIET},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # its own children end with it
            )
        try:
            _await_answer(process, port, log, stop)
            yield process
        finally:
            with _deaf():
                _end(process)


def wait(process: subprocess.Popen[bytes], stop: Callable[[], bool]) -> None:
    """Return once the command shall end.

    Raises
    ------
    StoreError
        The server ended by itself.
    """
    while not stop():
        if process.poll() is not None:
            raise StoreError(
                f"MLflow's server ended by itself (exit code {process.returncode}); start it again."
            )
        time.sleep(PAUSE)


def _await_answer(
    process: subprocess.Popen[bytes], port: int, log: Path, stop: Callable[[], bool]
) -> None:
    until = time.monotonic() + STARTS_WITHIN
    while not stop():
        if process.poll() is not None or time.monotonic() > until:
            raise StoreError(f"MLflow's server did not start: {_last_words(log)}")
        if _answers(port):
            return
        time.sleep(PAUSE)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False


def _last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text("utf-8", "replace").splitlines()]
    told = [line for line in lines if "rror" in line] or [line for line in lines if line]
    return (told or ["it said nothing"])[-1][:300]


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the server and all that it has started."""
    for signum, seconds in ((signal.SIGTERM, ENDS_WITHIN), (signal.SIGKILL, ENDS_WITHIN)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signum)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            process.poll()  # or its row in the process table keeps the group alive
            if not _group_lives(process.pid):
                return
            time.sleep(PAUSE / 2)


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # macOS says so of a group whose processes have all ended
        return False
    return True


@contextmanager
def _deaf() -> Iterator[None]:
    """Ignore signals while the server ends: it takes a moment, and nothing may be left."""
    before = {}
    with contextlib.suppress(ValueError):  # not in the main thread: no signal comes here
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name)
            before[number] = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
