"""MLflow's server as a child process: on this machine alone, and never left behind.

The server takes over a socket that listens already. So the port is ours before the server
starts, and nothing that answers there can be another program.
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
STARTS_WITHIN = 120.0
ENDS_WITHIN = 5.0
PAUSE = 0.1

QUIET = {
    # Without it MLflow starts eight more processes, for evaluations of language models.
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "PYTHONWARNINGS": "ignore",
}


def listen(port: Any) -> socket.socket:
    """Return a socket that listens on a port of the loopback; for 0 on one that is free.

    Raises
    ------
    ConfigError
        It is no port, or another program listens there.
    """
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65535:
        raise ConfigError(f"port={port}: this is no port; give a whole number up to 65535.")
    try:
        return socket.create_server((HOST, port))
    except PermissionError as error:
        raise ConfigError(
            f"port={port}: only an administrator may serve there; take one above 1023."
        ) from error
    except OSError as error:
        raise ConfigError(
            f"port={port} is in use by another program; end it or choose another, as in "
            f"port={port + 1 if port < 65535 else 5000}."
        ) from error


@contextlib.contextmanager
def serve(
    address: str, listening: socket.socket, stop: Callable[[], bool]
) -> Iterator[subprocess.Popen[bytes]]:
    """Serve the store of a SQLite `address` until the block ends; yield once it answers.

    Parameters
    ----------
    stop
        Returns True once the command shall end: the waiting ends, too.

    Raises
    ------
    StoreError
        The server ended by itself, or did not answer in time, with its last line.
    """
    port = listening.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port)]
    # Of all descriptors MLflow hands on the standard ones alone: the socket is its input.
    command += ["--workers", "1", "--uvicorn-opts", "--fd 0", "--backend-store-uri", address]
    with tempfile.TemporaryDirectory(prefix="sweep-ui-") as folder:
        log = Path(folder) / "server.log"
        with log.open("wb") as output, listening:
            process = subprocess.Popen(
                command,
                cwd=folder,  # whatever it writes beside the store
                env={**os.environ, **QUIET},
                stdin=listening.fileno(),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # its own children end with it
            )
        try:
            until = time.monotonic() + STARTS_WITHIN
            while not stop() and not _answers(port):
                if process.poll() is not None or time.monotonic() > until:
                    raise StoreError(f"MLflow's server did not start: {_last_line(log)}")
                time.sleep(PAUSE)
            yield process
        finally:
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


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text("utf-8", "replace").splitlines()]
    told = [line for line in lines if "rror" in line] or [line for line in lines if line]
    return (told or ["it printed nothing"])[-1][:300]


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the server and all that it has started; no signal cuts that short."""
    with contextlib.suppress(ValueError):  # not in the main thread: no signal comes here
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
    for signum in (signal.SIGTERM, signal.SIGKILL):
        sent, until = int(signum), time.monotonic() + ENDS_WITHIN
        while time.monotonic() < until:
            try:
                os.killpg(process.pid, sent)
            except (ProcessLookupError, PermissionError):  # macOS: all of the group have ended
                return
            sent = 0  # from now on only ask whether any of the group is left
            process.poll()  # or its row in the process table keeps the group alive
            time.sleep(PAUSE)
