"""What differs between Hydra 1.3 with OmegaConf 2.3 and Hydra 1.4 with OmegaConf 2.4."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hydra import utils
from hydra.core import utils as utils_of_jobs
from omegaconf import OmegaConf

__all__ = ["UNCHECKED", "configure_log", "main_options", "register_resolver"]

UNCHECKED: Any = getattr(utils, "UNSAFE_DISABLE_EXECUTION_CHECKS", None)
"""Hydra 1.4's word for a configuration that may name any ``_target_``; None under 1.3."""


def main_options() -> dict[str, Any]:
    """Return what ``hydra.main`` is told beside the configuration's place.

    1.4 asks what a ``_target_`` may run: the configuration is code, and the user's own.
    """
    return {"version_base": "1.3"} if UNCHECKED is None else {"execution_whitelist": UNCHECKED}


def configure_log(config: Any, verbose: Any) -> None:
    """Configure the log as Hydra does before a job."""
    more = {} if UNCHECKED is None else {"execution_whitelist": UNCHECKED}
    utils_of_jobs.configure_log(config, verbose, **more)


def register_resolver(name: str, resolver: Callable[..., Any], *, use_cache: bool = False) -> None:
    """Register a resolver; safe to call again."""
    # OmegaConf 2.3 has a method of the new name too, from before 2.1, which does something else.
    register: Any = getattr(
        OmegaConf, "register_new_resolver" if UNCHECKED is None else "register_resolver"
    )
    register(name, resolver, use_cache=use_cache, replace=True)
