"""The task function that Hydra calls for each job; importable from any worker process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from sweep.cli.app import one_job
from sweep.cli.plain import plain_values, typed_overrides
from sweep.errors import RunFailed

if TYPE_CHECKING:
    from sweep.engine.events import Failure
    from sweep.engine.plan import Cell
    from sweep.training.history import RunResult

__all__ = ["handed_over", "run"]


class _Ready:
    """What the next job of this process records, where it was trained before."""

    outcome: tuple[Cell, RunResult | Failure] | None = None


@contextmanager
def handed_over(cell: Cell, outcome: RunResult | Failure) -> Iterator[None]:
    """Let the job that is launched within record an outcome."""
    _Ready.outcome = cell, outcome
    try:
        yield
    finally:
        _Ready.outcome = None


def run(config: DictConfig) -> float | None:
    """Train the run that a configuration describes, record it, and return its final error.

    A job of a sweep finds its sweep in this process, or by the key ``parent`` in the store;
    a configuration without parent is a single run.
    """
    if _Ready.outcome is not None:
        return _record(*_Ready.outcome)
    from sweep.cli.validate import set_keys
    from sweep.config.run import run_spec
    from sweep.config.settings import settings

    plain = plain_values(config)
    hydra = HydraConfig.get()
    base = Path(hydra.runtime.cwd)
    keys = set_keys(typed_overrides(HydraConfig.instance().cfg)["task"])
    spec = run_spec(plain, dict(hydra.runtime.choices), base, keys)
    options = settings(plain, base)
    if options.parent is None:
        from sweep.engine.single import run_single

        run_id = Path(hydra.runtime.output_dir).name
        single: float | None = one_job(lambda _: run_single(spec, options, run_id))(config)
        return single
    from sweep.engine.execute import run_job
    from sweep.engine.member import joined_sweep

    with joined_sweep(options, spec) as sweep:
        return run_job(sweep, spec)


def _record(cell: Cell, outcome: RunResult | Failure) -> float | None:
    from sweep.engine.events import Failure
    from sweep.engine.life import current

    sweep = current()
    assert sweep is not None
    if isinstance(outcome, Failure):
        sweep.fail(cell, outcome)
        raise RunFailed(outcome.sentence)
    final_error = sweep.record(cell, outcome)
    if outcome.failure is not None:
        raise RunFailed(outcome.failure.sentence)
    return final_error
