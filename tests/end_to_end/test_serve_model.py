"""The model of a run in MLflow's own model server."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import socket
import time
import urllib.request
from pathlib import Path
from urllib.error import URLError

import pandas as pd
import pytest

from tests.commands import run_here
from tests.processes import ROOT, clean_environment, finish, start

WAIT = 100.0


def answer(port: int, frame: pd.DataFrame) -> list[dict[str, float]]:
    """Send rows to a model server until it answers; return its predictions."""
    body = json.dumps({"dataframe_split": frame.to_dict(orient="split")}).encode()
    address = f"http://127.0.0.1:{port}/invocations"
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    until = time.monotonic() + WAIT
    while True:
        try:
            with urllib.request.urlopen(request, timeout=WAIT) as reply:
                return list(json.load(reply)["predictions"])
        except URLError as error:
            if not isinstance(error.reason, ConnectionRefusedError) or time.monotonic() > until:
                raise
            time.sleep(0.2)


@pytest.mark.slow
def test_printed_command_serves_the_network(tmp_path: Path) -> None:
    stopped = ["lr=1", "iters=5", "data.validation=0.2", "stop.patience=1"]
    ended = run_here(["model=best", "data=progression", "network=auto", *stopped], tmp_path)
    assert ended.code == 0, ended
    assert re.search(r"After (\d+) iterations .*stopped after step \1\n", ended.out, re.DOTALL), (
        ended
    )
    printed = re.search(r"Model: +(MLFLOW_TRACKING_URI=\S+) (mlflow models serve .*)", ended.out)
    assert printed, ended
    name, _, value = shlex.split(printed[1])[0].partition("=")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = [*shlex.split(printed[2]), "--port", str(port)]
    server = start(words, tmp_path, clean_environment({name: value}))
    try:
        rows = pd.read_csv(ROOT / "conf/data/diabetes.csv").head(3)
        given = answer(port, rows.drop(columns="progression"))
    finally:
        os.killpg(server.pid, 15)
        finish(server, 30)
    rows.to_csv(tmp_path / "new.csv", index=False)
    run = re.search(r"Stored as run (\w+)", ended.out)
    assert run
    words = [f"run={run[1]}", "data.file=new.csv", "to=out.csv"]
    assert run_here(words, tmp_path, module="sweep.predict").code == 0
    with (tmp_path / "out.csv").open(newline="") as file:
        expected = [{key: float(cell) for key, cell in row.items()} for row in csv.DictReader(file)]
    assert given == expected
