"""Hydra's configuration: its folder, resolvers and containers; what differs in 1.3 and 1.4."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from hydra import utils
from hydra.core import utils as utils_of_jobs
from omegaconf import DictConfig, OmegaConf

from sweep.engine.plan import new_id

UNCHECKED: Any = getattr(utils, "UNSAFE_DISABLE_EXECUTION_CHECKS", None)
"""Hydra 1.4's setting that allows any ``_target_``; None under 1.3."""


def main_options() -> dict[str, Any]:
    """Return options of ``hydra.main`` that depend on Hydra's version.

    1.4 restricts ``_target_``; here any is allowed, as the configuration is the user's code.
    """
    return {"version_base": "1.3"} if UNCHECKED is None else {"execution_whitelist": UNCHECKED}


def configure_log(config: Any, verbose: Any) -> None:
    """Configure the log as Hydra does before a job."""
    more = {} if UNCHECKED is None else {"execution_whitelist": UNCHECKED}
    utils_of_jobs.configure_log(config, verbose, **more)


def to_container(
    config: DictConfig, keys: Collection[str] | None = None, *, resolve: bool = True
) -> dict[str, Any]:
    """Return the values of `keys` (default: all but the node `hydra`).

    Raises OmegaConfBaseException if an interpolation cannot be resolved.
    """
    chosen = [str(key) for key in config if str(key) != "hydra"] if keys is None else list(keys)
    part = config if len(chosen) == len(config) else OmegaConf.masked_copy(config, chosen)
    plain = OmegaConf.to_container(part, resolve=resolve)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def config_folder() -> str:
    """Return the absolute path of ``conf``: in a wheel inside the package, else beside it."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "conf"
    return str(inside if inside.is_dir() else package.parent / "conf")


def file_keys(config_name: str) -> list[str]:
    """Return the top-level keys and the groups of a primary configuration file."""
    text = Path(config_folder(), f"{config_name}.yaml").read_text("utf-8")
    keys = re.findall(r"^(?:  - )?(\w+):", text, re.MULTILINE)
    return [*(key for key in keys if key != "defaults"), "hydra"]


def register() -> None:
    """Register the OmegaConf resolvers; may be called repeatedly."""
    # OmegaConf 2.3 has `register_resolver` too, but it is the legacy function from before 2.1.
    name = "register_new_resolver" if UNCHECKED is None else "register_resolver"
    add: Any = getattr(OmegaConf, name)
    add("sweep_new_id", new_id, use_cache=True, replace=True)
    add("sweep_job_folder", _job_folder, replace=True)
    add("sweep_conf", config_folder, replace=True)  # presets refer to data files there


def _job_folder(output_subdir: Any, number: Any, chdir: Any = False) -> str:
    """Return a separate folder for a job that writes files or changes directory, else ``.``."""
    return "." if output_subdir is None and not chdir else str(number)
