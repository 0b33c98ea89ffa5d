"""Files of runs behind a server, which alone knows where they lie."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from sweep.errors import StoreError
from sweep.tracking.retry import UnreachableError, first_line, http_status

__all__ = ["ServerArtifacts"]


class ServerArtifacts:
    """Files behind a server, which alone knows where they lie.

    The address that a run came with is remembered: MLflow's client would ask for it again
    before each upload and download.
    """

    def __init__(self, client: MlflowClient, tracking_uri: str) -> None:
        self.client = client
        self.tracking_uri = tracking_uri
        self._addresses: dict[str, str] = {}

    def __reduce__(self) -> tuple[Callable[[str, dict[str, str]], ServerArtifacts], Any]:
        return _again, (self.tracking_uri, self._addresses)

    def remember(self, run: Run) -> None:
        """Keep the address of a run's files."""
        self._addresses[run.info.run_id] = run.info.artifact_uri

    def _repository(self, run_id: str) -> Any:
        if run_id not in self._addresses:
            self.remember(self.client.get_run(run_id))
        address = self._addresses[run_id]
        return get_artifact_repository(address, tracking_uri=self.tracking_uri)

    def put(self, run_id: str, folder: Path) -> None:
        """Upload the files of `folder`."""
        try:
            self._repository(run_id).log_artifacts(str(folder))
        except OSError as error:  # of the HTTP library: this path does not translate it
            raise _answer(error, self.tracking_uri) from error

    def copy(self, run_id: str, files: Mapping[str, bytes]) -> None:
        """Upload files."""
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
        with tempfile.TemporaryDirectory(prefix="sweep-") as folder:
            try:
                path = Path(self._repository(run_id).download_artifacts(name, folder))
            except (MlflowException, OSError) as error:
                if _is_missing(error):
                    return None
                if isinstance(error, OSError):
                    raise _answer(error, self.tracking_uri) from error
                raise
            return path.read_bytes()


def _again(tracking_uri: str, addresses: dict[str, str]) -> ServerArtifacts:
    """Return in another process what one had: a client has connections and cannot travel."""
    made = ServerArtifacts(MlflowClient(tracking_uri=tracking_uri), tracking_uri)
    made._addresses = addresses
    return made


def _answer(error: OSError, uri: str) -> StoreError:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(status, int) and status < 502:
        return StoreError(f"{uri} refused a file: {first_line(str(error))}")
    return UnreachableError(f"{uri} does not answer.")


def _is_missing(error: Exception) -> bool:
    if isinstance(error, MlflowException):
        return http_status(error) == 404 or "No such" in str(error)
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status == 404 or isinstance(error, FileNotFoundError)
