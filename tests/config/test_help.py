"""The help of each command names every key that its file has."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.commands import run_here
from tests.processes import ROOT

CONF = ROOT / "conf"
OVERRIDE = "override hydra/help"


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda path: path.stem)
def test_help_has_a_sentence_for_each_key(path: Path) -> None:
    config = yaml.safe_load(path.read_text())
    groups = [key for entry in config["defaults"] if isinstance(entry, dict) for key in entry]
    keys = {*config, *(key for key in groups if not key.startswith("override"))}
    (name,) = (entry[OVERRIDE] for entry in config["defaults"] if OVERRIDE in entry)
    template = yaml.safe_load((CONF / "hydra" / "help" / f"{name}.yaml").read_text())["template"]
    lines = [line.split() for line in template.splitlines() if line.startswith("  ")]
    told = {words[0] for words in lines if len(words) > 3}
    assert keys - {"defaults", "hydra", "parent"} <= told


def test_help_of_a_tool_lists_no_groups_of_others(tmp_path: Path) -> None:
    ended = run_here(["--help"], tmp_path, module="sweep.report")
    assert ended.code == 0 and "experiment" not in ended.out.replace("tracking.experiment", "")
