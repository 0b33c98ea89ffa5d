"""Hydra plugin: the launcher ``trajectory``, which trains shared trajectories once.

Every Hydra program in the environment imports this module, so it does not import `sweep`.
BasicLauncher is private in Hydra, but has no public name; with it jobs run exactly as Hydra's.
"""

from dataclasses import dataclass, field
from typing import Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

OPTIONS = ("address", "patience", "resources")
"""Options of the backends, listed so that Hydra accepts the keys; null leaves one unset."""


@dataclass
class TrajectoryLauncherConf:
    """Schema of `hydra.launcher` for ``hydra/launcher=trajectory``."""

    _target_: str = "hydra_plugins.sweep_trajectory.TrajectoryLauncher"
    backend: str = "threads"
    workers: int | None = None
    options: dict[str, Any] = field(default_factory=lambda: dict.fromkeys(OPTIONS))


class TrajectoryLauncher(BasicLauncher):
    """Hydra's basic launcher with the settings of an executor."""

    def __init__(
        self,
        backend: str = "threads",
        workers: int | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        plain = OmegaConf.to_container(OmegaConf.create(options or {}), resolve=True)
        assert isinstance(plain, dict)
        given = {name: value for name, value in plain.items() if value is not None}
        self.settings = {"backend": backend, "workers": workers, "options": given}


ConfigStore.instance().store(
    group="hydra/launcher", name="trajectory", node=TrajectoryLauncherConf, provider="sweep"
)
