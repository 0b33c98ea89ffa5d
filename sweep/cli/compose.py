"""Compose a sweep's jobs exactly as Hydra does, once and cheaply.

Hydra reads and merges every file again for each job (about 40 ms). Jobs of one sweep differ
in a few values; so the composition **without** those values is made once by Hydra itself,
and each job is a fresh copy of it on which Hydra's own update call is repeated. That is the
same state and the same calls, hence the same configuration, as long as nothing that came
before the values could have read them. `_Composer.recipe` holds that rule; whatever it does
not cover is composed by Hydra, and so is everything that raises, so that errors are Hydra's
own.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Any, cast, overload

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import IConfigRepository
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType, ValueType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from sweep.cli.recipe import Base, Recipe, installed, is_shareable, plain_dict

__all__ = ["Jobs"]

BASES = 32
"""Compositions kept at once: one for each combination of groups that jobs choose."""

PARSED = 1024
"""Parsed overrides kept at once."""


class Jobs(Sequence[list[str]]):
    """The override lists of a sweep's jobs, and their configurations on demand.

    A sequence of override lists, so any launcher takes it. Nothing that is composed is kept,
    whatever the number of jobs.

    Parameters
    ----------
    config_loader
        Hydra's loader, from the hydra context.
    master_config
        The configuration of the whole sweep, as the sweeper's setup received it.
    overrides_per_job
        One list of overrides a job.
    first_job
        The number (``hydra.job.num``) of the first of them; the others follow.
    numbers
        The number of each, where they do not follow each other.
    """

    def __init__(
        self,
        config_loader: ConfigLoader,
        master_config: DictConfig,
        overrides_per_job: Sequence[Sequence[str]],
        first_job: int = 0,
        numbers: Sequence[int] | None = None,
    ) -> None:
        self.first_job = first_job
        self._numbers = None if numbers is None else list(numbers)
        self._overrides = [tuple(overrides) for overrides in overrides_per_job]
        self._composer = _Composer(config_loader, master_config)

    def __len__(self) -> int:
        return len(self._overrides)

    @overload
    def __getitem__(self, index: int) -> list[str]: ...

    @overload
    def __getitem__(self, index: slice) -> Jobs: ...

    def __getitem__(self, index: int | slice) -> list[str] | Jobs:
        if not isinstance(index, slice):
            return list(self._overrides[index])
        start, _, step = index.indices(len(self))
        if step != 1:
            raise ValueError(f"Jobs can be sliced with step 1 only, not {step}: they are numbered.")
        part = self._part(self._overrides[index], self.first_job + start)
        part._numbers = None if self._numbers is None else self._numbers[index]
        return part

    def number(self, index: int) -> int:
        """Return the number (``hydra.job.num``) of job `index`."""
        if self._numbers is not None:
            return self._numbers[index]
        return self.first_job + (index + len(self) if index < 0 else index)

    def numbered_from(self, first_job: int) -> Jobs:
        """Return the same jobs with other numbers; what is composed already is shared.

        Jobs that have numbers of their own keep them.
        """
        if self._numbers is not None or first_job == self.first_job:
            return self
        return self._part(self._overrides, first_job)

    def _part(self, overrides: list[tuple[str, ...]], first_job: int) -> Jobs:
        part = object.__new__(type(self))
        part.first_job, part._overrides, part._composer = first_job, overrides, self._composer
        part._numbers = None
        return part

    def _at(self, index: int) -> tuple[tuple[str, ...], int]:
        return self._overrides[index], self.number(index)

    def compose(self, index: int) -> tuple[Recipe, DictConfig]:
        """Return how job `index` is made, and its whole configuration, made freshly.

        Raises
        ------
        HydraException
            Hydra refuses the overrides, in its own words.
        """
        return self._composer.compose(*self._at(index))

    def config(self, index: int) -> DictConfig:
        """Return the whole configuration of job `index`, as a launcher of Hydra's makes it."""
        return self.compose(index)[1]

    def choices(self, index: int) -> dict[str, Any]:
        """Return the chosen option of each config group of job `index`."""
        recipe = self._composer.recipe(*self._at(index)) or self.compose(index)[0]
        return dict(recipe.base.choices)

    def task_config(self, index: int, resolve: bool = True) -> dict[str, Any]:
        """Return what the task of job `index` gets, as plain values, without ``hydra``.

        Raises
        ------
        HydraException, OmegaConfBaseException
            The job cannot be composed, or an interpolation cannot be resolved.
        """
        overrides, number = self._at(index)
        recipe = self._composer.recipe(overrides, number)
        if recipe is not None and recipe.is_self_contained:
            try:
                return recipe.plain(resolve)
            except Exception:  # said below, in the words that the job would meet
                recipe = None
        recipe, config = self._composer.compose(overrides, number)
        with installed(config):
            return plain_dict(recipe.task(config), resolve)

    def check(self) -> list[tuple[int, Exception]]:
        """Compose every job once; return the index and the error of those that fail."""
        failures: list[tuple[int, Exception]] = []
        for index in range(len(self)):
            try:
                self._composer.check(*self._at(index))
            except Exception as error:  # whatever a composition raises is what is asked for
                failures.append((index, error))
        return failures


class _Composer:
    """Composes the jobs of one sweep; shared by the slices of a `Jobs`."""

    def __init__(self, loader: ConfigLoader, master: DictConfig) -> None:
        self._loader = loader
        self._master = master
        self._parser = OverridesParser.create()
        self._parse = lru_cache(PARSED)(self._parser.parse_override)
        self._base = lru_cache(BASES)(self._new_base)
        self._is_group = lru_cache(PARSED)(self._group_exists)

    def compose(self, overrides: tuple[str, ...], number: int) -> tuple[Recipe, DictConfig]:
        """Return recipe and fresh configuration; Hydra composes what the recipes do not cover."""
        recipe = self.recipe(overrides, number)
        if recipe is not None:
            try:
                return recipe, recipe.config()
            except Exception:  # Hydra composes it below, and raises in its own words
                recipe = None
        config = self._loader.load_sweep_config(self._master, list(overrides))
        recipe = Recipe(Base(config), self._master, number)
        return recipe, recipe.config()

    def check(self, overrides: tuple[str, ...], number: int) -> None:
        """Raise what composing raises, at the least cost."""
        recipe = self.recipe(overrides, number)
        if recipe is not None and recipe.is_self_contained:
            try:
                recipe.task()
                return
            except Exception:  # Hydra composes it below, and raises in its own words
                recipe = None
        self.compose(overrides, number)

    def recipe(self, overrides: tuple[str, ...], number: int) -> Recipe | None:
        """Return how to make a job from a shared composition, or None where that is not proved.

        The overrides of config groups decide which files are merged, wherever they stand, and
        Hydra applies the others afterwards, in order. The shared composition has the groups
        and, if they come before all plain values, the other overrides (``+``, ``~``, mappings,
        ``hydra.``). The plain values that follow change existing leaves which are reached
        without an interpolation: setting one reads nothing else, and nothing that Hydra does
        between the last override and the end reads the task's values (see `is_shareable`).
        """
        if type(self._loader) is not ConfigLoaderImpl:
            return None  # another loader may have rules of its own
        try:
            parsed = [self._parse(line) for line in overrides]
        except HydraException:
            return None
        shared: list[str] = []
        values: list[Override] = []
        for override in parsed:
            if override.key_or_group == "hydra.searchpath":
                return None  # it decides what is a group
            group = self._is_group(override.key_or_group)
            if not group and _is_plain_value(override):
                values.append(override)
                continue
            if values and (not group or isinstance(override.value(), dict)):
                return None
            shared.append(str(override.input_line))
        base = self._base(tuple(shared))
        if base is None or not all(map(base.has_leaf, values)):
            return None
        task = [override for override in parsed if not override.is_hydra_override()]
        return Recipe(base, self._master, number, tuple(values), tuple(task), os.getcwd())

    @cached_property
    def _repository(self) -> IConfigRepository:
        """The files and groups in the search path of the sweep."""
        assert isinstance(self._loader, ConfigLoaderImpl)
        lines = cast(list[str], OmegaConf.to_container(self._master.hydra.overrides.hydra))
        name = self._master.hydra.job.config_name
        return self._loader._parse_overrides_and_create_caching_repo(name, lines)[1]

    def _group_exists(self, key: str) -> bool:
        return self._repository.group_exists(key)

    def _new_base(self, shared: tuple[str, ...]) -> Base | None:
        """Return Hydra's composition with `shared` alone, or None if it must not be shared."""
        try:
            config = self._loader.load_sweep_config(self._master, list(shared))
        except Exception:  # such jobs are composed by Hydra one by one, and raise there
            return None
        if not is_shareable(config):
            return None
        lines = [line for line in map(self._parse, shared) if not line.is_hydra_override()]
        return Base(config, own_lines=len(lines))


def _is_plain_value(override: Override) -> bool:
    return (
        override.type is OverrideType.CHANGE
        and override.value_type is ValueType.ELEMENT
        and override.package is None
        and not override.is_hydra_override()
        and not isinstance(override.value(), dict)
    )
