"""Read and write the artifacts of runs, in a local folder or through a tracking server."""

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
    """Artifacts below `root`; the artifact addresses stored in MLflow are ignored."""

    root: Path

    def folder(self, run_id: str) -> Path:
        """Return a run's artifact folder. Raises StoreError if the id is no valid folder name."""
        if not is_plain_id(run_id):
            raise StoreError(f"run {run_id!r}: this is no id of a run.")
        return self.root / run_id / "artifacts"

    def remember(self, run: Run) -> None:
        """Do nothing: paths are derived from the run id."""

    def put(self, run_id: str, folder: Path) -> None:
        """Move the files of `folder` to the run, replacing files of the same name."""
        target = self.folder(run_id)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            os.rename(folder, target)
            return
        for path in folder.iterdir():
            os.replace(path, target / path.name)
        folder.rmdir()

    def copy(self, run_id: str, files: Mapping[str, bytes]) -> None:
        """Write files (path -> content), each atomically."""
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
        """Return whether a run has files and none is empty (a power failure can empty them)."""
        try:
            sizes = [entry.stat().st_size for entry in os.scandir(self.folder(run_id))]
        except (FileNotFoundError, NotADirectoryError):
            return False
        return bool(sizes) and all(sizes)

    def read(self, run_id: str, name: str) -> bytes | None:
        """Return a file's content, None if it does not exist."""
        try:
            return (self.folder(run_id) / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None


@dataclass(frozen=True)
class ServerArtifacts:
    """Artifacts on a tracking server.

    Attributes
    ----------
    addresses
        Run id -> artifact URI, cached: MLflow's client requests it at each transfer.
    """

    tracking_uri: str
    addresses: dict[str, str] = field(default_factory=dict)

    def remember(self, run: Run) -> None:
        """Cache the artifact URI of a run."""
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
        except OSError as error:  # requests' errors: MLflow does not translate them here
            raise self._translated(error) from error

    def copy(self, run_id: str, files: Mapping[str, bytes]) -> None:
        """Upload files (path -> content)."""
        with tempfile.TemporaryDirectory(prefix="sweep-") as folder:
            for name, content in files.items():
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            self.put(run_id, Path(folder))

    def is_whole(self, run_id: str) -> bool:
        """Return True: files on a server are not checked."""
        return True

    def read(self, run_id: str, name: str) -> bytes | None:
        """Download a file and return its content, None if it does not exist."""
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
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None
