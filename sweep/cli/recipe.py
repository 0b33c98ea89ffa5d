"""What jobs of one sweep share: a composition by Hydra, and how one job differs from it."""

from __future__ import annotations

import copy
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from hydra._internal.config_loader_impl import get_overrides_dirname
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, flag_override, open_dict, read_write
from omegaconf.base import Box

__all__ = ["Base", "Recipe", "installed", "is_shareable", "plain_dict"]


def is_shareable(config: DictConfig) -> bool:
    """Return whether the end of the composition `config` depends on no value of the task.

    After the overrides Hydra reads the job's name, ``env_copy`` and how the overrides are
    joined, and writes below ``hydra.overrides``, ``runtime`` and ``job``; an interpolation in
    one of these could lead to a value that a job changes.
    """
    hydra = config.hydra
    walked = (
        (config, "hydra"),
        *((hydra, key) for key in ("overrides", "runtime", "job")),
        *((hydra.overrides, key) for key in ("hydra", "task")),
        (hydra.runtime, "choices"),
        *((hydra.job, key) for key in ("name", "env_set", "env_copy", "config")),
    )
    return not (
        any(OmegaConf.is_interpolation(node, key) for node, key in walked)
        or len(hydra.job.env_copy)
        or "${" in repr(OmegaConf.to_container(hydra.job.config))
    )


class Base:
    """One composition by Hydra, kept as bytes, of which jobs are fresh copies.

    Parameters
    ----------
    config
        The composition; it belongs to the base from now on, and is taken apart.
    own_lines
        How many of its last ``hydra.overrides.task`` each job brings again, in its own order.
    """

    def __init__(self, config: DictConfig, own_lines: int = 0) -> None:
        hydra = config.hydra
        self.choices = plain_dict(hydra.runtime.choices)
        separators = hydra.job.config.override_dirname
        self.kv_sep, self.item_sep = separators.kv_sep, separators.item_sep
        self.exclude_keys = list(separators.exclude_keys)
        lines = hydra.overrides.task
        del lines[len(lines) - own_lines :]  # pop() would resolve what a line says
        self.config: Callable[[], DictConfig] = _copier(config)
        with read_write(config), open_dict(config):
            del config["hydra"]
        self.task: Callable[[], DictConfig] = _copier(config)

    @cached_property
    def leaves(self) -> dict[str, type]:
        """The leaves of the task's part by dotted key: `list`, or `object` for one value.

        Only those that are reached through mappings, never through an interpolation.
        """
        task = self.task()
        return dict(_leaves(plain_dict(task), task, ""))

    @cached_property
    def interpolated(self) -> dict[str, bool]:
        """The top keys below which there is an interpolation, and whether it calls a resolver."""
        found = {}
        for key, value in plain_dict(self.task()).items():
            texts = [text for text in _texts(value) if "${" in text]
            if texts:
                found[key] = any(":" in text for text in texts)
        return found

    @cached_property
    def plain(self) -> Callable[[], dict[str, Any]]:
        """Give a fresh copy of the task's plain values; None at interpolated top keys."""
        values = plain_dict(self.task())
        return _copier(values | dict.fromkeys(self.interpolated))

    def has_leaf(self, override: Override) -> bool:
        """Return whether `override` changes an existing leaf by a value that fits in its place."""
        kind = self.leaves.get(override.key_or_group)
        return kind is not None and isinstance(override.value(), kind)


def _copier(value: Any) -> Callable[[], Any]:
    """Return what makes fresh copies of `value` as it is now.

    Pickled bytes are five times as fast as ``deepcopy`` and small; a configuration that holds
    what cannot be pickled (a schema defined inside a function) is copied the slow way.
    """
    try:
        data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    except (pickle.PicklingError, AttributeError, TypeError):
        kept = copy.deepcopy(value)
        return lambda: copy.deepcopy(kept)
    return lambda: pickle.loads(data)


def plain_dict(task: DictConfig, resolve: bool = False) -> dict[str, Any]:
    """Return a configuration as plain values, a fresh copy."""
    values = OmegaConf.to_container(task, resolve=resolve)
    assert isinstance(values, dict)
    return cast(dict[str, Any], values)


def _leaves(values: Any, node: DictConfig, prefix: str) -> Iterator[tuple[str, type]]:
    """Yield the leaves of `node`, whose unresolved values are `values`.

    A mapping or list that is an interpolation, missing or None is a plain value there, and a
    configuration in `node`: no leaf.
    """
    for key, child in node.items_ex(resolve=False):
        if not isinstance(key, str) or not key or set(key) & set(".[]"):
            continue
        if isinstance(values[key], dict):
            yield from _leaves(values[key], child, f"{prefix}{key}.")
        elif isinstance(values[key], list):
            yield prefix + key, list
        elif not isinstance(child, Box):
            yield prefix + key, object


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for child in value.values():
            yield from _texts(child)
    elif isinstance(value, list):
        for child in value:
            yield from _texts(child)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one job is made: a copy of its base, plain values set on it, and its number.

    `task_overrides` is None where the base is the job's own composition, complete.
    """

    base: Base
    master: DictConfig
    number: int
    values: tuple[Override, ...] = ()
    task_overrides: tuple[Override, ...] | None = None
    cwd: str = ""

    @property
    def is_self_contained(self) -> bool:
        """Whether the task's values can be had without Hydra's part of the configuration."""
        return self.task_overrides is not None and not (
            any("${" in str(override.input_line) for override in self.task_overrides)
            or any(self.base.interpolated.values())
        )

    def config(self) -> DictConfig:
        """Return the job's whole configuration, made freshly."""
        config = self.base.config()
        hydra = config.hydra
        if self.task_overrides is not None:
            self._set_values(config)
            for override in self.task_overrides:
                hydra.overrides.task.append(override.input_line)
            hydra.runtime.cwd = self.cwd
            hydra.job.override_dirname = get_overrides_dirname(
                overrides=list(self.task_overrides),
                kv_sep=self.base.kv_sep,
                item_sep=self.base.item_sep,
                exclude_keys=self.base.exclude_keys,
            )
        OmegaConf.copy_cache(from_config=self.master, to_config=config)
        with open_dict(config):
            hydra.job.id = self.number
            hydra.job.num = self.number
        return config

    def task(self, config: DictConfig | None = None) -> DictConfig:
        """Return the task's part, made freshly, with the resolver cache of `config`."""
        task = self.base.task()
        self._set_values(task)
        OmegaConf.copy_cache(from_config=self.master if config is None else config, to_config=task)
        return task

    def plain(self, resolve: bool) -> dict[str, Any]:
        """Return the task's values; resolved ones only where `is_self_contained`."""
        task = self.task()
        if not resolve:
            return plain_dict(task)
        plain = self.base.plain()
        for key in [*self.base.interpolated, *(_top(override) for override in self.values)]:
            plain[key] = _resolved(task, key)
        return plain

    def _set_values(self, config: DictConfig) -> None:
        for override in self.values:
            OmegaConf.update(config, override.key_or_group, override.value(), merge=True)


def _top(override: Override) -> str:
    return override.key_or_group.partition(".")[0]


def _resolved(task: DictConfig, key: str) -> Any:
    if OmegaConf.is_missing(task, key) and not OmegaConf.is_interpolation(task, key):
        return "???"
    value = task[key]
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


@contextmanager
def installed(config: DictConfig, *, shared: bool = True) -> Iterator[str]:
    """Make `config` the one that ``HydraConfig`` and ``${hydra:…}`` show, and give its folder.

    The folder, ``hydra.sweep.dir`` and ``subdir``, is not made; it is also written into
    ``hydra.runtime.output_dir``.

    Parameters
    ----------
    config
        A job's whole configuration; its hydra node becomes read-only.
    shared
        Let ``HydraConfig`` show the hydra node of `config` itself, not a copy. A copy costs as
        much as the rest of a job; it is needed only if others than the task get `config`.
    """
    holder = HydraConfig.instance()
    before = holder.cfg
    try:
        holder.cfg = _hidden_parent(config)  # type: ignore[assignment]
        parts = (OmegaConf.select(config, f"hydra.sweep.{key}") for key in ("dir", "subdir"))
        folder = os.path.join(*map(str, parts))
        runtime = config.hydra.runtime
        with read_write(runtime), open_dict(runtime):
            runtime.output_dir = os.path.abspath(folder)
        if not shared:
            holder.set_config(config)
        yield folder
    finally:
        holder.cfg = before


def _hidden_parent(config: DictConfig) -> DictConfig:
    """Return a configuration with the hydra node alone, whose interpolations still see `config`."""
    hydra = config.hydra
    OmegaConf.set_readonly(hydra, True)
    view = DictConfig({})
    with flag_override(view, "no_deepcopy_set_nodes", True):
        view["hydra"] = hydra
    hydra._set_parent(config)
    return view
