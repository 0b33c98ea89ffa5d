"""The SQLite file of a local store: create it, check it, move it, and configure connections."""

from __future__ import annotations

import logging
import os
import re
import shutil
import sqlite3
import tempfile
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import filelock
import mlflow
from mlflow import MlflowClient
from mlflow.entities import Experiment
from sqlalchemy import Engine, event

from sweep.errors import StoreError, StoreVersionError
from sweep.tracking.retry import retry, translated
from sweep.tracking.settings import Tracking, exists

STORE_TAG = "sweep.store"
"""Tag of an experiment whose artifacts we keep below `outputs` and may readdress."""

ASIDE = ".new-store-"
LOCK_WAIT = 120.0

WRITE_WAIT_MS = 500
"""A locked database is tried again that often, so that signals act while waiting."""

COLUMNS = (("experiments", "artifact_location"), ("runs", "artifact_uri"))
"""Where MLflow keeps absolute addresses of artifacts."""

_adopted: dict[str, str] = {}
"""Real path of each database of ours -> the value of ``PRAGMA synchronous``."""

_opened: list[sqlite3.Connection] = []

# Their errors reach the user as one sentence; lines of several loggers would hide it.
for _name in ("mlflow.store.db.utils", "alembic.runtime.migration"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


# --- connections -------------------------------------------------------------------------


def adopt(database: Path, synchronous: str = "NORMAL") -> None:
    """Configure SQLAlchemy's connections to `database`, and to no other.

    ``synchronous=NORMAL`` is safe under WAL: a power cut may lose the last moments, never
    the database.
    """
    _adopted[os.path.realpath(database)] = synchronous


_real = cache(os.path.realpath)  # asked at each of MLflow's sessions, 14 of them a run


@event.listens_for(Engine, "connect")
def _configure(connection: Any, record: Any) -> None:
    if isinstance(connection, sqlite3.Connection) and _adopted:
        path = connection.execute("PRAGMA database_list").fetchone()[2]
        if path and (synchronous := _adopted.get(_real(path))):
            connection.execute(f"PRAGMA synchronous={synchronous}")
            _opened.append(connection)


@event.listens_for(Engine, "before_cursor_execute", retval=True)
def _shorten_wait(
    connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
) -> tuple[str, Any]:
    """Wait briefly in SQLite, where no signal acts; `retry` repeats it."""
    if statement.startswith("PRAGMA busy_timeout") and _adopted:
        path = connection.engine.url.database
        if path and _real(path) in _adopted:
            statement = f"PRAGMA busy_timeout = {WRITE_WAIT_MS};"
    return statement, parameters


def close_all() -> None:
    """Close every connection to our databases: the last one folds SQLite's log into its file."""
    while _opened:
        _opened.pop().close()


@contextmanager
def _connect(database: Path, mode: str, wait_ms: int = WRITE_WAIT_MS) -> Iterator[Any]:
    """Open the file in autocommit, `mode` ``ro`` or ``rw``; it is never created."""
    address = f"file:{urllib.parse.quote(str(database))}?mode={mode}"
    with closing(
        sqlite3.connect(address, uri=True, isolation_level=None, timeout=wait_ms / 1000)
    ) as connection:
        yield connection


def is_locked(database: Path) -> bool:
    """Return, without waiting, whether another program holds the database."""
    try:
        with _connect(database, "rw", wait_ms=0) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
    except sqlite3.OperationalError:
        return True
    return False


# --- checks ------------------------------------------------------------------------------


def check_version(database: Path, mode: str) -> None:
    """Compare the database's schema with this MLflow's; in mode ``rw`` also try to write.

    Raises
    ------
    StoreVersionError
        The database belongs to another MLflow version; nothing was written.
    StoreError
        The database is damaged, not MLflow's, or cannot be written.
    """
    try:
        with _connect(database, mode) as connection:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            found = row[0] if row else None
            if found != expected_version():
                raise _version_error(database, found)
            if mode == "rw":
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
    except sqlite3.Error as error:
        if "locked" in str(error):  # it is in use, so it can be used
            return
        if "no such table" in str(error):
            raise StoreError(
                f"{database} is a SQLite database, but not one of MLflow; move it away or choose "
                "other outputs."
            ) from error
        raise translated(error, str(database)) from error


def _version_error(database: Path, found: str | None) -> StoreVersionError:
    if found in _revisions()[0]:
        return StoreVersionError(
            f"{database} was written by an older MLflow (schema {found}, this one needs "
            f"{expected_version()}); make a copy of it, then run: "
            f"mlflow db upgrade 'sqlite:///{database}'"
        )
    return StoreVersionError(
        f"{database} was written by a newer MLflow (schema {found}, MLflow {mlflow.__version__} "
        f"knows {expected_version()}); install that version or choose other outputs."
    )


@cache
def _revisions() -> tuple[set[str], set[str]]:
    """Return all schema versions of the installed MLflow, and those that others follow."""
    folder = Path(mlflow.__file__).parent / "store" / "db_migrations" / "versions"
    text = "\n".join(script.read_text(encoding="utf-8") for script in folder.glob("*.py"))
    line = r"^{}(?::[^=]*)? = [\"'](\w+)[\"']"
    known, followed = (
        set(re.findall(line.format(name), text, re.MULTILINE))
        for name in ("revision", "down_revision")
    )
    return known, followed


def expected_version() -> str:
    """Return the schema version of the installed MLflow, which would migrate others unasked."""
    known, followed = _revisions()
    (head,) = known - followed
    return head


# --- creation and moves ------------------------------------------------------------------


@contextmanager
def _store_lock(tracking: Tracking, echo: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock under which a store is made or readdressed, for which others wait."""
    from sweep.tracking.locks import acquire  # late: it reads stores

    path = tracking.locks / "store.lock"
    try:
        lock = acquire(path, 5)
    except filelock.Timeout:
        echo(f"Another process prepares {tracking.database}; waiting for it.")
        try:
            lock = acquire(path, LOCK_WAIT)
        except filelock.Timeout as error:
            raise StoreError(f"{path} is held by another process; end that process.") from error
    try:
        yield
    finally:
        lock.release()


def create(tracking: Tracking, echo: Callable[[str], None]) -> None:
    """Make the database and its experiment unless another process has made them meanwhile.

    They are made aside and moved into place in one step. What a killed process leaves aside
    the next one removes.
    """
    database = tracking.database
    with _store_lock(tracking, echo):
        for left in tracking.outputs.glob(f"{ASIDE}*"):
            shutil.rmtree(left, ignore_errors=True)
        if exists(tracking):
            return
        with tempfile.TemporaryDirectory(prefix=ASIDE, dir=tracking.outputs) as folder:
            scratch, ready = Path(folder, "scratch.db"), Path(folder, "mlflow.db")
            adopt(scratch, synchronous="OFF")
            create_experiment(MlflowClient(tracking_uri=f"sqlite:///{scratch}"), tracking)
            # MLflow's connections to the scratch file stay open, so it is copied.
            with (
                closing(sqlite3.connect(scratch)) as source,
                closing(sqlite3.connect(ready, isolation_level=None)) as target,
            ):
                source.backup(target)
                target.execute("PRAGMA journal_mode=WAL")
            for suffix in ("-wal", "-shm", "-journal"):  # the log of a database that was deleted
                Path(f"{database}{suffix}").unlink(missing_ok=True)
            os.replace(ready, database)


def create_experiment(client: MlflowClient, tracking: Tracking) -> None:
    """Create the experiment of a local store, its artifacts below `outputs`."""
    location, tags = tracking.artifacts.as_uri(), {STORE_TAG: "local"}
    client.create_experiment(tracking.experiment, artifact_location=location, tags=tags)


def readdress(tracking: Tracking, experiment: Experiment, echo: Callable[[str], None]) -> None:
    """Point every artifact address below the folder of a moved store to the present one.

    MLflow freezes absolute addresses when a run is made. This is the only code that writes to
    its tables; `check_version` guards it.

    Raises
    ------
    StoreError
        The experiment keeps its artifacts somewhere else by intention: it is not ours.
    """
    old, new = experiment.artifact_location, tracking.artifacts.as_uri()
    if old == new:
        return
    if STORE_TAG not in experiment.tags:
        raise StoreError(
            f"tracking.experiment={experiment.name} keeps its artifacts in {old}, not below "
            f"{tracking.outputs}; choose another name."
        )
    with _store_lock(tracking, echo):
        check_version(tracking.database, "ro")
        count = retry(partial(_rewrite, tracking.database, old, new), tracking.location, echo)
    echo(f"The store was moved: {count} artifact addresses now point to {tracking.artifacts}.")


def _rewrite(database: Path, old: str, new: str) -> int:
    """Replace the addresses in one transaction; return how many."""
    count = 0
    with _connect(database, "rw") as connection:
        connection.execute("BEGIN IMMEDIATE")
        for table, column in COLUMNS:
            changed = connection.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, length(?) + 1) "
                f"WHERE {column} = ? OR substr({column}, 1, length(?) + 1) = ? || '/'",
                (new, old, old, old, old),
            )
            count += changed.rowcount
        connection.execute("COMMIT")
    return count
