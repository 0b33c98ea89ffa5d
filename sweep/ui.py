"""``python -m sweep.ui``: serve the MLflow UI of a stored sweep and print links to it.

The server inherits a listening socket, so that no other program can use the port.
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
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.cli.app import tool
from sweep.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from sweep.config.settings import Tracking
    from sweep.engine.signals import StopRequest

HOST = "127.0.0.1"
START_SECONDS = 120.0
END_SECONDS = 5.0
POLL_SECONDS = 0.1

QUIET = {
    # Otherwise MLflow starts eight more processes for LLM evaluation jobs.
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "PYTHONWARNINGS": "ignore",
}


def ui(config: DictConfig) -> None:
    """Serve the store of the sweep given by ``sweep=ID|last`` until a signal arrives."""
    from sweep import console
    from sweep.cli.hydra_config import to_container
    from sweep.config.settings import settings
    from sweep.engine.signals import stop_on_signals

    plain = to_container(config)
    options = settings(plain, Path.cwd())
    tracking, wanted = options.tracking, str(plain["sweep"])
    with stop_on_signals() as stop:
        if tracking.kind != "local":
            _links(tracking, wanted)(console.page_address(options))
            return
        with listen(plain["port"]) as listening:
            show = _links(tracking, wanted)
            console.echo(f"Starting MLflow's server on {os.path.relpath(tracking.database)} ...")
            _serve(tracking.address, listening, stop, show)


def _links(tracking: Tracking, wanted: str) -> Callable[[str], None]:
    """Save a sweep's views; return a function that prints its links, given the server's address."""
    from sweep import console
    from sweep.tracking import locks, pages, read
    from sweep.tracking.store import open_store

    open_store(tracking, mode="read")  # fails if there is no store, instead of creating one
    store = open_store(tracking, mode="write")  # readdresses a moved store
    for sentence in locks.recover(store):
        console.echo(sentence)
    sweep = read.find_sweep(store, wanted)
    links = pages.save_views(store, sweep, read.sweep_runs(store, sweep.sweep_id))

    def show(address: str) -> None:
        console.echo(f"Sweep {sweep.sweep_id} in MLflow:")
        for name, link in links.items():
            console.echo(f"  {name + ':':<12}{address}{link}")
        page = tracking.outputs / "reports" / sweep.sweep_id / "index.html"
        if page.is_file():
            console.echo(f"  {'on disk:':<12}{os.path.relpath(page)}")
        if tracking.kind == "local":
            port = address.rstrip("/").rpartition(":")[2]
            console.echo(
                "Only this machine can open it (from another one: "
                f"ssh -L {port}:{HOST}:{port} HOST); Ctrl-C ends it."
            )

    return show


def listen(port: Any) -> socket.socket:
    """Return a socket that listens on a loopback port; 0 selects a free one.

    Raises ConfigError if `port` is no port number or cannot be used.
    """
    if type(port) is not int or not 0 <= port <= 65535:
        raise ConfigError(f"port={port}: this is no port; give a whole number up to 65535.")
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        denied = isinstance(error, PermissionError)
        what = "needs administrator rights" if denied else "is in use by another program"
        raise ConfigError(f"port={port} {what}; choose another, as port=0 does.") from error


def _serve(
    address: str, listening: socket.socket, stop: StopRequest, ready: Callable[[str], None]
) -> None:
    """Serve the SQLite store at `address` until a signal raises Interrupted.

    `ready` is called with the server's address once it responds. Raises StoreError if the server
    exits or does not respond in time.
    """
    port = listening.getsockname()[1]
    page = f"http://{HOST}:{port}/"
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port)]
    # The socket is passed as standard input: MLflow closes other descriptors in its child.
    command += ["--workers", "1", "--uvicorn-opts", "--fd 0", "--backend-store-uri", address]
    with tempfile.TemporaryDirectory(prefix="sweep-ui-") as folder:
        log = Path(folder) / "server.log"
        with log.open("wb") as output, listening:
            process = subprocess.Popen(
                command,
                cwd=folder,  # MLflow may write files to its working directory
                env={**os.environ, **QUIET},
                stdin=listening.fileno(),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that signals also reach its children
            )
        answered, deadline = False, time.monotonic() + START_SECONDS
        try:
            with stop.interruptible():
                while True:
                    ended = process.poll()
                    if not answered and (ended is not None or time.monotonic() > deadline):
                        raise StoreError(f"MLflow's server did not start: {_last_line(log)}")
                    if ended is not None:
                        raise StoreError(f"MLflow's server ended (code {ended}); start it again.")
                    if not answered and _answers(page):
                        answered = True
                        ready(page)
                    time.sleep(POLL_SECONDS)
        finally:
            _end(process)


def _answers(page: str) -> bool:
    try:
        with urllib.request.urlopen(f"{page}health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False


def _last_line(log: Path) -> str:
    """Return the last line that contains an error, else the last line."""
    lines = [line.strip() for line in log.read_text("utf-8", "replace").splitlines()]
    lines = [line for line in lines if line] or ["it printed nothing"]
    return ([line for line in lines if "rror" in line] or lines)[-1][:300]


def _end(process: subprocess.Popen[bytes]) -> None:
    """Terminate the server's process group, ignoring further signals."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGKILL):
        # The group may have ended; macOS then raises PermissionError.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)


if __name__ == "__main__":
    sys.exit(tool(ui, "ui"))
