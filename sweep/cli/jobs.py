"""Run a sweep's jobs as Hydra's own launcher does, without what that one repeats for each job.

This is the documented hook for task functions that can plan for many jobs at once. A task
function may have an attribute ``plan``, set before it is decorated with ``hydra.main``::

    def plan(jobs: Jobs, *, launcher: Mapping[str, Any]) -> Iterator[tuple[int, Task]]

It yields ``(position, task)`` in the order in which jobs are ready to be run; ``task`` is
called as that job, with its configuration, in its folder and log, and what it returns or
raises is the job's. ``launcher`` is what ``hydra.launcher`` says: backend, workers, options.
A task function without the attribute is its own task for each job, in order.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from hydra import version
from hydra._internal.callbacks import Callbacks
from hydra._internal.deprecation_warning import deprecation_warning
from hydra.core.utils import (
    JobReturn,
    JobRuntime,
    JobStatus,
    _flush_loggers,
    configure_log,
    env_override,
    filter_overrides,
    setup_globals,
)
from hydra.experimental.callback import Callback
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf

from sweep.cli.compose import Jobs
from sweep.cli.recipe import installed
from sweep.cli.returned import LazyReturn
from sweep.errors import RunFailed

__all__ = ["Plan", "Task", "launch", "run_job"]

Task = Callable[[DictConfig], Any]
Plan = Iterator[tuple[int, Task]]

log = logging.getLogger(__name__)


def launch(
    overrides: Sequence[Sequence[str]],
    first_job: int,
    *,
    task_function: Task,
    hydra_context: HydraContext,
    config: DictConfig,
    launcher: Mapping[str, Any],
) -> list[JobReturn]:
    """Run every job and return the results in the order of the jobs.

    A job that raises is a result, with status FAILED.

    Raises
    ------
    RunFailed
        The plan left jobs out, or gave a position twice or one that no job has.
    HydraException
        A job cannot be composed.
    """
    setup_globals()
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    Path(str(config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
    if isinstance(overrides, Jobs):
        jobs = overrides.numbered_from(first_job)
    else:
        jobs = Jobs(hydra_context.config_loader, config, overrides, first_job)
    log.info("Launching %d jobs locally", len(jobs))
    results: dict[int, JobReturn] = {}
    with closing(_planned(task_function, jobs, launcher, results)) as plan:
        for position, task in plan:
            _check_position(position, len(jobs), results)
            log.info(
                "\t#%d : %s", jobs.number(position), " ".join(filter_overrides(jobs[position]))
            )
            results[position] = run_job(jobs, position, task, hydra_context)
            configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    left = [jobs.number(position) for position in range(len(jobs)) if position not in results]
    if left:
        raise RunFailed(
            f"The plan of {_name(task_function)} ended after {len(results)} of {len(jobs)} jobs; "
            f"it must yield each once, and left out {_listed(left)}."
        )
    return [results[position] for position in range(len(jobs))]


def _planned(
    task_function: Task,
    jobs: Jobs,
    launcher: Mapping[str, Any],
    results: Mapping[int, JobReturn],
) -> Generator[tuple[int, Task]]:
    """Yield the plan of a task function; closing it closes the plan, which ends what it began."""
    plan = getattr(task_function, "plan", None) or _one_by_one(task_function)
    try:
        yield from plan(jobs, launcher=launcher)
    except Exception as error:
        error.add_note(
            f"Raised by the plan of {_name(task_function)}, "
            f"when {len(results)} of {len(jobs)} jobs had run."
        )
        raise


def _one_by_one(task_function: Task) -> Callable[..., Plan]:
    def plan(jobs: Jobs, *, launcher: Mapping[str, Any]) -> Plan:
        return ((position, task_function) for position in range(len(jobs)))

    return plan


def _check_position(position: int, jobs: int, results: Mapping[int, JobReturn]) -> None:
    if position in results:
        raise RunFailed(f"The plan yielded position {position} twice; it must yield each job once.")
    if not 0 <= position < jobs:
        raise RunFailed(f"The plan yielded position {position}; the jobs have 0 to {jobs - 1}.")


def _name(task_function: Task) -> str:
    return getattr(task_function, "__qualname__", type(task_function).__qualname__)


def _listed(numbers: Sequence[int]) -> str:
    more = f" and {len(numbers) - 10} more" if len(numbers) > 10 else ""
    return ", ".join(f"#{number}" for number in numbers[:10]) + more


def run_job(jobs: Jobs, position: int, task: Task, hydra_context: HydraContext) -> JobReturn:
    """Run `task` as one job: its folder, files, log, environment and callbacks, as Hydra does.

    Everything that belongs to the process is as before when the job is over; so this is not
    for threads.
    """
    callbacks = hydra_context.callbacks
    recipe, config = jobs.compose(position)
    # Callbacks get the configuration to keep and to change; otherwise nobody sees it.
    with installed(config, shared=not _are_told(callbacks)) as folder, ExitStack() as undo:
        hydra = config.hydra
        cfg = recipe.task(config)
        result = LazyReturn(recipe, hydra.runtime.output_dir, cfg)
        result.overrides = OmegaConf.to_container(hydra.overrides.task)  # type: ignore[assignment]
        Path(folder).mkdir(parents=True, exist_ok=True)
        result.working_dir = _enter_folder(folder, result, config, undo)
        configure_log(hydra.job_logging, hydra.verbose)
        if hydra.output_subdir is not None:
            _write_files(Path(hydra.runtime.output_dir, hydra.output_subdir), cfg, result, config)
        environment = result.hydra_cfg.hydra.job.env_set if len(hydra.job.env_set) else {}
        with env_override(environment):
            callbacks.on_job_start(config=config, task_function=task)
            try:
                result.return_value = task(cfg)
                result.status = JobStatus.COMPLETED
            except Exception as error:
                result.return_value = error
                result.status = JobStatus.FAILED
        result.task_name = JobRuntime.instance().get("name")
        _flush_loggers()
        callbacks.on_job_end(config=config, job_return=result)
    result.pack()
    return result


def _are_told(callbacks: Callbacks) -> bool:
    """Return whether a callback does anything at the start or end of a job."""
    return any(
        getattr(type(callback), event, None) is not getattr(Callback, event)
        for callback in callbacks.callbacks
        for event in ("on_job_start", "on_job_end")
    )


def _enter_folder(folder: str, result: LazyReturn, config: DictConfig, undo: ExitStack) -> str:
    """Go into the job's folder if the configuration asks for it; return the working folder."""
    job = config.hydra.job
    if OmegaConf.is_interpolation(job, "chdir"):
        job = result.hydra_cfg.hydra.job  # where the task's values are out of sight
    chdir = job.chdir
    if chdir is None and not version.base_at_least("1.2"):
        deprecation_warning(
            "hydra.job.chdir is not set; an application with a version_base below 1.2 changes "
            "into each job's folder, which later versions of Hydra do not.",
            stacklevel=2,
        )
        chdir = True
    if not chdir:
        return os.getcwd()
    undo.callback(os.chdir, os.getcwd())
    os.chdir(folder)
    return folder


def _write_files(folder: Path, cfg: DictConfig, result: LazyReturn, config: DictConfig) -> None:
    """Write the three files that describe the job."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        "config.yaml": cfg,
        "hydra.yaml": result.hydra_cfg,
        "overrides.yaml": config.hydra.overrides.task,
    }
    for name, content in contents.items():
        (folder / name).write_text(OmegaConf.to_yaml(content), encoding="utf-8")
