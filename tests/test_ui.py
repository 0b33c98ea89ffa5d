"""The socket that MLflow's server takes over."""

from __future__ import annotations

import pytest

from sweep.errors import ConfigError
from sweep.ui import HOST, listen


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
