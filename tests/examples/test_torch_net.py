"""The PyTorch example: the built-in trainer's numbers by another library's derivatives."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sweep.config.spec import RunSpec
from tests.commands import run_here
from tests.examples.support import EXAMPLES, spec_of, trained
from tests.stores import runs_of

pytestmark = pytest.mark.torch


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    made = tmp_path / "my torch"
    shutil.copytree(EXAMPLES / "torch_net", made)
    sys.path.insert(0, str(made))
    yield made
    sys.path.remove(str(made))
    sys.modules.pop("torch_net", None)


def spec(folder: Path, *overrides: str) -> RunSpec:
    return spec_of(folder / "my_conf", *overrides, base=folder)


def flat(weights: Any) -> Any:
    names = sorted(weights, key=lambda name: (name.startswith("biases"), name))
    return np.concatenate([np.ravel(weights[name]) for name in names])


def test_numbers_are_those_of_the_built_in_trainer(folder: Path) -> None:
    common = ["network=xor", "data=xor", "lr=0.5", "iters=400"]
    ours = trained(spec(folder, *common))
    theirs = trained(spec(folder, *common, "trainer=torch_net"))
    assert abs(ours.errors - theirs.errors).max() <= 1e-10
    own = np.array(list(ours.final_weights.values()))
    assert abs(own - flat(theirs.final_weights)).max() <= 1e-10


@pytest.mark.parametrize("name", ["diabetes", "iris"])
def test_real_data_is_trained_alike(name: str, folder: Path) -> None:
    from tests.processes import run

    assert run([sys.executable, EXAMPLES / "real" / "write_data.py"], folder).code == 0
    shutil.copytree(EXAMPLES / "real" / "my_conf", folder / "my_conf", dirs_exist_ok=True)
    common = [f"network={name}", f"data={name}", "lr=0.1", "iters=300"]
    ours = trained(spec(folder, *common))
    theirs = trained(spec(folder, *common, "trainer=torch_net"))
    assert abs(ours.errors - theirs.errors).max() <= 1e-10
    assert ours.final_error != ours.initial_error


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_state_goes_on_where_it_was(momentum: float, folder: Path) -> None:
    from sweep.training.trainers import build_batch

    made = spec(
        folder, "network=xor", "data=xor", "trainer=torch_net", f"trainer.momentum={momentum}"
    )
    whole, first, second = (build_batch([made]).items[0] for _ in range(3))
    errors = list(whole.advance(20))
    first.advance(8)
    second.restore({name: np.array(value) for name, value in first.state().items()})
    assert list(second.advance(12)) == errors[8:]


def test_example_is_swept_by_one_command(folder: Path) -> None:
    options = ["trainer=torch_net", "network=xor", "data=xor", "lr=0.1,0.5", "iters=10,100"]
    ended = run_here(["-m", "--config-dir", "my_conf", *options], folder)
    assert (ended.code, ended.err) == (0, ""), ended
    assert [run.info.status for run in runs_of(folder / "outputs").values()] == ["FINISHED"] * 4
