"""Checkpoints: the last state of a trajectory in an ``.npz`` file without pickled objects."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np

from sweep.config.spec import RunSpec, canonical
from sweep.training.curve import CurveSlice, Landmarks
from sweep.training.task import Saved

DAMAGED = (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile)


def checkpoint_name(spec: RunSpec) -> str:
    """Return a file name that hashes everything that determines a trajectory's numbers."""
    own = None if spec.trainer.shareable else spec.iters
    content = [spec.trajectory, spec.trainer.source, spec.choices, own]
    return hashlib.sha256(canonical(content).encode()).hexdigest()[:32] + ".npz"


class Checkpoint:
    """The checkpoint file of one trajectory; errors of the file system are ignored.

    Checkpoints of another `platform` are not used, as their last bits may differ.
    """

    def __init__(self, path: Path, platform: str) -> None:
        self.path, self.platform = path, platform

    def load(self, before: int) -> tuple[Saved, CurveSlice] | str | None:
        """Return the state and the curve up to it, if its step is below `before`.

        Return only its platform if that differs, and None if there is no usable checkpoint.
        """
        try:
            with self.path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                found = {name: arrays[name] for name in arrays.files}
            if str(found["platform"]) != self.platform:
                return str(found["platform"])
            about = json.loads(str(found["about"]))
            for name in ("last_values", "best_values", "thresholds"):
                about["marks"][name] = tuple(about["marks"][name])
            marks = Landmarks(**about["marks"])
            names = [name for name in found if name.startswith("trainer/")]
            trainer = {name.removeprefix("trainer/"): found[name] for name in names}
            saved = Saved(marks, about["seconds"], trainer, about["printed"])
            points = CurveSlice(marks, found["steps"], found["errors"], found.get("validation"))
        except (OSError, *DAMAGED):
            return None
        return (saved, points) if marks.last < before else None

    def save(self, saved: Saved, points: CurveSlice) -> None:
        """Replace the checkpoint atomically."""
        marks, seconds, printed = asdict(saved.marks), saved.seconds, saved.printed
        about = json.dumps({"marks": marks, "seconds": seconds, "printed": printed})
        arrays = {f"trainer/{name}": value for name, value in saved.trainer.items()}
        arrays |= {"platform": np.array(self.platform), "about": np.array(about)}
        arrays |= {"steps": points.steps, "errors": points.errors}
        if points.validation is not None:
            arrays["validation"] = points.validation
        part = self.path.with_name(f"{self.path.name}.{os.getpid()}.part")
        with suppress(OSError):  # e.g. a full disk; the next save may succeed
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with part.open("wb") as file:
                    np.savez(file, allow_pickle=False, **arrays)
                os.replace(part, self.path)
            finally:
                part.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the file, and the folder if it is then empty."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)
            for part in self.path.parent.glob(f"{self.path.name}.*.part"):
                part.unlink(missing_ok=True)  # left by a process killed during `save`
            self.path.parent.rmdir()
