"""The command and the links that a sweep prints at its end."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from sweep.config.settings import Settings, reading_settings
from sweep.tracking.addresses import Landing
from sweep.ui.links import ending_lines, landing_lines, ui_command

LANDING = Landing("#/c", "#/w", "#/s", "#/p", "#/r", "#/b")


@pytest.fixture
def options(tmp_path: Path) -> Settings:
    tracking = {"kind": "local", "experiment": "sweep", "uri": None}
    return reading_settings({"outputs": "outputs", "tracking": tracking}, tmp_path)


def test_command_is_short_where_nothing_differs(options: Settings) -> None:
    assert ui_command(options, "s-1") == "python -m sweep.ui sweep=s-1"


@pytest.mark.parametrize(
    "experiment",
    ["it's", "a=b", "ünï cøde", "[1,2]", "${lr}", "back\\slash", "end\\", "\\'", "x,y"],
)
def test_command_says_other_outputs_and_experiment_as_hydra_reads_them(
    options: Settings, tmp_path: Path, experiment: str
) -> None:
    options = replace(options, outputs=tmp_path / "lr=0.1, all", experiment=experiment)
    words = shlex.split(ui_command(options, "s-1"))
    read = OverridesParser.create().parse_overrides(words[3:])
    values = OmegaConf.create({override.key_or_group: override.value() for override in read})
    assert values["tracking.experiment"] == experiment
    assert values["outputs"] == "lr=0.1, all"


def test_ending_of_a_local_sweep_is_the_command_and_the_link_it_serves(options: Settings) -> None:
    assert ending_lines(options, "s-1", LANDING) == [
        "Compare:     python -m sweep.ui sweep=s-1",
        "  serves     http://127.0.0.1:5000/#/c",
    ]


def test_ending_on_a_server_is_its_own_link(options: Settings) -> None:
    options = replace(options, tracking_kind="server", tracking_uri="http://host:5/base/")
    assert ending_lines(options, "s-1", LANDING) == ["Compare:     http://host:5/base/#/c"]


def test_links_that_are_not_there_are_not_printed(tmp_path: Path) -> None:
    bare = replace(LANDING, weights=None, sweeps=None, best=None)
    lines = landing_lines("http://h/", bare, tmp_path / "none.html")
    assert [line.split(":")[0].strip() for line in lines] == ["compare", "report"]


def test_report_on_disk_is_named_where_it_is(tmp_path: Path) -> None:
    page = tmp_path / "index.html"
    page.write_text("")
    assert landing_lines("http://h/", LANDING, page)[-1].endswith("index.html")
