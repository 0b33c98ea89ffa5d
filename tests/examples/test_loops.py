"""Training loops of twenty lines, in scikit-learn and PyTorch, each swept by one command."""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np
import pytest
from mlflow.entities import Run

from sweep.training.function import Function
from sweep.training.history import RunResult
from sweep.training.protocol import snapshot
from tests.commands import run_here
from tests.examples.support import EXAMPLES, spec_of, trained
from tests.stores import runs_of


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a fresh copy of the example, far from the checkout."""
    made = tmp_path / "loops"
    shutil.copytree(EXAMPLES / "loops", made)
    monkeypatch.syspath_prepend(str(made))
    yield made
    for name in ("sklearn_loop", "torch_loop"):
        sys.modules.pop(name, None)


def result(folder: Path, *overrides: str) -> RunResult:
    return trained(spec_of(folder / "my_conf", *overrides, base=folder))


def swept(folder: Path, command: list[str]) -> dict[str, Run]:
    ended = run_here(["-m", "--config-dir", "my_conf", *command], folder)
    assert (ended.code, ended.err) == (0, ""), ended
    found = runs_of(folder / "outputs")
    assert {run.info.status for run in found.values()} == {"FINISHED"}
    return found


def test_scikit_learn_loop_learns_the_digits(folder: Path) -> None:
    found = result(folder, "trainer=sklearn_loop", "lr=0.01", "iters=5")
    assert found.initial_error == math.log(10)
    steps, accuracy = found.curves["accuracy"]
    assert steps.tolist() == [0, 1, 2, 3, 4, 5] and accuracy[-1] > 0.9


@pytest.mark.slow
def test_scikit_learn_loop_is_swept_by_one_command(folder: Path) -> None:
    command = ["trainer=sklearn_loop", "lr=0.001,0.01", "iters=2,5", "trainer.penalty=1e-4,1e-2"]
    runs = swept(folder, command)
    assert len(runs) == 8
    best = runs["lr=0.01,iters=5,trainer.penalty=0.0001"]
    assert best.data.metrics["accuracy"] > 0.9
    log = folder / "outputs" / "artifacts" / best.info.run_id / "artifacts" / "log.txt"
    assert log.read_text().count("error ") == 5


@pytest.mark.torch
def test_pytorch_loop_yields_the_loss_of_the_weights_that_are_stored(folder: Path) -> None:
    short, long = (
        result(folder, "trainer=torch_loop", "data=xor", "lr=0.2", f"iters={iters}")
        for iters in (30, 2000)
    )
    assert (long.errors[:31] == short.errors).all()
    assert long.curves["accuracy"][1][-1] == 1.0
    inputs = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    first = np.tanh(inputs @ long.final_weights["0.weight"].T + long.final_weights["0.bias"])
    outputs = first @ long.final_weights["2.weight"].T + long.final_weights["2.bias"]
    error = np.mean((outputs - np.array([[0], [1], [1], [0]])) ** 2)
    assert abs(error - float(long.errors[-1])) < 1e-12


@pytest.mark.torch
def test_pytorch_loop_is_swept_by_one_command(folder: Path) -> None:
    command = [
        "trainer=torch_loop",
        "data=xor",
        "lr=0.05,0.2",
        "iters=10,100",
        "trainer.hidden=4,8",
    ]
    runs = swept(folder, command)
    assert len(runs) == 8
    assert all("accuracy" in run.data.metrics for run in runs.values())


@pytest.mark.torch
def test_tensors_that_need_their_gradient_are_numbers() -> None:
    import torch

    weight = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)

    def train() -> Generator[dict[str, object]]:
        yield {"error": (weight**2).sum(), "weights": {"w": weight}}

    batch = Function("train", train())
    assert batch.now().errors.tolist() == [[5.0]]
    assert snapshot(batch)["w"].tolist() == [1.0, 2.0]
