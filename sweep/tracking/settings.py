"""Checks of a store before it is opened, and retries of calls to it.

MLflow is not loaded here.
"""

from __future__ import annotations

import errno
import re
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sweep.checks import without_password
from sweep.errors import RunGoneError, StoreBusyError, StoreError, UnreachableError

if TYPE_CHECKING:
    from sweep.config.settings import Tracking

T = TypeVar("T")
Echo = Callable[[str], None]

SERVER_SECONDS = 4.0

NOTICE_AFTER = 4.0
"""Seconds of waiting for a lock after which the user is notified, and again each minute."""

STOP_SECONDS = 0.5
"""Seconds that each call waits for a lock after a stop request."""

FULL = "the disk is full; free some space and run the command again with resume=last"
CAUSES = {
    "disk is full": FULL,
    "No space left": FULL,
    "disk I/O error": "reading or writing failed (disk I/O error); check the disk and its free "
    "space, and run the command again with resume=last",
    "malformed": "the database is damaged or cut off; restore it from a backup",
    "not a database": "it is not a SQLite database; move the file away or choose other outputs",
    "readonly database": "the database is read-only; give write permission to it and its folder",
    "unable to open database": "the database cannot be opened; check the permissions of its folder",
}
"""Part of an error text of SQLite or the system -> its message."""


def check_address(database: Path) -> None:
    """Raise StoreError for a path that a SQLite URL cannot express: MLflow would open another."""
    folder = str(database.parent)
    if re.search("[\ud800-\udfff]", folder):
        folder = folder.encode("utf-8", "backslashreplace").decode()
        found = "bytes that are no UTF-8"
    elif match := re.search(r"\?|%[0-9A-Fa-f]{2}", folder):
        found = f"`{match.group()}`"
    else:
        return
    raise StoreError(
        f"outputs={folder}: the path holds {found}, which the address of a SQLite database "
        "cannot carry; choose another folder."
    )


def exists(tracking: Tracking) -> bool:
    """Return whether the database exists; raise StoreError if it is empty but artifacts exist."""
    try:
        size = tracking.database.stat().st_size
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StoreError(f"{tracking.database} cannot be read ({error.strerror}).") from error
    if not size and tracking.artifacts.is_dir() and any(tracking.artifacts.iterdir()):
        raise StoreError(
            f"{tracking.database} is empty but {tracking.artifacts} holds runs; restore the "
            "database from a backup, or move both away to begin anew."
        )
    return size > 0


def probe_folder(outputs: Path) -> None:
    """Create the folder if necessary; raise StoreError if no file can be written in it."""
    below = [outputs / name for name in ("artifacts", "sweeps", "runs", "reports")]
    for path in (*below, outputs, *outputs.parents):
        if path.exists() and not path.is_dir():
            raise StoreError(f"outputs={outputs}: {path} is a file; remove it or choose another.")
    try:
        outputs.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(prefix=".probe-", dir=outputs):
            pass
    except OSError as error:
        raise StoreError(
            f"outputs={outputs} cannot be written ({error.strerror}); give permission or choose "
            "another folder."
        ) from error


def probe_space(outputs: Path, need_bytes: int) -> None:
    """Raise StoreError if less than `need_bytes` is free."""
    free = shutil.disk_usage(outputs).free
    if free < need_bytes:
        raise StoreError(
            f"outputs={outputs}: {free / 1e6:.1f} MB are free and the plan needs about "
            f"{need_bytes / 1e6:.1f} MB; free some space or choose another folder."
        )


def probe_server(tracking: Tracking) -> None:
    """Raise StoreError if the address is missing or invalid, or no server answers in time."""
    from urllib.error import HTTPError
    from urllib.parse import urlsplit
    from urllib.request import urlopen

    if not tracking.address:
        raise StoreError(
            "tracking=server: no address; give tracking.uri=http://HOST:PORT or set "
            "MLFLOW_TRACKING_URI."
        )
    address = without_password(tracking.address)  # MLflow's first request checks it
    parts = urlsplit(tracking.address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise StoreError(
            f"tracking.uri={address} is not the address of a server; write http://HOST:PORT."
        )
    try:
        with urlopen(f"{address.rstrip('/')}/health", timeout=SERVER_SECONDS):
            pass
    except HTTPError:
        pass  # a server answers
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise StoreError(
            f"tracking.uri={address}: no server answers ({reason}); start it or correct the "
            "address."
        ) from error


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
    """Return the StoreError for an error raised by a library or the operating system."""
    if isinstance(error, OSError) and error.errno is None and where.startswith("http"):
        return _of_request(error, where)
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    text = "No space left" if full else str(error)
    for words, meaning in CAUSES.items():
        if words in text:
            return StoreError(f"{where}: {meaning}.")
    if hasattr(error, "get_http_status_code"):  # MLflow is not loaded where results are written
        return _of_mlflow(error, where)
    return StoreError(f"{where} cannot be used: {_first_line(error)}")


def _of_request(error: OSError, where: str) -> StoreError:
    """Return the StoreError for an error of `requests`, which MLflow leaves as it is."""
    if 0 < http_status(error) < 502:
        return StoreError(f"{where} refused a file: {_first_line(error)}")
    return UnreachableError(f"{where} does not answer.")


def _of_mlflow(error: Any, where: str) -> StoreError:
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
    """Return the HTTP status of an error of MLflow or `requests`; 0 without one."""
    if hasattr(error, "get_http_status_code"):
        return int(error.get_http_status_code())
    return int(getattr(getattr(error, "response", None), "status_code", 0))


def _first_line(error: Exception) -> str:
    text = without_password(str(error)).strip()
    return text.partition("\n")[0][:300] or "no reason was given"
