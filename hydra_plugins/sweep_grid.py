"""Hydra plugin: the sweeper that enters a sweep's life; the work is in `sweep`.

Hydra imports this module at the start of every Hydra program in the environment, so it
holds the registration and a thin class alone.
"""

from dataclasses import dataclass, field
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore


@dataclass
class GridSweeperConf:
    """What `hydra.sweeper` can say under ``hydra/sweeper=grid``."""

    _target_: str = "hydra_plugins.sweep_grid.GridSweeper"
    max_batch_size: int | None = None
    params: dict[str, Any] | None = field(default_factory=dict)


class GridSweeper(BasicSweeper):
    """Expand the grid, check every cell, then launch all of them within one sweep's life."""

    def sweep(self, arguments: list[str]) -> Any:
        """Run the sweep that `arguments` and the configured axes describe.

        Parameters
        ----------
        arguments
            The overrides of the command line.
        """
        from sweep.cli.command import run_sweep

        assert self.config is not None and self.hydra_context is not None
        assert self.launcher is not None
        return run_sweep(
            self.hydra_context.config_loader,
            self.config,
            self.launcher,
            self.params or {},
            arguments,
            self.max_batch_size,
        )


ConfigStore.instance().store(
    group="hydra/sweeper", name="grid", node=GridSweeperConf, provider="sweep"
)
