"""The shape of the project: what loads what, small modules, a configuration that composes.

Who may import whom stands in pyproject.toml and is checked by import-linter.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatchcase
from itertools import zip_longest
from pathlib import Path

import pytest

from tests.processes import ROOT, clean_environment

HEAVY = ("matplotlib", "mlflow", "numba", "pandas", "pyarrow", "ray", "distributed", "sklearn")
HEAVY_ROOMS = ["sweep.training.kernels.general", "sweep.report.*", "sweep.tracking.*"]
HEAVY_ROOMS += ["sweep.engine.executors.dask", "sweep.engine.executors.ray"]
"""Modules whose own job needs a heavy library; whoever uses one imports it late."""

LINES = 300
"""No module is longer; the aim is 250."""

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONF = ROOT / "conf"


def fits(name: str, patterns: list[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def source_files() -> list[Path]:
    """Return every Python file that is installed."""
    return sorted(
        path for folder in ("hydra_plugins", "sweep") for path in (ROOT / folder).rglob("*.py")
    )


def module_name(path: Path) -> str:
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# --- imports ------------------------------------------------------------------------------


def test_hydra_plugins_are_safe_for_every_hydra_program() -> None:
    """Hydra executes them in every program, and outside sys.modules (no deferred annotations)."""
    for path in (ROOT / "hydra_plugins").rglob("*.py"):
        early = set(re.findall(r"^(?:from|import) (\w+)", path.read_text(encoding="utf-8"), re.M))
        assert path.name != "__init__.py", "hydra_plugins is a namespace that others share"
        assert early <= {"hydra", "omegaconf", *sys.stdlib_module_names} - {"__future__"}


def test_private_parts_of_hydra_are_taken_in_one_place() -> None:
    private = re.compile(r"(hydra|omegaconf)[\w.]*\._|omegaconf\.base")
    found = [path for path in source_files() if private.search(path.read_text(encoding="utf-8"))]
    assert [path.name for path in found] == ["sweep_trajectory.py"]


# --- start-up ----------------------------------------------------------------------------


def test_modules_load_nothing_heavy() -> None:
    names = [name for name in map(module_name, source_files()) if not fits(name, HEAVY_ROOMS)]
    program = (
        "import importlib, json, sys\n"
        "blame = {}\n"
        f"for name in {names!r}:\n"
        "    importlib.import_module(name)\n"
        f"    for heavy in {HEAVY!r}:\n"
        "        if heavy in sys.modules: blame.setdefault(heavy, name)\n"
        "print(json.dumps(blame))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=clean_environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {}


@pytest.mark.parametrize(("args", "code"), [(["--help"], 0), (["-m", "lr=x"], 2)])
def test_command_that_trains_nothing_loads_nothing_heavy(
    args: list[str], code: int, tmp_path: Path
) -> None:
    program = (
        "import atexit, json, sys\n"
        "atexit.register(lambda: print('\\n' + json.dumps(sorted(sys.modules))))\n"
        "from sweep.cli.app import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *args],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stderr[-2000:]
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert "hydra" in loaded
    assert not loaded & set(HEAVY)
    assert not list(tmp_path.iterdir())


# --- modules -----------------------------------------------------------------------------


def test_modules_are_small() -> None:
    lines = {relative(path): len(path.read_text().splitlines()) for path in source_files()}
    assert {path: count for path, count in lines.items() if count > LINES} == {}


# --- configuration -----------------------------------------------------------------------


def primary_files() -> list[str]:
    return sorted(path.stem for path in CONF.glob("*.yaml"))


def group_choices() -> list[list[str]]:
    """Return every option of every group, one of each group in a list."""
    groups: dict[str, list[str]] = {}
    for path in sorted(CONF.rglob("*/*.yaml")):
        group = path.parent.relative_to(CONF).as_posix()
        groups.setdefault(group, []).append(f"{group}={path.stem}")
    return [[*filter(None, row)] for row in zip_longest(*groups.values())]


def compose(primary: str, overrides: list[str]) -> object:
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from sweep.cli.hydra_config import register

    register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose(primary, overrides)
    return OmegaConf.to_container(config, resolve=True, throw_on_missing=True)


@pytest.mark.parametrize("primary", primary_files())
def test_primary_file_composes(primary: str) -> None:
    assert compose(primary, [])


@pytest.mark.parametrize("choices", group_choices(), ids=" ".join)
def test_group_files_compose(choices: list[str]) -> None:
    assert compose("config", choices)


# --- packaging ---------------------------------------------------------------------------


def test_dependencies_are_ranges() -> None:
    project = PYPROJECT["project"]
    for lines in [project["dependencies"], *project["optional-dependencies"].values()]:
        for line in lines:
            assert ">=" in line or line.startswith("sweep["), line


def test_every_script_can_be_executed() -> None:
    for path in [*(ROOT / "scripts").iterdir(), ROOT / ".ci" / "run"]:
        assert path.stat().st_mode & 0o111, relative(path)
        assert path.read_text(encoding="utf-8").startswith("#!/usr/bin/env ")
