"""Compose the configurations of grid points.

A composition by Hydra takes about 40 ms. Points that differ only in plain values of existing keys
share one; any other point, and any that raises, is composed by Hydra, so errors are Hydra's own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from copy import deepcopy
from functools import lru_cache
from typing import Any, NamedTuple

from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType, ValueType
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from sweep.cli.hydra_config import to_container

KEPT = 32  # cached compositions

FOLDER = "${sweep_job_folder:${hydra.output_subdir},${hydra.job.num},${hydra.job.chdir}}"
"""The default of ``hydra.sweep.subdir``: all jobs in one folder."""

NUMBER = re.compile(r"\bjob\.(num|id)\b")
INTERPOLATION = re.compile(r"\$\\?\{[^'\"]*")  # escaped in overrides: $\{key\}
READS_HYDRA = re.compile(r"\$\{[^}]*\bhydra\b")


class Composed(NamedTuple):
    """A grid point: its values without the node `hydra`, and the chosen option of each group."""

    values: dict[str, Any]
    choices: dict[str, Any]


class Composer:
    """Compose the points of one sweep."""

    def __init__(self, loader: ConfigLoader, master: DictConfig) -> None:
        # Of the points composed so far: whether one needs a Hydra job (a separate folder,
        # environment variables or output files), depends on the job's number, or sets the job's
        # working folder or environment; and all interpolations.
        self.needs_jobs = self.numbered = self.sets_surroundings = False
        self.interpolations: set[str] = set()
        self.loader = loader
        self.master = master
        self._groups = _choices(master)
        self.parse = lru_cache(1024)(OverridesParser.create().parse_override)
        self._bases: dict[Any, _Base | None] = {}

    def compose(self, overrides: Sequence[str], number: int) -> Composed:
        """Compose `overrides` as job `number`.

        Raises HydraException or OmegaConfBaseException if that fails or an interpolation cannot
        be resolved.
        """
        self.numbered |= any(map(NUMBER.search, overrides))
        for line in overrides:
            self.interpolations.update(INTERPOLATION.findall(line))
        try:
            found = self._shared(overrides)
            if found is not None:
                return found
        except Exception:  # composed by Hydra below, which raises its own error
            pass
        config = self._noted(self._load(overrides))
        with open_dict(config):
            config.hydra.job.id = str(number)
            config.hydra.job.num = number
        return Composed(_in_job(config), _choices(config))

    def _shared(self, overrides: Sequence[str]) -> Composed | None:
        """Set plain values on a shared composition; None if Hydra is needed."""
        parsed = [self.parse(line) for line in overrides]
        values = [one for one in parsed if self._is_plain(one)]
        rest = [one for one in parsed if not self._is_plain(one)]
        if any(READS_HYDRA.search(str(one.value())) for one in values):
            return None
        # Hydra has replaced values of the same keys and kinds in the shared composition
        keys = frozenset((one.key_or_group, isinstance(one.value(), list)) for one in values)
        base = self._base((keys, *(str(one.input_line) for one in rest)), overrides)
        # the order of values and other overrides may matter
        if base is None or any(_meets(one, key, base.choices) for one in rest for key, _ in keys):
            return None
        return Composed(base.with_values(values), dict(base.choices))

    def _is_plain(self, override: Override) -> bool:
        return (
            override.type is OverrideType.CHANGE
            and override.value_type is ValueType.ELEMENT
            and override.package is None
            and override.key_or_group not in self._groups
            and not override.is_hydra_override()
            and not isinstance(override.value(), dict)
        )

    def _base(self, name: Any, overrides: Sequence[str]) -> _Base | None:
        """Return the first composition of a kind of points; None if it cannot be shared."""
        if name not in self._bases:
            try:
                base = _Base(self._noted(self._load(overrides)))
                self._bases[name] = None if base.reads_hydra else base
            except Exception:  # Hydra composes each such point separately, and raises there
                self._bases[name] = None
            if len(self._bases) > KEPT:
                del self._bases[next(iter(self._bases))]
        return self._bases[name]

    def _load(self, overrides: Sequence[str]) -> DictConfig:
        """Compose as Hydra's `load_sweep_config`.

        In Hydra 1.4 that function rejects another preset than the command's; a resumed sweep
        may have one.
        """
        hydra: Any = OmegaConf.to_container(self.master.hydra.overrides.hydra, resolve=False)
        name, lines = self.master.hydra.job.config_name, [*hydra, *overrides]
        config = self.loader.load_configuration(name, lines, RunMode.RUN)
        OmegaConf.copy_cache(from_config=self.master, to_config=config)
        return config

    def _noted(self, config: DictConfig) -> DictConfig:
        """Update the attributes from a composition, and return it."""
        values: Any = OmegaConf.to_container(config, resolve=False)
        hydra, job = values["hydra"], values["hydra"]["job"]
        moves = job["chdir"] not in (None, False)
        own = hydra["output_subdir"] is not None or moves
        self.sets_surroundings |= moves or bool(job["env_set"])
        self.needs_jobs |= own or bool(job["env_set"]) or hydra["sweep"]["subdir"] != FOLDER
        self.numbered |= own or NUMBER.search(str(values).replace(FOLDER, "")) is not None
        del hydra["overrides"]  # the text of the overrides again
        self.interpolations.update(INTERPOLATION.findall(str(values)))
        return config


class _Base:
    """A composition by Hydra that several points set their values on."""

    def __init__(self, config: DictConfig) -> None:
        self.choices = _choices(config)
        self.task = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
        OmegaConf.copy_cache(from_config=config, to_config=self.task)
        self._written = to_container(self.task, resolve=False)
        self.reads_hydra = READS_HYDRA.search(str(self._written)) is not None
        self._literal = "${" not in str(self._written) and not _is_structured(self.task)

    def with_values(self, overrides: Sequence[Override]) -> dict[str, Any]:
        """Return the values of a point; OmegaConf is used only if there are interpolations."""
        if not self._literal or any("${" in str(one.value()) for one in overrides):
            for one in overrides:
                OmegaConf.update(self.task, one.key_or_group, one.value(), merge=True)
            return to_container(self.task)
        values = deepcopy(self._written)
        for one in overrides:
            *above, last = one.key_or_group.split(".")
            node = values
            for name in above:
                node = node[name]
            node[last] = one.value()
        return values


def _is_structured(node: Any) -> bool:
    """Whether `node` contains a structured configuration, whose fields convert values."""
    if isinstance(node, DictConfig):
        if OmegaConf.get_type(node) is not dict:
            return True
        keys = [key for key in node if not OmegaConf.is_missing(node, key)]
        return any(_is_structured(node[key]) for key in keys if OmegaConf.is_config(node[key]))
    return False


def _meets(override: Override, key: str, choices: dict[str, Any]) -> bool:
    """Whether `key` is above or below the key of an override that sets values."""
    name = override.key_or_group
    if name in choices and not isinstance(override.value(), dict):
        return False  # Hydra merges group files before values, whatever the order
    return f"{key}.".startswith(f"{name}.") or f"{name}.".startswith(f"{key}.")


def _choices(config: DictConfig) -> dict[str, Any]:
    return {str(key): value for key, value in config.hydra.runtime.choices.items()}


def _in_job(config: DictConfig) -> dict[str, Any]:
    """Return the task's values as in the job; ``${hydra:…}`` is resolved."""
    hydra_config = HydraConfig.instance()
    before = hydra_config.cfg
    try:
        hydra_config.set_config(config)
        folder = os.path.join(str(config.hydra.sweep.dir), str(config.hydra.sweep.subdir))
        with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
            config.hydra.runtime.output_dir = os.path.abspath(folder)
        hydra_config.set_config(config)
        return to_container(config)
    finally:
        hydra_config.cfg = before
