"""Hydra plugin: the sweeper that runs a whole grid as one sweep; the work is in `sweep`.

Hydra imports this module at the start of every Hydra program in the environment, so it
holds the registration and a thin class alone.
"""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class GridSweeperConf:
    """What `hydra.sweeper` can say under ``hydra/sweeper=grid``."""

    _target_: str = "hydra_plugins.sweep_grid.GridSweeper"
    max_batch_size: int | None = None
    params: dict[str, Any] | None = field(default_factory=dict)
    points: Any = None  # a list of mappings, or the path of a CSV or YAML file
    skip: Any = field(default_factory=list)  # conditions that leave points out
    misfits: str = "refuse"  # or skip: points whose options do not fit each other
    samples: int | None = None  # points drawn from intervals


class GridSweeper(Sweeper):
    """Expand the grid, check every point, then train all of them as one sweep."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings  # they are read from the configuration, where they are checked

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Keep what Hydra gives; the launcher is made when the sweep has its id."""
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config

    def make_launcher(self) -> Launcher:
        """Return the launcher that the configuration names, as it is now."""
        assert self.config is not None and self.hydra_context is not None
        return Plugins.instance().instantiate_launcher(
            hydra_context=self.hydra_context,
            task_function=self.task_function,
            config=self.config,
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Run the sweep that the command line and the configured axes describe.

        Parameters
        ----------
        arguments
            The overrides that Hydra composed the sweep's own configuration from. They are part
            of those that were typed, which `sweep.cli.arguments` keeps.
        """
        from sweep.cli.command import run_sweep

        assert self.config is not None and self.hydra_context is not None
        return run_sweep(self.hydra_context.config_loader, self.config, self.make_launcher)


ConfigStore.instance().store(
    group="hydra/sweeper", name="grid", node=GridSweeperConf, provider="sweep"
)
