"""The plain network: the notebook's numbers, derivatives by finite differences, refusals."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.errors import ConfigError, MisfitError
from sweep.training.data import Data
from sweep.training.network import RULES, Network, check_fit, check_rule, step
from tests import notebook
from tests.configuration import spec

LINEAR = {"layers": [2, 1], "weights": [[[1.0], [1.0]]], "biases": [0.0]}


def test_forward_of_the_notebook_is_what_it_prints() -> None:
    net, data = notebook.notebook_network(), notebook.notebook_data()
    hidden, outputs = net.forward(data.inputs)
    assert abs(hidden[0] - notebook.HIDDEN).max() <= 1e-15
    assert abs(outputs[0] - notebook.OUTPUTS).max() <= 1e-15
    assert abs(net.error(data.inputs, data.targets) - notebook.ERROR) <= 1e-15


def test_step_of_the_notebook_is_what_it_prints() -> None:
    net, data = notebook.notebook_network(), notebook.notebook_data()
    after = step(net, data.inputs, data.targets, 0.1, "notebook")
    named = after.named()
    assert list(named) == list(notebook.WEIGHTS_AFTER)
    for name, value in notebook.WEIGHTS_AFTER.items():
        assert abs(named[name] - value) <= 1e-15, name
    hidden, outputs = after.forward(data.inputs)
    assert abs(hidden[0] - notebook.HIDDEN_AFTER).max() <= 1e-15
    assert abs(outputs[0] - notebook.OUTPUTS_AFTER).max() <= 1e-15


def test_rules_move_the_biases_that_they_name_and_weights_alike() -> None:
    net, data = notebook.notebook_network(), notebook.notebook_data()
    slope = dict(zip(net.names, net.gradient(data.inputs, data.targets), strict=True))
    after = {rule: step(net, data.inputs, data.targets, 0.1, rule).named() for rule in RULES}
    assert after["fixed_bias"]["b1"] == after["fixed_bias"]["b2"] == 0.5
    assert after["notebook"]["b1"] == 0.5
    assert after["notebook"]["b2"] == 0.5 - 0.1 * slope["b1"]
    assert after["gradient"]["b1"] == 0.5 - 0.1 * slope["b1"]
    assert after["gradient"]["b2"] == 0.5 - 0.1 * slope["b2"]
    for name in net.names[:-2]:
        assert len({after[rule][name] for rule in RULES}) == 1


def random_network(
    layers: list[int], activation: str, bias: str, seed: int, *, crossed: bool
) -> tuple[Network, Any, Any]:
    rng = np.random.default_rng(seed)
    hidden = [activation] * (len(layers) - 2)
    net = Network.build(
        layers=layers,
        activation=[*hidden, "softmax" if crossed else activation],
        loss="cross_entropy" if crossed else "squared_error",
        bias=bias,
        init={"scheme": "normal", "std": 0.8, "bias": 0.3},
        seed=seed,
    )
    samples = int(rng.integers(1, 6))
    targets = rng.random((samples, layers[-1]))
    if crossed:
        targets /= targets.sum(axis=1, keepdims=True)
    return net, rng.normal(size=(samples, layers[0])), targets


@settings(max_examples=30, deadline=None)
@given(
    layers=st.lists(st.integers(1, 5), min_size=2, max_size=5),
    activation=st.sampled_from(["sigmoid", "tanh", "relu", "identity"]),
    bias=st.sampled_from(["shared", "per_neuron"]),
    crossed=st.booleans(),
    seed=st.integers(0, 10_000),
)
def test_gradient_is_the_finite_difference(
    layers: list[int], activation: str, bias: str, crossed: bool, seed: int
) -> None:
    net, inputs, targets = random_network(layers, activation, bias, seed, crossed=crossed)
    flat, slope = net.flat(), net.gradient(inputs, targets)
    assert slope.shape == (net.size,) == (len(net.names),)
    h = 1e-6
    for at in range(net.size):
        moved = [flat.copy(), flat.copy()]
        moved[0][at] += h
        moved[1][at] -= h
        signs = [[np.sign(a) for a in net.replace(m).forward(inputs)] for m in moved]
        if activation == "relu" and any(
            (a != b).any() for a, b in zip(*signs, strict=True)
        ):  # a kink lies between the two points
            continue
        up, down = (net.replace(m).error(inputs, targets) for m in moved)
        assert slope[at] == pytest.approx((up - down) / (2 * h), rel=1e-5, abs=1e-7)


def test_names_number_through_layers_and_biases() -> None:
    shared = Network.build(layers=[2, 2, 1], init={"scheme": "he"})
    assert shared.names == ("w1", "w2", "w3", "w4", "w5", "w6", "b1", "b2")
    each = Network.build(layers=[2, 2, 1], bias="per_neuron", init={"scheme": "he"})
    assert each.names[-3:] == ("b1_1", "b1_2", "b2_1")


@pytest.mark.parametrize("bias", ["shared", "per_neuron"])
def test_flat_and_replace_are_inverse_and_follow_names(bias: str) -> None:
    net = Network.build(layers=[3, 2, 4], bias=bias, init={"scheme": "xavier", "bias": 0.1})
    again = net.replace(net.flat())
    assert (again.flat() == net.flat()).all()
    moved = net.replace(np.arange(net.size, dtype=np.float64))
    assert moved.weights[0][1, 1] == 3.0  # w4: row by row
    assert dict(moved.named()) == {name: float(at) for at, name in enumerate(net.names)}


def test_named_of_a_large_network_is_an_array_a_layer() -> None:
    net = Network.build(layers=[20, 4, 3], bias="per_neuron", init={"scheme": "he"})
    named = net.named()
    assert list(named) == ["weights_1", "weights_2", "biases_1", "biases_2"]
    assert np.shape(named["weights_1"]) == (20, 4)
    assert np.shape(named["biases_2"]) == (3,)


def test_arrays_are_read_only_and_flat_is_a_copy() -> None:
    net = notebook.notebook_network()
    with pytest.raises(ValueError, match="read-only"):
        net.weights[0][0, 0] = 1.0
    net.flat()[:] = 0.0
    assert net.named()["w1"] == 0.82


@pytest.mark.parametrize("z", [-1e308, -1e4, -710.0, -709.0, 0.0, 40.0, 1e4, 1e308])
def test_sigmoid_of_a_large_sum_is_its_limit(z: float) -> None:
    net = Network.build(layers=[1, 1], weights=[[[1.0]]], biases=[0.0])
    output = float(net.forward(np.array([[z]]))[0][0, 0])
    expected = 0.5 if z == 0 else (0.0 if z < 0 else 1.0)
    assert output == pytest.approx(expected, abs=1e-17)


def test_softmax_of_large_sums_is_finite() -> None:
    net = Network.build(
        layers=[1, 2],
        activation="softmax",
        loss="cross_entropy",
        weights=[[[1.0, -1.0]]],
        biases=[0.0],
    )
    inputs = np.array([[1000.0]])
    assert net.forward(inputs)[0].tolist() == [[1.0, 0.0]]
    assert net.error(inputs, np.array([[0.0, 1.0]])) == 2000.0


def test_error_is_averaged_over_samples() -> None:
    net = Network.build(activation="identity", **LINEAR)
    inputs, targets = np.array([[1.0, 2.0], [0.0, 0.0]]), np.array([[0.0], [1.0]])
    assert net.error(inputs, targets) == (9.0 / 2 + 1.0 / 2) / 2


def test_accuracy_of_many_samples_takes_little_memory() -> None:
    net = Network.build(layers=[1, 100, 2], init={"scheme": "xavier"})
    inputs = np.random.default_rng(0).normal(size=(50_001, 1))
    expected = np.mean(net.forward(inputs)[-1].argmax(axis=1) == 1)
    tracemalloc.start()
    assert net.accuracy(inputs, np.tile([0.0, 1.0], (len(inputs), 1))) == expected
    assert tracemalloc.get_traced_memory()[1] < 100 * inputs.nbytes
    tracemalloc.stop()


@pytest.mark.parametrize("scheme", ["uniform", "normal", "xavier", "glorot", "he"])
def test_schemes_depend_on_the_seed_alone(scheme: str) -> None:
    def draw(seed: int) -> Any:
        return Network.build(layers=[30, 20, 2], init={"scheme": scheme}, seed=seed).flat()

    assert (draw(1) == draw(1)).all()
    assert (draw(1) != draw(2)).any()


def test_schemes_have_the_spread_of_their_papers() -> None:
    def weights(**init: Any) -> Any:
        return Network.build(layers=[300, 200], init=init, seed=5).weights[0]

    assert abs(weights(scheme="xavier")).max() <= np.sqrt(6 / 500)
    assert weights(scheme="xavier").std() == pytest.approx(np.sqrt(2 / 500), rel=0.02)
    assert weights(scheme="he").std() == pytest.approx(np.sqrt(2 / 300), rel=0.02)
    assert weights(scheme="normal", mean=3, std=0.5).mean() == pytest.approx(3, abs=0.02)
    assert weights(scheme="uniform", low=1, high=2).min() >= 1


def test_drawn_weights_can_stand_beside_given_biases() -> None:
    net = Network.build(layers=[2, 2, 1], init={"scheme": "he"}, biases=[0.1, 0.2])
    assert (net.named()["b1"], net.named()["b2"]) == (0.1, 0.2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"layers": [4]}, "network.layers=[4]: give a list of at least two sizes"),
        ({"layers": [4, 3.0, 2]}, "network.layers=[4,3.0,2]: "),
        ({"layers": [4, True, 2]}, "network.layers=[4,true,2]: "),
        ({"layers": [4, 3, 3]}, "weights[1] has 3 rows of 2 numbers"),
        ({"layers": [4, 3, 2, 2]}, "3 are needed"),
        ({"activation": "sigmoyd"}, "did you mean 'sigmoid'?"),
        ({"activation": ["tanh"]}, "network.activation=[tanh]: give one name, or a list of 2"),
        ({"activation": "softmax"}, "softmax can stand only in the last layer"),
        ({"activation": ["softmax", "sigmoid"], "loss": "cross_entropy"}, "last layer"),
        ({"loss": "cross_entropy"}, "network.loss=cross_entropy: the last activation is sigmoid"),
        ({"activation": ["tanh", "softmax"]}, "network.loss=squared_error: the last activation"),
        ({"loss": "squared_eror"}, "did you mean 'squared_error'?"),
        ({"bias": "per_neurn"}, "did you mean 'per_neuron'?"),
        ({"bias": "per_neuron"}, "network.biases[0]=0.5: give one list a weight layer"),
        ({"bias": "per_neuron", "biases": [[1, 2, 3], [1]]}, "biases[1] has 1 numbers"),
        ({"biases": [0.5]}, "2 are needed"),
        ({"biases": 0.5}, "network.biases=0.5: give a list"),
        ({"layers": "4,3,2"}, "network.layers=4,3,2: "),
        ({"biases": [0.5, [1]]}, "network.biases[1]=[1]: give one number a weight layer"),
        ({"biases": [0.5, "half"]}, "network.biases[1]=half: give a finite number"),
        ({"biases": [0.5, float("inf")]}, "network.biases[1]=inf: "),
        ({"biases": None}, "without biases"),
        ({"weights": None}, "neither"),
        ({"weights": [[[1, 2], [3]], [[1]]]}, "weights[0][1] has 1 numbers"),
        ({"weights": [[], []]}, "no numbers"),
        ({"init": "he"}, "network.init=he: "),
        ({"init": {"std": 1}}, "network.init.scheme=null: choose one of uniform"),
        ({"init": {"scheme": "xavir"}}, "network.init.scheme=xavir: "),
        (
            {"init": {"scheme": "he", "std": 1}},
            "takes only bias; leave it out by",
        ),
        ({"init": {"scheme": "normal", "sdt": 1}}, "network.init.sdt: there is no such key"),
        ({"init": {"scheme": "normal", "std": 0}}, "network.init.std=0: give a finite number abo"),
        ({"init": {"scheme": "uniform", "low": 1, "high": 1}}, "below network.init.high=1.0"),
        ({"init": {"scheme": "uniform", "low": -1e308, "high": 1e308}}, "by less than 1.8e308"),
        ({"layers": [4, 10**18, 2], "init": {"scheme": "he"}}, "do not fit into memory"),
        ({"layers": [4, 10**11, 2], "init": {"scheme": "xavier"}}, "do not fit into memory"),
    ],
)
def test_network_is_refused_in_one_sentence(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        spec(network={**notebook.CONFIG, **changes})
    (message,) = caught.value.messages
    assert words in message and message[-1] in ".?"


def test_given_weights_that_do_not_fit_other_layers_are_advised_to_be_drawn() -> None:
    with pytest.raises(MisfitError, match=r"write network\.init\.scheme=xavier to draw them"):
        Network.build(**{**notebook.CONFIG, "layers": [2, 8, 1]})


@pytest.mark.parametrize("value", ["0.82", None, float("nan"), float("-inf"), True, 10**400, [1]])
def test_build_refuses_a_weight_that_is_no_finite_number(value: Any) -> None:
    weights = [[row[:] for row in matrix] for matrix in notebook.CONFIG["weights"]]
    weights[0][3][1] = value
    with pytest.raises(ConfigError, match=r"weights\[0\]\[3\]\[1\]="):
        Network.build(**{**notebook.CONFIG, "weights": weights})


@pytest.mark.parametrize(
    "changes",
    [{"layers": [2, 1]}, {"layers": [2, 2, 2, 1]}, {"layers": [2, 2, 1], "bias": "per_neuron"}],
)
def test_notebook_rule_is_refused_where_it_has_no_meaning(changes: dict[str, Any]) -> None:
    net = Network.build(init={"scheme": "he"}, **changes)
    with pytest.raises(ConfigError, match="two weight layers with shared biases"):
        check_rule(net, "notebook")
    check_rule(net, "gradient")
    check_rule(net, "fixed_bias")


@pytest.mark.parametrize("row", [[0.5, 0.6], [1.5, -0.5], [np.nan, 1.0]])
def test_targets_that_are_no_shares_are_refused(row: list[float]) -> None:
    net = Network.build(
        layers=[1, 2], activation="softmax", loss="cross_entropy", init={"scheme": "he"}
    )
    x, good, bad = np.zeros((2, 1)), np.eye(2), np.array([[0.0, 1.0], row])
    for what, data in ("targets", Data(x, bad)), ("validation", Data(x, good, x, bad)):
        with pytest.raises(MisfitError, match=f"data.{what} has a row with .*{row[1]}"):
            check_fit(net, data)
