"""``python -m sweep.ui``: serve MLflow's page of a stored sweep and print the links to it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.cli.app import tool

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from sweep.tracking.settings import Tracking


def ui(config: DictConfig) -> None:
    """Serve the store of the sweep that ``sweep=ID|last`` names until a signal comes."""
    from sweep import console
    from sweep.cli.plain import plain_values
    from sweep.config.settings import reading_settings
    from sweep.engine.signals import stop_on_signals
    from sweep.tracking.settings import from_options
    from sweep.ui import server
    from sweep.ui.links import server_address

    plain = plain_values(config)
    options = reading_settings(plain, Path.cwd())
    tracking, wanted = from_options(options), str(plain["sweep"])
    with stop_on_signals() as stop:
        if tracking.kind != "local":
            _print(*_arranged(tracking, wanted), server_address(options), tracking.outputs)
            return
        with server.listen(plain["port"]) as listening:
            sweep_id, links = _arranged(tracking, wanted)
            console.say(f"Starting MLflow's server on {os.path.relpath(tracking.database)} ...")
            port = listening.getsockname()[1]
            with server.serve(tracking.address, listening, stop) as process:
                stop.check()
                _print(sweep_id, links, f"http://{server.HOST}:{port}/", tracking.outputs)
                console.say(
                    "Only this machine can open it (from another one: "
                    f"ssh -L {port}:127.0.0.1:{port} HOST); Ctrl-C ends it."
                )
                server.wait(process, stop)
        stop.check()


def _arranged(tracking: Tracking, wanted: str) -> tuple[str, dict[str, str]]:
    """Return a sweep's id and the links to it, its views saved again."""
    from sweep import console
    from sweep.tracking import locks, pages, read
    from sweep.tracking.store import open_store

    open_store(tracking, mode="read")  # makes no store where there is none
    store = open_store(tracking, mode="write")  # readdresses one that was moved
    for sentence in locks.recover(store):
        console.say(sentence)
    sweep = read.find_sweep(store, wanted)
    runs = read.sweep_runs(store, sweep.sweep_id)
    return sweep.sweep_id, pages.arrange(store, sweep, runs)


def _print(sweep_id: str, links: Mapping[str, str], address: str, outputs: Path) -> None:
    from sweep import console

    console.say(f"Sweep {sweep_id} in MLflow:")
    for name, link in links.items():
        console.say(f"  {name + ':':<12}{address}{link}")
    page = outputs / "reports" / sweep_id / "index.html"
    if page.is_file():
        console.say(f"  {'on disk:':<12}{os.path.relpath(page)}")


if __name__ == "__main__":
    sys.exit(tool(ui, "ui"))
