"""Hydra plugin: the launcher that composes each job once; the work is in `sweep.cli.jobs`.

Hydra imports this module at the start of every Hydra program in the environment, so it
holds the registration and a thin class alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

OPTIONS = ("address", "patience", "resources")
"""What a backend may be told; written out so that Hydra knows the keys. Null is not told."""


@dataclass
class TrajectoryLauncherConf:
    """What `hydra.launcher` can say under ``hydra/launcher=trajectory``."""

    _target_: str = "hydra_plugins.sweep_trajectory.TrajectoryLauncher"
    backend: str = "threads"
    workers: int | None = None
    options: dict[str, Any] = field(default_factory=lambda: dict.fromkeys(OPTIONS))


class TrajectoryLauncher(Launcher):
    """Run the jobs in this process, in the order that the task function's plan gives."""

    def __init__(
        self,
        backend: str = "threads",
        workers: int | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        plain = OmegaConf.to_container(OmegaConf.create(options or {}), resolve=True)
        assert isinstance(plain, dict)
        told = {name: value for name, value in plain.items() if value is not None}
        self.settings = {"backend": backend, "workers": workers, "options": told}
        self.hydra_context: HydraContext | None = None
        self.task_function: TaskFunction | None = None
        self.config: DictConfig | None = None

    def setup(
        self,
        *,
        hydra_context: HydraContext,
        task_function: TaskFunction,
        config: DictConfig,
    ) -> None:
        """Take what Hydra gives to every launcher."""
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run the jobs and return their results in order; see `sweep.cli.jobs.launch`."""
        from sweep.cli.jobs import launch

        assert self.hydra_context is not None
        assert self.task_function is not None and self.config is not None
        return launch(
            job_overrides,
            initial_job_idx,
            task_function=self.task_function,
            hydra_context=self.hydra_context,
            config=self.config,
            launcher=self.settings,
        )


ConfigStore.instance().store(
    group="hydra/launcher", name="trajectory", node=TrajectoryLauncherConf, provider="sweep"
)
