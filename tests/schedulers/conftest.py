"""The grid under the default launcher, which every other one must equal; Slurm, when asked for."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sweep.config.settings import Tracking
from tests.schedulers.support import GRID, Script, sweep, user_folder
from tests.stores import content


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what the default launcher stores of the grid: one of four runs fails."""
    folder = user_folder(tmp_path_factory.mktemp("reference") / "user")
    ended = sweep(folder, *GRID)
    assert ended.code == 1, ended
    found = content(Tracking(kind="local", outputs=folder / "outputs"))
    assert sorted(run["status"] for run in found.values()) == ["FAILED"] + ["FINISHED"] * 3
    return found


@pytest.fixture(scope="session")
def slurm() -> Iterator[dict[str, str]]:
    """Start Slurm by the project's script; return what its users have in their environment."""
    folder = Path(tempfile.mkdtemp(prefix="sweep-slurm-", dir="/tmp"))
    script = Script("slurm", folder)
    try:
        yield script.start()
    finally:
        ended = script("stop")
        assert ended.code == 0 and script("status").code == 1, ended
        shutil.rmtree(folder)
