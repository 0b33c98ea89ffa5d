"""Sweeps for other people's launchers: a grid of which one run fails, and one that kills a job."""

from __future__ import annotations

import json
import random
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from sweep.config.settings import Tracking
from sweep.tracking import read
from sweep.tracking.store import open_store
from tests.processes import ROOT, Ended, clean_environment, run, run_sweep
from tests.stores import content, every_run

TRAINER = '''
import os
import signal
from pathlib import Path


class Broken(Exception):
    """Cannot be unpickled: an exception is made again from its args."""

    def __init__(self, rate, why):
        super().__init__(f"{why} at {rate}")


class Halving:
    """Halves its error at each iteration; fails, or kills its process, where it is told to."""

    thread_safe = True

    def __init__(self, lr, broken=None):
        self.step, self.lr = 0, lr
        if lr == broken:
            raise Broken(lr, "this rate is broken")
        if lr == 0.3 and Path("kill").exists():
            Path("kill").unlink()
            os.kill(os.getpid(), signal.SIGKILL)

    def advance(self, iterations):
        errors = [self.lr / 2 ** (self.step + i + 1) for i in range(iterations)]
        self.step += iterations
        return errors

    def error(self):
        return self.lr / 2**self.step

    def weights(self):
        return {"w": self.error()}
'''

GRID = ["-m", "trainer=backprop,halving", "lr=0.1,0.2", "iters=40"]
GRID += ["network.init={scheme: normal}", "network.layers=[4,300,300,2]"]
"""A network whose products BLAS could share out among threads, and a trainer that fails."""


def user_folder(folder: Path) -> Path:
    """Make a user's folder: a module with a trainer, and the option that names it."""
    options = folder / "own" / "trainer"
    options.mkdir(parents=True)
    (folder / "halving.py").write_text(TRAINER)
    (options / "halving.yaml").write_text("_target_: halving.Halving\nlr: ${lr}\nbroken: 0.2\n")
    return folder


def sweep(folder: Path, *arguments: str, env: Mapping[str, str | None] | None = None) -> Ended:
    """Run `python -m sweep` in a user's folder, its own configurations found."""
    return run_sweep(["--config-dir", "own", *arguments], folder, env=env, timeout=250)


def assert_like_the_default(
    tracking: Tracking, reference: Mapping[str, object], ended: Ended
) -> None:
    """Assert that a launcher's sweep of the grid is what the default launcher makes of it."""
    assert ended.code == 1, ended
    assert "this rate is broken at 0.2" in ended.out, ended
    assert content(tracking) == reference
    store = open_store(tracking, mode="read")
    parent = read.find_sweep(store, "last")
    assert parent.status == "FAILED"
    assert parent.metrics["runs_total"] == 4
    assert (parent.metrics["runs_finished"], parent.metrics["runs_failed"]) == (3, 1)
    files = {item.path for item in store.client.list_artifacts(parent.run_id, "report")}
    assert "report/index.html" in files
    assert (tracking.outputs / "reports" / parent.sweep_id / "index.html").is_file()
    driver = json.loads(parent.tags["sweep.heartbeat"])["pid"]
    for each in read.sweep_runs(store, parent.sweep_id):
        assert each.tags["mlflow.parentRunId"] == parent.run_id
        if "sweep.heartbeat" in each.tags:  # it was in the store while it trained
            job = json.loads(each.tags["sweep.heartbeat"])["pid"]
            assert job != driver, "each job records by itself"
    assert {each.info.status for each in every_run(tracking)} == {"FINISHED", "FAILED"}
    assert not list(tracking.outputs.glob("*/*/results"))
    assert [path.name for path in (tracking.outputs / "sweeps").iterdir()] == [parent.sweep_id]


class Script:
    """A script of the project that starts an engine in a folder of its own."""

    def __init__(self, name: str, folder: Path) -> None:
        self.command: list[str | Path] = [ROOT / "scripts" / name]
        self.folder = folder
        self.port = free_pair()

    def __call__(self, action: str, *arguments: str) -> Ended:
        """Run an action of the script to its end; output that daemons hold is not waited for."""
        name = self.folder / f"{action}.out"
        self.folder.mkdir(exist_ok=True)
        with name.open("w") as out, (self.folder / f"{action}.err").open("w") as err:
            code = subprocess.run(
                [*map(str, self.command), action, *arguments, "--folder", str(self.folder)],
                env=clean_environment(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                timeout=200,
            ).returncode
        return Ended(code, name.read_text(), name.with_suffix(".err").read_text())

    def start(self) -> dict[str, str]:
        """Start the engine and return what its users shall have in their environment."""
        ended = self("start", "--port", str(self.port))
        assert ended.code == 0, ended
        shown = run(["bash", "-c", f"env -i bash -c {_quoted(ended.out + 'env')}"], self.folder)
        lines = (line.partition("=") for line in shown.out.splitlines())
        return {name: value for name, _, value in lines if name.startswith(("MLFLOW", "SLURM"))}


def free_pair() -> int:
    """Return a port that is free, as the next one is: Slurm takes both.

    Below those that the system gives to connections, which come and go with other tests.
    """
    for port in random.sample(range(20_000, 32_000, 2), 100):
        try:
            with socket.socket() as first, socket.socket() as second:
                first.bind(("", port))
                second.bind(("", port + 1))
        except OSError:
            continue
        return port
    raise AssertionError("no two ports are free")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
