"""Ending early: at the exact step, with the best weights, whatever the slices and the trainer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from sweep.config.spec import RunSpec
from sweep.errors import ConfigError
from sweep.training.advance import Training
from sweep.training.function import Function
from sweep.training.history import History, RunResult
from sweep.training.protocol import BatchOfOne, TrainerError
from sweep.training.stopping import Stopping
from sweep.training.trainers import build_batch
from tests import configuration
from tests.configuration import CHOICES
from tests.training.alone import train

VALIDATION = np.abs(np.arange(400) - 40.0) + 1  # best at step 40
ERRORS = 1 / (1.0 + np.arange(400))


class Plain:
    """A trainer whose curves are known; its weight is its step."""

    def __init__(self) -> None:
        self.step = 0
        self.others = VALIDATION[:1]

    def advance(self, iterations: int) -> Any:
        steps = np.arange(self.step + 1, self.step + iterations + 1)
        self.step, self.others = self.step + iterations, VALIDATION[steps]
        return ERRORS[steps]

    def error(self) -> float:
        return float(ERRORS[self.step])

    def weights(self) -> dict[str, float]:
        return {"step": float(self.step)}

    def validation_errors(self) -> Any:
        return self.others


class Kept(Plain):
    def state(self) -> dict[str, Any]:
        return {"step": self.step}

    def restore(self, state: Any) -> None:
        self.step = int(state["step"])


def function() -> Iterator[dict[str, Any]]:
    for step in range(400):
        yield {
            "error": ERRORS[step],
            "validation_error": VALIDATION[step],
            "half": step / 2,
            "weights": {"step": step},
        }


def batch(kind: str) -> Any:
    if kind == "function":
        return Function("function", function())  # type: ignore[arg-type]
    return BatchOfOne(Plain() if kind == "plain" else Kept())


KINDS = ["plain", "kept", "function"]


def stopped(kind: str, *cuts: int, **stop: Any) -> list[RunResult]:
    return list(train(Stopping(batch(kind), **stop), cuts))


@pytest.mark.parametrize("kind", KINDS)
def test_target_ends_at_the_first_step_that_reaches_it(kind: str) -> None:
    five, fifty = stopped(kind, 5, 50, error=0.05)
    assert (five.stopped_at, five.final_error) == (None, 1 / 6)
    assert (fifty.stopped_at, fifty.final_error, fifty.outcome) == (19, 0.05, "completed")
    assert fifty.final_weights == {"step": 19.0} and len(fifty.errors) == 20
    assert fifty.best_weights is None


@pytest.mark.parametrize("kind", KINDS)
def test_patience_ends_after_the_best_step_and_keeps_its_weights(kind: str) -> None:
    ten, all_of_it = stopped(kind, 10, 300, patience=7)
    assert (ten.stopped_at, ten.best_weights) == (None, {"step": 10.0})
    assert (all_of_it.stopped_at, all_of_it.best_weights) == (47, {"step": 40.0})
    assert all_of_it.final_weights == {"step": 47.0}
    assert all_of_it.best_validation_error == 1.0 and all_of_it.validation is not None
    assert all_of_it.validation.tolist() == VALIDATION[:48].tolist()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length", [1, 3, 17, 10**6])
def test_slices_change_nothing(kind: str, length: int) -> None:
    """With each slice begun by a new worker where the trainer can be restored."""
    cuts, saved = [45, 300], None
    training, history = Training(Stopping(batch(kind), patience=7), [cuts]), History(cuts)
    found: list[RunResult] = []
    while not training.done:
        found += history.add(training.advance(iterations=length).parts[0])
        saved = history.saved
        if kind == "kept" and history.left:
            training = Training(Stopping(batch(kind), patience=7), [[*history.left]], [saved])
    assert (saved is None) == (kind != "kept")
    assert [one.best_weights for one in found] == [{"step": 40.0}] * 2
    assert [one.stopped_at for one in found] == [None, 47]
    assert found[1].errors.tolist() == ERRORS[:48].tolist()


def test_target_that_holds_from_the_start_trains_nothing() -> None:
    (result,) = stopped("plain", 50, error=1.0)
    assert (result.stopped_at, result.final_error, len(result.steps)) == (0, 1.0, 1)


def test_further_curves_end_with_the_training() -> None:
    (result,) = stopped("function", 300, patience=7)
    assert result.curves["half"][1].tolist() == [step / 2 for step in range(48)]


def test_patience_needs_a_validation_error() -> None:
    class Blind(Plain):
        def validation_errors(self) -> None:
            return None

    with pytest.raises(TrainerError, match=r"stop\.patience=3: the trainer has no validation"):
        Stopping(BatchOfOne(Blind()), patience=3)


# --- the built-in trainer ---------------------------------------------------------------------


def spec(iters: int, **changes: Any) -> RunSpec:
    samples = {"inputs": [[0.1], [0.4], [0.6], [0.9]], "targets": [[0.2], [0.3], [0.9], [0.4]]}
    network = {
        "layers": [1, 3, 1],
        "init": {"scheme": "normal"},
        "activation": ["tanh", "identity"],
    }
    given = {"data": {**samples, "validation": 0.5}, "network": network, "rule": None, **changes}
    return configuration.spec({**CHOICES, "network": "own", "data": "own"}, iters=iters, **given)


def test_built_in_trainer_stops_at_the_step_of_its_whole_curve() -> None:
    (whole,) = train(build_batch([spec(3000)]), [3000])
    target = float(whole.errors[1234])
    (result,) = train(build_batch([spec(3000, stop={"error": target})]), [3000])
    first = int(np.argmax(whole.errors <= target))
    assert result.stopped_at == first
    assert result.errors.tobytes() == whole.errors[: first + 1].tobytes()
    (same,) = train(build_batch([spec(first)]), [first])
    assert result.final_weights == same.final_weights


def test_built_in_trainer_keeps_its_best_weights() -> None:
    (whole,) = train(build_batch([spec(3000)]), [3000])
    assert whole.validation is not None
    least, best, end = np.inf, 0, None
    for step, value in enumerate(whole.validation):
        if value < least:
            least, best = value, step
        elif step - best >= 5:
            end = step
            break
    (result,) = train(build_batch([spec(3000, stop={"patience": 5})]), [3000])
    assert result.stopped_at == end
    if best:
        (at_best,) = train(build_batch([spec(best)]), [best])
        assert result.best_weights == at_best.final_weights
    else:
        assert result.best_weights == result.initial_weights


def test_keys_are_in_the_signature_only_where_they_are_set() -> None:
    plain = spec(10)
    assert spec(10, stop={"error": None, "patience": None}).signature == plain.signature
    assert "stop" not in plain.config
    signatures = {spec(10, stop={"error": error}).signature for error in (1e-3, 1e-6)}
    assert len(signatures | {plain.signature}) == 3


def test_wrong_values_are_refused() -> None:
    for stop, told in (
        ({"error": 0}, r"stop\.error=0: "),
        ({"patience": 1.5}, r"stop\.patience=1\.5: "),
        ({"paitence": 5}, r"stop\.paitence: .* did you mean 'patience'"),
    ):
        with pytest.raises(ConfigError, match=told):
            spec(10, stop=stop)
    with pytest.raises(ConfigError, match=r"stop\.patience=5: there are no validation samples"):
        configuration.spec(stop={"patience": 5})
