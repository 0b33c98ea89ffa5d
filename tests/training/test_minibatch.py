"""Updates by a few samples: the plain network's numbers, an order from the seed alone, ends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sweep.training.backprop import epoch_order
from sweep.training.data import Data
from sweep.training.network import Network, step
from tests import notebook
from tests.training.alone import Alone


def data(samples: int = 37, seed: int = 0) -> Data:
    rng = np.random.default_rng(seed)
    return Data(rng.normal(size=(samples, 3)), rng.random(size=(samples, 2)))


def network(activation: str = "tanh", bias: str = "per_neuron", hidden: int = 5) -> Network:
    init = {"scheme": "xavier", "bias": 0.1}
    return Network.build(layers=[3, hidden, 2], activation=activation, bias=bias, init=init, seed=3)


def trainer(size: Any, *, samples: Data | None = None, **changes: Any) -> Alone:
    options = {"lr": 0.05, "rule": "gradient", "seed": 4, **changes}
    return Alone(network(), samples or data(), batch_size=size, **options)


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
    ("rule", "bias"), [("gradient", "per_neuron"), ("gradient", "shared"), ("notebook", "shared")]
)
@pytest.mark.parametrize("hidden", [5, 9], ids=["small", "large"])
@pytest.mark.parametrize("size", [1, 8, 36])
def test_updates_are_those_of_the_plain_network(
    size: int, hidden: int, rule: str, bias: str, shuffle: bool
) -> None:
    net, samples = network(bias=bias, hidden=hidden), data()
    it = Alone(net, samples, lr=0.05, rule=rule, batch_size=size, shuffle=shuffle, seed=4)
    errors = it.advance(100)
    expected, after = by_hand(net, samples, size, 100, rule=rule, shuffle=shuffle)
    assert abs(errors - expected).max() <= 1e-12
    assert abs(it.flat - after.flat()).max() <= 1e-12
    assert it.weights() == net.replace(it.flat).named()


def test_batch_wider_than_a_block_is_whole() -> None:
    net, samples = network(hidden=9), data(1500)
    it = Alone(net, samples, lr=0.05, rule="gradient", batch_size=1400, seed=4)
    expected, _ = by_hand(net, samples, 1400, 5, rule="gradient", shuffle=True)
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
    it = Alone(net, samples, lr=0.05, rule="gradient", batch_size=7, seed=4)
    expected, _ = by_hand(net, samples, 7, 50, rule="gradient", shuffle=True)
    assert abs(it.advance(50) - expected).max() <= 1e-12


def test_orders_made_in_parts_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = trainer(5).advance(200)
    monkeypatch.setattr("sweep.training.backprop.ORDERED", 80)
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


@pytest.mark.parametrize("size", [37, 1000])
def test_batch_of_all_samples_is_the_full_batch(size: int) -> None:
    full = Alone(network(), data(), lr=0.05, rule="gradient")
    assert trainer(size).advance(50).tobytes() == full.advance(50).tobytes()


def linear(targets: float = 1.0) -> tuple[Network, Data]:
    net = Network.build(layers=[1, 1], activation="identity", weights=[[[1.0]]], biases=[0.0])
    return net, Data(np.array([[1.0], [2.0], [3.0]]), np.full((3, 1), targets))


@pytest.mark.parametrize("cut", [1, 7, 10_000])
def test_divergence_is_found_at_its_step_whatever_the_slices(cut: int) -> None:
    net, samples = linear()
    it = Alone(net, samples, lr=3.0, rule="gradient", batch_size=2, seed=0)
    parts = []
    while it.diverged_at is None:
        parts.append(it.advance(cut))
    errors, at = np.concatenate([*parts, it.advance(cut)]), it.diverged_at
    assert 1 < at < 10_000
    assert np.isfinite(errors[: at - 1]).all() and np.isnan(errors[at - 1 :]).all()
    assert np.isnan(it.error())
    again = Alone(net, samples, lr=3.0, rule="gradient", batch_size=2, seed=0)
    again.advance(at - 1)
    assert again.diverged_at is None
    before = again.flat.copy()
    again.advance(1)
    assert again.diverged_at == at
    assert again.flat.tobytes() == it.flat.tobytes() != before.tobytes()


# --- validation ------------------------------------------------------------------------------


def split_data() -> Data:
    one, other = data(20), data(9, seed=5)
    return Data(one.inputs, one.targets, other.inputs, other.targets)


@pytest.mark.parametrize("hidden", [5, 9], ids=["small", "large"])
@pytest.mark.parametrize("batch_size", [None, 6])
def test_validation_changes_no_bit_and_is_each_steps_error(
    batch_size: int | None, hidden: int
) -> None:
    net, samples = network(hidden=hidden), split_data()
    validation = samples.validation_inputs, samples.validation_targets
    options: dict[str, Any] = {"lr": 0.05, "rule": "gradient", "batch_size": batch_size}
    watched = Alone(net, samples, **options)
    plain = Alone(net, Data(samples.inputs, samples.targets), **options)
    assert plain.validation_errors() is plain.trainer.now().validation is None
    assert watched.validation_errors() == pytest.approx([net.error(*validation)], rel=1e-13)
    for count in (1, 5, 0, 30):
        errors = watched.advance(count)
        others = watched.validation_errors()
        assert others.shape == (count,)
        for at in range(count):
            assert plain.advance(1)[0] == errors[at]
            now = net.replace(plain.state()["weights"])
            assert others[at] == pytest.approx(now.error(*validation), rel=1e-13)
    assert watched.weights() == plain.weights()
    assert watched.error() == plain.error()


def test_validation_of_a_stalled_trainer_stays_and_costs_nothing() -> None:
    one = notebook.notebook_data()
    samples = Data(one.inputs, one.targets, one.inputs + 1, one.targets)
    it = Alone(notebook.notebook_network(), samples, lr=1e4, rule="notebook")
    it.advance(10)
    assert it.stalled_at is not None
    errors = it.advance(10**6)
    assert len(set(it.validation_errors())) == len(set(errors)) == 1


def test_validation_ends_with_the_training() -> None:
    net, samples = linear()
    both = Data(samples.inputs, samples.targets, samples.inputs, samples.targets)
    it = Alone(net, both, lr=3.0, rule="gradient", batch_size=2)
    errors, others = it.advance(5000), it.validation_errors()
    at = it.diverged_at
    assert np.isnan(errors[at - 1 :]).all() and np.isnan(others[at - 1 :]).all()
    assert others[: at - 1].tobytes() == errors[: at - 1].tobytes()
