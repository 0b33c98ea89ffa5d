"""The whole history of each metric of a run, as the store holds it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from sweep.tracking.store import Store
from sweep.tracking.stored import StoredRun

__all__ = ["History", "histories"]

History = Mapping[str, tuple[tuple[int, float], ...]]
"""Metric -> its (step, value) pairs, ascending; a value that was written twice comes once."""


def histories(store: Store, run: StoredRun) -> History:
    """Return every value that the store holds of each of a run's metrics.

    Raises
    ------
    StoreError
        The store cannot be read.
    """
    found = {}
    for key in run.metrics:
        ask = partial(store.client.get_metric_history, run.run_id, key)
        found[key] = tuple(sorted({(metric.step, metric.value) for metric in store.call(ask)}))
    return found
