"""MLflow's server as a child process that listens on the loopback and ends with the command.

The server inherits a socket that already listens: the port is reserved before the server starts,
and nothing that answers there can be another program.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sweep.errors import ConfigError, StoreError

__all__ = ["HOST", "listen", "serve", "wait"]

HOST = "127.0.0.1"
START_SECONDS = 120.0
END_SECONDS = 5.0
POLL_SECONDS = 0.1

QUIET = {
    # Without it MLflow starts eight more processes, for evaluations of language models.
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "PYTHONWARNINGS": "ignore",
}


def listen(port: Any) -> socket.socket:
    """Return a socket that listens on a port of the loopback; 0 takes a free one.

    Raises
    ------
    ConfigError
        It is no port, or cannot be used.
    """
    if type(port) is not int or not 0 <= port <= 65535:
        raise ConfigError(f"port={port}: this is no port; give a whole number up to 65535.")
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        denied = isinstance(error, PermissionError)
        what = "needs administrator rights" if denied else "is in use by another program"
        raise ConfigError(f"port={port} {what}; choose another, as port=0 does.") from error


@contextlib.contextmanager
def serve(
    address: str, listening: socket.socket, stop: Callable[[], bool]
) -> Iterator[subprocess.Popen[bytes]]:
    """Serve the store of a SQLite `address` until the block ends; yield once it answers.

    Parameters
    ----------
    stop
        Returns True once the command was asked to end.

    Raises
    ------
    StoreError
        The server ended, or did not answer in time; with the last line of its log.
    """
    port = listening.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port)]
    # MLflow passes on standard descriptors only, so the socket is its standard input.
    command += ["--workers", "1", "--uvicorn-opts", "--fd 0", "--backend-store-uri", address]
    with tempfile.TemporaryDirectory(prefix="sweep-ui-") as folder:
        log = Path(folder) / "server.log"
        with log.open("wb") as output, listening:
            process = subprocess.Popen(
                command,
                cwd=folder,  # for files that it writes beside the store
                env={**os.environ, **QUIET},
                stdin=listening.fileno(),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that one signal reaches its children
            )
        try:
            deadline = time.monotonic() + START_SECONDS
            while not stop() and not _answers(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise StoreError(f"MLflow's server did not start: {_last_line(log)}")
                time.sleep(POLL_SECONDS)
            yield process
        finally:
            _end(process)


def wait(process: subprocess.Popen[bytes], stop: Callable[[], bool]) -> None:
    """Return once the command was asked to end.

    Raises
    ------
    StoreError
        The server ended.
    """
    while not stop():
        if process.poll() is not None:
            raise StoreError(
                f"MLflow's server ended (exit code {process.returncode}); start it again."
            )
        time.sleep(POLL_SECONDS)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False


def _last_line(log: Path) -> str:
    """Return the last line about an error, else the last line."""
    lines = [line.strip() for line in log.read_text("utf-8", "replace").splitlines()]
    lines = [line for line in lines if line] or ["it printed nothing"]
    return ([line for line in lines if "rror" in line] or lines)[-1][:300]


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the server and its children; further signals are ignored meanwhile."""
    with contextlib.suppress(ValueError):  # not in the main thread, which gets the signals
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGKILL):
        # The group may be gone; macOS then says PermissionError.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)
