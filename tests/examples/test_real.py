"""Real data by configuration alone, beside scikit-learn's own network: same start, same updates."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.neural_network import MLPClassifier, MLPRegressor

from sweep.config.spec import RunSpec
from sweep.training.backprop import epoch_order
from tests.examples.support import EXAMPLES, spec_of, trained
from tests.processes import run

pytestmark = pytest.mark.slow

CONF = EXAMPLES / "real" / "my_conf"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the two files, written as the example says."""
    made = tmp_path_factory.mktemp("real data")
    ended = run([sys.executable, EXAMPLES / "real" / "write_data.py"], made)
    assert (ended.code, ended.err) == (0, "")
    return made


def spec(name: str, folder: Path, *overrides: str) -> RunSpec:
    return spec_of(CONF, f"network={name}", f"data={name}", *overrides, base=folder)


def test_files_hold_what_the_library_bundles(folder: Path) -> None:
    diabetes = load_diabetes()
    made = spec("diabetes", folder, "data.standardize=false").data()
    assert (made.inputs == diabetes.data).all()
    assert (made.targets[:, 0] == diabetes.target).all()
    iris = load_iris()
    made = spec("iris", folder, "data.standardize=false").data()
    assert (made.inputs == iris.data).all()
    assert (made.targets == np.eye(3)[iris.target]).all()


def independent(spec: RunSpec, kind: Any) -> Any:
    """Return scikit-learn's plain stochastic gradient descent from the same first weights."""
    data, network = spec.data(), spec.network
    targets = data.targets[:, 0] if kind is MLPRegressor else data.targets.argmax(axis=1)
    model = kind(
        hidden_layer_sizes=network.layers[1:-1],
        activation=network.activations[0],
        solver="sgd",
        alpha=0.0,
        momentum=0.0,
        nesterovs_momentum=False,
        learning_rate_init=spec.lr,
        batch_size=len(data.inputs),
        shuffle=False,
        random_state=0,
    )
    classes = {} if kind is MLPRegressor else {"classes": np.unique(targets)}
    model.partial_fit(data.inputs, targets, **classes)  # makes the arrays that are filled here
    for ours, theirs in zip(network.weights, model.coefs_, strict=True):
        theirs[...] = ours
    for ours, theirs in zip(network.biases, model.intercepts_, strict=True):
        theirs[...] = ours
    return model, data.inputs, targets


def assert_equal(result: Any, model: Any, tolerance: float = 1e-10) -> None:
    ours = np.concatenate([np.ravel(value) for value in result.final_weights.values()])
    theirs = np.concatenate([np.ravel(value) for value in (*model.coefs_, *model.intercepts_)])
    assert abs(ours - theirs).max() <= tolerance
    assert abs(theirs).max() > 0.1


@pytest.mark.filterwarnings("ignore:Got `batch_size`:UserWarning")
@pytest.mark.parametrize(("name", "kind"), [("diabetes", MLPRegressor), ("iris", MLPClassifier)])
def test_full_batch_agrees_with_another_library(name: str, kind: Any, folder: Path) -> None:
    run_ = spec(name, folder, "lr=0.1", "iters=500")
    model, inputs, targets = independent(run_, kind)
    for _ in range(500):
        model.partial_fit(inputs, targets)
    result = trained(run_)
    assert_equal(result, model)
    assert result.initial_error is not None and result.final_error is not None
    assert result.final_error < 0.75 * result.initial_error
    assert model.loss_ == pytest.approx(result.errors[-2], rel=1e-10)


@pytest.mark.filterwarnings("ignore:Got `batch_size`:UserWarning")
@pytest.mark.parametrize(("name", "kind"), [("diabetes", MLPRegressor), ("iris", MLPClassifier)])
def test_batches_agree_with_another_library(name: str, kind: Any, folder: Path) -> None:
    run_ = spec(name, folder, "lr=0.05", "iters=300", "seed=3", "trainer.batch_size=32")
    model, inputs, targets = independent(run_, kind)
    done = epoch = 0
    while done < 300:
        order = epoch_order(3, epoch, len(inputs))
        for start in range(0, len(order), 32):
            rows = order[start : start + 32]
            if done < 300:
                model.partial_fit(inputs[rows], targets[rows])
                done += 1
        epoch += 1
    assert_equal(trained(run_), model)
