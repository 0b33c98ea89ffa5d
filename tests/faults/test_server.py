"""Loud but slow: a tracking server that dies in mid-sweep, and comes back or does not."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweep.config.settings import Tracking
from sweep.tracking import read
from sweep.tracking.store import open_store
from tests.commands import run_here
from tests.faults.conftest import Begin
from tests.faults.support import assert_brief, trainer, wait_for, wait_for_line
from tests.processes import finish
from tests.tracking.test_server import Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Yield a server on the loopback, with a SQLite database and files of its own."""
    (tmp_path / "server").mkdir()
    server = Server(tmp_path / "server")
    server.start()
    yield server
    server.kill()


def left_alone(
    begin: Begin, server: Server, folder: Path, own: list[str]
) -> tuple[subprocess.Popen[str], list[str]]:
    """Begin a sweep of four runs by its arguments and kill its server after the first of them.

    Returns
    -------
    The sweep's process and the arguments that name its store.
    """
    place = ["tracking=server", f"tracking.uri={server.uri}"]
    process = begin(["-m", *own, *place], folder)
    wait_for_line(process, "[1/4]")
    server.kill()
    return process, place


def waiting(folder: Path) -> list[Path]:
    """Return the result files below a folder that the store does not have."""
    return list(folder.glob("outputs/*/*/results/[0-9]*/run.json"))


@pytest.mark.faults
@pytest.mark.parametrize("returns", [True, False], ids=["back", "away"])
def test_server_dies_in_mid_sweep(
    begin: Begin, server: Server, returns: bool, tmp_path: Path
) -> None:
    back = tmp_path / "back"  # held until then, since a slow machine starts a server slowly
    own = trainer(tmp_path, "Held", until=str(back))
    grid = ["lr=0.1,2", "iters=1,40", "hydra.launcher.workers=2"]
    process, place = left_alone(begin, server, tmp_path, [*own, *grid])
    wait_for(lambda: waiting(tmp_path), "a result that waits")
    if returns:
        server.start()
    back.touch()
    ended = finish(process, 120)
    assert "Traceback" not in ended.err and "does not answer" in ended.err, ended
    if returns:
        assert ended.code == 0, ended
    else:
        assert ended.code == 3 and "results wait in" in ended.err, ended
        assert len(ended.err.strip().splitlines()) <= 3, ended.err
        assert "[4/4]" in ended.out  # the training went on
        server.start()
        again = run_here([*own[:2], "resume=last", *place], tmp_path)
        assert again.code == 0 and "0 to do" in again.out, again
    store = open_store(
        Tracking(kind="server", outputs=tmp_path / "outputs", uri=server.uri), mode="read"
    )
    sweep = read.find_sweep(store, "last")
    assert sweep.status == "FINISHED" and sweep.metrics["runs_finished"] == 4
    every = read.sweep_runs(store, sweep.sweep_id, every=True)
    counting = [run for run in every if read.SUPERSEDED not in run.tags]
    assert [run.status for run in counting] == ["FINISHED"] * 4
    assert not {run.status for run in every} & {"RUNNING"}
    assert not waiting(tmp_path)


@pytest.mark.faults
def test_signal_while_a_silent_server_is_waited_for(
    begin: Begin, server: Server, tmp_path: Path
) -> None:
    own = trainer(tmp_path, "Lasting", seconds=0.05)
    grid = ["lr=0.1", "iters=1,20,40,80"]
    process, place = left_alone(begin, server, tmp_path, [*own, *grid])
    wait_for_line(process, "[4/4]")
    os.kill(process.pid, signal.SIGTERM)
    ended = finish(process, 60)
    assert_brief(ended, 143, "4 of 4 runs are done")
    assert "start the server" not in ended.err, ended  # as after 20 s of waiting
    server.start()
    again = run_here([*own[:2], "resume=last", *place], tmp_path)
    assert again.code == 0 and "0 to do" in again.out, again
    assert not waiting(tmp_path)


@pytest.mark.faults
def test_server_dies_while_a_single_run_trains(
    begin: Begin, server: Server, tmp_path: Path
) -> None:
    """It is up when the run begins; the command says where the result is and how it is stored."""
    place = ["tracking=server", f"tracking.uri={server.uri}"]
    own = trainer(tmp_path, "Lasting", seconds=0.5)
    process = begin([*own, "lr=0.1", "iters=16", *place], tmp_path)
    store = open_store(
        Tracking(kind="server", outputs=tmp_path / "outputs", uri=server.uri), mode="write"
    )
    wait_for(lambda: store.client.search_runs([store.experiment_id]), "a run that is shown")
    server.kill()
    ended = finish(process, 60)
    (left,) = waiting(tmp_path)
    run_id = left.parents[2].name
    assert_brief(ended, 3, "does not answer", str(left.parent), f"resume={run_id} stores it")
    server.start()
    other = run_here(["iters=5", *place], tmp_path)
    assert other.code == 0 and f"1 result waits on disk; resume={run_id} stores it" in other.out
    after = run_here([f"resume={run_id}", *place], tmp_path)
    assert after.code == 0 and "Stored as run" in after.out, after
    runs = store.client.search_runs([store.experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED", "FINISHED"]
    assert not waiting(tmp_path)


@pytest.mark.faults
def test_hanging_server_holds_up_neither_training_nor_the_end(
    begin: Begin, server: Server, tmp_path: Path
) -> None:
    """SIGSTOP: it takes connections and answers nothing."""
    own = trainer(tmp_path, "Lasting", seconds=0.02)
    place = ["tracking=server", f"tracking.uri={server.uri}"]
    iters = "iters=1,20,40,60,80,100,1e9"
    process = begin(["-m", *own, "lr=0.1", iters, *place], tmp_path)
    wait_for_line(process, "[1/7]")
    server.suspend()
    try:
        wait_for_line(process, "[6/7]")  # trained within seconds, and on disk
        began = time.monotonic()
        os.kill(process.pid, signal.SIGTERM)
        ended = finish(process, 60)
        assert time.monotonic() - began < 5
        assert_brief(ended, 143, "6 of 7 runs are done", lines=4)
    finally:
        server.resume()
    again = run_here([*own[:2], "resume=last", "max_seconds=0.1", *place], tmp_path)
    assert again.code == 1 and "6 of them stored already, 1 to do" in again.out, again
    assert not waiting(tmp_path)


@pytest.mark.faults
def test_results_are_stored_as_soon_as_the_server_is_back(
    begin: Begin, server: Server, tmp_path: Path
) -> None:
    """The password of its address is in no file, however the sweep ends."""
    own = trainer(tmp_path, "Lasting", seconds=0.05)
    address = server.uri.replace("//", "//me:pass@word@")
    place = ["tracking=server", f"tracking.uri='{address}'"]
    process = begin(["-m", *own, "lr=0.1", "iters=1,20,40,1e9", *place], tmp_path)
    wait_for_line(process, "[1/4]")
    server.kill()
    wait_for_line(process, "[3/4]")
    wait_for(lambda: len(waiting(tmp_path)) >= 2, "results that wait")
    server.start()
    wait_for(lambda: not waiting(tmp_path), "their delivery, while the sweep goes on")
    assert process.poll() is None
    os.kill(process.pid, signal.SIGTERM)
    assert_brief(finish(process, 60), 143, "3 of 4 runs are done", lines=4)
    files = [path for path in tmp_path.glob("outputs/**/*") if path.is_file()]
    assert files and not [path for path in files if b"pass@word" in path.read_bytes()]


@pytest.mark.faults
def test_server_refuses_strangers(server: Server) -> None:
    """It has no login: what protects it is that it listens on the loopback and asks for names."""
    api = f"{server.uri}/api/2.0/mlflow/experiments"
    body = b'{"name": "theirs"}'
    json_type = {"Content-Type": "application/json"}
    with urllib.request.urlopen(f"{api}/search?max_results=1") as answer:
        assert answer.status == 200
    for url, data, headers in (
        (f"{api}/search?max_results=1", None, {"Host": "evil.example"}),
        (f"{api}/create", body, {**json_type, "Origin": "http://evil.example"}),
    ):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(urllib.request.Request(url, data, headers))
        assert refused.value.code == 403
        refused.value.close()
