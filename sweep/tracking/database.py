"""The SQLite file: its address, its first bytes, and how our connections to it behave."""

from __future__ import annotations

import logging
import os
import re
import sqlite3
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import mlflow
from sqlalchemy import Engine, event

from sweep.errors import StoreError, StoreVersionError

__all__ = [
    "adopt",
    "check_address",
    "check_version",
    "close_all",
    "connect",
    "expected_version",
    "inspect",
    "is_locked",
]

HEADER = 100
LOOKS = 3
WRITE_WAIT_MS = 500
"""A locked database is tried again that often, so that signals act while waiting."""

_adopted: dict[str, str] = {}
"""Real path of each database of ours -> the pragma that its connections begin with."""

_opened: list[sqlite3.Connection] = []

# Their errors reach the user as one sentence; lines of several loggers would hide it.
for _name in ("mlflow.store.db.utils", "alembic.runtime.migration"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


def check_address(database: Path) -> None:
    """Refuse a path that a SQLite address cannot carry: MLflow would open another file.

    Raises
    ------
    StoreError
        The path holds a ``?``, a ``%`` with two hexadecimal digits, or bytes that are no text.
    """
    try:
        str(database).encode("utf-8")
    except UnicodeEncodeError as error:
        path = str(database.parent).encode("utf-8", "backslashreplace").decode()
        raise StoreError(
            f"outputs={path}: the path holds bytes that are no UTF-8, which the address of a "
            "SQLite database cannot carry; choose another folder."
        ) from error
    found = re.search(r"\?|%[0-9A-Fa-f]{2}", str(database))
    if found:
        raise StoreError(
            f"outputs={database.parent}: the path holds `{found.group()}`, which the address of "
            "a SQLite database cannot carry; choose another folder."
        )


def adopt(database: Path, *, scratch: bool = False) -> None:
    """Have SQLAlchemy's connections to `database`, and to no other, behave as below.

    ``synchronous=NORMAL`` is safe under WAL: a power cut may lose the last moments, never
    the database. A scratch database is copied when it is done and needs no safety at all.
    """
    _adopted[os.path.realpath(database)] = "OFF" if scratch else "NORMAL"


def _adopted_pragma(path: str | None) -> str | None:
    return _adopted.get(_real(path)) if path else None


_real = cache(os.path.realpath)  # asked at each of MLflow's sessions, 14 of them a run


@event.listens_for(Engine, "connect")
def _begin_connection(connection: Any, record: Any) -> None:
    if isinstance(connection, sqlite3.Connection) and _adopted:
        path = connection.execute("PRAGMA database_list").fetchone()[2]
        pragma = _adopted_pragma(path)
        if pragma:
            connection.execute(f"PRAGMA synchronous={pragma}")
            _opened.append(connection)


def close_all() -> None:
    """Close every connection to our databases: the last one folds SQLite's log into its file."""
    while _opened:
        _opened.pop().close()


@event.listens_for(Engine, "before_cursor_execute", retval=True)
def _shorten_wait(
    connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
) -> tuple[str, Any]:
    """Wait briefly in SQLite, where no signal acts, and repeat outside (see `patience`)."""
    if statement.startswith("PRAGMA busy_timeout") and _adopted:
        if _adopted_pragma(connection.engine.url.database):
            statement = f"PRAGMA busy_timeout = {WRITE_WAIT_MS};"
    return statement, parameters


@contextmanager
def connect(database: Path, mode: str) -> Iterator[sqlite3.Connection]:
    """Open the file itself in autocommit, `mode` ``ro`` or ``rw``; it is never created."""
    address = f"file:{urllib.parse.quote(str(database))}?mode={mode}"
    with closing(
        sqlite3.connect(address, uri=True, isolation_level=None, timeout=WRITE_WAIT_MS / 1000)
    ) as connection:
        yield connection


def is_locked(database: Path) -> bool:
    """Tell, without waiting, whether another program holds the database or it cannot be written."""
    address = f"file:{urllib.parse.quote(str(database))}?mode=rw"
    try:
        with closing(sqlite3.connect(address, uri=True, isolation_level=None, timeout=0)) as own:
            own.execute("BEGIN IMMEDIATE")
            own.execute("ROLLBACK")
    except sqlite3.OperationalError:
        return True
    return False


def inspect(database: Path) -> None:
    """Look at the first bytes of a database.

    Raises
    ------
    StoreError
        The file is empty, cut off, unreadable or not a SQLite database.
    """
    for _ in range(LOOKS):
        try:
            logged = _size(Path(f"{database}-wal"))  # first: the last one to close it removes it
            inode = database.stat().st_ino
            head = os.pread(_descriptor(os.path.realpath(database), inode), HEADER, 0)
            size = database.stat().st_size
        except OSError as error:
            raise StoreError(f"{database} cannot be read ({error.strerror}).") from error
        page = int.from_bytes(head[16:18], "big")
        page = 65536 if page == 1 else page
        pages = int.from_bytes(head[28:32], "big")
        cut = len(head) < HEADER or (not logged and size < page * pages)
        if not cut:
            break
        time.sleep(0.05)  # another process may just have folded its log into the file
    if not size:
        raise StoreError(
            f"{database} is empty but {database.parent / 'artifacts'} holds runs; restore the "
            "database from a backup, or move both away to begin anew."
        )
    if not head.startswith(b"SQLite format 3\0"):
        raise StoreError(
            f"{database} is not a SQLite database; move the file away or choose other outputs."
        )
    if cut:
        raise StoreError(
            f"{database} is cut off ({size} of {page * pages} bytes); restore it from a backup."
        )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


@cache
def _descriptor(path: str, inode: int) -> int:
    """Open a file once, never to close it.

    A process that closes any descriptor of a file gives up all its POSIX locks on it, SQLite's
    included (https://sqlite.org/howtocorrupt.html, section 2.2): another process would take
    itself for the last one and remove the log that connections of this one still write to.
    """
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


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
        with connect(database, mode) as connection:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            found = row[0] if row else None
            if found != expected_version():
                raise _version_error(database, found)
            if mode == "rw":
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
    except sqlite3.Error as error:
        if "locked" in str(error):  # in use, so it is one: the writer waits for its turn
            return
        if "no such table" in str(error):
            raise StoreError(
                f"{database} is a SQLite database, but not one of MLflow; move it away or choose "
                "other outputs."
            ) from error
        from sweep.tracking.retry import translated

        raise translated(error, str(database)) from error


def _version_error(database: Path, found: str | None) -> StoreVersionError:
    scripts = _migrations()
    if found in scripts:
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
def _migrations() -> dict[str, str]:
    """Return schema version -> the one before it, as this MLflow's migration scripts say.

    Alembic itself would need 0.3 s to say the same, at every start.
    """
    folder = Path(mlflow.__file__).parent / "store" / "db_migrations" / "versions"
    pattern = re.compile(r"^(revision|down_revision)(?::[^=]*)? = [\"'](\w+)[\"']", re.MULTILINE)
    found = {}
    for script in folder.glob("*.py"):
        names = dict(pattern.findall(script.read_text(encoding="utf-8")))
        if "revision" in names:
            found[names["revision"]] = names.get("down_revision", "")
    return found


@cache
def expected_version() -> str:
    """Return the schema version of the MLflow that is installed."""
    scripts = _migrations()
    (head,) = set(scripts) - set(scripts.values())
    return head
