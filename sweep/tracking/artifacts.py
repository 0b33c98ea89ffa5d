"""Files of runs: written whole or not at all, found by run id."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Protocol

from sweep.errors import StoreError
from sweep.tracking.texts import is_plain_id

__all__ = ["Artifacts", "LocalArtifacts", "write_whole"]


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
