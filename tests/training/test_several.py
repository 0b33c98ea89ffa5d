"""Several trajectories in one trainer: each as if it were alone, to the bit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.training import backprop
from sweep.training.backprop import Backprop
from sweep.training.data import Data
from sweep.training.kernels.spec import LANES
from sweep.training.network import Network
from tests import notebook
from tests.training.alone import Alone

RATES = (0.1, 1000.0, 1.0, 0.003, 200.0, 0.05, 30.0, 7.0)
"""Of the notebook's network: 1000 saturates and stalls at once, 200 nearly."""


def several(lrs: Sequence[float]) -> Backprop:
    net = notebook.notebook_network()
    return Backprop([net] * len(lrs), notebook.notebook_data(), lrs=lrs, rule="notebook")


def alone(lr: float) -> Alone:
    return Alone(notebook.notebook_network(), notebook.notebook_data(), lr=lr, rule="notebook")


def assert_as_alone(
    many: Backprop, single: Sequence[Alone], slices: Sequence[int], compared: Sequence[int]
) -> None:
    """Advance all by `slices`; every error, weight and end of `compared` is as alone."""
    for count in slices:
        values = many.advance(count)
        errors, others = values.errors, values.validation
        assert errors.shape == (len(single), count)
        for at in compared:
            one, item = single[at], many.items[at]
            assert errors[at].tobytes() == one.advance(count).tobytes()
            assert repr(item.weights()) == repr(one.weights())
            assert repr(item.error()) == repr(one.error())
            assert (item.stalled_at, item.diverged_at) == (one.stalled_at, one.diverged_at)
            if others is not None:
                assert others[at].tobytes() == one.validation_errors().tobytes()


@pytest.mark.parametrize("count", [1, 2, LANES - 1, LANES, LANES + 1, 3 * LANES - 5])
def test_any_number_of_trajectories(count: int) -> None:
    rates = (RATES * 3)[:count]
    assert_as_alone(several(rates), [alone(lr) for lr in rates], [1, 10, 500, 3], range(count))


@pytest.mark.parametrize("part", [1, 2, 7, 1000])
def test_parts_change_no_bit(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    singles = [alone(lr) for lr in RATES]
    expected = [one.advance(120).tobytes() for one in singles]
    monkeypatch.setattr(backprop, "PART", part)
    many = several(RATES)
    assert [row.tobytes() for row in many.advance(120).errors] == expected
    for item, one in zip(many.items, singles, strict=True):
        assert item.weights() == one.weights()
        assert (item.stalled_at, item.diverged_at) == (one.stalled_at, one.diverged_at)


def test_items_stall_at_their_own_steps_and_go_on() -> None:
    rates = (1.0, 0.01, 2.0, 1000.0)
    many, singles = several(rates), [alone(lr) for lr in rates]
    assert_as_alone(many, singles, [30_000, 40_000, 30_000, 5], range(4))
    stalls = [item.stalled_at for item in many.items]
    assert stalls[1] is None
    assert len(set(stalls)) == 4


def test_stalled_items_cost_nothing_more() -> None:
    many = several((1000.0, 300.0))
    many.advance(100)
    assert None not in [item.stalled_at for item in many.items]
    errors = many.advance(10**7).errors  # would take seconds if it were trained
    assert (errors == errors[:, :1]).all()


def test_item_that_is_left_disturbs_no_other() -> None:
    many, singles = several(RATES), [alone(lr) for lr in RATES]
    assert_as_alone(many, singles, [5], range(len(RATES)))
    for at in (0, 2, 6):
        many.leave(at)
    others = [at for at in range(len(RATES)) if at not in (0, 2, 6)]
    assert_as_alone(many, singles, [400, 1, 50], others)


def test_items_go_on_from_what_they_or_others_kept() -> None:
    """Of what trained together each goes on alone, and together what trained alone."""
    many, singles = several(RATES), [alone(lr) for lr in RATES]
    many.advance(700)
    for one, item in zip(singles, many.items, strict=True):
        one.restore(item.state())
    again = several(RATES)
    again.restore([one.state() for one in singles])
    assert [item.error() for item in again.items] == [item.error() for item in many.items]
    assert_as_alone(again, singles, [1, 400], range(len(RATES)))
    assert many.advance(401).errors[:, -1].tolist() == [item.error() for item in again.items]


def test_items_of_different_steps_cannot_go_on_together() -> None:
    many = several((0.1, 0.2))
    one = alone(0.1)
    one.advance(3)
    with pytest.raises(ValueError):
        many.restore([one.state(), many.items[1].state()])


CASES: list[tuple[list[int], Any, str, str, int, str]] = [
    ([4, 3, 2], "sigmoid", "shared", "squared_error", 1, "fixed_bias"),
    ([4, 3, 2], "sigmoid", "shared", "squared_error", 1, "gradient"),
    ([2, 6, 1], "sigmoid", "per_neuron", "squared_error", 1, "gradient"),
    ([2, 5, 1], "sigmoid", "per_neuron", "squared_error", 4, "gradient"),
    ([2, 3, 2, 1], "tanh", "shared", "squared_error", 1, "gradient"),
    ([3, 4, 2], "relu", "per_neuron", "squared_error", 5, "gradient"),
    ([2, 2, 2], "identity", "shared", "squared_error", 3, "gradient"),
    ([2, 3, 3], ["tanh", "softmax"], "per_neuron", "cross_entropy", 5, "gradient"),
    ([2, 3, 3], ["sigmoid", "softmax"], "shared", "cross_entropy", 1, "gradient"),
    ([3, 9, 2], ["tanh", "sigmoid"], "per_neuron", "squared_error", 5, "gradient"),
]


def problem(
    layers: list[int], activation: Any, bias: str, loss: str, samples: int, split: int = 0
) -> tuple[list[Network], Data]:
    """Return LANES + 1 networks with other first weights each, and samples."""
    rng = np.random.default_rng(5)
    targets = rng.random((samples + split, layers[-1]))
    if loss == "cross_entropy":
        targets /= targets.sum(axis=1, keepdims=True)
    inputs = rng.normal(size=(samples + split, layers[0]))
    networks = [
        Network.build(
            layers=layers,
            activation=activation,
            bias=bias,
            loss=loss,
            init={"scheme": "he", "bias": 0.1},
            seed=seed,
        )
        for seed in range(LANES + 1)
    ]
    if not split:
        return networks, Data(inputs, targets)
    return networks, Data(inputs[split:], targets[split:], inputs[:split], targets[:split])


@pytest.mark.parametrize("case", CASES, ids=str)
def test_any_network(case: tuple[list[int], Any, str, str, int, str]) -> None:
    """With rates at which some diverge and some stall."""
    *shape, rule = case
    networks, data = problem(*shape)
    rates = [0.01, 0.3, 3.0, 50.0, 1e4, 1e60, 1e200, 0.1, 2.0]
    many = Backprop(networks, data, lrs=rates, rule=rule)
    pairs = zip(networks, rates, strict=True)
    singles = [Alone(net, data, lr=lr, rule=rule) for net, lr in pairs]
    assert_as_alone(many, singles, [1, 2, 30, 400], range(len(rates)))


@settings(max_examples=10, deadline=None)
@given(
    case=st.sampled_from([CASES[3], CASES[7], CASES[9]]),
    batch_size=st.sampled_from([None, 1, 2, 3]),
    split=st.sampled_from([0, 1, 6]),
    cuts=st.lists(st.integers(0, 50), min_size=1, max_size=4),
)
def test_batches_and_validation_in_any_slices(
    case: tuple[list[int], Any, str, str, int, str],
    batch_size: int | None,
    split: int,
    cuts: list[int],
) -> None:
    *shape, rule = case
    networks, data = problem(*shape, split=split)
    rates = [0.01, 0.3, 1e200, 0.1, 2.0, 0.02, 1e4, 0.7, 0.2]
    options: dict[str, Any] = {"rule": rule, "seed": 3, "batch_size": batch_size}
    many = Backprop(networks, data, lrs=rates, **options)
    pairs = zip(networks, rates, strict=True)
    singles = [Alone(net, data, lr=lr, **options) for net, lr in pairs]
    assert_as_alone(many, singles, cuts, range(len(rates)))
    unwatched = Backprop(networks, Data(data.inputs, data.targets), lrs=rates, **options)
    errors = unwatched.advance(sum(cuts)).errors
    whole = Backprop(networks, data, lrs=rates, **options).advance(sum(cuts)).errors
    assert errors.tobytes() == whole.tobytes()
    assert [repr(item.weights()) for item in unwatched.items] == [
        repr(item.weights()) for item in many.items
    ]


def test_start_that_is_not_finite_is_an_item_like_any_other() -> None:
    def net(weight: float) -> Network:
        return Network.build(
            layers=[1, 1], activation="identity", weights=[[[weight]]], biases=[0.0]
        )

    data = Data(np.full((1, 1), 1e300), np.ones((1, 1)))
    many = Backprop([net(1e300), net(1e-300)], data, lrs=[0.1, 1e-300], rule="gradient")
    singles = [
        Alone(net(1e300), data, lr=0.1, rule="gradient"),
        Alone(net(1e-300), data, lr=1e-300, rule="gradient"),
    ]
    assert many.items[0].diverged_at == 0
    assert_as_alone(many, singles, [4, 4], range(2))


def test_nothing_of_the_callers_is_changed() -> None:
    net, data = notebook.notebook_network(), notebook.notebook_data()
    many = Backprop([net, net], data, lrs=[0.1, 0.2], rule="gradient")
    first = net.named()
    errors = many.advance(10).errors
    assert net.named() == first and data.inputs.tolist() == notebook.INPUTS
    kept = errors.copy()
    many.advance(10)
    assert errors.tobytes() == kept.tobytes()
    assert many.advance(0).errors.shape == (2, 0)
