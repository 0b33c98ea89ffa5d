"""Updates by a few samples: the plain network's numbers, an order from the seed alone, ends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.errors import ConfigError
from sweep.training.backprop import Backprop
from sweep.training.data import Data
from sweep.training.minibatch import MiniBatch, epoch_order
from sweep.training.network import Network, step
from sweep.training.validation import Validated
from tests import notebook


def data(samples: int = 37, seed: int = 0) -> Data:
    rng = np.random.default_rng(seed)
    return Data(rng.normal(size=(samples, 3)), rng.random(size=(samples, 2)))


def network(activation: str = "tanh", bias: str = "per_neuron") -> Network:
    init = {"scheme": "xavier", "bias": 0.1}
    return Network.build(layers=[3, 5, 2], activation=activation, bias=bias, init=init, seed=3)


def trainer(size: int, *, samples: Data | None = None, **changes: Any) -> MiniBatch:
    options = {"lr": 0.05, "rule": "gradient", "seed": 4, **changes}
    return MiniBatch(network(), samples or data(), batch_size=size, **options)


def by_hand(
    net: Network, samples: Data, size: int, updates: int, *, rule: str, shuffle: bool
) -> tuple[list[float], Network]:
    """Train in plain NumPy, epoch by epoch."""
    errors: list[float] = []
    epoch = 0
    while True:
        order = np.arange(len(samples.inputs))
        if shuffle:
            order = epoch_order(4, epoch, len(order))
        for start in range(0, len(order), size):
            if len(errors) == updates:
                return errors, net
            rows = order[start : start + size]
            net = step(net, samples.inputs[rows], samples.targets[rows], 0.05, rule)
            errors.append(net.error(samples.inputs, samples.targets))
        epoch += 1


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize(
    ("rule", "bias"),
    [("gradient", "per_neuron"), ("gradient", "shared"), ("notebook", "shared")],
)
@pytest.mark.parametrize("size", [1, 8, 36])
def test_updates_are_those_of_the_plain_network(
    size: int, rule: str, bias: str, shuffle: bool
) -> None:
    net, samples = network(bias=bias), data()
    it = MiniBatch(net, samples, lr=0.05, rule=rule, batch_size=size, shuffle=shuffle, seed=4)
    errors = it.advance(100)
    expected, after = by_hand(net, samples, size, 100, rule=rule, shuffle=shuffle)
    assert abs(errors - expected).max() <= 1e-12
    assert abs(it.flat - after.flat()).max() <= 1e-12
    assert it.weights() == net.replace(it.flat).named()


def test_batch_wider_than_a_block_is_whole() -> None:
    samples = data(1500)
    it = trainer(1400, samples=samples)
    expected, _ = by_hand(network(), samples, 1400, 5, rule="gradient", shuffle=True)
    assert abs(it.advance(5) - expected).max() <= 1e-12


def test_softmax_is_trained_by_batches() -> None:
    rng = np.random.default_rng(1)
    samples = Data(rng.normal(size=(30, 3)), np.eye(2)[rng.integers(0, 2, 30)])
    net = Network.build(
        layers=[3, 4, 2],
        activation=["relu", "softmax"],
        loss="cross_entropy",
        bias="per_neuron",
        init={"scheme": "he"},
    )
    it = MiniBatch(net, samples, lr=0.05, rule="gradient", batch_size=7, seed=4)
    expected, _ = by_hand(net, samples, 7, 50, rule="gradient", shuffle=True)
    assert abs(it.advance(50) - expected).max() <= 1e-12


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, 40), max_size=8), size=st.integers(1, 36))
def test_slices_change_no_bit(cuts: list[int], size: int) -> None:
    whole, sliced = trainer(size), trainer(size)
    errors = whole.advance(sum(cuts))
    parts = [sliced.advance(cut) for cut in cuts]
    assert errors.tobytes() == np.concatenate([np.empty(0), *parts]).tobytes()
    assert whole.flat.tobytes() == sliced.flat.tobytes()
    assert whole.error() == sliced.error()


def test_orders_made_in_parts_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = trainer(5).advance(200)
    monkeypatch.setattr("sweep.training.minibatch.ORDERED", 80)
    assert trainer(5).advance(200).tobytes() == whole.tobytes()


def test_each_epoch_takes_each_sample_once_in_another_order() -> None:
    orders = [epoch_order(7, epoch, 50).tolist() for epoch in range(20)]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert len({tuple(order) for order in orders}) == 20
    assert epoch_order(8, 0, 50).tolist() != orders[0]


def test_seed_orders_the_samples_and_nothing_without_shuffle() -> None:
    assert trainer(5, seed=1).advance(9).tolist() != trainer(5, seed=2).advance(9).tolist()
    one, other = (trainer(5, seed=seed, shuffle=False) for seed in (1, 2))
    assert one.advance(9).tolist() == other.advance(9).tolist()


def test_batch_of_all_samples_is_the_full_batch_but_for_the_order_of_sums() -> None:
    full = Backprop(network(), data(), lr=0.05, rule="gradient")
    whole = trainer(1000)
    assert whole.error() == pytest.approx(full.error(), rel=1e-14)
    assert abs(whole.advance(50) - full.advance(50)).max() <= 1e-13


def linear(targets: float = 1.0) -> tuple[Network, Data]:
    net = Network.build(layers=[1, 1], activation="identity", weights=[[[1.0]]], biases=[0.0])
    return net, Data(np.array([[1.0], [2.0], [3.0]]), np.full((3, 1), targets))


@pytest.mark.parametrize("cut", [1, 7, 10_000])
def test_divergence_is_found_at_its_step_whatever_the_slices(cut: int) -> None:
    net, samples = linear()
    it = MiniBatch(net, samples, lr=3.0, rule="gradient", batch_size=2, seed=0)
    errors = np.concatenate([it.advance(cut) for _ in range(-(-10_000 // cut))])
    at = it.diverged_at
    assert at is not None and 1 < at < 10_000
    assert np.isfinite(errors[: at - 1]).all() and np.isnan(errors[at - 1 :]).all()
    assert np.isnan(it.error())
    again = MiniBatch(net, samples, lr=3.0, rule="gradient", batch_size=2, seed=0)
    again.advance(at - 1)
    assert again.diverged_at is None
    before = again.flat.copy()
    again.advance(1)
    assert again.diverged_at == at
    assert again.flat.tobytes() == it.flat.tobytes() != before.tobytes()


def test_divergence_at_the_start_trains_nothing() -> None:
    net, samples = linear(1e200)
    it = MiniBatch(net, samples, lr=0.1, rule="gradient", batch_size=2)
    assert it.diverged_at == 0
    assert np.isnan(it.advance(3)).all()


@pytest.mark.parametrize("size", [0, -1, 1.5, True, None, "8"])
def test_batch_size_that_is_none_is_refused(size: Any) -> None:
    with pytest.raises(ConfigError, match="batch_size is "):
        trainer(size)


# --- validation ------------------------------------------------------------------------------


def split_data() -> Data:
    one, other = data(20), data(9, seed=5)
    return Data(one.inputs, one.targets, other.inputs, other.targets)


def both(kind: str) -> tuple[Backprop | MiniBatch, Validated, Network, Data]:
    net, samples = network(), split_data()

    def fresh() -> Backprop | MiniBatch:
        if kind == "full":
            return Backprop(net, samples, lr=0.05, rule="gradient")
        return MiniBatch(net, samples, lr=0.05, rule="gradient", batch_size=6)

    return fresh(), Validated(fresh(), net, samples), net, samples


@pytest.mark.parametrize("kind", ["full", "batches"])
def test_validation_changes_no_bit_and_tells_each_steps_error(kind: str) -> None:
    alone, watched, net, samples = both(kind)
    assert samples.validation_inputs is not None and samples.validation_targets is not None
    validation = samples.validation_inputs, samples.validation_targets
    assert watched.validation_errors() == pytest.approx([net.error(*validation)], rel=1e-13)
    errors, others = [], []
    for count in (1, 5, 0, 30):
        errors.append(watched.advance(count))
        others.append(watched.validation_errors())
        assert others[-1].shape == (count,)
    assert np.concatenate(errors).tobytes() == alone.advance(36).tobytes()
    assert watched.weights() == alone.weights()
    assert watched.error() == alone.error()
    alone, *_ = both(kind)
    for at, other in enumerate(np.concatenate(others)):
        alone.advance(1)
        assert other == pytest.approx(net.replace(alone.flat).error(*validation), rel=1e-13), at


def test_validation_of_a_stalled_trainer_stays_and_costs_nothing() -> None:
    net, one = notebook.notebook_network(), notebook.notebook_data()
    samples = Data(one.inputs, one.targets, one.inputs + 1, one.targets)
    it = Validated(Backprop(net, samples, lr=1e4, rule="notebook"), net, samples)
    it.advance(10)
    assert it.stalled_at is not None
    errors = it.advance(10**6)
    assert len(set(it.validation_errors())) == len(set(errors)) == 1


def test_validation_after_divergence_is_no_number_or_the_last() -> None:
    net, samples = linear()
    with_others = Data(samples.inputs, samples.targets, samples.inputs, samples.targets)
    it = Validated(
        MiniBatch(net, with_others, lr=3.0, rule="gradient", batch_size=2), net, with_others
    )
    errors = it.advance(5000)
    assert it.diverged_at is not None
    assert np.isnan(errors[it.diverged_at - 1 :]).all()
    assert len(it.validation_errors()) == 5000
