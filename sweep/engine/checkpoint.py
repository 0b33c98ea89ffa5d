"""A long training kept in a file, so that it can be gone on with: arrays alone, never a pickle."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sweep.config.spec import RunSpec, canonical

__all__ = ["Checkpoint", "checkpoint_name"]

State = Mapping[str, npt.NDArray[Any]]


def checkpoint_name(spec: RunSpec) -> str:
    """Return the file name of a trajectory's checkpoint, from all that determines its numbers."""
    own = None if spec.trainer.shareable else spec.iters
    whole = [spec.trajectory, spec.trainer.source, spec.choices, own]
    return hashlib.sha256(canonical(whole).encode()).hexdigest()[:32] + ".npz"


class Checkpoint:
    """One trajectory's file; a folder that cannot be written only means that there is none."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self, before: int) -> State | None:
        """Return what was kept, of a step below `before`; None where nothing usable was."""
        try:
            with self.path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                state = {name: arrays[name] for name in arrays.files}
            return state if int(state["step"]) < before else None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None  # none, or a damaged one: training begins at step 0

    def save(self, state: State) -> None:
        """Keep a state, whole or not at all; in the place of an earlier one."""
        part = self.path.with_name(f"{self.path.name}.{os.getpid()}.part")
        with suppress(OSError):  # a full disk ends no training; the next one may have room
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with part.open("wb") as file:
                    np.savez(file, allow_pickle=False, **dict(state))
                os.replace(part, self.path)
            finally:
                part.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the file, and its folder with the last one."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)
            for part in self.path.parent.glob(f"{self.path.name}.*.part"):
                part.unlink(missing_ok=True)  # of a process that was killed while it wrote
            self.path.parent.rmdir()
