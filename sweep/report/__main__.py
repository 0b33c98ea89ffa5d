"""``python -m sweep.report``: build the report of a stored sweep again, from MLflow alone."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.cli.app import command, one_job

if TYPE_CHECKING:
    from omegaconf import DictConfig


def report(config: DictConfig) -> None:
    """Build the report of the sweep that ``sweep=ID|last`` names and print its answer."""
    from hydra.core.hydra_config import HydraConfig

    from sweep import console
    from sweep.cli.plain import plain_values
    from sweep.report.build import build_report
    from sweep.settings import reading_settings
    from sweep.tracking import leases, read
    from sweep.tracking import settings as tracking_settings
    from sweep.tracking import store as tracking_store

    plain = plain_values(config)
    options = reading_settings(plain, Path(HydraConfig.get().runtime.cwd))
    tracking = tracking_settings.from_options(options)
    tracking_store.open_store(tracking, mode="read")  # makes no store where there is none
    store = tracking_store.open_store(tracking, mode="write")
    for sentence in leases.tend(store):
        console.say(sentence)
    stored = read.find_sweep(store, str(plain["sweep"]))
    built = build_report(
        stored,
        read.sweep_runs(store, stored.sweep_id),
        options.outputs / "reports" / stored.sweep_id,
        command_ui=console.ui_command(options),
    )
    console.report_built(built, options)


if __name__ == "__main__":
    sys.exit(command(one_job(report), "report"))
