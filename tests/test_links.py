"""The command and the links that a sweep prints at its end."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from sweep.config.settings import Settings, Tracking, settings
from sweep.console import ending_lines, run_pages, show_command, store_arguments

LINKS = {"compare": "#/c", "weights": "#/w"}


@pytest.fixture
def options(tmp_path: Path) -> Settings:
    tracking = {"kind": "local", "experiment": "sweep", "uri": None}
    return settings({"outputs": "outputs", "tracking": tracking}, tmp_path)


def on_server(options: Settings, uri: str | None) -> Settings:
    tracking = Tracking(kind="server", experiment="sweep", uri=uri)
    return options.model_copy(update={"tracking": tracking})


def test_command_is_short_where_nothing_differs(options: Settings) -> None:
    assert show_command(options, "s-1") == "python -m sweep.ui sweep=s-1"


@pytest.mark.parametrize(
    "experiment",
    ["it's", "a=b", "ünï cøde", "[1,2]", "${lr}", "back\\slash", "end\\", "\\'", "x,y"],
)
def test_command_says_other_outputs_and_experiment_as_hydra_reads_them(
    options: Settings, tmp_path: Path, experiment: str
) -> None:
    other = Tracking(kind="local", experiment=experiment, uri=None)
    update = {"outputs": tmp_path / "lr=0.1, all", "tracking": other}
    options = options.model_copy(update=update)
    words = shlex.split(show_command(options, "s-1"))
    read = OverridesParser.create().parse_overrides(words[3:])
    values = OmegaConf.create({override.key_or_group: override.value() for override in read})
    assert values["tracking.experiment"] == experiment
    assert values["outputs"] == "lr=0.1, all"


def test_ending_of_a_local_sweep_is_the_command_and_the_link_it_serves(options: Settings) -> None:
    assert ending_lines(options, "s-1", LINKS) == [
        "Compare:     python -m sweep.ui sweep=s-1",
        "  serves     http://127.0.0.1:5000/#/c",
    ]


def test_ending_on_a_server_is_its_own_link(options: Settings) -> None:
    options = on_server(options, "http://host:5/base/")
    assert ending_lines(options, "s-1", LINKS) == ["Compare:     http://host:5/base/#/c"]


def test_no_password_of_an_address_is_printed(
    options: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = "http://me:secr@et@host:5"
    options = on_server(options, address)
    texts = [
        *store_arguments(options),
        *ending_lines(options, "s-1", LINKS),
        run_pages(options, "1"),
    ]
    assert "secr" not in " ".join(texts)
    assert run_pages(options, "1") == "http://host:5/#/experiments/1/runs/"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert "secr" not in run_pages(on_server(options, None), "1")
