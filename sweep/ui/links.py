"""The command that shows a sweep in the MLflow UI, and the addresses of its pages."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.checks import without_password

if TYPE_CHECKING:
    from sweep.config.settings import Settings

ADDRESS = "http://127.0.0.1:5000/"
"""Default address of ``python -m sweep.ui``."""


def ui_command(options: Settings, sweep_id: str) -> str:
    """Return the command that shows a sweep in the MLflow UI, without default values."""
    return shlex.join(["python", "-m", "sweep.ui", f"sweep={sweep_id}", *store_arguments(options)])


def store_arguments(options: Settings) -> list[str]:
    """Return the overrides that select the store in another command, without default values."""
    words = []
    if options.outputs != Path("outputs").resolve():
        path = os.path.relpath(options.outputs)
        words.append(_override("outputs", str(options.outputs) if path[:2] == ".." else path))
    if options.tracking.experiment != "sweep":
        words.append(_override("tracking.experiment", options.tracking.experiment))
    if options.tracking.kind != "local":
        words.append(f"tracking={options.tracking.kind}")
        if options.tracking.uri:
            words.append(_override("tracking.uri", without_password(options.tracking.uri)))
    return words


def ending_lines(options: Settings, sweep_id: str, links: Mapping[str, str]) -> list[str]:
    """Return the lines a sweep prints when it ends: the command for the UI, and the link."""
    link = f"{_address(options)}{links['compare']}"
    if options.tracking.kind != "local":
        return [f"Compare:     {link}"]
    return [f"Compare:     {ui_command(options, sweep_id)}", f"  serves     {link}"]


def run_pages(options: Settings, experiment_id: str) -> str:
    """Return the address of run pages in the MLflow UI, to which a run id is appended."""
    return f"{_address(options)}#/experiments/{experiment_id}/runs/"


def server_address(options: Settings) -> str:
    """Return the address of the configured tracking server, without its password."""
    uri = options.tracking.uri or os.environ.get("MLFLOW_TRACKING_URI") or ""
    return without_password(uri).rstrip("/") + "/"


def _address(options: Settings) -> str:
    return ADDRESS if options.tracking.kind == "local" else server_address(options)


def _override(key: str, value: str) -> str:
    """Return an override whose value Hydra and OmegaConf parse as exactly this text."""
    if re.fullmatch(r"[A-Za-z_/][\w./-]*", value, re.ASCII):
        return f"{key}={value}"
    # In a quoted value Hydra keeps backslashes, except before a quote.
    quoted = re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + m[2].replace("'", "\\'"), value)
    quoted = quoted.replace("${", "\\${")
    return f"{key}='{quoted}'"
