"""Hydra's own conformance suite for launchers."""

from __future__ import annotations

import pytest
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.test_utils.launcher_common_tests import (
    BatchedSweeperTestSuite,
    IntegrationTestSuite,
    LauncherTestSuite,
)

from hydra_plugins.sweep_trajectory import TrajectoryLauncher
from tests.processes import ROOT


def test_launcher_is_discovered_by_hydra() -> None:
    names = [launcher.__name__ for launcher in Plugins.instance().discover(Launcher)]
    assert names.count(TrajectoryLauncher.__name__) == 1


@pytest.fixture(autouse=True)
def checkout_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the suite's scripts, which run in folders of their own, find the plugin."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


# The suite names no version_base, so its jobs change into their folders, and Hydra says so.
old_version_base = pytest.mark.filterwarnings("ignore:Future Hydra versions:UserWarning")


@old_version_base
@pytest.mark.parametrize(("launcher_name", "overrides"), [("trajectory", [])])
class TestLauncher(LauncherTestSuite):
    """One sweep after the other in this process."""


@pytest.mark.slow
@old_version_base
@pytest.mark.parametrize(
    ("launcher_name", "overrides"), [("trajectory", ["hydra.sweeper.max_batch_size=2"])]
)
class TestBatches(BatchedSweeperTestSuite):
    """Several calls of the launcher in one sweep."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task_launcher_cfg", "extra_flags"), [({}, ["-m", "hydra/launcher=trajectory"])]
)
class TestIntegration(IntegrationTestSuite):
    """Scripts of their own."""
