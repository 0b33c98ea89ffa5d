"""Files of stored runs, found by run id: below a folder of this machine, or behind a server."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.checks import without_password
from sweep.errors import StoreError, UnreachableError
from sweep.tracking.entities import is_plain_id
from sweep.tracking.retry import http_status

if TYPE_CHECKING:
    from mlflow.entities import Run


@dataclass(frozen=True)
class LocalArtifacts:
    """Files below `root`, whatever address MLflow froze into the runs."""

    root: Path

    def folder(self, run_id: str) -> Path:
        """Return the folder of a run's files.

        Raises
        ------
        StoreError
            The id cannot be the name of a folder.
        """
        if not is_plain_id(run_id):
            raise StoreError(f"run {run_id!r}: this is no id of a run.")
        return self.root / run_id / "artifacts"

    def remember(self, run: Run) -> None:
        """Do nothing: the id is enough."""

    def put(self, run_id: str, folder: Path) -> None:
        """Move the files of `folder` to the run; files of the same name are replaced."""
        target = self.folder(run_id)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            os.rename(folder, target)
            return
        for path in folder.iterdir():
            os.replace(path, target / path.name)
        folder.rmdir()

    def copy(self, run_id: str, files: Mapping[str, bytes]) -> None:
        """Write files (path to content), each complete or not at all."""
        for name, content in files.items():
            path = self.folder(run_id) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f".{path.name}.{os.getpid()}.part")
            try:
                part.write_bytes(content)
                os.replace(part, path)
            finally:
                part.unlink(missing_ok=True)

    def is_whole(self, run_id: str) -> bool:
        """Return whether a run has files and none is empty, as a power cut leaves them."""
        try:
            sizes = [entry.stat().st_size for entry in os.scandir(self.folder(run_id))]
        except (FileNotFoundError, NotADirectoryError):
            return False
        return bool(sizes) and all(sizes)

    def read(self, run_id: str, name: str) -> bytes | None:
        """Return one file of a run, None where it has no such file."""
        try:
            return (self.folder(run_id) / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None


@dataclass(frozen=True)
class ServerArtifacts:
    """Files behind a server.

    Attributes
    ----------
    addresses
        Run id -> address of its files, which MLflow's client would request at each transfer.
    """

    tracking_uri: str
    addresses: dict[str, str] = field(default_factory=dict)

    def remember(self, run: Run) -> None:
        """Keep the address of a run's files."""
        self.addresses[run.info.run_id] = run.info.artifact_uri

    def _repository(self, run_id: str) -> Any:
        from mlflow import MlflowClient
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        if run_id not in self.addresses:
            self.remember(MlflowClient(tracking_uri=self.tracking_uri).get_run(run_id))
        return get_artifact_repository(self.addresses[run_id], tracking_uri=self.tracking_uri)

    def put(self, run_id: str, folder: Path) -> None:
        """Upload the files of `folder`."""
        try:
            self._repository(run_id).log_artifacts(str(folder))
        except OSError as error:  # of the HTTP library, which MLflow does not translate here
            raise self._translated(error) from error

    def copy(self, run_id: str, files: Mapping[str, bytes]) -> None:
        """Upload files (path to content)."""
        with tempfile.TemporaryDirectory(prefix="sweep-") as folder:
            for name, content in files.items():
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            self.put(run_id, Path(folder))

    def is_whole(self, run_id: str) -> bool:
        """Return True: a server looks after its own disk."""
        return True

    def read(self, run_id: str, name: str) -> bytes | None:
        """Download one file of a run, None where it has no such file."""
        from mlflow.exceptions import MlflowException

        with tempfile.TemporaryDirectory(prefix="sweep-") as folder:
            try:
                return Path(self._repository(run_id).download_artifacts(name, folder)).read_bytes()
            except MlflowException as error:
                if http_status(error) == 404 or "No such" in str(error):
                    return None
                raise
            except OSError as error:
                if _status(error) == 404 or isinstance(error, FileNotFoundError):
                    return None
                raise self._translated(error) from error

    def _translated(self, error: OSError) -> StoreError:
        status = _status(error)
        if status is not None and status < 502:
            reason = str(error).strip().partition("\n")[0][:300]
            return StoreError(f"{without_password(self.tracking_uri)} refused a file: {reason}")
        return UnreachableError(f"{without_password(self.tracking_uri)} does not answer.")


Artifacts = LocalArtifacts | ServerArtifacts


def _status(error: OSError) -> int | None:
    """Return the HTTP status of an answer that the HTTP library raised."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None
