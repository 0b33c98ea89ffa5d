"""A long training's file: whole or not there, arrays alone, no hindrance where it cannot be."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from sweep.engine.checkpoint import Checkpoint

STATE = {"step": np.array(7), "trainer/w": np.arange(3.0), "trainer/name": np.array("é")}


def test_state_comes_back_as_it_was(weird_path: Path) -> None:
    kept = Checkpoint(weird_path / "deep" / "a.npz")
    assert kept.load(10) is None
    kept.save(STATE)
    kept.save({**STATE, "step": np.array(8)})
    back = kept.load(10)
    assert back is not None and list(back) == list(STATE)
    assert int(back["step"]) == 8 and str(back["trainer/name"]) == "é"
    assert os.listdir(kept.path.parent) == ["a.npz"]
    kept.remove()
    assert not kept.path.parent.exists()
    kept.remove()


def test_state_beyond_the_next_stop_is_of_no_use(tmp_path: Path) -> None:
    kept = Checkpoint(tmp_path / "a.npz")
    kept.save(STATE)
    assert kept.load(7) is None
    assert kept.load(8) is not None


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more", b"\x80\x04."])
def test_damaged_file_is_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    assert Checkpoint(tmp_path / "a.npz").load(10) is None


def test_half_a_file_is_none(tmp_path: Path) -> None:
    kept = Checkpoint(tmp_path / "a.npz")
    kept.save(STATE)
    kept.path.write_bytes(kept.path.read_bytes()[:-40])
    assert kept.load(10) is None


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", step=np.array(1), w=np.array([{}], dtype=object))
    assert Checkpoint(tmp_path / "a.npz").load(10) is None


def test_folder_that_cannot_be_made_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    kept = Checkpoint(tmp_path / "file" / "a.npz")
    kept.save(STATE)
    assert kept.load(10) is None
    kept.remove()


def test_what_a_killed_process_was_writing_goes_with_the_file(tmp_path: Path) -> None:
    kept = Checkpoint(tmp_path / "kept" / "a.npz")
    kept.save(STATE)
    kept.path.with_name("a.npz.4242.part").write_bytes(b"half")
    kept.remove()
    assert not kept.path.parent.exists()
