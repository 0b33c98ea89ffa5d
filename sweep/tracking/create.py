"""Make a local store: aside, under a lock, and moved into its place in one step."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import filelock
from mlflow import MlflowClient

from sweep.errors import StoreError
from sweep.tracking.database import adopt
from sweep.tracking.locks import acquire
from sweep.tracking.settings import Tracking

__all__ = ["STORE_TAG", "create_store", "store_lock"]

STORE_TAG = "sweep.store"
"""Tag of an experiment whose artifacts we keep below `outputs` and may readdress."""

ASIDE = ".new-store-"
LOCK_WAIT = 120.0


@contextmanager
def store_lock(tracking: Tracking, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock under which a store is made or readdressed.

    Raises
    ------
    StoreError
        Another process holds it for two minutes, or the lock file cannot be made.
    """
    path = tracking.locks / "store.lock"
    try:
        lock = acquire(path, 5)
    except filelock.Timeout:
        say(f"Another process prepares {tracking.database}; waiting for it.")
        try:
            lock = acquire(path, LOCK_WAIT)
        except filelock.Timeout as error:
            raise StoreError(f"{path} is held by another process; end that process.") from error
    try:
        yield
    finally:
        lock.release()


def create_store(tracking: Tracking, say: Callable[[str], None]) -> None:
    """Make the database and its experiment unless another process has made them meanwhile.

    A process that is killed here leaves a folder aside at most, which the next one removes.
    """
    with store_lock(tracking, say):
        for left in tracking.outputs.glob(f"{ASIDE}*"):
            shutil.rmtree(left, ignore_errors=True)
        database = tracking.database
        if database.exists() and database.stat().st_size:
            return
        aside = Path(tempfile.mkdtemp(prefix=ASIDE, dir=tracking.outputs))
        try:
            scratch, ready = aside / "scratch.db", aside / "mlflow.db"
            _build(scratch, tracking)
            _copy(scratch, ready)
            for suffix in ("-wal", "-shm", "-journal"):  # of a database that was deleted: its
                Path(f"{database}{suffix}").unlink(missing_ok=True)  # log must not meet the new one
            os.replace(ready, database)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _build(scratch: Path, tracking: Tracking) -> None:
    """Let MLflow make its tables and our experiment; its connections stay open on this file."""
    adopt(scratch, scratch=True)
    client = MlflowClient(tracking_uri=f"sqlite:///{scratch}")
    create_experiment(client, tracking)


def create_experiment(client: MlflowClient, tracking: Tracking) -> str:
    """Create the experiment of a local store, its artifacts below `outputs`; return its id."""
    return client.create_experiment(
        tracking.experiment,
        artifact_location=tracking.artifacts.as_uri(),
        tags={STORE_TAG: "local"},
    )


def _copy(scratch: Path, ready: Path) -> None:
    """Copy the finished database into a file that nobody has open, whole and under WAL."""
    with (
        closing(sqlite3.connect(scratch)) as source,
        closing(sqlite3.connect(ready, isolation_level=None)) as target,
    ):
        source.backup(target)
        target.execute("PRAGMA journal_mode=WAL")
        target.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    descriptor = os.open(ready, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
