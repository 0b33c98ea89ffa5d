"""Hydra plugin: the launcher that trains shared trajectories once; the work is in `sweep`.

Hydra imports this module at the start of every Hydra program in the environment, so it holds
the registration and a thin class alone. The basic launcher is the one thing that is taken from
a private module of Hydra's: there is no public name for it, and jobs shall be exactly Hydra's.
"""

from dataclasses import dataclass, field
from typing import Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

OPTIONS = ("address", "patience", "resources")
"""What a backend may be told; written out so that Hydra knows the keys. Null is not told."""


@dataclass
class TrajectoryLauncherConf:
    """What `hydra.launcher` can say under ``hydra/launcher=trajectory``."""

    _target_: str = "hydra_plugins.sweep_trajectory.TrajectoryLauncher"
    backend: str = "threads"
    workers: int | None = None
    options: dict[str, Any] = field(default_factory=lambda: dict.fromkeys(OPTIONS))


class TrajectoryLauncher(BasicLauncher):
    """Hydra's basic launcher, with the settings of what trains a sweep's trajectories."""

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
