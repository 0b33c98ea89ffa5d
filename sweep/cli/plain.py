"""Turn Hydra's configuration into plain Python values, at the border and once."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from omegaconf import DictConfig, OmegaConf

__all__ = ["plain_values", "typed_overrides"]


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
