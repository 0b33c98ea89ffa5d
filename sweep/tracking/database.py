"""Create, check and readdress the SQLite database of a local store; configure connections."""

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

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Experiment
from sqlalchemy import Engine, event

from sweep.config.settings import Tracking
from sweep.errors import StoreError, StoreVersionError
from sweep.tracking.locks import acquire
from sweep.tracking.settings import exists, retry, translated

STORE_TAG = "sweep.store"
"""Tag of experiments created by sweep, whose artifact addresses may be rewritten."""

ASIDE = ".new-store-"
LOCK_WAIT = 120.0

WRITE_WAIT_MS = 500
"""SQLite's busy timeout; `retry` repeats the call, so that signals are handled in between."""

COLUMNS = (("experiments", "artifact_location"), ("runs", "artifact_uri"))
"""Table columns in which MLflow stores absolute artifact addresses."""

_adopted: dict[str, str] = {}
"""Real path of each database that sweep configures -> the value of ``PRAGMA synchronous``."""

_opened: list[sqlite3.Connection] = []

# Errors of these loggers are raised and shown as one message. A filter, since MLflow before 3.10
# sets their level again.
for _name in ("mlflow.store.db.utils", "alembic.runtime.migration"):
    logging.getLogger(_name).addFilter(lambda _record: False)


# --- connections -------------------------------------------------------------------------


def adopt(database: Path, synchronous: str = "NORMAL") -> None:
    """Configure SQLAlchemy's future connections to `database`; other databases are unaffected.

    With WAL, ``synchronous=NORMAL`` may lose the last transactions in a power failure, but
    cannot corrupt the database.
    """
    _adopted[os.path.realpath(database)] = synchronous


_real = cache(os.path.realpath)  # called in each SQLAlchemy session; a run needs 14


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
    """Replace MLflow's busy timeout by WRITE_WAIT_MS: SQLite's wait blocks signal handlers."""
    if statement.startswith("PRAGMA busy_timeout") and _adopted:
        path = connection.engine.url.database
        if path and _real(path) in _adopted:
            statement = f"PRAGMA busy_timeout = {WRITE_WAIT_MS};"
    return statement, parameters


def close_all() -> None:
    """Close all connections to adopted databases; closing the last one checkpoints the WAL."""
    while _opened:
        _opened.pop().close()


@contextmanager
def _connect(database: Path, mode: str) -> Iterator[Any]:
    """Open an existing database in autocommit mode; `mode` is ``ro`` or ``rw``."""
    address = f"file:{urllib.parse.quote(str(database))}?mode={mode}"
    with closing(
        sqlite3.connect(address, uri=True, isolation_level=None, timeout=WRITE_WAIT_MS / 1000)
    ) as connection:
        yield connection


# --- checks ------------------------------------------------------------------------------


def check_version(database: Path, mode: str) -> None:
    """Check that the schema is that of the installed MLflow and, in mode ``rw``, is writable.

    Raises StoreVersionError if the schema version differs (nothing was written), StoreError if
    the database is damaged, not MLflow's, or cannot be written.
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
        if "locked" in str(error):  # in use by another process, hence usable
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
    """Return all schema revisions of the installed MLflow, and those that have a successor."""
    folder = Path(mlflow.__file__).parent / "store" / "db_migrations" / "versions"
    text = "\n".join(script.read_text(encoding="utf-8") for script in folder.glob("*.py"))
    line = r"^{}(?::[^=]*)? = [\"'](\w+)[\"']"
    known, followed = (
        set(re.findall(line.format(name), text, re.MULTILINE))
        for name in ("revision", "down_revision")
    )
    return known, followed


def expected_version() -> str:
    """Return the schema version of the installed MLflow.

    Others must be rejected before MLflow opens them: it would migrate them without asking.
    """
    known, followed = _revisions()
    (head,) = known - followed
    return head


# --- creation and moves ------------------------------------------------------------------


@contextmanager
def _store_lock(tracking: Tracking, echo: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock for creating or readdressing a store. Raises StoreError after a long wait."""
    path = tracking.locks / "store.lock"
    lock = acquire(path, 5)
    if lock is None:
        echo(f"Another process prepares {tracking.database}; waiting for it.")
        lock = acquire(path, LOCK_WAIT)
    if lock is None:
        raise StoreError(f"{path} is held by another process; end that process.")
    try:
        yield
    finally:
        lock.release()


def create(tracking: Tracking, echo: Callable[[str], None]) -> None:
    """Create the database and its experiment unless another process has just created them.

    They are created in a temporary folder and renamed into place; folders left by killed
    processes are removed.
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
            # Copied, because MLflow's connections to the scratch file stay open.
            with (
                closing(sqlite3.connect(scratch)) as source,
                closing(sqlite3.connect(ready, isolation_level=None)) as target,
            ):
                source.backup(target)
                target.execute("PRAGMA journal_mode=WAL")
            for suffix in ("-wal", "-shm", "-journal"):  # left by a deleted database
                Path(f"{database}{suffix}").unlink(missing_ok=True)
            os.replace(ready, database)


def create_experiment(client: MlflowClient, tracking: Tracking) -> None:
    """Create a store's experiment; a local one has its artifacts below the outputs folder."""
    if tracking.kind == "server":
        client.create_experiment(tracking.experiment)
    else:
        location, tags = tracking.artifacts.as_uri(), {STORE_TAG: "local"}
        client.create_experiment(tracking.experiment, artifact_location=location, tags=tags)


def readdress(tracking: Tracking, experiment: Experiment, echo: Callable[[str], None]) -> None:
    """Rewrite the artifact addresses of a store whose folder was moved.

    MLflow stores absolute addresses when a run is created. This is the only code that writes to
    MLflow's tables directly, after `check_version`.

    Raises StoreError if the artifacts are elsewhere and the experiment was not created by sweep.
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
    """Replace addresses in one transaction and return their number."""
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
