"""How the cells of a sweep are handed to launchers."""

from __future__ import annotations

from dataclasses import replace

from omegaconf import DictConfig, OmegaConf

from sweep.cli.command import FOLDER, _batches, _reads_number
from sweep.engine.plan import Cell
from tests.configuration import spec

CELLS = [Cell(at, (f"lr={at}",), {}, spec(), number) for at, number in enumerate((0, 1, 4, 7))]


def master(**changes: object) -> DictConfig:
    hydra = {"output_subdir": None, "sweep": {"subdir": FOLDER}}
    return OmegaConf.create({"seed": 0, "hydra": hydra, **changes})


def test_jobs_run_side_by_side_though_some_are_left_out() -> None:
    assert not _reads_number(master(), CELLS)
    assert list(_batches(CELLS, None, apart=False)) == [CELLS]
    assert list(_batches(CELLS, 3, apart=False)) == [CELLS[:3], CELLS[3:]]


def test_jobs_whose_number_counts_keep_it() -> None:
    assert _reads_number(master(seed="${hydra:job.num}"), CELLS)
    assert _reads_number(master(seed="${hydra.job.id}"), CELLS)
    assert _reads_number(master(), [replace(CELLS[0], overrides=("seed=${hydra:job.num}",))])
    own = master()
    own.hydra.output_subdir = ".hydra"
    assert _reads_number(own, CELLS)
    batches = list(_batches(CELLS, None, apart=True))
    assert batches == [CELLS[:2], CELLS[2:3], CELLS[3:]]


def test_nothing_left_launches_nothing() -> None:
    """Some launchers refuse an empty list."""
    assert list(_batches([], None, apart=True)) == list(_batches([], 2, apart=False)) == []
