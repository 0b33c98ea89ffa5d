"""PostgreSQL and MLflow's server, brought up by the project's own script."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweep.config.settings import Tracking
from tests.commands import run_here
from tests.processes import Ended
from tests.schedulers.conftest import reference, slurm
from tests.schedulers.support import Script

__all__ = ["reference", "running_server", "server", "slurm"]


class Server:
    """What `scripts/server` started: its address, its users' environment, its end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.script = Script("server", folder)
        self.env: dict[str, str] = {}

    @property
    def uri(self) -> str:
        """The server's address."""
        return self.env["MLFLOW_TRACKING_URI"]

    def start(self) -> None:
        """Start what does not run."""
        self.env = self.script.start()

    def kill(self) -> None:
        """Kill MLflow's server and PostgreSQL at once, as a power cut does."""
        os.killpg(int((self.folder / "pid").read_text()), signal.SIGKILL)
        os.kill(int((self.folder / "postgres/postmaster.pid").read_text().split()[0]), 9)

    def tracking(self, outputs: Path, experiment: str) -> Tracking:
        """Return an experiment of the server as a client with these outputs names it."""
        return Tracking(kind="server", outputs=outputs, experiment=experiment, uri=self.uri)

    def client(self, folder: Path, *arguments: str, module: str = "sweep") -> Ended:
        """Run one of the project's commands as a client in a folder of its own."""
        folder.mkdir(exist_ok=True)
        return run_here([*arguments, "tracking=server"], folder, self.env, module)


@pytest.fixture(scope="session")
def running_server() -> Iterator[Server]:
    """Start the server once for all tests."""
    folder = Path(tempfile.mkdtemp(prefix="sweep-server-", dir="/tmp"))
    server = Server(folder)
    try:
        server.start()
        yield server
    finally:
        ended = server.script("stop")
        assert ended.code == 0 and server.script("status").code == 1, ended
        shutil.rmtree(folder)


@pytest.fixture
def server(running_server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """Return the server, running, with this process as one of its users."""
    running_server.start()
    for name, value in running_server.env.items():
        monkeypatch.setenv(name, value)
    return running_server
