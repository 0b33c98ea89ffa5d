"""A long training's file: whole or not there, arrays alone, no hindrance where it cannot be."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sweep.engine.checkpoint import Checkpoint
from sweep.training.curve import CurveSlice, Landmarks
from sweep.training.task import Saved

MARKS = Landmarks(7, (0.5, math.nan), 6, (0.25, math.nan), (6,), math.nan)
SAVED = Saved(MARKS, 1.5, {"w": np.arange(3.0), "name": np.array("é")})
POINTS = CurveSlice(MARKS, np.arange(8), np.linspace(1, 0.25, 8), np.linspace(2, 0.5, 8))


def at(path: Path, platform: str = "here") -> Checkpoint:
    return Checkpoint(path, platform)


def test_state_comes_back_as_it_was(weird_path: Path) -> None:
    kept = at(weird_path / "deep" / "a.npz")
    assert kept.load(10) is None
    kept.save(SAVED, POINTS)
    kept.save(Saved(MARKS, 2.5, SAVED.trainer), POINTS)
    found = kept.load(10)
    assert isinstance(found, tuple)
    saved, points = found
    assert repr(saved.marks) == repr(points.marks) == repr(MARKS)
    assert saved.seconds == 2.5
    assert saved.trainer["w"].tolist() == [0, 1, 2] and str(saved.trainer["name"]) == "é"
    assert points.steps.tolist() == POINTS.steps.tolist()
    assert points.validation is not None and (points.validation == POINTS.errors * 2).all()
    assert os.listdir(kept.path.parent) == ["a.npz"]
    kept.remove()
    assert not kept.path.parent.exists()
    kept.remove()


def test_state_beyond_the_next_cut_is_of_no_use(tmp_path: Path) -> None:
    kept = at(tmp_path / "a.npz")
    kept.save(SAVED, POINTS)
    assert kept.load(7) is None
    assert kept.load(8) is not None


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more", b"\x80\x04.", None, -40])
def test_file_that_is_damaged_or_of_another_layout_is_none(content: Any, tmp_path: Path) -> None:
    kept = at(tmp_path / "a.npz")
    kept.save(SAVED, POINTS)
    if content is None:
        np.savez(kept.path, step=np.array(1), platform=np.array("here"))
    else:
        half = isinstance(content, int)
        kept.path.write_bytes(kept.path.read_bytes()[:content] if half else content)
    assert kept.load(10) is None


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    kept = at(tmp_path / "a.npz")
    kept.save(SAVED, POINTS)
    with np.load(kept.path) as arrays:
        found = dict(arrays)
    np.savez(kept.path, **{**found, "trainer/w": np.array([{}], dtype=object)})
    assert kept.load(10) is None


def test_folder_that_cannot_be_made_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    kept = at(tmp_path / "file" / "a.npz")
    kept.save(SAVED, POINTS)
    assert kept.load(10) is None
    kept.remove()


def test_what_a_killed_process_was_writing_goes_with_the_file(tmp_path: Path) -> None:
    kept = at(tmp_path / "kept" / "a.npz")
    kept.save(SAVED, POINTS)
    kept.path.with_name("a.npz.4242.part").write_bytes(b"half")
    kept.remove()
    assert not kept.path.parent.exists()
