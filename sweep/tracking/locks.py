"""Locks and heartbeats of sweeps and runs, and recovery of runs whose process has ended.

The recorder holds ``sweeps/<id>/lock`` (single run: ``runs/<id>/lock``); a job that a launcher
started in another process holds ``job-<n>.lock`` beside it. Clients of a server share no disk, so
they write a heartbeat tag to the parent run or the job's run every minute. A process on another
machine counts as ended after 15 minutes without one.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import socket
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.config.settings import Tracking
from sweep.errors import RunGoneError, StoreError, UnreachableError
from sweep.tracking import read, results
from sweep.tracking.artifacts import CONFIG, config_bytes
from sweep.tracking.entities import entity_name, is_plain_id, short

if TYPE_CHECKING:
    import filelock
    from mlflow.entities import Run

    from sweep.tracking.store import Store

HEARTBEAT = "sweep.heartbeat"
"""Tag of a sweep or a run that holds its last heartbeat, a `Beat` as JSON."""

BEAT = 60.0
EXPIRY = 15 * 60.0

OTHERS_CLOSE = 10.0
"""Seconds to wait for another command that is closing abandoned runs."""

LOCKS = re.compile(r"(sweeps|runs)/\w[\w.\-]{0,199}/(lock|job-\d{1,9}\.lock)", re.ASCII)
"""Valid lock paths of a heartbeat, relative to the outputs folder."""


# --- locks -------------------------------------------------------------------------------


def acquire(path: Path, seconds: float) -> filelock.BaseFileLock | None:
    """Acquire a lock within `seconds`, or return None if another process holds it.

    The system releases it if this process ends. Raises StoreError if the file cannot be created or
    the file system does not support locks.
    """
    import filelock

    lock = filelock.FileLock(path, thread_local=False)
    try:
        while True:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=seconds)
            if is_held(path):
                return lock
            lock.release()  # `release` removed the file in the meantime
    except filelock.Timeout:
        return None
    except (OSError, NotImplementedError) as error:
        raise StoreError(
            f"{path} cannot be locked ({error}); give permission to write it, or choose outputs on "
            "a file system that can lock."
        ) from error


def release(lock: filelock.BaseFileLock, path: Path) -> None:
    """Release a lock and remove its file."""
    path.unlink(missing_ok=True)
    lock.release()


def is_held(path: Path) -> bool:
    """Return whether a process holds a lock; safe to call concurrently (it tries a shared lock)."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True  # unreadable: treated as locked
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in (errno.EWOULDBLOCK, errno.EACCES)  # others: no lock support
    finally:
        os.close(descriptor)
    return False


# --- heartbeats --------------------------------------------------------------------------


@dataclass(frozen=True)
class Beat:
    """A heartbeat of a process. Times are in seconds since the epoch.

    `lock` is the path of its lock, relative to the outputs folder, `machine` a hash of host name,
    boot id and PID namespace, and `started` the start time of the process.
    """

    lock: str
    host: str
    machine: str
    pid: int
    started: float
    time: float

    @property
    def name(self) -> str:
        """Name of the process in messages."""
        return f"process {self.pid} on {self.host}"

    def to_json(self) -> str:
        """Return the value of the tag, with the current time."""
        return json.dumps(asdict(replace(self, time=round(time.time(), 3))))

    @classmethod
    def of(cls, lock: str, pid: int) -> Beat:
        """Return the heartbeat of a process on this machine."""
        import psutil

        started = psutil.Process(pid).create_time()
        return cls(lock, socket.gethostname(), _machine(), pid, started, 0.0)

    @classmethod
    def read(cls, tags: Mapping[str, str]) -> Beat | None:
        """Parse the heartbeat in a run's tags; None if it is missing or invalid."""
        try:
            beat = cls(**json.loads(tags.get(HEARTBEAT, "")))
            times = float(beat.started), float(beat.time)
            beat = replace(beat, pid=int(beat.pid), started=times[0], time=times[1])
            return beat if LOCKS.fullmatch(beat.lock) else None
        except (TypeError, ValueError):
            return None

    def is_alive(self, tracking: Tracking, mine: str = "") -> bool:
        """Return whether the process is alive, as far as this machine can determine.

        `mine` is a lock that the caller itself holds; it is ignored.
        """
        if self.lock != mine and is_held(tracking.outputs / self.lock):
            return True
        if tracking.kind == "local":
            return False
        if self.machine != _machine():
            return time.time() - self.time < EXPIRY
        import psutil

        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < 5.0  # otherwise the PID was reused
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


def _machine() -> str:
    parts = [socket.gethostname()]
    boot = Path("/proc/sys/kernel/random/boot_id")
    if boot.exists():
        parts += [boot.read_text().strip(), os.readlink("/proc/self/ns/pid")]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:16]


# --- recovery ----------------------------------------------------------------------------


def recover(store: Store) -> list[str]:
    """Close abandoned runs; return messages about them and about results waiting on disk."""
    if store.mode == "read":
        return []
    closed = len(close_abandoned(store))
    were = "run was" if closed == 1 else "runs were"
    done = [f"{closed} {were} still open though the process is gone; KILLED now."] if closed else []
    waiting: Counter[tuple[str, str]] = Counter()
    for path in store.tracking.outputs.glob("[rs]*s/*/results/*/run.json"):
        owner, record = path.parents[2], results.read(path.parent)
        if record is not None and record.status == "FINISHED" and not is_held(owner / "lock"):
            waiting[owner.name, record.store] += 1
    for (owner_id, name), count in waiting.items():
        where = "" if name == store.tracking.name else f" in {name}"
        wait, them = ("result waits", "it") if count == 1 else ("results wait", "them")
        done.append(f"{count} {wait} on disk; resume={owner_id} stores {them}{where}.")
    return done


def close_abandoned(store: Store) -> list[str]:
    """Close as KILLED every open run whose process has ended, and return their ids.

    Raises StoreError if the store cannot be written or the file system does not support locks.
    """
    running = list(read.search(store, "attributes.status = 'RUNNING'"))
    if not running:
        return []
    lock = acquire(store.tracking.locks / "recover.lock", OTHERS_CLOSE)
    if lock is None:
        return []  # another command is closing them
    try:
        sweeps: dict[str, list[Run]] = defaultdict(list)
        nested: list[Run] = []
        for run in running:
            if run.data.tags.get("sweep.role") in ("sweep", "run"):
                sweeps[run.data.tags.get("sweep.id", "")].append(run)
            elif run.data.tags.get("mlflow.parentRunId"):
                nested.append(run)
        closed = [one for name, runs in sweeps.items() for one in _close(store, name, runs)]
        return closed + [run.info.run_id for run in nested if _close_nested(store, run)]
    finally:
        lock.release()


def _close(store: Store, sweep_id: str, runs: list[Run]) -> list[str]:
    """Close the abandoned ones of a sweep's open runs, the parent run last."""
    open_parent = next((run for run in runs if run.data.tags["sweep.role"] == "sweep"), None)
    parent, driven = open_parent, False
    if open_parent is not None:
        beat = Beat.read(open_parent.data.tags)
        driven = beat is not None and beat.is_alive(store.tracking)
    elif is_plain_id(sweep_id):  # the parent run is closed or deleted
        parent = read.first(store, f"{read.SWEEPS} and tags.`sweep.id` = '{sweep_id}'")
    closed, left = [], 0
    for run in runs:
        if run is open_parent:
            continue
        own = Beat.read(run.data.tags)
        unknown = own is None and parent is None  # no heartbeat and no parent run: left open
        if unknown or (own.is_alive(store.tracking) if own is not None else driven):
            left += 1
        elif _end(store, run, parent):
            closed.append(run.info.run_id)
    if open_parent is not None and not driven and not left and _end(store, open_parent, None):
        closed.append(open_parent.info.run_id)
    return closed


def _close_nested(store: Store, run: Run) -> bool:
    """Close a run that training code began below a run of a sweep, if that has ended."""
    with suppress(RunGoneError):  # the parent run was deleted for good
        above = store.call(store.client.get_run, run.data.tags["mlflow.parentRunId"])
        ours = above.data.tags.get("sweep.role") == "run"
        return ours and above.info.status != "RUNNING" and _end(store, run, None)
    return False


def _end(store: Store, run: Run, parent: Run | None, pauses: tuple[float, ...] = (0.2, 1)) -> bool:
    """Close a run as KILLED and return whether it was open.

    If another client closes it at the same time, the server rejects one of them: retry.
    """
    now = store.call(store.client.get_run, run.info.run_id)
    if now.info.status != "RUNNING":
        return False
    try:
        _write_end(store, now, parent)
    except UnreachableError:
        raise
    except StoreError:
        if not pauses:
            raise
        time.sleep(pauses[0])
        return _end(store, run, parent, pauses[1:])
    return True


def _write_end(store: Store, run: Run, parent: Run | None) -> None:
    """Close a run, with its params and configuration from the sweep's plan."""
    run_id, number = run.info.run_id, run.data.tags.get("sweep.cell", "")
    plan = read.StoredSweep.of(store, parent).plan(strict=False) if parent else {}
    params: dict[str, str] = {}
    cells, at = plan.get("cells"), int(number) if number.isdecimal() else -1
    match cells[at] if isinstance(cells, list) and 0 <= at < len(cells) else None:
        case {"params": dict(values), "config": dict(config)}:  # else the plan is damaged
            named = {entity_name(key): short(value) for key, value in values.items()}
            params = {key: text for key, text in named.items() if key not in run.data.params}
            store.call(store.artifacts.copy, run_id, {CONFIG: config_bytes(config)})
    store.log(run_id, params=params, tags={"sweep.outcome": "interrupted"})
    end = max(run.info.start_time, time.time_ns() // 1_000_000)
    store.call(store.client.set_terminated, run_id, "KILLED", end)
