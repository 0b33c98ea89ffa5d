"""The command and the links that a sweep prints at its end."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from sweep.config.settings import Settings, Tracking, settings
from sweep.console import (
    compare_line,
    resume_command,
    run_pages,
    show_command,
    store_arguments,
    table,
)


@pytest.fixture
def options(tmp_path: Path) -> Settings:
    tracking = {"kind": "local", "experiment": "sweep", "uri": None}
    return settings({"outputs": "outputs", "tracking": tracking}, tmp_path)


def test_table_is_whole_on_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    table(["sweep", "best", "about"], [["20260101-120000-abcd", "1", "表"], ["b", "12", ""]], [1])
    lines = ["sweep                 best  about", "20260101-120000-abcd     1  表"]
    lines.append("b                       12")
    assert capsys.readouterr().out.splitlines() == lines


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


def test_command_to_resume_has_what_a_preset_or_the_command_set_for_it(
    options: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["hydra.searchpath=[file://own]", "hydra/launcher=joblib", "trainer._target_=a.B"]
    words.append("+trainer={_target_: a.C}")
    others = ["lr=0.1", "experiment=own", "trainer=mine", "trainer.width={a: 3}"]
    monkeypatch.setattr(sys, "argv", ["sweep", *words, *others])
    plan = SimpleNamespace(kept={"flags": ["--config-dir", "own"]})
    options = options.model_copy(update={"outputs": tmp_path / "elsewhere"})  # by a preset
    sweep: Any = SimpleNamespace(id="s-1", plan=plan, options=options)
    said = shlex.split(resume_command(sweep))[4:]
    assert said == ["--config-dir", "own", *words, "outputs=elsewhere", "resume=s-1"]


def test_page_of_a_local_sweep_is_served_by_a_command_and_a_servers_has_a_link(
    options: Settings,
) -> None:
    assert compare_line(options, "s-1", "#/c") == "Compare:     python -m sweep.ui sweep=s-1"
    options = on_server(options, "http://host:5/base/")
    assert compare_line(options, "s-1", "#/c") == "Compare:     http://host:5/base/#/c"


def test_no_password_of_an_address_is_printed(options: Settings) -> None:
    address = "http://me:secr@et@host:5"
    options = on_server(options, address)
    texts = [
        *store_arguments(options),
        compare_line(options, "s-1", "#/c"),
        run_pages(options, "1"),
    ]
    assert "secr" not in " ".join(texts)
    assert run_pages(options, "1") == "http://host:5/#/experiments/1/runs/"
