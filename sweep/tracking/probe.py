"""Ask before the first run whether the store can be used, and answer within seconds."""

from __future__ import annotations

import os
import shutil
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from sweep.checks import without_password
from sweep.errors import StoreError
from sweep.tracking.settings import Tracking

__all__ = ["probe_folder", "probe_server", "probe_space"]

SERVER_SECONDS = 4.0


def probe_folder(outputs: Path) -> None:
    """Make the folder if need be and write a file in it.

    Raises
    ------
    StoreError
        A file is in its place, or it cannot be written.
    """
    below = [outputs / name for name in ("artifacts", "sweeps", "runs", "reports")]
    for path in (*below, outputs, *outputs.parents):
        if path.exists() and not path.is_dir():
            raise StoreError(f"outputs={outputs}: {path} is a file; remove it or choose another.")
    try:
        outputs.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".probe-", dir=outputs)
        os.close(handle)
        os.unlink(name)
    except OSError as error:
        raise StoreError(
            f"outputs={outputs} cannot be written ({error.strerror}); give permission or choose "
            "another folder."
        ) from error


def probe_space(outputs: Path, need_bytes: int) -> None:
    """Compare the free space with what the plan needs.

    Raises
    ------
    StoreError
        There is less.
    """
    free = shutil.disk_usage(outputs).free
    if free < need_bytes:
        raise StoreError(
            f"outputs={outputs}: {free / 1e6:.1f} MB are free and the plan needs about "
            f"{need_bytes / 1e6:.1f} MB; free some space or choose another folder."
        )


def probe_server(tracking: Tracking) -> str:
    """Return the server's address once something answers there.

    Raises
    ------
    StoreError
        No address is given, it is not one of HTTP, or nothing answers in time.
    """
    uri = tracking.uri
    if not uri:
        raise StoreError(
            "tracking=server: no address; give tracking.uri=http://HOST:PORT or set "
            "MLFLOW_TRACKING_URI."
        )
    parts = urllib.parse.urlsplit(uri)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise StoreError(
            f"tracking.uri={uri} is not the address of a server; write http://HOST:PORT."
        )
    address = without_password(uri)  # whether it lets us in is seen by the first request
    try:
        with urllib.request.urlopen(f"{address.rstrip('/')}/health", timeout=SERVER_SECONDS):
            pass
    except urllib.error.HTTPError:
        pass  # something answers
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise StoreError(
            f"tracking.uri={address}: no server answers ({reason}); start it or correct the "
            "address."
        ) from error
    return uri
