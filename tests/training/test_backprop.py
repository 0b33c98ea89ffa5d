"""The compiled trainer: golden numbers, agreement with the plain network, where it ends."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sweep.training import network as plain
from sweep.training.data import Data
from sweep.training.network import RULES, Network
from tests import notebook
from tests.training.alone import Alone

GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text())["points"]


def trainer(lr: float = 0.1, rule: str = "notebook") -> Alone:
    return Alone(notebook.notebook_network(), notebook.notebook_data(), lr=lr, rule=rule)


def assert_golden(point: dict[str, Any], error: float, weights: dict[str, Any]) -> None:
    root, expected = math.sqrt(error), math.sqrt(float(point["final_error"]))
    assert abs(root - expected) <= 1e-9 * expected + 1e-13
    assert list(weights) == list(point["weights"])
    for name, value in point["weights"].items():
        assert weights[name] == pytest.approx(float(value), rel=1e-9, abs=0), name


def golden_id(point: dict[str, Any]) -> str:
    return f"{point['rule']}-{point['lr']}-{point['iters']}"


def test_golden_table_holds_every_point_of_the_grid_with_both_rules() -> None:
    held = {(point["rule"], point["lr"], point["iters"]) for point in GOLDEN}
    for rule in ("notebook", "gradient"):
        assert {(rule, lr, 10**n) for lr in (0.01, 0.05, 1.0) for n in (0, 3, 4, 5)} <= held


@pytest.mark.parametrize("point", GOLDEN, ids=golden_id)
def test_kernel_is_golden(point: dict[str, Any]) -> None:
    it = trainer(point["lr"], point["rule"])
    errors = it.advance(point["iters"])
    assert errors.shape == (point["iters"],)
    assert errors[-1] == it.error()
    assert_golden(point, it.error(), it.weights())


SHORT = [p for p in GOLDEN if p["iters"] <= 1000]


@pytest.mark.parametrize("point", SHORT, ids=golden_id)
def test_plain_network_is_golden(point: dict[str, Any]) -> None:
    net, data = notebook.notebook_network(), notebook.notebook_data()
    for _ in range(point["iters"]):
        net = plain.step(net, data.inputs, data.targets, point["lr"], point["rule"])
    assert_golden(point, net.error(data.inputs, data.targets), net.named())


def test_notebook_is_what_it_prints() -> None:
    it = trainer()
    assert abs(it.error() - notebook.ERROR) <= 1e-15
    it.advance(1)
    for name, value in it.weights().items():
        assert abs(value - notebook.WEIGHTS_AFTER[name]) <= 1e-15, name


def assert_agrees(it: Alone, net: Network, data: Data, lr: float, rule: str, n: int) -> None:
    errors = it.advance(n)
    for at in range(n):
        net = plain.step(net, data.inputs, data.targets, lr, rule)
        expected = net.error(data.inputs, data.targets)
        assert errors[at] == pytest.approx(expected, rel=1e-9, abs=1e-20)
    for name, value in net.named().items():
        assert np.asarray(it.weights()[name]) == pytest.approx(value, rel=1e-9, abs=1e-13), name


def problem(
    layers: list[int], activation: str, bias: str, samples: int, *, crossed: bool, seed: int = 3
) -> tuple[Network, Data]:
    rng = np.random.default_rng(seed)
    net = Network.build(
        layers=layers,
        activation=[activation] * (len(layers) - 2) + ["softmax" if crossed else activation],
        loss="cross_entropy" if crossed else "squared_error",
        bias=bias,
        init={"scheme": "xavier", "bias": 0.1},
        seed=seed,
    )
    targets = rng.random((samples, layers[-1]))
    if crossed:
        targets /= targets.sum(axis=1, keepdims=True)
    return net, Data(rng.normal(size=(samples, layers[0])), targets)


@pytest.mark.parametrize("crossed", [False, True])
@pytest.mark.parametrize("bias", ["shared", "per_neuron"])
@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu", "identity"])
@pytest.mark.parametrize(
    ("layers", "samples"),
    [([9, 7, 5, 3], 1), ([9, 7, 5, 3], 40), ([20, 3], 40), ([6, 60, 4], 1100)],
)
def test_general_kernel_agrees_with_the_plain_network(
    layers: list[int], samples: int, activation: str, bias: str, crossed: bool
) -> None:
    net, data = problem(layers, activation, bias, samples, crossed=crossed)
    it = Alone(net, data, lr=0.05, rule="gradient")
    assert_agrees(it, net, data, 0.05, "gradient", 20)


@pytest.mark.parametrize("samples", [1, 5])
@pytest.mark.parametrize(
    ("layers", "activation", "bias", "crossed"),
    [
        ([3, 2], "sigmoid", "per_neuron", False),
        ([2, 3, 2, 1], "tanh", "shared", False),
        ([3, 4, 2], "relu", "per_neuron", False),
        ([2, 2, 2], "identity", "shared", False),
        ([2, 3, 3], "tanh", "per_neuron", True),
    ],
)
def test_generated_kernel_agrees_with_the_plain_network(
    layers: list[int], activation: str, bias: str, crossed: bool, samples: int
) -> None:
    net, data = problem(layers, activation, bias, samples, crossed=crossed)
    it = Alone(net, data, lr=0.05, rule="gradient")
    assert_agrees(it, net, data, 0.05, "gradient", 50)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("layers", "samples"), [([2, 2, 1], 3), ([12, 8, 3], 3)])
def test_rules_agree_with_the_plain_network(layers: list[int], samples: int, rule: str) -> None:
    net, data = problem(layers, "sigmoid", "shared", samples, crossed=False)
    assert_agrees(Alone(net, data, lr=0.5, rule=rule), net, data, 0.5, rule, 50)


def test_stall_is_the_first_step_that_changes_no_weight() -> None:
    it = trainer(1.0)
    it.advance(100_000)
    assert it.stalled_at is not None
    before, after = trainer(1.0), trainer(1.0)
    before.advance(it.stalled_at - 1)
    after.advance(it.stalled_at)
    assert before.weights() != after.weights() == it.weights()
    assert before.stalled_at is None
    assert after.stalled_at == it.stalled_at


def test_huge_rate_saturates_and_stalls_at_its_floor() -> None:
    it = trainer(1000.0)
    errors = it.advance(50)
    assert errors[-1] == pytest.approx(0.00625, rel=1e-12)
    assert it.stalled_at is not None and it.stalled_at <= 50
    assert it.diverged_at is None


def test_start_that_cannot_move_is_stalled_at_once() -> None:
    net = Network.build(layers=[1, 1], activation="relu", weights=[[[-1.0]]], biases=[0.0])
    it = Alone(net, Data(np.ones((1, 1)), np.ones((1, 1))), lr=0.1, rule="gradient")
    assert it.advance(3).tolist() == [0.5, 0.5, 0.5]
    assert it.stalled_at == 0


def diverging(activation: Any, layers: list[int]) -> tuple[Network, Data]:
    net = Network.build(layers=layers, activation=activation, init={"scheme": "he", "bias": 0.5})
    rng = np.random.default_rng(1)
    return net, Data(rng.random((2, layers[0])) + 1.0, rng.random((2, layers[-1])))


def first_not_finite(net: Network, data: Data, lr: float, limit: int) -> int:
    with np.errstate(all="ignore"):
        for at in range(limit):
            values = [net.flat(), net.forward(data.inputs)[-1]]
            error = net.error(data.inputs, data.targets)
            if not (np.isfinite(error) and all(np.isfinite(v).all() for v in values)):
                return at
            net = plain.step(net, data.inputs, data.targets, lr, "gradient")
    raise AssertionError("it stays finite")


@pytest.mark.parametrize("size", [1, 3, 64, 1000])
@pytest.mark.parametrize(
    ("activation", "layers", "lr"),
    [
        ("identity", [2, 2, 1], 0.9),
        ("identity", [3, 1], 0.5),
        (["relu", "identity"], [2, 3, 1], 10.0),
        ("identity", [20, 5, 2], 0.5),
    ],
)
def test_divergence_is_found_at_its_exact_step(
    activation: Any, layers: list[int], lr: float, size: int
) -> None:
    net, data = diverging(activation, layers)
    step = first_not_finite(net, data, lr, 2000)
    it = Alone(net, data, lr=lr, rule="gradient")
    errors = np.concatenate([it.advance(size) for _ in range(0, step + 5, size)])
    assert np.isfinite(errors[: step - 1]).all()
    assert np.isnan(errors[step - 1 :]).all()
    assert it.diverged_at == step
    assert math.isnan(it.error())
    assert it.stalled_at is None
    alone = Alone(net, data, lr=lr, rule="gradient")
    alone.advance(step)
    assert repr(it.weights()) == repr(alone.weights())


def test_start_that_is_not_finite_diverges_at_once() -> None:
    net = Network.build(layers=[1, 1], activation="identity", weights=[[[1e300]]], biases=[0.0])
    it = Alone(net, Data(np.full((1, 1), 1e300), np.ones((1, 1))), lr=0.1, rule="gradient")
    assert not math.isfinite(it.error())
    assert it.diverged_at == 0
    assert np.isnan(it.advance(4)).all()
    assert it.weights() == net.named()


def test_error_that_overflows_for_one_step_ends_the_run_there() -> None:
    """A finite weight vector, an infinite error, and after it a dead network at E = 0.5."""
    net = Network.build(layers=[1, 1], activation="relu", weights=[[[1.0]]], biases=[0.0])
    data = Data(np.full((1, 1), 1.0), np.full((1, 1), 1e100))
    it = Alone(net, data, lr=1e60, rule="fixed_bias")
    assert np.isnan(it.advance(3)).all()
    assert it.diverged_at == 1


@pytest.mark.parametrize(
    ("activation", "targets", "accuracy"),
    [
        ("sigmoid", [[0.0], [1.0], [1.0]], 2 / 3),
        ("sigmoid", [[1.0], [1.0], [1.0]], 1 / 3),
        ("sigmoid", [[0.0], [1.0], [2.0]], None),
        ("identity", [[0.0], [1.0], [1.0]], None),
    ],
)
def test_one_sigmoid_for_zero_and_one_is_a_classifier(
    activation: str, targets: list[list[float]], accuracy: float | None
) -> None:
    net = Network.build(layers=[1, 1], activation=activation, weights=[[[1.0]]], biases=[0.0])
    inputs, answers = np.array([[-1.0], [-0.5], [2.0]]), np.array(targets)
    it = Alone(net, Data(inputs, answers, inputs[2:], answers[2:]), lr=0.1, rule="gradient")
    expected = {} if accuracy is None else {"accuracy": accuracy, "validation_accuracy": 1.0}
    assert it.metrics() == expected
