"""The shape of the project: who may import what, small rooms, a configuration that composes."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatchcase
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.imports import Import, imports_of, module_name, source_files
from tests.processes import ROOT, clean_environment

HYDRA = ["hydra_plugins.*", "sweep.cli.*", "sweep.*.__main__"]

SEAMS = {
    "distributed": ["sweep.engine.executors.dask*"],
    "hydra": HYDRA,
    "jinja2": ["sweep.report.pages"],
    "llvmlite": ["sweep.training.kernels*"],
    "markupsafe": ["sweep.report.pages"],
    "matplotlib": ["sweep.report.figures.*"],
    "mlflow": ["sweep.tracking*"],
    "multiprocessing": ["sweep.engine.executors.processes", "sweep.tracking.*"],
    "numba": ["sweep.training.kernels.general"],
    "omegaconf": HYDRA,
    "pydantic": ["sweep.config.models", "sweep.config.settings", "sweep.config.validation"],
    "pandas": ["sweep.training.data.*", "sweep.report.*"]
    + ["sweep.model", "sweep.tracking.models"],
    "pyarrow": ["sweep.training.data.f*", "sweep.tracking.*"],
    "ray": ["sweep.engine.executors.ray*"],
    "rich": ["sweep.console", "sweep.progress"],
    "scipy": ["sweep.report.answer", "sweep.training.kernels.general"],
    "sqlalchemy": ["sweep.tracking.*"],
    "threadpoolctl": ["sweep.training.*"],
    "yaml": ["sweep.cli.points", "sweep.tracking.artifacts"],
}
"""Outside library -> the only modules that use it; others may name its types, unexecuted."""

NUMERIC = ["sweep.checks", "sweep.training", "sweep.training.*"]
"""What trains. It knows a run's specification by its type alone."""

PLANNING = [
    "sweep.engine.batches",
    "sweep.engine.checkpoint",
    "sweep.engine.driver",
    "sweep.engine.estimate",
    "sweep.engine.executors*",
    "sweep.engine.member",
    "sweep.engine.plan",
    "sweep.engine.signals",
]
"""What the engine plans and trains with. It knows no store."""

READING = [
    "sweep.question",
    "sweep.tracking",
    "sweep.tracking.artifacts",
    "sweep.tracking.entities",
    "sweep.tracking.read",
    "sweep.tracking.results",
    "sweep.tracking.settings",
    "sweep.tracking.store",
]

ROOMS = [
    (["sweep", "sweep.config", "sweep.errors"], []),
    (NUMERIC, ["sweep.config.spec", "sweep.errors", *NUMERIC]),
    (
        ["sweep.tracking.models"],
        ["sweep.checks", "sweep.config.settings", "sweep.model", "sweep.tracking*"]
        + ["sweep.training.data.files"],
    ),
    (
        ["sweep.tracking", "sweep.tracking.*"],
        [
            "sweep.checks",
            "sweep.config.run",
            "sweep.training.curve",
            "sweep.config.settings",
            "sweep.config.spec",
            "sweep.errors",
            "sweep.question",
            "sweep.training.history",
            "sweep.training.surroundings",
        ]
        + ["sweep.tracking*"],
    ),
    (
        ["sweep.report.__main__"],
        [
            "sweep.cli.*",
            "sweep.config.run",
            "sweep.config.settings",
            "sweep.config.spec",
            "sweep.console",
            "sweep.errors",
        ]
        + ["sweep.question", "sweep.report*", "sweep.tracking*"],
    ),
    (
        ["sweep.ui"],
        ["sweep.cli.*", "sweep.console", "sweep.engine.signals", "sweep.config.settings"]
        + ["sweep.errors", "sweep.tracking*"],
    ),
    (
        ["sweep.report", "sweep.report.*"],
        ["sweep.errors", "sweep.report*", "sweep.question", "sweep.tracking.read"],
    ),
    (["sweep.question"], ["sweep.tracking.entities", "sweep.tracking.read"]),
    (["sweep.config.*"], ["sweep.config.*", "sweep.errors", *NUMERIC]),
    (["hydra_plugins.*"], ["sweep.cli.*"]),
    (["sweep.__main__"], ["sweep.cli.app"]),
    (
        ["sweep.cli", "sweep.cli.*"],
        ["sweep.checks", "sweep.cli.*", "sweep.config.*", "sweep.console", "sweep.engine.*"]
        + ["sweep.errors", "sweep.tracking.entities", "sweep.tracking.recorder"]
        + ["sweep.question", "sweep.tracking.read"]
        + ["sweep.tracking.settings"]
        + ["sweep.tracking.store", "sweep.tracking.read"]
        + ["sweep.training.history"],
    ),
    (
        ["sweep.engine.executors.worker"],
        ["sweep.errors", "sweep.training.*", "sweep.tracking"],
    ),
    (PLANNING, [*PLANNING, "sweep.config.spec", "sweep.errors", *NUMERIC]),
    (
        ["sweep.engine", "sweep.engine.*"],
        [
            "sweep.console",
            "sweep.engine.*",
            "sweep.errors",
            "sweep.progress",
            "sweep.config.settings",
        ]
        + ["sweep.report.build", "sweep.report.colours", "sweep.config.spec", "sweep.tracking*"]
        + [
            "sweep.question",
            "sweep.training.curve",
            "sweep.training.history",
            "sweep.training.surroundings",
        ],
    ),
    (["sweep.progress"], ["sweep.checks", "sweep.console", "sweep.training.history"]),
    (
        ["sweep.console"],
        ["sweep.checks", "sweep.engine.estimate", "sweep.engine.plan", "sweep.engine.sweep"]
        + [
            "sweep.report.build",
            "sweep.config.settings",
            "sweep.config.spec",
            "sweep.training.history",
        ],
    ),
    (
        ["sweep.verify.__main__"],
        ["sweep.checks", "sweep.cli.app", "sweep.cli.plain", "sweep.config.settings"]
        + ["sweep.console", "sweep.engine.signals", "sweep.errors"]
        + [*READING, "sweep.verify.*"],
    ),
    (
        ["sweep.verify", "sweep.verify.*"],
        [*PLANNING, *READING, "sweep.checks", "sweep.config.run"]
        + ["sweep.errors", "sweep.config.spec", "sweep.training.history"]
        + ["sweep.training.surroundings", "sweep.verify.*"],
    ),
    (
        ["sweep.list"],
        [*READING, "sweep.cli.app", "sweep.cli.plain", "sweep.config.settings", "sweep.console"],
    ),
    (
        ["sweep.export"],
        [*READING, "sweep.cli.app", "sweep.cli.plain", "sweep.console", "sweep.training.data*"]
        + ["sweep.errors", "sweep.report.build", "sweep.config.settings", "sweep.config.spec"]
        + ["sweep.tracking.database", "sweep.tracking.pages"],
    ),
    (
        ["sweep.model"],
        ["sweep.config.models", "sweep.config.spec", "sweep.config.validation", "sweep.errors"]
        + NUMERIC,
    ),
    (
        ["sweep.predict"],
        [*READING, "sweep.cli.app", "sweep.cli.plain", "sweep.config.*", "sweep.console"]
        + ["sweep.errors", "sweep.model", "sweep.report.data", "sweep.training.data.files"],
    ),
]
"""Room -> the modules of ours that it may import; the first room that fits counts."""

HEAVY = ("matplotlib", "mlflow", "numba", "pandas", "pyarrow", "ray", "distributed", "sklearn")
HEAVY_ROOMS = [
    "sweep.training.kernels.general",
    "sweep.report.*",
    "sweep.tracking.*",
]
HEAVY_ROOMS += ["sweep.engine.executors.dask", "sweep.engine.executors.ray"]
"""Modules whose own job needs a heavy library; whoever uses one imports it late."""

LINES = 300
"""No module is longer; the aim is 250."""

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONF = ROOT / "conf"


def fits(name: str, patterns: list[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


@cache
def all_imports() -> list[Import]:
    return [found for path in source_files() for found in imports_of(path)]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# --- directions --------------------------------------------------------------------------


@pytest.mark.parametrize("library", SEAMS)
def test_library_is_known_in_its_rooms_alone(library: str) -> None:
    strangers = {
        found.importer
        for found in all_imports()
        if found.top == library
        and not found.typing_only
        and not fits(found.importer, SEAMS[library])
    }
    assert not strangers, f"{library} belongs to {SEAMS[library]}"


def test_every_module_is_in_a_room() -> None:
    names = map(module_name, source_files())
    assert [name for name in names if not any(fits(name, room) for room, _ in ROOMS)] == []


def test_rooms_import_what_their_direction_allows() -> None:
    wrong = set()
    for found in all_imports():
        allowed = next(ours for room, ours in ROOMS if fits(found.importer, room))
        if found.top in ("sweep", "hydra_plugins"):
            if not fits(found.imported, ["sweep", *allowed]):
                wrong.add(f"{found.importer} -> {found.imported}")
    assert not wrong


def test_console_knows_the_program_by_its_types_alone() -> None:
    found = [each for each in all_imports() if each.importer == "sweep.console"]
    used = {each.imported for each in found if each.top == "sweep" and not each.typing_only}
    assert used == {"sweep.checks"}


def test_modules_import_each_other_without_a_circle() -> None:
    """Imports inside functions count, those of types alone do not."""
    graph: dict[str, set[str]] = {}
    for found in all_imports():
        if found.top == "sweep" and not found.typing_only:
            graph.setdefault(found.importer, set()).add(found.imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"circle: {' -> '.join(error.args[1])}")


def test_hydra_plugins_are_safe_for_every_hydra_program() -> None:
    """Hydra executes them in every program, and outside sys.modules (no deferred annotations)."""
    for path in (ROOT / "hydra_plugins").rglob("*.py"):
        found = list(imports_of(path))
        assert path.name != "__init__.py", "hydra_plugins is a namespace that others share"
        assert "__future__" not in {each.top for each in found}, relative(path)
        early = {each.top for each in found if not each.late}
        assert early <= {"hydra", "omegaconf", *sys.stdlib_module_names}, relative(path)


def test_private_parts_of_hydra_are_taken_in_one_place() -> None:
    private = re.compile(r"(hydra|omegaconf)(\..*)?\._|omegaconf\.base")
    found = {each.importer for each in all_imports() if private.match(each.imported)}
    assert found == {"hydra_plugins.sweep_trajectory"}


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


@pytest.mark.parametrize(
    ("args", "code"), [(["--help"], 0), (["--cfg", "job"], 0), (["lr=-1"], 2), (["-m", "lr=x"], 2)]
)
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


@pytest.mark.parametrize("path", source_files(), ids=relative)
def test_module_is_small(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= LINES


@pytest.mark.parametrize(
    "path", [path for path in source_files() if not path.name.startswith("__")], ids=relative
)
def test_module_has_a_docstring(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


# --- configuration -----------------------------------------------------------------------


def primary_files() -> list[str]:
    return sorted(path.stem for path in CONF.glob("*.yaml"))


def group_choices() -> list[str]:
    files = sorted(path.relative_to(CONF).with_suffix("") for path in CONF.rglob("*/*.yaml"))
    return [f"{path.parent.as_posix()}={path.name}" for path in files]


def compose(primary: str, overrides: list[str]) -> object:
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from sweep.cli.plain import register

    register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose(primary, overrides)
    return OmegaConf.to_container(config, resolve=True, throw_on_missing=True)


@pytest.mark.parametrize("primary", primary_files())
def test_primary_file_composes(primary: str) -> None:
    assert compose(primary, [])


@pytest.mark.parametrize("choice", group_choices())
def test_group_file_composes(choice: str) -> None:
    assert compose("config", [choice])


# --- packaging ---------------------------------------------------------------------------


def normal(requirement: str) -> str:
    """Return the bare name of a requirement such as ``Hydra_Core>=1.3``."""
    return re.split(r"[\[<>=!~; ]", requirement)[0].lower().replace("_", "-")


def test_every_import_is_declared_and_every_dependency_is_imported() -> None:
    project = PYPROJECT["project"]
    base = {normal(line) for line in project["dependencies"]}
    extras = {
        normal(line)
        for extra in ("dask", "ray", "server")
        for line in project["optional-dependencies"][extra]
    }
    providers = packages_distributions()
    used = {
        normal(distribution)
        for found in all_imports()
        if found.top not in sys.stdlib_module_names and found.top not in ("sweep", "hydra_plugins")
        for distribution in providers.get(found.top, [found.top])
        if normal(distribution) not in ("mlflow-skinny", "mlflow-tracing")
    }
    assert used <= base | extras
    assert base <= used


def test_dependencies_are_ranges() -> None:
    project = PYPROJECT["project"]
    for lines in [project["dependencies"], *project["optional-dependencies"].values()]:
        for line in lines:
            assert ">=" in line or line.startswith("sweep["), line


def test_every_script_can_be_executed() -> None:
    for path in [*(ROOT / "scripts").iterdir(), ROOT / ".ci" / "run"]:
        assert path.stat().st_mode & 0o111, relative(path)
        assert path.read_text(encoding="utf-8").startswith("#!/usr/bin/env ")
