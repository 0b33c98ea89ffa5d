"""Which process works on a sweep: it holds a file lock on it to its very end.

On one machine that tells more than whether the driver lives: the process that records for it
may still store the last results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from sweep.errors import StoreBusyError, StoreError
from sweep.tracking.holder import Holder, me
from sweep.tracking.settings import Tracking
from sweep.tracking.texts import is_plain_id

__all__ = ["busy", "claimed", "is_claimed"]

LOOK = 0.5
"""Seconds to wait for the lock: others look for a moment whether it is held."""

LAST_WORDS = 60.0
"""Seconds to wait for what a driver that is gone has left to be stored."""

_held: set[Path] = set()
"""The locks that this process holds."""


@contextmanager
def claimed(tracking: Tracking, sweep_id: str, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of a sweep while the block runs.

    Parameters
    ----------
    say
        Told when a driver is gone and its last results are waited for.

    Raises
    ------
    StoreBusyError
        Another process works on the sweep; the message says which.
    StoreError
        The id cannot be that of a sweep, or its lock file cannot be locked.
    """
    if not is_plain_id(sweep_id):
        raise StoreError(f"{sweep_id!r} cannot be the id of a sweep.")
    tracking.locks.mkdir(parents=True, exist_ok=True)
    path = _path(tracking, sweep_id)
    note = path.with_suffix(".json")
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=LOOK)
    except filelock.Timeout:
        holder = _holder(note)
        if holder is None or not holder.is_gone():
            raise busy(sweep_id, holder.name if holder else "another process") from None
        say(f"{holder.name} is gone; waiting for its last results to be stored.")
        try:
            lock.acquire(timeout=LAST_WORDS)
        except filelock.Timeout as error:
            raise busy(sweep_id, f"what {holder.name} has left behind") from error
    except (OSError, NotImplementedError) as error:
        raise StoreError(
            f"{path} cannot be locked ({error}); give permission to write it, or choose outputs on "
            "a file system that can lock."
        ) from error
    _held.add(path)
    try:
        note.write_text(me().to_json(), encoding="utf-8")
        yield
    finally:
        note.unlink(missing_ok=True)
        _held.discard(path)
        lock.release()


def is_claimed(tracking: Tracking, sweep_id: str) -> bool:
    """Return whether a process other than this one holds the lock of a sweep."""
    if not is_plain_id(sweep_id):
        return False
    path = _path(tracking, sweep_id)
    if path in _held or not path.exists():
        return False
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=0)
    except NotImplementedError:  # the file system cannot lock, so nobody holds it
        return False
    except (filelock.Timeout, OSError):  # held, or not ours to look at: left alone
        return True
    lock.release()
    return False


def busy(sweep_id: str, who: str) -> StoreBusyError:
    """Return the refusal of a sweep that somebody works on."""
    return StoreBusyError(
        f"Sweep {sweep_id} is held by {who}; wait until it is done, or end that process."
    )


def _path(tracking: Tracking, sweep_id: str) -> Path:
    return tracking.locks / f"{sweep_id}.lock"


def _holder(note: Path) -> Holder | None:
    try:
        return Holder.from_json(note.read_text(encoding="utf-8"))
    except OSError:
        return None
