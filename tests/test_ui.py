"""The socket that MLflow's server takes over."""

from __future__ import annotations

import signal

import pytest

from sweep.engine.signals import Interrupted, stop_on_signals
from sweep.errors import ConfigError
from sweep.ui import HOST, _serve, listen


def test_port_is_held_before_any_server_answers_there() -> None:
    with listen(0) as held:
        host, port = held.getsockname()
        assert host == HOST
        with pytest.raises(ConfigError, match=f"port={port} is in use by another program"):
            listen(port)
    listen(port).close()


@pytest.mark.parametrize("port", [-1, 65536, True, "5000", None, 1.5])
def test_what_is_no_port_is_refused(port: object) -> None:
    with pytest.raises(ConfigError, match="this is no port"):
        listen(port)


def test_first_signal_ends_the_server_without_waiting_for_its_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A second one would end this process and leave the server."""

    def answers(page: str) -> bool:
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("it goes on")

    monkeypatch.setattr("sweep.ui._answers", answers)
    with stop_on_signals() as stop, listen(0) as listening, pytest.raises(Interrupted):
        _serve("sqlite://", listening, stop, print)
