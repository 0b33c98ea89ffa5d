"""Install the package as others do, away from the checkout, and run it there."""

from __future__ import annotations

import os
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.processes import ROOT, Ended, clean_environment, run

pytestmark = pytest.mark.slow

FINAL_B2 = "0.4998870565497362"
"""What the notebook prints last, after one backpropagation with a learning rate of 0.1."""

OUTSIDE = {"PYTHONPATH": None}
"""The checkout must not be importable by accident."""


def build(kind: str, folder: Path) -> Path:
    """Build a wheel (kind ``wheel`` or ``editable``) by the hook that installers call."""
    program = f"import sys, hatchling.build as hooks; hooks.build_{kind}(sys.argv[1])"
    done = run([sys.executable, "-c", program, folder], ROOT, env=clean_environment(OUTSIDE))
    assert done.code == 0, done.err
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(wheel: Path, folder: Path) -> Path:
    """Make a virtual environment with the wheel in it; return its folder of programs.

    The dependencies come from the environment that the tests run in, by a path file; an
    editable install there is not followed, as path files found along a path are not read.
    """
    plain = clean_environment(OUTSIDE)
    done = run([sys.executable, "-m", "venv", "--without-pip", folder], folder.parent, env=plain)
    assert done.code == 0, done.err
    python = folder / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install"]
    done = run([*command, "--no-deps", "--no-index", wheel], folder.parent, env=plain)
    assert done.code == 0, done.err
    (site,) = folder.glob("lib/python*/site-packages")
    ours = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    (site / "dependencies.pth").write_text("\n".join(sorted(ours)) + "\n", encoding="utf-8")
    return folder / "bin"


def execute(command: list[str | Path], cwd: Path, **changes: str | None) -> Ended:
    return run(command, cwd, env=clean_environment(OUTSIDE | changes), timeout=200)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(wheel, tmp_path_factory.mktemp("installed") / "venv")


@pytest.fixture(scope="module")
def editable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    wheel = build("editable", tmp_path_factory.mktemp("editable-wheel"))
    return install(wheel, tmp_path_factory.mktemp("editable") / "venv")


def where(programs: Path, cwd: Path) -> Path:
    done = execute([programs / "python", "-c", "import sweep; print(sweep.__file__)"], cwd)
    assert done.code == 0, done.err
    return Path(done.out.strip()).parent


def test_wheel_is_used_from_where_it_was_installed(installed: Path, tmp_path: Path) -> None:
    assert where(installed, tmp_path).is_relative_to(installed.parent)


def test_wheel_brings_every_file_of_conf(installed: Path, tmp_path: Path) -> None:
    conf = where(installed, tmp_path) / "conf"

    def names(root: Path) -> list[str]:
        return sorted(path.relative_to(root).as_posix() for path in root.rglob("*.*"))

    assert names(conf) == names(ROOT / "conf") != []


def test_editable_install_uses_the_checkout(editable: Path, tmp_path: Path) -> None:
    assert where(editable, tmp_path) == ROOT / "sweep"


@pytest.mark.parametrize("kind", ["installed", "editable"])
def test_install_trains_the_notebooks_example_and_sweeps_with_its_own_plugins(
    kind: str, weird_path: Path, request: pytest.FixtureRequest
) -> None:
    programs: Path = request.getfixturevalue(kind)
    done = execute([programs / "python", "-m", "sweep"], weird_path)
    assert done.code == 0, done.err
    assert FINAL_B2 in done.out
    done = execute([programs / "sweep", "-m", "lr=0.1", "iters=1,2"], weird_path)
    assert done.code == 0, done.err
    assert len(list((weird_path / "outputs" / "reports").iterdir())) == 1


# --- the oldest dependencies that are allowed ----------------------------------------------


def lowest() -> list[str]:
    """Return each dependency at the lowest version that pyproject.toml allows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = []
    for requirement in map(Requirement, project["dependencies"]):
        (low,) = [one.version for one in requirement.specifier if one.operator == ">="]
        pins.append(f"{requirement.name}=={low}")
    return pins


def test_wheel_works_with_the_oldest_dependencies_that_it_allows(
    wheel: Path, tmp_path: Path
) -> None:
    venv = tmp_path / "venv"
    assert execute([sys.executable, "-m", "venv", venv], tmp_path).code == 0
    python = venv / "bin" / "python"
    download = [python, "-m", "pip", "install", "-q", "--no-compile", wheel, *lowest()]
    done = run(download, tmp_path, env=clean_environment(OUTSIDE), timeout=850)
    assert done.code == 0, done.err
    # On standard error MLflow before 3.10 prints how it sets up a new database.
    single = execute([python, "-m", "sweep"], tmp_path)
    assert single.code == 0 and FINAL_B2 in single.out, single
    grid = execute([python, "-m", "sweep", "-m", "lr=0.1,1.0", "iters=1,100"], tmp_path)
    assert grid.code == 0 and "Best of 4 runs" in grid.out and grid.err == "", grid
    verified = execute([python, "-m", "sweep.verify"], tmp_path)
    assert verified.code == 0 and "4 runs verified, 0 differ" in verified.out, verified


# --- an install that nobody may write to ---------------------------------------------------


def without_write_rights(command: list[str | Path]) -> list[str | Path]:
    """Return the command with file permissions in force, which root otherwise passes over."""
    if os.geteuid() != 0:
        return command
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]


def test_read_only_install_without_a_home_runs(wheel: Path, tmp_path: Path) -> None:
    programs = install(wheel, tmp_path / "venv")
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    locked = [programs.parent, *programs.parent.rglob("*"), home]
    locked = [path for path in locked if not path.is_symlink()]
    modes = {path: path.stat().st_mode for path in locked}
    nowhere = {"HOME": str(home), "NUMBA_CACHE_DIR": None, "XDG_CACHE_HOME": None}
    package = where(programs, work)
    for path, mode in modes.items():
        path.chmod(mode & ~0o222)
    try:
        for place in (package, home):
            probe = execute(without_write_rights(["touch", place / "probe"]), work, **nowhere)
            assert probe.code != 0, "the premise of this test: nothing can be written there"
        done = execute(without_write_rights([programs / "sweep"]), work, **nowhere)
    finally:
        for path, mode in modes.items():
            path.chmod(mode)
    assert done.code == 0, done.err
    assert FINAL_B2 in done.out
    assert not list(home.iterdir())
    assert not list(package.rglob("*.nb[ic]"))
