"""``python -m sweep.ui`` as a process: it serves this machine alone and leaves nothing behind."""

from __future__ import annotations

import re
import signal
import socket
import urllib.request
from pathlib import Path

import psutil
import pytest

from tests.browser.conftest import Served, Swept, end_ui, start_ui
from tests.commands import run_here

pytestmark = pytest.mark.browser


def port_of(served: Served) -> int:
    found = re.search(r":(\d+)/", served.address)
    assert found is not None
    return int(found[1])


def test_server_listens_on_the_loopback_alone(served: Served) -> None:
    children = psutil.Process(served.process.pid).children(recursive=True)
    heard = {
        connection.laddr.ip
        for child in children
        for connection in child.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert heard == {"127.0.0.1"}


def test_signal_ends_server_and_all_its_processes(swept: Swept) -> None:
    """SIGTERM here; Ctrl-C ends the server of the other tests, and its fixture looks at it."""
    running = start_ui(swept.folder, f"sweep={swept.id}", "port=0")
    with urllib.request.urlopen(running.address, timeout=30) as answer:
        assert b"<title>MLflow</title>" in answer.read()
    children = psutil.Process(running.process.pid).children(recursive=True)
    assert children
    ended = end_ui(running, signal.SIGTERM)
    assert ended.code == 128 + signal.SIGTERM
    assert ended.err == ""
    assert not [child for child in children if child.is_running()]
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port_of(running)))


def test_missing_store_is_one_sentence_and_makes_none(tmp_path: Path) -> None:
    ended = run_here(["port=0"], tmp_path, module="sweep.ui")
    assert ended.code == 2
    assert ended.err.count("\n") == 1
    assert "there is no store yet" in ended.err
    assert list(tmp_path.iterdir()) == []


def test_unknown_sweep_is_one_sentence(swept: Swept) -> None:
    ended = run_here(["port=0", "sweep=20200101-000000-none"], swept.folder, module="sweep.ui")
    assert ended.code == 2
    assert ended.err.count("\n") == 1
    assert "20200101-000000-none" in ended.err


def test_server_mode_prints_the_links_of_that_server_without_a_password(
    swept: Swept, served: Served
) -> None:
    address = served.address.rstrip("/").replace("//", "//me:pass@word@")
    words = ["tracking=server", f"tracking.uri='{address}'", "outputs=elsewhere"]
    ended = run_here(words, swept.folder, module="sweep.ui")
    assert ended.code == 0, ended
    assert served.links["compare"] in ended.out
    assert "Ctrl-C" not in ended.out
    built = run_here(words, swept.folder, module="sweep.report")
    assert built.code == 0, built
    texts = [ended.out, built.out]
    files = [path for path in swept.folder.glob("elsewhere/**/*") if path.is_file()]
    texts += [path.read_text("utf-8", "replace") for path in files]
    assert len(texts) > 10
    assert not [text for text in texts if "pass@word" in text or "me:pass" in text]
