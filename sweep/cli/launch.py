"""Train a sweep's cells: without jobs, in jobs of Hydra's, or by another launcher."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, open_dict, read_write

from sweep.cli.app import handed_over
from sweep.cli.compose import Composer
from sweep.cli.plain import configure_log
from sweep.engine.executors import available_cpus
from sweep.engine.plan import Cell
from sweep.engine.sweep import Sweep, execute

if TYPE_CHECKING:
    from hydra.core.utils import JobReturn
    from hydra.plugins.launcher import Launcher

__all__ = ["batches", "launch", "runs_alone", "workers_of"]

OURS = "sweep.cli.validate.Validate"


def workers_of(master: DictConfig, ours: Mapping[str, Any] | None, *, alone: bool) -> int:
    """Return how many trajectories train at once, as far as that is known here."""
    if alone or master.hydra.runtime.choices.get("hydra/launcher") == "basic":
        return 1
    if ours is not None and ours["backend"] == "serial":
        return 1
    return (ours["workers"] if ours else None) or available_cpus()


def runs_alone(composer: Composer, cells: Sequence[Cell]) -> bool:
    """Whether each cell must train inside its own job, for what Hydra promises a job.

    A trainer of a user's own may look at the job's environment or its working folder.
    """
    return composer.sets_surroundings and not all(cell.spec.trainer.built_in for cell in cells)


def launch(
    sweep: Sweep,
    launcher: Launcher,
    composer: Composer,
    master: DictConfig,
    controls: Sequence[str],
    max_batch_size: int | None,
) -> list[Sequence[JobReturn]]:
    """Train the cells that are left and record them.

    Parameters
    ----------
    controls
        The overrides that every job has.

    Returns
    -------
    list
        What the jobs of each batch returned; of our launcher nothing is kept.
    """

    def job(cell: Cell) -> list[str]:
        return [*controls, *cell.overrides, f"parent={sweep.id}"]

    settings = getattr(launcher, "settings", None)
    if settings is None:
        parts = batches(sweep.pending, max_batch_size, apart=composer.numbered)
        return [launcher.launch([job(cell) for cell in part], part[0].job) for part in parts]
    if runs_alone(composer, sweep.pending):
        for cell in itertools.takewhile(lambda _: not sweep.spent, sweep.pending):
            launcher.launch([job(cell)], cell.job)
    elif composer.needs_jobs or _watched(master):
        for cell, outcome in execute(sweep, settings):
            with handed_over(cell, outcome):
                launcher.launch([job(cell)], cell.job)
    else:
        runtime = master.hydra.runtime
        with read_write(runtime), open_dict(runtime):
            runtime.output_dir = str(master.hydra.sweep.dir)
        configure_log(master.hydra.job_logging, master.hydra.verbose)
        logging.getLogger(__name__).info("%d runs without jobs", len(sweep.pending))
        for cell, outcome in execute(sweep, settings):
            sweep.record(cell, outcome)
        configure_log(master.hydra.hydra_logging, master.hydra.verbose)
    return []


def _watched(master: DictConfig) -> bool:
    """Whether the configuration has callbacks beside ours: jobs may be what they wait for."""
    callbacks = master.hydra.callbacks or {}
    return any(str(one.get("_target_")) != OURS for one in callbacks.values() if one)


def batches(cells: Sequence[Cell], size: int | None, *, apart: bool) -> Iterator[Sequence[Cell]]:
    """Yield cells to be launched together, of at most `size`.

    Parameters
    ----------
    apart
        Other people's launchers number jobs one after the other. Where it must be the number
        that the cell was composed under, cells whose numbers do not follow wait for each other.
    """
    batch: list[Cell] = []
    for cell in cells:
        gap = apart and batch and cell.job != batch[-1].job + 1
        if batch and (gap or len(batch) == size):
            yield batch
            batch = []
        batch.append(cell)
    if batch:
        yield batch
