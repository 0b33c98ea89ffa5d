"""What ``python -m sweep -m`` does: plan the grid, open the sweep, launch its jobs."""

from __future__ import annotations

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
from sweep.engine.backends import available_cpus, create
from sweep.engine.estimate import estimate
from sweep.engine.life import Opening, sweep_life
from sweep.engine.plan import Cell, new_id
from sweep.engine.stored import stored_cells
from sweep.errors import ConfigErrors
from sweep.settings import CONTROL_KEYS, settings

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader
    from hydra.core.utils import JobReturn
    from hydra.plugins.launcher import Launcher
    from omegaconf import DictConfig

__all__ = ["run_sweep"]


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
    workers = (ours["workers"] or available_cpus()) if ours else 1
    elsewhere = ours is not None and "address" in ours["options"]
    if options.dry_run:
        stored = stored_cells(opening.plan, options, opening.sweep_id)
        new = [cell for cell in opening.plan.cells if cell not in stored]
        server = options.tracking_kind == "server"
        foreseen = estimate(opening.plan, new, workers, server=server, elsewhere=elsewhere)
        console.sweep_plan(opening.plan, new, foreseen)
        return []
    opening = replace(opening, workers=workers, elsewhere=elsewhere, shared=ours is not None)
    controls = [text for text in arguments if not describes_run(text.partition("=")[0])]
    returns: list[Sequence[JobReturn]] = []
    with sweep_life(opening) as sweep:
        for cells in _batches(sweep.pending, max_batch_size, apart=ours is None):
            jobs = [[*controls, *cell.overrides, f"parent={sweep.id}"] for cell in cells]
            first = cells[0].job if cells else 0
            batch = Jobs(loader, master, jobs, first, [cell.job for cell in cells])
            returns.append(launcher.launch(batch, initial_job_idx=first))
    return returns


def _batches(cells: Sequence[Cell], size: int | None, apart: bool) -> Iterator[Sequence[Cell]]:
    """Yield cells to be launched together, of at most `size`.

    Parameters
    ----------
    apart
        Other people's launchers number jobs one after the other; each job has the number that
        its cell was composed under, so cells whose numbers do not follow are kept apart.
    """
    batch: list[Cell] = []
    for cell in cells:
        gap = apart and batch and cell.job != batch[-1].job + 1
        if batch and (gap or len(batch) == size):
            yield batch
            batch = []
        batch.append(cell)
    if batch or not cells:
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
