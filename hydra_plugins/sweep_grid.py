"""Hydra plugin: the sweeper ``grid``, which runs a grid as one sweep.

Every Hydra program in the environment imports this module, so it imports `sweep` only on use.
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
    """Schema of `hydra.sweeper` for ``hydra/sweeper=grid``."""

    _target_: str = "hydra_plugins.sweep_grid.GridSweeper"
    max_batch_size: int | None = None
    params: dict[str, Any] | None = field(default_factory=dict)
    points: Any = None  # a list of mappings, or the path of a CSV or YAML file
    skip: Any = field(default_factory=list)  # conditions that leave points out
    misfits: str = "refuse"  # or skip: points with incompatible options
    samples: int | None = None  # points drawn from intervals


class GridSweeper(Sweeper):
    """Expand and validate the grid, then run it as one sweep."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings  # unused: `sweep` reads and validates the configuration

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Store Hydra's objects; the launcher is instantiated when the sweep has its id."""
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config

    def make_launcher(self) -> Launcher:
        """Instantiate the launcher from the current configuration."""
        assert self.config is not None and self.hydra_context is not None
        return Plugins.instance().instantiate_launcher(
            hydra_context=self.hydra_context,
            task_function=self.task_function,
            config=self.config,
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Run the sweep of the command line and the configured axes.

        `arguments` is unused: `sweep.cli.arguments` keeps all overrides of the command line.
        """
        from sweep.cli.command import run_sweep

        assert self.config is not None and self.hydra_context is not None
        return run_sweep(self.hydra_context.config_loader, self.config, self.make_launcher)


ConfigStore.instance().store(
    group="hydra/sweeper", name="grid", node=GridSweeperConf, provider="sweep"
)
