"""Trajectories abreast: each as if it were alone, to the bit, whatever the others do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.errors import ConfigError
from sweep.training import abreast
from sweep.training.abreast import Abreast
from sweep.training.backprop import Backprop
from sweep.training.data import Data
from sweep.training.kernels.spec import LANES
from sweep.training.network import Network
from tests import notebook

RATES = (0.1, 1000.0, 1.0, 0.003, 200.0, 0.05, 30.0, 7.0)
"""Of the notebook's network: 1000 saturates and stalls at once, 200 nearly."""


def together(lrs: Sequence[float]) -> Abreast:
    net = notebook.notebook_network()
    return Abreast([net] * len(lrs), notebook.notebook_data(), lrs=lrs, rule="notebook")


def alone(lr: float) -> Backprop:
    data = notebook.notebook_data()
    return Backprop(notebook.notebook_network(), data, lr=lr, rule="notebook")


def assert_as_alone(
    many: Abreast, single: Sequence[Backprop], slices: Sequence[int], compared: Sequence[int]
) -> None:
    """Advance all by `slices`; every error, weight and landmark of `compared` is as alone."""
    for count in slices:
        errors = many.advance(count)
        assert errors.shape == (len(single), count)
        for at in compared:
            one, lane = single[at], many.lanes[at]
            assert errors[at].tobytes() == one.advance(count).tobytes()
            assert repr(lane.weights()) == repr(one.weights())
            assert repr(lane.error()) == repr(one.error())
            assert (lane.stalled_at, lane.diverged_at) == (one.stalled_at, one.diverged_at)


@pytest.mark.parametrize("count", range(1, LANES + 1))
def test_any_number_of_lanes(count: int) -> None:
    rates = RATES[:count]
    singles = [alone(lr) for lr in rates]
    assert_as_alone(together(rates), singles, [1, 10, 500, 3], range(count))


@settings(max_examples=20, deadline=None)
@given(order=st.permutations(RATES), cuts=st.lists(st.integers(0, 60), min_size=1, max_size=5))
def test_any_order_and_slices(order: list[float], cuts: list[int]) -> None:
    assert_as_alone(together(order), [alone(lr) for lr in order], cuts, range(len(order)))


def test_many_side_by_side_agree_with_one_whole_slice() -> None:
    """64 rates as eight bundles, and each alone in one slice."""
    rates = np.geomspace(1e-3, 2.0, 64)
    found = [together(rates[at : at + LANES]).advance(3000) for at in range(0, 64, LANES)]
    for lr, errors in zip(rates, np.concatenate(found), strict=True):
        assert alone(float(lr)).advance(3000).tobytes() == errors.tobytes()


@pytest.mark.parametrize("part", [1, 2, 7, 1000])
def test_parts_change_no_bit(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    singles = [alone(lr) for lr in RATES]
    expected = [one.advance(120).tobytes() for one in singles]
    monkeypatch.setattr(abreast, "PART", part)
    many = together(RATES)
    assert [row.tobytes() for row in many.advance(120)] == expected
    for lane, one in zip(many.lanes, singles, strict=True):
        assert lane.weights() == one.weights()
        assert (lane.stalled_at, lane.diverged_at) == (one.stalled_at, one.diverged_at)


def test_lanes_stall_at_their_own_steps_and_go_on() -> None:
    rates = (1.0, 0.01, 2.0, 1000.0)
    many, singles = together(rates), [alone(lr) for lr in rates]
    assert_as_alone(many, singles, [30_000, 40_000, 30_000, 5], range(4))
    stalls = [lane.stalled_at for lane in many.lanes]
    assert stalls[1] is None
    assert len(set(stalls)) == 4


def test_all_stalled_lanes_cost_nothing_more() -> None:
    many = together((1000.0, 300.0))
    many.advance(100)
    assert [lane.moving for lane in many.lanes] == [False, False]
    errors = many.advance(10**7)  # would take seconds if it were trained
    assert (errors == errors[:, :1]).all()


def test_lane_that_is_left_disturbs_nobody() -> None:
    many, singles = together(RATES), [alone(lr) for lr in RATES]
    assert_as_alone(many, singles, [5], range(len(RATES)))
    for at in (0, 2, 6):
        many.leave(at)
    others = [at for at in range(len(RATES)) if at not in (0, 2, 6)]
    assert_as_alone(many, singles, [400, 1, 50], others)


Case = tuple[list[int], Any, str, str, int, str]
CASES: list[Case] = [
    ([4, 3, 2], "sigmoid", "shared", "squared_error", 1, "fixed_bias"),
    ([4, 3, 2], "sigmoid", "shared", "squared_error", 1, "gradient"),
    ([2, 6, 1], "sigmoid", "per_neuron", "squared_error", 1, "gradient"),
    ([2, 5, 1], "sigmoid", "per_neuron", "squared_error", 4, "gradient"),
    ([2, 3, 2, 1], "tanh", "shared", "squared_error", 1, "gradient"),
    ([3, 4, 2], "relu", "per_neuron", "squared_error", 5, "gradient"),
    ([2, 2, 2], "identity", "shared", "squared_error", 3, "gradient"),
    ([2, 3, 3], ["tanh", "softmax"], "per_neuron", "cross_entropy", 5, "gradient"),
    ([2, 3, 3], ["sigmoid", "softmax"], "shared", "cross_entropy", 1, "gradient"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_any_network_with_a_kernel_of_its_own(case: Case) -> None:
    """Other first weights in each lane, and rates at which some diverge and some stall."""
    layers, activation, bias, loss, samples, rule = case
    rng = np.random.default_rng(5)
    targets = rng.random((samples, layers[-1]))
    if loss == "cross_entropy":
        targets /= targets.sum(axis=1, keepdims=True)
    data = Data(rng.normal(size=(samples, layers[0])), targets)
    networks = [
        Network.build(
            layers=layers,
            activation=activation,
            bias=bias,
            loss=loss,
            init={"scheme": "he", "bias": 0.1},
            seed=seed,
        )
        for seed in range(LANES)
    ]
    rates = [0.01, 0.3, 3.0, 50.0, 1e4, 1e60, 1e200, 0.1]
    many = Abreast(networks, data, lrs=rates, rule=rule)
    pairs = zip(networks, rates, strict=True)
    singles = [Backprop(net, data, lr=lr, rule=rule) for net, lr in pairs]
    assert_as_alone(many, singles, [1, 2, 30, 400], range(LANES))


def test_divergence_in_one_lane_is_found_at_its_exact_step() -> None:
    net = Network.build(layers=[2, 2, 1], activation="identity", init={"scheme": "he", "bias": 0.5})
    rng = np.random.default_rng(1)
    data = Data(rng.random((2, 2)) + 1.0, rng.random((2, 1)))
    rates = [0.9, 0.01, 1.5, 0.02]
    many = Abreast([net] * 4, data, lrs=rates, rule="gradient")
    singles = [Backprop(net, data, lr=lr, rule="gradient") for lr in rates]
    assert_as_alone(many, singles, [2000, 3, 1000], range(4))
    ends = [lane.diverged_at for lane in many.lanes]
    assert ends[0] is not None and ends[2] is not None and ends[0] != ends[2]
    assert ends[1] is None and ends[3] is None


def test_start_that_is_not_finite_is_a_lane_like_any_other() -> None:
    def net(weight: float) -> Network:
        return Network.build(
            layers=[1, 1], activation="identity", weights=[[[weight]]], biases=[0.0]
        )

    data = Data(np.full((1, 1), 1e300), np.ones((1, 1)))
    many = Abreast([net(1e300), net(1e-300)], data, lrs=[0.1, 1e-300], rule="gradient")
    singles = [
        Backprop(net(1e300), data, lr=0.1, rule="gradient"),
        Backprop(net(1e-300), data, lr=1e-300, rule="gradient"),
    ]
    assert many.lanes[0].diverged_at == 0
    assert_as_alone(many, singles, [4, 4], range(2))


def test_nothing_of_the_callers_is_changed() -> None:
    net, data = notebook.notebook_network(), notebook.notebook_data()
    many = Abreast([net, net], data, lrs=[0.1, 0.2], rule="gradient")
    first = net.named()
    errors: npt.NDArray[np.float64] = many.advance(10)
    assert net.named() == first and data.inputs.tolist() == notebook.INPUTS
    kept = errors.copy()
    many.advance(10)
    assert errors.tobytes() == kept.tobytes()
    assert many.advance(0).shape == (2, 0)


def test_bad_rate_of_one_lane_is_refused() -> None:
    with pytest.raises(ConfigError, match="lr is -1"):
        together([0.1, -1.0])
