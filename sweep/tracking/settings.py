"""The store of a command, and checks of it that do not load MLflow."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sweep.checks import without_password
from sweep.errors import StoreError

if TYPE_CHECKING:
    from sweep.config.settings import Settings

SERVER_SECONDS = 4.0


@dataclass(frozen=True)
class Tracking:
    """The store of a command.

    Attributes
    ----------
    kind
        ``local``: SQLite below `outputs`. ``server``: an MLflow server at `uri`.
    outputs
        Absolute folder of all written files; with a server, also of results waiting for it.
    experiment
        Name of the MLflow experiment.
    uri
        The server's address; None for a local store.
    """

    kind: Literal["local", "server"]
    outputs: Path
    experiment: str = "sweep"
    uri: str | None = None

    @property
    def database(self) -> Path:
        """The SQLite file of a local store."""
        return self.outputs / "mlflow.db"

    @property
    def artifacts(self) -> Path:
        """The folder of a local store's artifacts, with a subfolder for each run id."""
        return self.outputs / "artifacts"

    @property
    def locks(self) -> Path:
        """The folder of lock files."""
        return self.outputs / ".locks"

    @property
    def address(self) -> str:
        """MLflow's tracking URI."""
        return self.uri or "" if self.kind == "server" else f"sqlite:///{self.database}"

    @property
    def location(self) -> str:
        """The database's path or the server's address without a password, for messages."""
        return str(self.database) if self.kind == "local" else without_password(self.address)

    @property
    def name(self) -> str:
        """The store and its experiment, for messages, without a password."""
        uri = without_password(self.uri or "").rstrip("/")
        location = "the local store" if self.kind == "local" else uri
        return f"{location}, experiment '{self.experiment}'"


def from_options(options: Settings) -> Tracking:
    """Return the store named by a command's settings.

    A server's address defaults to the environment variable `MLFLOW_TRACKING_URI`.
    """
    if options.tracking.kind == "server":
        uri = options.tracking.uri or os.environ.get("MLFLOW_TRACKING_URI")
        return Tracking("server", options.outputs, options.tracking.experiment, uri)
    return Tracking("local", options.outputs, options.tracking.experiment)


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

    if not tracking.uri:
        raise StoreError(
            "tracking=server: no address; give tracking.uri=http://HOST:PORT or set "
            "MLFLOW_TRACKING_URI."
        )
    address = without_password(tracking.uri)  # MLflow's first request checks it
    parts = urlsplit(tracking.uri)
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
