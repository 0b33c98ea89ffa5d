"""A job joins its sweep: the one of this process, or the one that the store knows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sweep.engine.life import current
from sweep.engine.plan import Plan
from sweep.engine.signals import stop_on_signals
from sweep.engine.sweep import Sweep
from sweep.settings import Settings

__all__ = ["joined_sweep"]


@contextmanager
def joined_sweep(options: Settings) -> Iterator[Sweep]:
    """Yield the sweep that a job belongs to.

    A job that a launcher started in another process finds the parent run by its id and
    reads the plan from it; nothing else needs to be handed over.

    Raises
    ------
    NotFoundError
        The store holds no sweep of this id.
    """
    sweep = current()
    if sweep is not None and sweep.id == options.parent:
        yield sweep
        return
    from sweep.tracking import leases, read
    from sweep.tracking import settings as tracking_settings
    from sweep.tracking import store as tracking_store

    assert options.parent is not None
    store = tracking_store.open_store(tracking_settings.from_options(options), mode="write")
    stored = read.find_sweep(store, options.parent)
    with stop_on_signals() as stop, leases.hold(store, stored.run_id, beside=True):
        plan = Plan.from_document(stored.plan())
        sweep = Sweep(options.parent, stored.run_id, plan, options, store, stop)
        try:
            yield sweep
        except BaseException:
            sweep.kill_started()
            raise
