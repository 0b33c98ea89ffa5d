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

from sweep.errors import NotFoundError, StoreBusyError, StoreError
from sweep.tracking import read, write
from sweep.tracking.deliver import await_delivery, waiting
from sweep.tracking.holder import me
from sweep.tracking.leases import claim
from sweep.tracking.settings import Tracking
from sweep.tracking.store import Store, open_store
from sweep.tracking.tending import tend
from tests.processes import clean_environment
from tests.tracking.support import CONFIG, PARAMS, SIGNATURE, SWEEP, plan, result

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
def remote(server: Server, tmp_path: Path, said: list[str]) -> Store:
    """Return a store behind the server, an experiment of its own for each test."""
    tracking = Tracking("server", tmp_path / "outputs", tmp_path.name, server.uri)
    return open_store(tracking, mode="write", say=said.append)


def begin(store: Store, parent: str, name: str) -> str:
    return write.start_run(
        store,
        name=name,
        params=PARAMS,
        tags={"sweep.signature": SIGNATURE},
        sweep_id=SWEEP,
        parent_run_id=parent,
    )


def test_sweep_goes_through_the_server_alone(remote: Store, tmp_path: Path) -> None:
    report = tmp_path / "report"
    report.mkdir()
    (report / "index.html").write_text("<p>")
    parent = write.start_sweep(remote, SWEEP, plan("a", "b", "c"), {})
    value = result()
    weights = {"weights_1": value.errors[:100]}
    large = replace(value, initial_weights=weights, final_weights=weights)
    for name, one in (("b", large), ("a", value)):
        assert write.record(remote, begin(remote, parent, name), one, CONFIG)
    write.fail(remote, begin(remote, parent, "c"), "boom")
    write.finish_sweep(
        remote, parent, sweep_id=SWEEP, status="FAILED", note="x", report_folder=report
    )
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


def test_unknown_experiment_and_run_are_not_found(remote: Store) -> None:
    with pytest.raises(NotFoundError, match="nowhere"):
        open_store(replace(remote.tracking, experiment="nowhere"), mode="read")
    with pytest.raises(NotFoundError):
        read.find_run(remote, "0" * 32)
    with pytest.raises(NotFoundError):
        read.find_sweep(remote, "last")


def test_claim_and_leases_work_without_a_shared_disk(remote: Store, tmp_path: Path) -> None:
    parent = write.start_sweep(remote, SWEEP, plan("a"), {})
    run_id = begin(remote, parent, "a")
    assert tend(remote) == []
    living = replace(me(), pid=os.getppid())
    from sweep.tracking import holder

    started = holder._start_of(living.pid)
    assert started is not None
    remote.client.set_tag(parent, "sweep.lease", replace(living, started=started).to_json())
    elsewhere = open_store(replace(remote.tracking, outputs=tmp_path / "other"), mode="write")
    with pytest.raises(StoreBusyError, match=f"process {living.pid}"):
        with claim(elsewhere, SWEEP, parent):
            pass
    gone = replace(me(), boot="before").to_json()
    remote.client.set_tag(parent, "sweep.lease", gone)
    remote.client.set_tag(run_id, "sweep.holder", gone)
    assert len(tend(elsewhere)) == 1
    assert remote.client.get_run(run_id).info.status == "KILLED"
    assert remote.client.get_run(parent).info.status == "KILLED"


def test_result_that_a_server_refuses_keeps_back_no_other(
    remote: Store, server: Server, said: list[str]
) -> None:
    """A file in the place of a run's folder stands for whatever a server may not take."""
    parent = write.start_sweep(remote, SWEEP, plan("a", "b", "c"), {})
    runs = {name: begin(remote, parent, name) for name in "abc"}
    place = server.folder / "files" / remote.experiment_id / runs["a"]
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("in the way")
    for run_id in runs.values():
        write.record(remote, run_id, result(), CONFIG)
    with pytest.raises(StoreError, match="The result of run a waits in .* refuses it"):
        await_delivery(remote)
    status = {name: remote.client.get_run(run_id).info.status for name, run_id in runs.items()}
    assert status == {"a": "RUNNING", "b": "FINISHED", "c": "FINISHED"}
    told: list[str] = []
    tend(open_store(remote.tracking, mode="write", say=told.append))  # as the next command does
    assert [text for text in told if "The result of run a waits in" in text]
    place.unlink()
    again = open_store(remote.tracking, mode="write")
    assert len(tend(again)) == 1
    assert [run.status for run in read.sweep_runs(again, SWEEP)] == ["FINISHED"] * 3
    assert (read.sweep_runs(again, SWEEP)[0].curve()[1] == result().errors).all()


def test_server_that_dies_and_comes_back_loses_nothing(
    tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweep.tracking.store.SILENCE", 0.0)
    (tmp_path / "server").mkdir()
    server = Server(tmp_path / "server")
    server.start()
    try:
        tracking = Tracking("server", tmp_path / "outputs", uri=server.uri)
        store = open_store(tracking, mode="write", say=said.append)
        parent = write.start_sweep(store, SWEEP, plan(*"abcd"), {})
        first = begin(store, parent, "a")
        write.record(store, begin(store, parent, "b"), result(11), CONFIG)
        assert store.writers is not None and store.writers.settle(lambda: False) == 0
        server.kill()
        write.record(store, first, result(10), CONFIG)
        write.record(store, begin(store, parent, "c"), result(12), CONFIG)
        monkeypatch.setattr("sweep.tracking.deliver.SERVER_RETURNS", 0.0)
        with pytest.raises(StoreError, match="2 results wait"):
            write.finish_sweep(store, parent, sweep_id=SWEEP, status="FINISHED")
        assert len(list(waiting(store))) == 2
        assert [sentence.partition(";")[0] for sentence in said] == [
            f"{server.uri} does not answer"
        ]
        with pytest.raises(StoreError, match="no server answers"):
            open_store(tracking, mode="write")
        server.start()
        assert write.record(store, begin(store, parent, "d"), result(13), CONFIG)
        write.finish_sweep(store, parent, sweep_id=SWEEP, status="FINISHED")
        runs = read.sweep_runs(store, SWEEP, every=True)
        assert [(run.name, run.status) for run in runs] == [(name, "FINISHED") for name in "abcd"]
        for run, iters in zip(runs, (10, 11, 12, 13), strict=True):
            assert (run.curve()[1] == result(iters).errors).all()
        assert said[1:] == [f"{server.uri} answers again."]
        assert not store.tracking.spool.exists()
    finally:
        server.kill()
