"""How the cells of a sweep are handed to launchers."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import setup_globals
from hydra.types import RunMode

from sweep.cli.command import _batches, _reads_number
from sweep.cli.compose import Jobs
from sweep.cli.resolvers import register
from sweep.engine.plan import Cell
from tests.configuration import spec
from tests.processes import ROOT

CELLS = [Cell(at, (f"lr={at}",), {}, spec(), number) for at, number in enumerate((0, 1, 4, 7))]


def test_jobs_run_side_by_side_though_some_are_left_out() -> None:
    assert list(_batches(CELLS, None, apart=False)) == [CELLS]
    assert list(_batches(CELLS, 3, apart=False)) == [CELLS[:3], CELLS[3:]]


def test_jobs_whose_number_counts_keep_it() -> None:
    batches = list(_batches(CELLS, None, apart=True))
    assert batches == [CELLS[:2], CELLS[2:3], CELLS[3:]]


def test_nothing_left_launches_nothing() -> None:
    """Some launchers refuse an empty list."""
    assert list(_batches([], None, apart=True)) == list(_batches([], 2, apart=False)) == []


@pytest.mark.parametrize(
    ("typed", "job", "reads"),
    [
        ([], ["lr=0.1"], False),
        (["hydra/launcher=basic"], ["lr=0.1"], False),
        ([], ["seed=${hydra.job.num}"], True),
        ([], ["experiment=numbered"], True),  # as on resume: the cell alone says so
        (["hydra.output_subdir=.hydra"], ["lr=0.1"], True),
        (["hydra.sweep.subdir=${hydra.job.id}"], ["lr=0.1"], True),
    ],
)
def test_where_a_jobs_number_counts(
    typed: list[str], job: list[str], reads: bool, tmp_path: Path
) -> None:
    preset = tmp_path / "experiment" / "numbered.yaml"
    preset.parent.mkdir()
    preset.write_text("# @package _global_\nseed: ${hydra:job.num}\n")
    register()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        setup_globals()
        instance = GlobalHydra.instance().hydra
        assert instance is not None
        path = f"hydra.searchpath=['file://{tmp_path}']"
        loader = instance.config_loader
        master = loader.load_configuration("config", [path, "parent=x", *typed], RunMode.MULTIRUN)
        jobs = Jobs(loader, master, [["lr=0.3"], job], numbers=[1, 4])
        assert _reads_number(jobs) is reads
