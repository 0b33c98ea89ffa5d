"""Kernels come from the cache: a second start compiles nothing, a first what it needs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.processes import ROOT, clean_environment, start

LOAD = """
import sys
from sweep.training.kernels import compiled
from sweep.training.kernels.spec import KernelSpec
single = sys.argv[2] == "1"
spec = KernelSpec((4, 3, 2), ("sigmoid",) * 2, True, "squared_error", "notebook", single)
kernel = getattr(compiled, sys.argv[1])(spec)
print(sum(kernel.stats.cache_hits.values()), sum(kernel.stats.cache_misses.values()))
"""

TRAIN = """
import numpy as np
from sweep.training.backprop import Backprop
from sweep.training.data import Data
from sweep.training.network import Network
net = Network.build(layers=[4, 3, 2], init={"scheme": "he"})
Backprop(net, Data(np.ones((1, 4)), np.ones((1, 2))), lr=0.1, rule="gradient").advance(10)
"""


def run(program: str, cache: Path, *arguments: str) -> str:
    env = clean_environment({"NUMBA_CACHE_DIR": str(cache)})
    process = start([sys.executable, "-W", "error", "-c", program, *arguments], ROOT, env)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    return out


@pytest.mark.parametrize("samples", ["1", "2"])
@pytest.mark.parametrize("loader", ["load_kernel", "load_lanes_kernel"])
def test_second_start_compiles_nothing(loader: str, samples: str, tmp_path: Path) -> None:
    assert run(LOAD, tmp_path, loader, samples).split() == ["0", "1"]
    assert run(LOAD, tmp_path, loader, samples).split() == ["1", "0"]


def test_one_run_compiles_one_kernel(tmp_path: Path) -> None:
    run(TRAIN, tmp_path)
    assert len(list(tmp_path.rglob("*.nbi"))) == 1
