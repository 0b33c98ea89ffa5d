"""The resolvers that the files of `conf/` use."""

from __future__ import annotations

from typing import Any

from sweep.cli.versions import register_resolver
from sweep.engine.plan import new_id

__all__ = ["register"]


def register() -> None:
    """Register the resolvers; safe to call again."""
    register_resolver("sweep_new_id", new_id, use_cache=True)
    register_resolver("sweep_job_folder", _job_folder)
    register_resolver("sweep_conf", _conf)


def _conf() -> str:
    """Return the folder of `conf/`, where the data files of presets are."""
    from sweep.cli.app import config_folder

    return config_folder()


def _job_folder(output_subdir: Any, number: Any, chdir: Any = False) -> str:
    """Return a job's folder: its own where it keeps files or works there, else the sweep's."""
    return "." if output_subdir is None and not chdir else str(number)
