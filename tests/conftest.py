"""Keep tests apart: each begins in a folder of its own and leaves no global behind."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests import processes
from tests.commands import isolation

# Time never decides a test, on a machine that has other work least of all.
settings.register_profile("sweep", deadline=None)
settings.load_profile("sweep")

if TYPE_CHECKING:
    from playwright.sync_api import Browser

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update "
    "--disable-sync --no-first-run"
).split()

CACHE = pytest.StashKey[str]()


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
    """Work in a new folder, and restore all globals that a test may change."""
    with isolation(tmp_path):
        yield


@pytest.fixture
def weird_path(tmp_path: Path) -> Path:
    """Return an empty folder whose path holds what paths seldom hold: a space and a `=`."""
    folder = tmp_path / "a folder" / "lr=0.1"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Return Chromium, one in a process of tests; where there is none the tests fail."""
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    assert path, "no Chromium: run scripts/system-packages, or install Debian's chromium"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield started
        started.close()
