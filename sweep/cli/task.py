"""The task function that Hydra calls for each job; importable from any worker process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from sweep.cli.app import one_job
from sweep.cli.plain import plain_values
from sweep.config.run import run_spec
from sweep.config.settings import settings
from sweep.errors import RunFailed

if TYPE_CHECKING:
    from sweep.cli.compose import Jobs
    from sweep.engine.events import Failure
    from sweep.engine.plan import Cell
    from sweep.engine.sweep import Sweep
    from sweep.training.history import RunResult

__all__ = ["plan", "run", "trains_inside"]


def run(config: DictConfig) -> float | None:
    """Train the run that a configuration describes, record it, and return its final error.

    A job of a sweep finds its sweep in this process, or by the key ``parent`` in the store;
    a configuration without parent is a single run.
    """
    plain = plain_values(config)
    hydra = HydraConfig.get()
    base = Path(hydra.runtime.cwd)
    spec = run_spec(plain, dict(hydra.runtime.choices), base)
    options = settings(plain, base)
    if options.parent is None:
        from sweep.engine.single import run_single

        single: float | None = one_job(lambda _: run_single(spec, options))(config)
        return single
    from sweep.engine.execute import run_job
    from sweep.engine.member import joined_sweep

    with joined_sweep(options, spec) as sweep:
        return run_job(sweep, spec)


def plan(
    jobs: Jobs, *, launcher: Mapping[str, Any]
) -> Iterator[tuple[int, Callable[[DictConfig], float | None]]]:
    """Plan for all jobs at once: the trajectory launcher's hook.

    Trajectories that runs share are trained once; each job is handed over when its run is
    passed, and then only records it.
    """
    from sweep.engine.execute import execute
    from sweep.engine.life import current

    sweep = current()
    if sweep is None:  # another sweeper: each job stands alone
        yield from ((position, run) for position in range(len(jobs)))
        return
    numbered = {cell.job: cell for cell in sweep.pending}
    cells = [numbered[jobs.number(position)] for position in range(len(jobs))]
    positions = {cell.index: position for position, cell in enumerate(cells)}
    if cells and trains_inside(jobs.config(0).hydra.job, cells):
        yield from ((position, run) for position in range(len(jobs)))
        return
    for cell, outcome in execute(sweep, cells, launcher):
        yield positions.pop(cell.index), _recording(sweep, cell, outcome)
    for position in positions.values():  # fail_fast left them out
        yield position, sweep.refuse


def trains_inside(job: DictConfig, cells: Sequence[Cell]) -> bool:
    """Tell whether jobs must train one by one, inside their job, for what Hydra promises them.

    A trainer of a user's own may look at the job's environment or its working folder.

    Parameters
    ----------
    job
        ``hydra.job`` of the sweep or of any of its jobs.
    """
    if all(cell.spec.trainer.built_in for cell in cells):
        return False
    return bool(len(job.env_set) or job.chdir)


def _recording(
    sweep: Sweep, cell: Cell, outcome: RunResult | Failure
) -> Callable[[DictConfig], float | None]:
    from sweep.engine.events import Failure

    def record(config: DictConfig) -> float | None:
        if not isinstance(outcome, Failure):
            return sweep.record(cell, outcome)
        sweep.fail(cell, outcome)
        raise RunFailed(outcome.sentence)

    return record


run.plan = plan  # type: ignore[attr-defined]
