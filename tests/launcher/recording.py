"""A callback and a task that write down all they can see; named by dotted path in the tests."""

from __future__ import annotations

import os
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, read_write

EVENTS: list[Any] = []


def seen() -> dict[str, Any]:
    """Return what a job can see of the process and of Hydra now."""
    configured = HydraConfig.initialized()
    hydra = OmegaConf.to_container(HydraConfig.get()) if configured else None  # type: ignore[arg-type]
    return {
        "folder": os.getcwd(),
        "variable": os.environ.get("SWEEP_TEST_VALUE"),
        "hydra": hydra,
        "resolved": HydraConfig.get().sweep.subdir if configured else None,
    }


class Recorder(Callback):
    """Writes every call down."""

    def __init__(self, name: str) -> None:
        self.name = name

    def _note(self, event: str, config: DictConfig, **more: Any) -> None:
        EVENTS.append((self.name, event, OmegaConf.to_container(config), seen(), more))

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        self._note("on_multirun_start", config)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        self._note("on_multirun_end", config)

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        self._note("on_job_start", config, task=kwargs["task_function"])

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        self._note("on_job_end", config, returned=plain(job_return))


class Broken(Callback):
    """Raises at each job's start and end; Hydra makes warnings of it."""

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        raise RuntimeError("start")

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        raise RuntimeError("end")


class Meddler(Callback):
    """Changes the configuration that it is given, Hydra's own part included."""

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        with read_write(config.hydra):
            config.hydra.job.name = "changed by a callback"
        config.a = 99


def plain(returned: JobReturn) -> dict[str, Any]:
    """Return a job's result as plain values."""
    assert returned.cfg is not None and returned.hydra_cfg is not None
    value = returned._return_value
    return {
        "overrides": returned.overrides,
        "cfg": OmegaConf.to_container(returned.cfg),
        "hydra_cfg": OmegaConf.to_container(returned.hydra_cfg),
        "readonly": OmegaConf.is_readonly(returned.hydra_cfg.hydra),
        "working_dir": returned.working_dir,
        "task_name": returned.task_name,
        "status": returned.status,
        "value": repr(value) if isinstance(value, BaseException) else value,
    }
