"""The default configuration as plain values, for tests of what is made from it."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from sweep.config.run import run_spec
from sweep.config.spec import RunSpec
from tests.processes import ROOT

CHOICES = {"network": "notebook", "data": "notebook", "trainer": "backprop"}


@cache
def _defaults() -> dict[str, Any]:
    plain = yaml.safe_load((ROOT / "conf" / "config.yaml").read_text())
    for group, option in {**CHOICES, "tracking": "local"}.items():
        plain[group] = yaml.safe_load((ROOT / "conf" / group / f"{option}.yaml").read_text())
    for key in ("defaults", "hydra"):
        del plain[key]
    return plain


def configuration(**changes: Any) -> dict[str, Any]:
    """Return the default configuration as plain values, with some keys changed."""
    return {**deepcopy(_defaults()), **changes}


def declare(folder: Path, text: str) -> list[str]:
    """Write a preset of a user's own with more keys; return the arguments that choose it."""
    path = folder / "declared" / "experiment" / "own.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(f"# @package _global_\n{text}\n", encoding="utf-8")
    return ["--config-dir", str(folder / "declared"), "experiment=own"]


def spec(choices: dict[str, str] | None = None, **changes: Any) -> RunSpec:
    """Return the specification of the default run, with some keys changed."""
    return run_spec(configuration(**changes), choices or CHOICES, Path.cwd())
