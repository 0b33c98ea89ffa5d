"""Call MLflow: retry while the database is locked, and convert library errors to messages."""

from __future__ import annotations

import errno
import sqlite3
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from sweep.errors import RunGoneError, StoreBusyError, StoreError, UnreachableError

if TYPE_CHECKING:
    from mlflow.exceptions import MlflowException

T = TypeVar("T")
Echo = Callable[[str], None]

NOTICE_AFTER = 4.0
"""Seconds of waiting for a lock after which the user is notified, and again each minute."""

STOP_SECONDS = 1.0
"""Seconds to wait for a lock after a stop request."""

CAUSES = {
    "disk is full": "the disk is full; free some space and run the command again with resume=last",
    "No space left": "the disk is full; free some space and run the command again with resume=last",
    "disk I/O error": "reading or writing failed (disk I/O error); check the disk and its free "
    "space, and run the command again with resume=last",
    "malformed": "the database is damaged or cut off; restore it from a backup",
    "not a database": "it is not a SQLite database; move the file away or choose other outputs",
    "readonly database": "the database is read-only; give write permission to it and its folder",
    "unable to open database": "the database cannot be opened; check the permissions of its folder",
}
"""Part of an error text of SQLite or the system -> its message."""


def retry(
    action: Callable[[], T], where: str, echo: Echo, stopping: Callable[[], bool] = lambda: False
) -> T:
    """Return the result of `action`, retried while another program locks the database.

    A retry is safe: a locked SQLite database rolls the transaction back, and every write here may
    be repeated. `where` is the store's name in messages. Once `stopping` is true, the wait ends
    after STOP_SECONDS. Raises StoreBusyError if the database is locked then, and StoreError if the
    store is full, damaged, read-only or unreachable, or the run was deleted.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    started = time.monotonic()
    next_notice = NOTICE_AFTER
    while True:
        try:
            result = action()
        except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
            text = str(error)
            if "database is locked" not in text and "database table is locked" not in text:
                raise translated(error, where) from error
            waited = time.monotonic() - started
            if stopping() and waited > STOP_SECONDS:
                raise StoreBusyError(
                    f"{where} is locked by another program; what is not recorded waits on disk "
                    "and resume=last finishes the sweep."
                ) from error
            if waited >= next_notice:
                echo(f"{where} is locked by another program since {waited:.0f} s; waiting for it.")
                next_notice = waited + 60
            time.sleep(0.05)
        else:
            if next_notice > NOTICE_AFTER:
                echo(f"{where} is free again after {time.monotonic() - started:.0f} s; going on.")
            return result


def translated(error: Exception, where: str) -> StoreError:
    """Return the StoreError for an error raised by a library."""
    from mlflow.exceptions import MlflowException

    if isinstance(error, OSError):
        return os_trouble(error, where)
    if (known := _known(str(error), where)) is not None:
        return known
    if isinstance(error, MlflowException):
        return _of_mlflow(error, where)
    return StoreError(f"{where} cannot be used: {_first_line(error)}")


def os_trouble(error: OSError, where: str) -> StoreError:
    """Return the StoreError for an error of the operating system."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    text = "No space left" if full else str(error)
    return _known(text, where) or StoreError(f"{where} cannot be used: {text[:300]}")


def _known(text: str, where: str) -> StoreError | None:
    meaning = next((meaning for words, meaning in CAUSES.items() if words in text), None)
    return None if meaning is None else StoreError(f"{where}: {meaning}.")


def _of_mlflow(error: MlflowException, where: str) -> StoreError:
    text, status = str(error), http_status(error)
    lost = "API request to" in text and ("failed with exception" in text or "timed out" in text)
    if lost or "Max retries exceeded" in text or (where.startswith("http") and status >= 502):
        return UnreachableError(f"{where} does not answer.")
    if "must be in the 'active' state" in text or error.error_code == "RESOURCE_DOES_NOT_EXIST":
        return RunGoneError(
            f"{where}: the run or experiment was deleted while it was written "
            "(`mlflow runs restore --run-id ID` or `mlflow experiments restore` brings it back)."
        )
    if status in (401, 403):
        return StoreError(
            f"{where} refuses access; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD."
        )
    return StoreError(f"{where} refused: {_first_line(error)}")


def http_status(error: Any) -> int:
    """Return the HTTP status of MLflow's error."""
    return int(error.get_http_status_code())


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:300] or "no reason was given"
