"""A real MLflow server on the loopback: the same contract, and a server that dies."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sweep.config.settings import Tracking
from sweep.errors import StoreBusyError
from sweep.tracking import read
from sweep.tracking.locks import HEARTBEAT, Beat, recover
from sweep.tracking.session import Session, create_sweep, end_sweep
from sweep.tracking.store import Store, open_store
from sweep.training.surroundings import Failure
from tests.processes import clean_environment
from tests.tracking.support import (
    CONFIG,
    SIGNATURE,
    SWEEP,
    finish,
    plan,
    record_of,
    result,
    saved,
    start_run,
)

pytestmark = pytest.mark.slow


class Server:
    """An MLflow server on a free port of the loopback, with a database and files of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--workers", "1"]
        command += ["--backend-store-uri", f"sqlite:///{self.folder}/server.db"]
        command += ["--artifacts-destination", str(self.folder / "files")]
        self.log = (self.folder / "log").open("a")
        self.process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=clean_environment(
                {
                    "MLFLOW_DISABLE_TELEMETRY": "true",
                    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # eight processes less
                }
            ),
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )
        until = time.monotonic() + 120
        while True:
            try:
                with urllib.request.urlopen(f"{self.uri}/health", timeout=5):
                    return
            except OSError:
                assert self.process.poll() is None and time.monotonic() < until, (
                    self.folder / "log"
                ).read_text()
                time.sleep(0.1)

    def suspend(self) -> None:
        """Let it hang: it takes connections and answers nothing."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it answer again."""
        os.killpg(self.process.pid, signal.SIGCONT)

    def kill(self) -> None:
        """Kill it and its workers."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.log.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def remote(server: Server, tmp_path: Path, messages: list[str]) -> Store:
    """Return a store behind the server, an experiment of its own for each test."""
    tracking = Tracking(
        kind="server", outputs=tmp_path / "outputs", experiment=tmp_path.name, uri=server.uri
    )
    return open_store(tracking, mode="write", echo=messages.append)


def begin(store: Store, parent: str, name: str) -> str:
    tags = {"sweep.signature": SIGNATURE}
    return start_run(store, name=name, tags=tags, sweep_id=SWEEP, parent_run_id=parent)


def session_of(store: Store) -> Session:
    made = Session(lambda: False, os.getpid())
    made.store = store
    return made


def written(store: Store, parent: str, name: str, iters: int = 1000) -> Path:
    """Write the result file of a run of the sweep."""
    tags = {"sweep.signature": SIGNATURE}
    record = record_of(store, name, tags=tags, sweep_id=SWEEP, parent_run_id=parent)
    return saved(store, record, result(iters))


def test_sweep_goes_through_the_server_alone(remote: Store, tmp_path: Path) -> None:
    report = tmp_path / "report"
    report.mkdir()
    (report / "index.html").write_text("<p>")
    parent = create_sweep(remote, SWEEP, plan("a", "b", "c"), {})
    value = result()
    weights = {"weights_1": value.errors[:100]}
    large = replace(value, initial_weights=weights, final_weights=weights)
    for name, one in (("b", large), ("a", value)):
        finish(remote, begin(remote, parent, name), one)
    finish(remote, begin(remote, parent, "c"), Failure("boom"))
    end_sweep(remote, parent, "FAILED", {}, "x", report)
    reader = open_store(remote.tracking, mode="read")
    assert read.find_sweep(reader, "last").plan() == plan("a", "b", "c")
    first, second, third = read.sweep_runs(reader, SWEEP)
    assert [run.name for run in (first, second, third)] == ["a", "b", "c"]
    assert first.metrics["final_error"] == value.final_error
    assert (first.curve()[1] == value.errors).all()
    assert first.config() == CONFIG and first.thresholds() == value.thresholds
    assert first.weights()["final"] == value.final_weights
    assert (second.weights()["final"]["weights_1"] == weights["weights_1"]).all()
    assert third.traceback() == "boom" and third.weights() == {}
    assert [item.path for item in remote.client.list_artifacts(parent, "report")] == [
        "report/index.html"
    ]
    assert not list(remote.tracking.outputs.rglob("*.parquet"))  # nothing stays on this disk


def test_locks_and_heartbeats_work_without_a_shared_disk(remote: Store, tmp_path: Path) -> None:
    parent = create_sweep(remote, SWEEP, plan("a"), {})
    run_id = begin(remote, parent, "a")
    living = Beat.of(f"sweeps/{SWEEP}/lock", os.getppid())
    remote.client.set_tag(parent, HEARTBEAT, living.to_json())
    elsewhere = open_store(
        remote.tracking.model_copy(update={"outputs": tmp_path / "other"}), mode="write"
    )
    assert recover(elsewhere) == []
    with pytest.raises(StoreBusyError, match=f"process {living.pid}"):
        session_of(elsewhere).lock_sweep(SWEEP)
    gone = replace(living, started=1.0)
    remote.client.set_tag(parent, HEARTBEAT, gone.to_json())
    assert len(recover(elsewhere)) == 1
    assert remote.client.get_run(run_id).info.status == "KILLED"
    assert remote.client.get_run(parent).info.status == "KILLED"


def test_result_that_a_server_refuses_keeps_back_no_other(remote: Store, server: Server) -> None:
    """A file in the place of a run's folder stands for whatever a server may not take."""
    parent = create_sweep(remote, SWEEP, plan("a", "b", "c"), {})
    session = session_of(remote)
    tags = {"sweep.signature": SIGNATURE}
    first = record_of(remote, "a", tags=tags, sweep_id=SWEEP, parent_run_id=parent)
    session.start_run(first)
    (run,) = read.sweep_runs(remote, SWEEP)
    place = server.folder / "files" / remote.experiment_id / run.run_id
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("in the way")
    paths = [saved(remote, first, result())]
    paths += [written(remote, parent, name) for name in "bc"]
    finished = session.finish_runs(paths)
    assert [one.state for one in finished] == ["refused", "stored", "stored"]
    assert f"waits in {paths[0]}" in finished[0].problem
    assert [run.status for run in read.sweep_runs(remote, SWEEP)] == ["RUNNING", *["FINISHED"] * 2]
    place.unlink()
    (again,) = session_of(open_store(remote.tracking, mode="write")).finish_runs(paths[:1])
    assert again.state == "stored"
    runs = read.sweep_runs(remote, SWEEP)
    assert [run.status for run in runs] == ["FINISHED"] * 3
    assert (runs[0].curve()[1] == result().errors).all()
