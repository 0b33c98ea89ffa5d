"""Hold the lock of a sweep or a run, and let other machines know by a heartbeat."""

from __future__ import annotations

import threading
from contextlib import ExitStack, suppress

import filelock

from sweep.errors import StoreBusyError, StoreError
from sweep.tracking import locks, read
from sweep.tracking.locks import HEARTBEAT, Beat
from sweep.tracking.retry import retry
from sweep.tracking.store import Store

__all__ = ["busy", "hold", "keep_beating"]

LOOK = 0.5
"""Seconds to wait for a sweep's lock."""


def hold(store: Store, held: ExitStack, path: str, pid: int) -> str:
    """Hold a lock until `held` is closed; return the heartbeat that tells others.

    Parameters
    ----------
    path
        Relative to the folder of outputs.
    pid
        The process that works; the caller may record for it.

    Raises
    ------
    StoreBusyError
        Another process holds it; the message says which.
    StoreError
        The file cannot be locked.
    """
    try:
        lock = locks.acquire(file := store.tracking.outputs / path, LOOK)
    except filelock.Timeout:
        sweep_id = path.split("/")[1]
        beat = Beat.read(read.find_sweep(store, sweep_id).tags)
        raise busy(sweep_id, beat.name if beat else "another process") from None
    held.callback(locks.release, lock, file)
    return Beat.of(path, pid).to_json()


def keep_beating(store: Store, held: ExitStack, run_id: str, path: str, pid: int) -> None:
    """Renew the heartbeat of a run on a server until `held` is closed.

    Processes on the same disk see the lock itself.
    """
    if store.tracking.kind == "local":
        return
    ended, client, where, mine = threading.Event(), store.client, store.where, Beat.of(path, pid)

    def beat() -> None:
        while not ended.wait(locks.BEAT):
            with suppress(StoreError):  # whoever writes meets the same obstacle, and says so
                retry(
                    lambda: client.set_tag(run_id, HEARTBEAT, mine.to_json()),
                    where,
                    lambda sentence: None,
                    ended.is_set,
                )

    threading.Thread(target=beat, name="sweep-heartbeat", daemon=True).start()
    held.callback(ended.set)


def busy(sweep_id: str, who: str) -> StoreBusyError:
    """Return the refusal of a sweep that somebody works on."""
    return StoreBusyError(
        f"Sweep {sweep_id} is held by {who}; wait until it is done, or end that process."
    )
