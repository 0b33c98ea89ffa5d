"""Which store: plain values, so that it can be asked without loading MLflow."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sweep.checks import without_password

if TYPE_CHECKING:
    from sweep.config.settings import Settings

__all__ = ["Tracking", "from_options"]


@dataclass(frozen=True)
class Tracking:
    """Which store a command uses.

    Attributes
    ----------
    kind
        ``local``: SQLite below `outputs`. ``server``: an MLflow server at `uri`.
    outputs
        The absolute folder where everything is written; with a server, what waits for it.
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
        """The folder of a local store's artifacts, a subfolder for each run id."""
        return self.outputs / "artifacts"

    @property
    def locks(self) -> Path:
        """Where lock files lie."""
        return self.outputs / ".locks"

    @property
    def place(self) -> str:
        """The database's path or the server's address without a password, for sentences."""
        return str(self.database) if self.kind == "local" else without_password(self.address)

    @property
    def name(self) -> str:
        """The store and its experiment as sentences name them, without a password."""
        uri = without_password(self.uri or "").rstrip("/")
        place = "the local store" if self.kind == "local" else uri
        return f"{place}, experiment '{self.experiment}'"

    @property
    def address(self) -> str:
        """What MLflow calls the tracking URI."""
        return self.uri or "" if self.kind == "server" else f"sqlite:///{self.database}"


def from_options(options: Settings) -> Tracking:
    """Return the store that a command's checked settings name.

    A server without `tracking.uri` is the one that `MLFLOW_TRACKING_URI` names.
    """
    if options.tracking_kind == "server":
        uri = options.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
        return Tracking("server", options.outputs, options.experiment, uri)
    return Tracking("local", options.outputs, options.experiment)
