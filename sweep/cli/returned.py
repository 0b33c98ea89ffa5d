"""The result of a job, small enough to be kept for every job of a sweep."""

from __future__ import annotations

import pickle
import zlib
from typing import Any, cast

from hydra.core.utils import JobReturn
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from sweep.cli.recipe import Recipe

__all__ = ["LazyReturn"]


class LazyReturn(JobReturn):
    """A `JobReturn` that does not hold its two configurations as objects.

    Both together take more than a hundred kilobytes, for as long as a sweeper collects the returns.
    The task's is packed once the job is over, as the task left it; Hydra's is made when asked
    for, from the job's recipe.
    """

    def __init__(self, recipe: Recipe, output_dir: str, cfg: DictConfig) -> None:
        self._recipe = recipe
        self._output_dir = output_dir
        self._cfg: DictConfig | bytes | None = cfg
        self._hydra_cfg: DictConfig | None = None
        super().__init__()
        self._cfg = cfg

    def pack(self) -> None:
        """Let the configurations go that can be made again."""
        self._hydra_cfg = None
        try:
            self._cfg = zlib.compress(pickle.dumps(self._cfg, pickle.HIGHEST_PROTOCOL), 1)
        except (pickle.PicklingError, AttributeError, TypeError):
            return  # it holds what only this process knows, and is kept as it is

    @property
    def cfg(self) -> DictConfig | None:
        """The task's configuration."""
        if isinstance(self._cfg, bytes):
            self._cfg = cast(DictConfig, pickle.loads(zlib.decompress(self._cfg)))
        return self._cfg

    @cfg.setter
    def cfg(self, value: DictConfig | None) -> None:
        self._cfg = value

    @property
    def hydra_cfg(self) -> DictConfig:
        """Hydra's configuration, below the key ``hydra``."""
        if self._hydra_cfg is None:
            config = self._recipe.config()
            with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
                config.hydra.runtime.output_dir = self._output_dir
            OmegaConf.set_readonly(config.hydra, True)
            self._hydra_cfg = OmegaConf.masked_copy(config, "hydra")
        return self._hydra_cfg

    @hydra_cfg.setter
    def hydra_cfg(self, value: DictConfig) -> None:
        self._hydra_cfg = value

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as what Hydra would have made; the recipe is of no use elsewhere."""
        fields = (self.overrides, self.cfg, self.hydra_cfg, self.working_dir, self.task_name)
        return JobReturn, (*fields, self.status, self._return_value)
