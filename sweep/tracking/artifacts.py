"""Files of runs: written whole or not at all, found by run id."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Protocol

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from sweep.errors import StoreError
from sweep.tracking.patience import UnreachableError, first_line, http_status
from sweep.tracking.texts import is_plain_id

__all__ = ["Artifacts", "LocalArtifacts", "ServerArtifacts", "write_whole"]


class Artifacts(Protocol):
    """Where the files of runs lie."""

    def put(self, run_id: str, folder: Path, subfolder: str = "") -> None:
        """Make the files of `folder` the run's; `folder` may be gone afterwards."""
        ...

    def read(self, run_id: str, name: str) -> bytes | None:
        """Return one file of a run, None where it has no such file."""
        ...


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that others see complete or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


class LocalArtifacts:
    """Files below a folder of this machine, written straight into their place.

    Runs are found by their id below the folder as it is now, whatever address MLflow froze
    into them.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

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

    def put(self, run_id: str, folder: Path, subfolder: str = "") -> None:
        """Move the files of `folder` below the run; what is there by the same name is replaced."""
        target = self.folder(run_id) / subfolder
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            os.rename(folder, target)
            return
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                place = target / path.relative_to(folder)
                place.parent.mkdir(parents=True, exist_ok=True)
                os.replace(path, place)
        shutil.rmtree(folder, ignore_errors=True)

    def read(self, run_id: str, name: str) -> bytes | None:
        """Return one file of a run, None where it has no such file."""
        try:
            return (self.folder(run_id) / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None


class ServerArtifacts:
    """Files behind a server, which alone knows where they lie.

    The address that a run came with is remembered: MLflow's client would ask for it again
    before each upload and download.
    """

    def __init__(self, client: MlflowClient, tracking_uri: str) -> None:
        self.client = client
        self.tracking_uri = tracking_uri
        self._addresses: dict[str, str] = {}

    def remember(self, run: Run) -> None:
        """Keep the address of a run's files."""
        self._addresses[run.info.run_id] = run.info.artifact_uri

    def _repository(self, run_id: str) -> Any:
        if run_id not in self._addresses:
            self.remember(self.client.get_run(run_id))
        address = self._addresses[run_id]
        return get_artifact_repository(address, tracking_uri=self.tracking_uri)

    def put(self, run_id: str, folder: Path, subfolder: str = "") -> None:
        """Upload the files of `folder`."""
        try:
            self._repository(run_id).log_artifacts(str(folder), subfolder or None)
        except OSError as error:  # of the HTTP library: this path does not translate it
            raise _answer(error, self.tracking_uri) from error

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
