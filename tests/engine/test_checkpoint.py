"""A long training's file: whole or not there, arrays alone, no hindrance where it cannot be."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest

from sweep.engine.checkpoint import Checkpoint
from sweep.training.curve import CurveSlice, Landmarks
from sweep.training.task import Saved

MARKS = Landmarks(7, (0.5, math.nan), 6, (0.25, math.nan), (6,), math.nan)
SAVED = Saved(MARKS, 1.5, {"w": np.arange(3.0), "name": np.array("é")})
POINTS = CurveSlice(MARKS, np.arange(8), np.linspace(1, 0.25, 8), None)


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
    assert points.steps.tolist() == POINTS.steps.tolist() and points.validation is None
    assert os.listdir(kept.path.parent) == ["a.npz"]
    kept.remove()
    assert not kept.path.parent.exists()
    kept.remove()


def test_validation_errors_come_back(tmp_path: Path) -> None:
    kept = at(tmp_path / "a.npz")
    kept.save(SAVED, CurveSlice(MARKS, POINTS.steps, POINTS.errors, POINTS.errors * 2))
    found = kept.load(10)
    assert isinstance(found, tuple) and found[1].validation is not None
    assert (found[1].validation == POINTS.errors * 2).all()


def test_state_beyond_the_next_cut_is_of_no_use(tmp_path: Path) -> None:
    kept = at(tmp_path / "a.npz")
    kept.save(SAVED, POINTS)
    assert kept.load(7) is None
    assert kept.load(8) is not None


def test_state_of_another_platform_is_named_and_not_loaded(tmp_path: Path) -> None:
    at(tmp_path / "a.npz", "NumPy 1").save(SAVED, POINTS)
    assert at(tmp_path / "a.npz", "NumPy 2").load(8) == "NumPy 1"


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more", b"\x80\x04."])
def test_damaged_file_is_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    assert at(tmp_path / "a.npz").load(10) is None


def test_half_a_file_is_none(tmp_path: Path) -> None:
    kept = at(tmp_path / "a.npz")
    kept.save(SAVED, POINTS)
    kept.path.write_bytes(kept.path.read_bytes()[:-40])
    assert kept.load(10) is None


def test_file_of_another_layout_is_none(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", step=np.array(1), platform=np.array("here"))
    assert at(tmp_path / "a.npz").load(10) is None


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
