"""The command that shows a sweep in MLflow's page, and the addresses that it serves."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sweep.config.settings import Settings
    from sweep.tracking.addresses import Landing

__all__ = [
    "ADDRESS",
    "PORT",
    "ending_lines",
    "landing_lines",
    "place_words",
    "run_pages",
    "ui_command",
]

PORT = 5000
ADDRESS = f"http://127.0.0.1:{PORT}/"
"""Where ``python -m sweep.ui`` serves unless it is told another port."""


def ui_command(options: Settings, sweep_id: str) -> str:
    """Return the one command that serves MLflow's page of a sweep.

    Only what differs from the defaults is said beside the sweep.
    """
    return shlex.join(["python", "-m", "sweep.ui", f"sweep={sweep_id}", *place_words(options)])


def place_words(options: Settings) -> list[str]:
    """Return the overrides that tell another command of ours where a sweep is stored."""
    words = []
    if options.outputs != Path("outputs").resolve():
        path = os.path.relpath(options.outputs)
        words.append(_override("outputs", str(options.outputs) if path[:2] == ".." else path))
    if options.experiment != "sweep":
        words.append(_override("tracking.experiment", options.experiment))
    if options.tracking_kind != "local":
        words.append(f"tracking={options.tracking_kind}")
        if options.tracking_uri:
            words.append(_override("tracking.uri", options.tracking_uri))
    return words


def ending_lines(options: Settings, sweep_id: str, landing: Landing) -> list[str]:
    """Return what a sweep prints at its end: the command and the link that it will serve."""
    if options.tracking_kind != "local":
        return [f"Compare:     {server_address(options)}{landing.compare}"]
    return [
        f"Compare:     {ui_command(options, sweep_id)}",
        f"  serves     {ADDRESS}{landing.compare}",
    ]


def landing_lines(address: str, landing: Landing, page: Path) -> list[str]:
    """Return a sweep's links, the view that compares its runs first.

    Parameters
    ----------
    address
        The server's, with a slash at its end.
    page
        The report's page on disk; it is named where it exists.
    """
    links = {
        "compare": landing.compare,
        "weights": landing.weights,
        "best run": landing.best,
        "report": landing.report,
        "all sweeps": landing.sweeps,
    }
    lines = [f"  {name + ':':<12}{address}{link}" for name, link in links.items() if link]
    return lines + ([f"  {'on disk:':<12}{os.path.relpath(page)}"] if page.is_file() else [])


def run_pages(options: Settings, experiment_id: str) -> str:
    """Return the address that a run's id is appended to for its page in MLflow."""
    address = ADDRESS if options.tracking_kind == "local" else server_address(options)
    return f"{address}#/experiments/{experiment_id}/runs/"


def server_address(options: Settings) -> str:
    """Return the address of the tracking server that the settings name."""
    uri = options.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or ""
    return uri.rstrip("/") + "/"


def _override(key: str, value: str) -> str:
    """Return an override whose value Hydra and OmegaConf read as this text."""
    if re.fullmatch(r"[A-Za-z_][\w./-]*", value, re.ASCII):
        return f"{key}={value}"
    # Between quotes a backslash is one of its own, except before a quote.
    quoted = re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + m[2].replace("'", "\\'"), value)
    quoted = quoted.replace("${", "\\${")
    return f"{key}='{quoted}'"
