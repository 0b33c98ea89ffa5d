"""What ``python -m sweep -m`` does: plan the grid, open the sweep, launch its jobs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf, open_dict, read_write

from sweep import console
from sweep.cli.compose import Jobs
from sweep.cli.grid import describes_run, expand
from sweep.cli.guard import check_launcher
from sweep.cli.plain import plain_values
from sweep.cli.refusal import listed
from sweep.cli.resume import resumed_plan, stored_sweep
from sweep.cli.task import trains_inside
from sweep.config.settings import CONTROL_KEYS, settings
from sweep.config.spec import canonical
from sweep.engine.estimate import estimate
from sweep.engine.executors import available_cpus, create
from sweep.engine.life import Opening, sweep_life
from sweep.engine.plan import Cell, new_id
from sweep.engine.stored import stored_cells
from sweep.errors import ConfigErrors

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader
    from hydra.core.utils import JobReturn
    from hydra.plugins.launcher import Launcher
    from omegaconf import DictConfig

__all__ = ["run_sweep"]

BASIC = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"

FOLDER = "${sweep_job_folder:${hydra.output_subdir},${hydra.job.num}}"
"""Where jobs keep their files, unless the user says otherwise: all in one place."""

NUMBER = re.compile(r"\bjob\.(num|id)\b")


def run_sweep(
    loader: ConfigLoader,
    master: DictConfig,
    make_launcher: Callable[[], Launcher],
    params: Mapping[str, Any],
    arguments: Sequence[str],
    max_batch_size: int | None,
) -> list[Sequence[JobReturn]]:
    """Run one sweep from the command line to its report.

    Parameters
    ----------
    make_launcher
        Called once the sweep has its id: folders of other people's launchers are below that of
        the sweep.
    params
        The axes that the configuration names; an axis of `arguments` replaces one of them.
    arguments
        The overrides of the command line.

    Returns
    -------
    list
        The returns of each batch's jobs, as Hydra's own sweeper gives them.

    Raises
    ------
    ConfigErrors
        The configuration was refused; nothing was created.
    StoreError
        The store cannot be used; no run was started.
    """
    opening = _checked(loader, master, params, arguments)
    options = opening.options
    launcher = make_launcher()
    ours = getattr(launcher, "settings", None)  # None: somebody else's launcher
    if ours is not None:  # refused before anything exists; nothing is started yet
        create(ours["backend"], ours["workers"], ours["options"]).close()
    plan = opening.plan
    inside = trains_inside(master.hydra.job, plan.cells)
    opening = replace(
        opening,
        plan=replace(plan, shared=ours is not None and not inside),
        workers=1 if inside and ours else _workers(ours, str(master.hydra.launcher._target_)),
        elsewhere=ours is not None and "address" in ours["options"],
    )
    if options.dry_run:
        _print_plan(opening)
        return []
    controls = [text for text in arguments if not describes_run(text.partition("=")[0])]
    returns: list[Sequence[JobReturn]] = []
    with sweep_life(opening) as sweep:

        def jobs_of(cells: Sequence[Cell]) -> Jobs:
            jobs = [[*controls, *cell.overrides, f"parent={sweep.id}"] for cell in cells]
            return Jobs(loader, master, jobs, numbers=[cell.job for cell in cells])

        apart = ours is None and _reads_number(jobs_of(sweep.pending))
        for cells in _batches(sweep.pending, max_batch_size, apart=apart):
            batch, first = jobs_of(cells), cells[0].job
            returns.append(launcher.launch(batch, initial_job_idx=first))
    return returns


def _workers(ours: Mapping[str, Any] | None, target: str) -> int:
    """Return how many trajectories train at once, as far as that is known here."""
    if target == BASIC or (ours is not None and ours["backend"] == "serial"):
        return 1
    return (ours["workers"] if ours else None) or available_cpus()


def _print_plan(opening: Opening) -> None:
    options, plan = opening.options, opening.plan
    stored = stored_cells(plan, options, opening.sweep_id)
    new = [cell for cell in plan.cells if cell not in stored]
    foreseen = None
    try:
        foreseen = estimate(
            plan,
            new,
            opening.workers,
            server=options.tracking_kind == "server",
            elsewhere=opening.elsewhere,
            max_seconds=options.max_seconds,
        )
    except Exception as error:  # a user's trainer may raise anything
        console.no_estimate(error)
    console.sweep_plan(plan, new, foreseen)


def _reads_number(jobs: Jobs) -> bool:
    """Tell whether a job's number says more than its place in the log.

    Where each job keeps files of its own, or a value is made of ``hydra.job.num``, a job has
    the number that it was planned with, also when others are left out.
    """
    seen = set()
    for at in range(len(jobs)):
        if any(NUMBER.search(text) for text in jobs[at]):
            return True
        choices = canonical(jobs.choices(at))
        if choices not in seen:  # the files that it is made of are others
            seen.add(choices)
            config = jobs.config(at)
            text = OmegaConf.to_yaml(config).replace(FOLDER, "")
            if config.hydra.output_subdir is not None or NUMBER.search(text):
                return True
    return False


def _batches(cells: Sequence[Cell], size: int | None, apart: bool) -> Iterator[Sequence[Cell]]:
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


def _checked(
    loader: ConfigLoader,
    master: DictConfig,
    params: Mapping[str, Any],
    arguments: Sequence[str],
) -> Opening:
    """Return the sweep that the command line describes, or raise all that is wrong with it."""
    problems: list[str] = []
    options = plan = parent_run_id = None
    sweep_id, files = new_id(), {}
    with listed(problems):
        options = settings(plain_values(master, CONTROL_KEYS), Path.cwd())
    with listed(problems):
        check_launcher(master.hydra.launcher)
    if master.resume is None:
        _set_parent(master, sweep_id)
        with listed(problems):
            plan = expand(loader, master, params, arguments, sweep_id)
        files = {
            "multirun.yaml": OmegaConf.to_yaml(master),
            "overrides.yaml": OmegaConf.to_yaml(OmegaConf.create(list(arguments))),
        }
    elif options is not None:
        stored, document = stored_sweep(options)
        sweep_id, parent_run_id = stored.sweep_id, stored.run_id
        _set_parent(master, sweep_id)
        with listed(problems):
            plan = resumed_plan(loader, master, arguments, options, document)
    if options is None or plan is None or problems:
        raise ConfigErrors(problems)
    folder = Path(str(master.hydra.sweep.dir))
    return Opening(sweep_id, plan, options, folder, files, parent_run_id)


def _set_parent(master: DictConfig, sweep_id: str) -> None:
    """Let Hydra's own settings, the sweep's folder among them, know the sweep."""
    with read_write(master), open_dict(master):
        master.parent = sweep_id
