"""The two resolvers that `conf/config.yaml` uses."""

from __future__ import annotations

from typing import Any

from omegaconf import OmegaConf

from sweep.engine.plan import new_id

__all__ = ["register"]


def register() -> None:
    """Register the resolvers; safe to call again."""
    OmegaConf.register_new_resolver("sweep_new_id", new_id, use_cache=True, replace=True)
    OmegaConf.register_new_resolver("sweep_job_folder", _job_folder, replace=True)


def _job_folder(output_subdir: Any, number: Any) -> str:
    """Return a job's folder: its own where Hydra's files are kept, else the sweep's."""
    return "." if output_subdir is None else str(number)
