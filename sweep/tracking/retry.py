"""Call MLflow: wait while the database is busy, and say in one sentence what else went wrong."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import Any, TypeVar

import mlflow.exceptions
import sqlalchemy.exc

from sweep.errors import RunGoneError, StoreBusyError, StoreError
from sweep.tracking.texts import os_trouble, trouble

__all__ = [
    "GoneError",
    "UnreachableError",
    "first_line",
    "http_status",
    "retry",
    "translated",
]

T = TypeVar("T")
Say = Callable[[str], None]

BUSY_ERRORS = (
    mlflow.exceptions.MlflowException,
    sqlalchemy.exc.SQLAlchemyError,
    sqlite3.Error,
)

NOTICE_AFTER = 4.0
"""Seconds of waiting for a lock after which the user is notified, and again each minute."""

HURRY = 1.0
"""Seconds to wait for a lock once the command was asked to end."""


class UnreachableError(StoreError):
    """The server did not answer; what was to be written waits on disk."""


class GoneError(RunGoneError):
    """The run or experiment was deleted while it was being written."""


def retry(
    action: Callable[[], T], where: str, say: Say, stopping: Callable[[], bool] = lambda: False
) -> T:
    """Return what `action` returns, repeated for as long as another program locks the database.

    A locked SQLite database rolls the transaction back, and all that is written here may be
    written twice, so a repetition is safe.

    Parameters
    ----------
    where
        The store, as it is named in sentences.
    say
        Told when the waiting is long, and when it is over.
    stopping
        Asked while waiting: once true, a second of waiting is enough.

    Raises
    ------
    StoreBusyError
        The database was still locked when the command was asked to end.
    StoreError
        The store is full, damaged, read-only or unreachable, or the run is gone.
    """
    started = time.monotonic()
    next_notice = NOTICE_AFTER
    notified = False
    while True:
        try:
            result = action()
        except BUSY_ERRORS as error:
            if not _is_busy(error):
                raise translated(error, where) from error
            waited = time.monotonic() - started
            if stopping() and waited > HURRY:
                raise StoreBusyError(
                    f"{where} is locked by another program; what is not recorded waits on disk "
                    "and resume=last finishes the sweep."
                ) from error
            if waited >= next_notice:
                say(f"{where} is locked by another program since {waited:.0f} s; waiting for it.")
                notified = True
                next_notice = waited + 60
            time.sleep(0.05)
        except OSError as error:
            raise translated(error, where) from error
        else:
            if notified:
                say(f"{where} is free again after {time.monotonic() - started:.0f} s; going on.")
            return result


def _is_busy(error: BaseException) -> bool:
    text = str(error)
    return "database is locked" in text or "database table is locked" in text


def translated(error: Exception, where: str) -> StoreError:
    """Return the error of one sentence that stands for what a library raised."""
    if isinstance(error, OSError):
        return os_trouble(error, where)
    text = str(error)
    if (known := trouble(text, where)) is not None:
        return known
    if isinstance(error, mlflow.exceptions.MlflowException):
        return _translated_answer(error, text, where)
    return StoreError(f"{where} cannot be used: {first_line(text)}")


def _translated_answer(
    error: mlflow.exceptions.MlflowException, text: str, where: str
) -> StoreError:
    status = http_status(error)
    lost = "API request to" in text and ("failed with exception" in text or "timed out" in text)
    if lost or "Max retries exceeded" in text or (where.startswith("http") and status >= 502):
        return UnreachableError(f"{where} does not answer.")
    if "must be in the 'active' state" in text or "RESOURCE_DOES_NOT_EXIST" == error.error_code:
        return GoneError(
            f"{where}: the run or experiment was deleted while it was written "
            "(`mlflow runs restore --run-id ID` or `mlflow experiments restore` brings it back)."
        )
    if status in (401, 403):
        return StoreError(
            f"{where} refuses access; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD."
        )
    return StoreError(f"{where} refused: {first_line(text)}")


def http_status(error: mlflow.exceptions.MlflowException) -> int:
    """Return the HTTP status that stands for MLflow's error code."""
    status: Any = error
    return int(status.get_http_status_code())


def first_line(text: str) -> str:
    """Return the first line that says something, of at most 300 characters."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines or ["no reason was given"])[0][:300]
