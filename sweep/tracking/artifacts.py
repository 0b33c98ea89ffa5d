"""Files of runs: written whole or not at all, found by run id."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from sweep.errors import StoreError
from sweep.tracking.texts import is_plain_id

__all__ = ["Artifacts", "LocalArtifacts", "write_whole"]


class Artifacts(Protocol):
    """Where the files of runs lie."""

    def put(self, run_id: str, folder: Path) -> None:
        """Make the files of `folder` the run's; `folder` may be gone afterwards."""
        ...

    def copy(self, run_id: str, files: Mapping[str, bytes]) -> None:
        """Write files, name below the run's artifacts to content."""
        ...

    def is_whole(self, run_id: str) -> bool:
        """Return whether a finished run has all of its files, as far as that is cheap to know."""
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

    def put(self, run_id: str, folder: Path) -> None:
        """Move the files of `folder` to the run; what is there by the same name is replaced."""
        target = self.folder(run_id)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            os.rename(folder, target)
            return
        for path in folder.iterdir():
            os.replace(path, target / path.name)
        folder.rmdir()

    def copy(self, run_id: str, files: Mapping[str, bytes]) -> None:
        """Write files, each whole or not at all."""
        for name, content in files.items():
            path = self.folder(run_id) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, content)

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
