"""Leases: who holds what is open.

Each run says by a tag which process holds it, and each sweep by one lease a process when that
process was last heard of. On this machine a holder is alive as long as its process is; of
another machine nothing is known but the lease, so what it holds is left alone until 15
minutes have passed without a renewal. A renewal comes every minute.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from sweep.errors import StoreError
from sweep.tracking import spool
from sweep.tracking.claims import busy, claimed
from sweep.tracking.deliver import EXPIRY
from sweep.tracking.holder import Holder, me
from sweep.tracking.patience import patiently
from sweep.tracking.store import Store

__all__ = ["claim", "hold", "is_gone", "leases_of"]

RENEWAL = 60.0
LEASE = "sweep.lease"


@contextmanager
def hold(store: Store, run_id: str, *, beside: bool = False) -> Iterator[None]:
    """Renew this process's lease on a sweep's parent run, or on a single run, in the block.

    Parameters
    ----------
    beside
        Another process drives the sweep; this one, a job that a launcher started elsewhere,
        holds a lease of its own.
    """
    key = f"{LEASE}.{me().key}" if beside else LEASE
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(RENEWAL):
            _renew(store, run_id, key, ended.is_set)

    if beside:
        _renew(store, run_id, key, store.hurried)
    thread = threading.Thread(target=renew, name="sweep-lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        if beside:  # the process may be gone soon, and nobody on another machine could tell
            with suppress(StoreError):
                patiently(
                    lambda: store.client.delete_tag(run_id, key),
                    store.where,
                    store.say,
                    store.hurried,
                )


def _renew(store: Store, run_id: str, key: str, hurried: Callable[[], bool]) -> None:
    def renewed() -> None:
        store.client.set_tag(run_id, key, spool.lease())

    try:
        patiently(renewed, store.where, lambda _: None, hurried)
    except StoreError:
        return  # the writer meets the same obstacle, and says so; a lease alone is no reason to


@contextmanager
def claim(store: Store, sweep_id: str, parent_run_id: str | None = None) -> Iterator[None]:
    """Be the only process that works on a sweep while the block runs.

    On a local store a file lock makes it so; with a server, whose clients share no disk, the
    lease of the sweep serves as well as it can.

    Parameters
    ----------
    parent_run_id
        The sweep's parent run; None for a sweep that is just being made.

    Raises
    ------
    StoreBusyError
        Another process works on it; the message says which.
    """
    with claimed(store.tracking, sweep_id, store.say):
        if parent_run_id is not None:
            _check_leases(store, sweep_id, parent_run_id)
        yield


def _check_leases(store: Store, sweep_id: str, parent_run_id: str) -> None:
    run = store.call(lambda: store.client.get_run(parent_run_id))
    # Its driver has let go of a sweep that has ended; jobs that a launcher started may go on.
    beside = run.info.status != "RUNNING"
    for holder, heard in leases_of(run.data.tags, beside=beside):
        if holder != me() and not is_gone(holder, heard):
            ago = max(0, round(time.time() - heard))
            raise busy(sweep_id, f"{holder.name} (last heard of {ago} s ago)")


def is_gone(holder: Holder, heard: float) -> bool:
    """Tell whether a holder is gone that was heard of at that time (seconds since the epoch)."""
    gone = holder.is_gone()
    return time.time() - heard > EXPIRY if gone is None else gone


def leases_of(tags: Mapping[str, str], *, beside: bool = False) -> list[tuple[Holder, float]]:
    """Return each holder and when it was last heard of; `beside`: without the driver."""
    found = []
    for key, text in tags.items():
        if (key == LEASE and not beside) or key.startswith(f"{LEASE}."):
            holder = Holder.from_json(text)
            if holder is not None:
                found.append((holder, _heard(text)))
    return found


def _heard(text: str) -> float:
    try:
        return float(json.loads(text)["time"])
    except (KeyError, TypeError, ValueError):
        return 0.0
