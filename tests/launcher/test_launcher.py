"""The launcher beside Hydra's basic one, and how cells are handed to other people's launchers."""

from __future__ import annotations

from sweep.cli.command import batches
from sweep.engine.plan import Cell
from tests.configuration import spec

CELLS = [Cell(at, (f"lr={at}",), {}, spec(), number) for at, number in enumerate((0, 1, 4, 7))]


def test_jobs_run_side_by_side_though_some_are_left_out() -> None:
    assert list(batches(CELLS, None, consecutive=False)) == [CELLS]
    assert list(batches(CELLS, 3, consecutive=False)) == [CELLS[:3], CELLS[3:]]


def test_jobs_whose_number_counts_keep_it() -> None:
    parts = list(batches(CELLS, None, consecutive=True))
    assert parts == [CELLS[:2], CELLS[2:3], CELLS[3:]]


def test_nothing_left_launches_nothing() -> None:
    """Some launchers refuse an empty list."""
    assert (
        list(batches([], None, consecutive=True)) == list(batches([], 2, consecutive=False)) == []
    )
