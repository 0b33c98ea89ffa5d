"""Hydra's configuration as plain values; its resolvers; what differs between 1.3 and 1.4."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from hydra import utils
from hydra.core import utils as utils_of_jobs
from omegaconf import DictConfig, OmegaConf

from sweep.engine.plan import new_id

__all__ = [
    "UNCHECKED",
    "config_folder",
    "configure_log",
    "main_options",
    "plain_values",
    "register",
    "typed_overrides",
]

UNCHECKED: Any = getattr(utils, "UNSAFE_DISABLE_EXECUTION_CHECKS", None)
"""Hydra 1.4's word for a configuration that may name any ``_target_``; None under 1.3."""


def main_options() -> dict[str, Any]:
    """Return the options of ``hydra.main`` beside the configuration's place.

    1.4 asks what a ``_target_`` may run: the configuration is code, and the user's own.
    """
    return {"version_base": "1.3"} if UNCHECKED is None else {"execution_whitelist": UNCHECKED}


def configure_log(config: Any, verbose: Any) -> None:
    """Configure the log as Hydra does before a job."""
    more = {} if UNCHECKED is None else {"execution_whitelist": UNCHECKED}
    utils_of_jobs.configure_log(config, verbose, **more)


def plain_values(config: DictConfig, keys: Collection[str] | None = None) -> dict[str, Any]:
    """Return the resolved values of `keys` (default: all but Hydra's own node).

    Raises
    ------
    OmegaConfBaseException
        An interpolation cannot be resolved.
    """
    chosen = [str(key) for key in config if str(key) != "hydra"] if keys is None else list(keys)
    plain = OmegaConf.to_container(OmegaConf.masked_copy(config, chosen), resolve=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def typed_overrides(config: Any) -> dict[str, list[str]]:
    """Return the overrides of a composition as they were typed: ``task`` and ``hydra``."""
    overrides: Any = OmegaConf.to_container(config.hydra.overrides, resolve=False)
    return {kind: [str(text) for text in overrides[kind]] for kind in ("task", "hydra")}


def config_folder() -> str:
    """Return the absolute path of the configuration: beside a checkout, inside a wheel."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "conf"
    return str(inside if inside.is_dir() else package.parent / "conf")


def register() -> None:
    """Register the resolvers; safe to call again."""
    _register("sweep_new_id", new_id, use_cache=True)
    _register("sweep_job_folder", _job_folder)
    _register("sweep_conf", config_folder)  # where the data files of presets are


def _job_folder(output_subdir: Any, number: Any, chdir: Any = False) -> str:
    """Return a job's folder: its own where it keeps files or works there, else the sweep's."""
    return "." if output_subdir is None and not chdir else str(number)


def _register(name: str, resolver: Callable[..., Any], *, use_cache: bool = False) -> None:
    # OmegaConf 2.3 has a method of the new name too, from before 2.1, which does something else.
    register: Any = getattr(
        OmegaConf, "register_new_resolver" if UNCHECKED is None else "register_resolver"
    )
    register(name, resolver, use_cache=use_cache, replace=True)
