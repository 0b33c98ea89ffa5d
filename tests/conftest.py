"""Keep tests apart: each begins in a folder of its own and leaves no global behind."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import version
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hypothesis import settings

from tests import processes

# Time never decides a test, on a machine that has other work least of all.
settings.register_profile("sweep", deadline=None)
settings.load_profile("sweep")

CACHE = pytest.StashKey[str]()
UNTOUCHED = version.VersionBase.instance().version_base


def pytest_configure(config: pytest.Config) -> None:
    """Drop foreign variables, and give all tests and their processes one new cache for numba.

    A cache of this session alone: numba looks at the date of a kernel's own file and not at
    the files that the kernel calls into, so an old one could hide a change.
    """
    for name in [name for name in os.environ if name.startswith(processes.FOREIGN)]:
        del os.environ[name]
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    # Scripts that the tests call find this Python, whether its environment is activated or not.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    if not hasattr(config, "workerinput"):  # the workers of xdist share the first process's
        config.stash[CACHE] = os.environ["NUMBA_CACHE_DIR"] = tempfile.mkdtemp(
            prefix="sweep-numba-"
        )


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the session's cache."""
    if CACHE in config.stash:
        shutil.rmtree(config.stash[CACHE], ignore_errors=True)


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path) -> Iterator[None]:
    """Put every global back that a test may change: folder, environment, Hydra, MLflow, logging."""
    environment, folder = dict(os.environ), Path.cwd()
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    forget_hydra()
    os.chdir(tmp_path)
    yield
    os.chdir(folder)
    forget_hydra()
    if "mlflow" in sys.modules:
        forget_mlflow()
    root.setLevel(level)
    root.handlers[:] = handlers
    os.environ.clear()
    os.environ.update(environment)


def forget_hydra() -> None:
    """Clear what Hydra keeps for the process: main instance, configuration, version base."""
    GlobalHydra.instance().clear()
    HydraConfig.instance().cfg = None
    version.VersionBase.instance().version_base = UNTOUCHED


def forget_mlflow() -> None:
    """Clear the tracking address, if a test or the program set one for the whole process."""
    import mlflow

    if mlflow.is_tracking_uri_set():
        mlflow.set_tracking_uri(None)  # type: ignore[arg-type]


@pytest.fixture
def weird_path(tmp_path: Path) -> Path:
    """Return an empty folder whose path holds what paths seldom hold: a space and a `=`."""
    folder = tmp_path / "a folder" / "lr=0.1"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(scope="session")
def run_sweep() -> object:
    """Return the function `tests.processes.run_sweep`, for fixtures and tests of any scope."""
    return processes.run_sweep
