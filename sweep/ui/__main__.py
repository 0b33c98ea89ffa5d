"""``python -m sweep.ui``: serve MLflow's page of a stored sweep and print the links to it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.cli.app import tool

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from sweep.config.settings import Settings
    from sweep.tracking.addresses import Landing
    from sweep.tracking.settings import Tracking


def ui(config: DictConfig) -> None:
    """Serve the store of the sweep that ``sweep=ID|last`` names until a signal comes."""
    from sweep import console
    from sweep.cli.plain import plain_values
    from sweep.config.settings import reading_settings
    from sweep.engine.signals import stop_on_signals
    from sweep.tracking import settings as tracking_settings
    from sweep.ui import links, server

    plain = plain_values(config)
    options = reading_settings(plain, Path.cwd())
    tracking = tracking_settings.from_options(options)
    port = server.checked_port(plain["port"]) if tracking.kind == "local" else 0
    with stop_on_signals() as stop:
        sweep_id, landing = _landing(tracking, str(plain["sweep"]))
        page = options.outputs / "reports" / sweep_id / "index.html"
        if tracking.kind != "local":
            _print(sweep_id, links.landing_lines(links.server_address(options), landing, page))
            return
        console.say(f"Starting MLflow's server on {_shown(options)} ...")
        with server.serve(tracking.address, port, stop) as process:
            stop.check()
            address = f"http://{server.HOST}:{port}/"
            _print(sweep_id, links.landing_lines(address, landing, page))
            console.say("It serves this machine alone; Ctrl-C ends it.")
            server.wait(process, stop)
        stop.check()


def _landing(tracking: Tracking, wanted: str) -> tuple[str, Landing]:
    """Return a sweep's id and where to look at it; views that were removed are made again."""
    from sweep import console
    from sweep.tracking import landing, read, tending
    from sweep.tracking.store import open_store

    open_store(tracking, mode="read")  # makes no store where there is none
    store = open_store(tracking, mode="write")  # readdresses one that was moved
    for sentence in tending.tend(store):
        console.say(sentence)
    stored = read.find_sweep(store, wanted)
    runs = read.sweep_runs(store, stored.sweep_id)
    found = landing.landing_of(store, stored, runs)
    if not found.saved:
        landing.save_views(store, stored, runs)
        found = landing.landing_of(store, stored, runs)
    return stored.sweep_id, found


def _print(sweep_id: str, lines: list[str]) -> None:
    from sweep import console

    console.say(f"Sweep {sweep_id} in MLflow:")
    for line in lines:
        console.say(line)


def _shown(options: Settings) -> Any:
    import os

    return os.path.relpath(options.outputs / "mlflow.db")


if __name__ == "__main__":
    sys.exit(tool(ui, "ui"))
