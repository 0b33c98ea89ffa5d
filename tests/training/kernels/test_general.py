"""The kernel for large networks comes from numba's cache, where there is one that fits."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tests.processes import ROOT, clean_environment, start

PROGRAM = """
import sys
import numpy as np
from sweep.training.backprop import Backprop
from sweep.training.data import Data
from sweep.training.network import Network
data = Data(np.array([[2.0, 5.0, 1.0, 4.0]]), np.array([[0.05, 0.1]]))
def last(hidden):
    net = Network.build(layers=[4, hidden, 2], init={"scheme": "he"})
    return Backprop([net], data, lrs=[0.1], rule="gradient").advance(1000).errors[0, -1].hex()
print(last(3))
assert "numba" not in sys.modules
print(last(30))
from sweep.training.kernels.general import _compiled
stats = _compiled().stats
print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""


def installed(folder: Path) -> dict[str, str]:
    """Copy the package below `folder`; return an environment that finds only that copy."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "sweep", folder / "sweep", ignore=ignored)
    return clean_environment({"PYTHONPATH": str(folder), "NUMBA_CACHE_DIR": None})


def run_all(folder: Path, env: dict[str, str], count: int = 1) -> list[list[str]]:
    """Run the program in some processes at once; return the lines of each."""
    command = [sys.executable, "-W", "error", "-c", PROGRAM]
    processes = [start(command, folder, env) for _ in range(count)]
    ended = [(*process.communicate(timeout=300), process.returncode) for process in processes]
    assert [(err, code) for _, err, code in ended] == [("", 0)] * count
    return [out.splitlines() for out, _, _ in ended]


@pytest.mark.slow
def test_cache_serves_what_it_fits_whatever_its_state(weird_path: Path) -> None:
    env = installed(weird_path)
    kernels = weird_path / "sweep" / "training" / "kernels"
    first = run_all(weird_path, env, count=3)  # of a cold cache, all at once
    ((small, large),) = {(small, large) for small, large, _ in first}
    assert run_all(weird_path, env) == [[small, large, "1 0"]]  # a later start compiles nothing
    cached = list((kernels / "__pycache__").glob("*.nb[ci]"))
    assert len({path.suffix for path in cached}) == len(cached) == 2
    assert not list((kernels / "__pycache__").glob("*.tmp.*"))
    for file in cached:
        file.write_bytes(file.read_bytes()[:40])  # damaged
    assert run_all(weird_path, env)[0][:2] == [small, large]
    exponential = kernels / "exponential.py"
    text = exponential.read_text()
    assert "0x1.000000000000ap-1" in text
    exponential.write_text(text.replace("0x1.000000000000ap-1", "0x1.0p-2"))
    changed = run_all(weird_path, env)[0]
    assert changed[0] != small and changed[1] != large  # no old machine code runs


@pytest.mark.slow
def test_no_folder_for_a_cache_is_no_hindrance(weird_path: Path) -> None:
    env = installed(weird_path) | {"HOME": "/dev/null/home", "XDG_CACHE_HOME": "/dev/null/cache"}
    (weird_path / "sweep" / "training" / "kernels" / "__pycache__").write_text("a file")
    small, large, stats = run_all(weird_path, env)[0]
    assert float.fromhex(small) > 0 and float.fromhex(large) > 0
    assert stats == "0 1"
