"""One trajectory: prefixes, thinning, thresholds, and every way in which it ends."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.training.backprop import Backprop
from sweep.training.curve import (
    CHART_POINTS,
    FULL_CURVE,
    THRESHOLDS,
    ErrorCurve,
    charted,
    kept_steps,
)
from sweep.training.data import Data
from sweep.training.trainers import Single
from sweep.training.training import RunResult, TrainerError, train
from tests import notebook


class Scripted:
    """A trainer whose error at each step is `curve(step)`."""

    def __init__(self, curve: Callable[[Any], Any]) -> None:
        self.curve = curve
        self.step = 0
        self.slices: list[int] = []

    def advance(self, iterations: int) -> Any:
        self.slices.append(iterations)
        steps = np.arange(self.step + 1, self.step + iterations + 1)
        self.step += iterations
        return self.curve(steps)

    def error(self) -> float:
        return float(self.curve(np.array([self.step]))[0])

    def weights(self) -> dict[str, Any]:
        return {"w": float(self.step)}


def notebook_trainer(lr: float = 0.05) -> Single:
    net, data = notebook.notebook_network(), notebook.notebook_data()
    return Single(Backprop([net], data, lrs=[lr], rule="notebook"))


def wave(steps: Any) -> Any:
    """Fall like 1/step, with ripples, so that the best step is rarely the last."""
    return (2 + np.sin(steps * 0.37)) / (steps + 1.0)


def only(results: Any) -> RunResult:
    (result,) = results
    return result


def assert_equal(one: RunResult, other: RunResult) -> None:
    for item in fields(RunResult):
        if item.name != "train_seconds":
            a, b = getattr(one, item.name), getattr(other, item.name)
            if isinstance(a, np.ndarray):
                assert (a.dtype, a.tobytes()) == (b.dtype, b.tobytes()), item.name
            else:
                assert repr(a) == repr(b), item.name


@pytest.mark.parametrize("lr", [0.05, 1.0, 1000.0])
def test_prefix_equals_the_run_alone(lr: float) -> None:
    stops = [1, 2, 999, 1000, 10_000, FULL_CURVE, FULL_CURVE + 201, 150_000]
    together = list(train(notebook_trainer(lr), stops))
    assert [result.iters for result in together] == stops
    for stop, result in zip(stops, together, strict=True):
        assert result.outcome == "completed"
        assert_equal(result, only(train(notebook_trainer(lr), [stop])))


@settings(max_examples=30, deadline=None)
@given(stops=st.sets(st.integers(1, 3000), min_size=1, max_size=6))
def test_any_prefix_equals_the_run_alone(stops: set[int]) -> None:
    ordered = sorted(stops)
    for stop, result in zip(ordered, train(Scripted(wave), ordered), strict=True):
        assert_equal(result, only(train(Scripted(wave), [stop])))


def test_short_curve_holds_every_step() -> None:
    result = only(train(Scripted(wave), [1234]))
    assert (result.steps == np.arange(1235)).all()
    assert (result.errors == wave(np.arange(1235))).all()
    assert result.steps.dtype == np.int64
    assert result.initial_error == wave(0)
    assert result.final_error == wave(1234)


def test_long_curve_is_thinned_and_exact_at_its_points() -> None:
    last = 1_234_567
    result = only(train(Scripted(wave), [last]))
    every = wave(np.arange(last + 1))
    best = int(np.argmin(every))
    expected = np.union1d(kept_steps(last), [best, last])
    assert (result.steps == expected).all()
    assert (result.errors == every[expected]).all()
    assert (result.best_step, result.best_error) == (best, every[best])
    assert len(result.steps) < FULL_CURVE + 1400


@given(last=st.integers(0, 10**13))
def test_kept_steps_depend_on_the_step_alone(last: int) -> None:
    steps = kept_steps(last)
    longer = kept_steps(last + 10**6)
    assert (longer[: len(steps)] == steps).all()
    assert (np.diff(steps) > 0).all()
    assert steps[0] == 0 and steps[-1] <= last
    assert last - steps[-1] <= max(1, last // 500 + 1)
    assert len(steps) <= FULL_CURVE + 1 + 1200 * 8


def test_thresholds_are_the_first_steps_below_each_level() -> None:
    last = 300_000
    result = only(train(Scripted(lambda steps: 1e6 / (steps + 1.0) ** 4), [last]))
    every = 1e6 / (np.arange(last + 1) + 1.0) ** 4
    assert tuple(result.thresholds) == THRESHOLDS
    for k in THRESHOLDS:
        below = np.flatnonzero(every <= float(f"1e-{k}"))
        assert result.thresholds[k] == (int(below[0]) if len(below) else None), k


def test_thresholds_of_an_error_of_zero_are_all_at_its_step() -> None:
    result = only(train(Scripted(lambda steps: np.where(steps < 7, 1.0, 0.0)), [20]))
    assert set(result.thresholds.values()) == {7}
    assert result.best_step == 7


def test_thresholds_count_a_crossing_that_does_not_last() -> None:
    result = only(train(Scripted(lambda steps: np.where(steps == 3, 0.05, 1.0)), [10]))
    assert result.thresholds[1] == 3
    assert result.thresholds[2] is None


def test_best_step_is_the_first_of_equals_over_slices() -> None:
    result = only(train(Scripted(lambda steps: np.where(steps < 5, 1.0, 0.5)), [5000]))
    assert result.best_step == 5


def breaks_at(step: int, value: float) -> Callable[[Any], Any]:
    return lambda steps: np.where(steps == step, value, wave(steps))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("step", [1, 2, 500])
def test_divergence_keeps_the_finite_part(step: int, value: float) -> None:
    it = Scripted(breaks_at(step, value))
    before, *after = train(it, [step - 1, step, step + 1, 10**12] if step > 1 else [step, 2, 3])
    results = after if step > 1 else [before, *after]
    if step > 1:
        assert (before.outcome, before.diverged_at) == ("completed", None)
    for result in results:
        assert (result.outcome, result.diverged_at) == ("diverged", step)
        assert result.final_error is None
        assert (result.steps == np.arange(step)).all()
        assert np.isfinite(result.errors).all()
        assert result.best_error == result.errors.min()
    assert it.step < 10**6  # nothing is trained once it has diverged


def test_divergence_at_the_start_leaves_an_empty_curve() -> None:
    it = Scripted(lambda steps: np.full(len(steps), math.nan))
    result = only(train(it, [5]))
    assert (result.outcome, result.diverged_at, it.slices) == ("diverged", 0, [])
    assert len(result.steps) == len(result.errors) == 0
    assert result.best_error is result.best_step is result.initial_error is None
    assert set(result.thresholds.values()) == {None}


def test_stop_interrupts_the_runs_that_are_left() -> None:
    done: list[int] = []
    results = train(
        Scripted(wave), [10, 10**9, 10**10], stop=lambda: sum(done) >= 500, progress=done.append
    )
    first, *left = results
    assert (first.outcome, first.final_error) == ("completed", wave(10))
    assert [result.iters for result in left] == [10**9, 10**10]
    for result in left:
        assert (result.outcome, result.final_error) == ("interrupted", None)
        assert result.steps[-1] == sum(done) >= 500
        assert (result.errors == wave(result.steps)).all()


def test_stop_before_the_first_slice_leaves_step_0() -> None:
    result = only(train(Scripted(wave), [10], stop=lambda: True))
    assert (result.outcome, result.steps.tolist()) == ("interrupted", [0])
    assert result.initial_error == wave(0)


def test_max_seconds_interrupts() -> None:
    result = only(train(notebook_trainer(), [10**12], max_seconds=0.05))
    assert result.outcome == "interrupted"
    assert result.train_seconds >= 0.05
    assert 0 < result.steps[-1] < 10**12
    alone = only(train(notebook_trainer(), [int(result.steps[-1])]))
    assert (alone.errors == result.errors).all()


def test_no_seconds_at_all_train_nothing() -> None:
    it = Scripted(wave)
    assert only(train(it, [10], max_seconds=0.0)).outcome == "interrupted"
    assert it.slices == []


def test_progress_counts_every_iteration_once() -> None:
    done: list[int] = []
    it = Scripted(wave)
    list(train(it, [3, 10_000, 123_456], progress=done.append))
    assert sum(done) == 123_456
    assert done == it.slices


def test_weights_are_those_of_the_runs_step() -> None:
    results = list(train(Scripted(wave), [2, 50]))
    assert [result.final_weights["w"] for result in results] == [2.0, 50.0]
    assert all(result.initial_weights == {"w": 0.0} for result in results)


def test_stall_belongs_to_the_runs_that_reach_it() -> None:
    alone = notebook_trainer(1.0)
    alone.advance(100_000)
    stalled_at = alone.stalled_at
    assert stalled_at is not None
    before, there = train(notebook_trainer(1.0), [stalled_at - 1, stalled_at + 10])
    assert (before.stalled_at, there.stalled_at) == (None, stalled_at)
    assert there.outcome == "completed"


class OwnMetrics(Scripted):
    def metrics(self) -> dict[str, Any]:
        return {"accuracy": np.float32(0.5), "seen": self.step}


def test_metrics_of_a_trainer_are_taken_at_each_run() -> None:
    results = list(train(OwnMetrics(wave), [2, 50]))
    assert [result.metrics for result in results] == [
        {"accuracy": 0.5, "seen": 2.0},
        {"accuracy": 0.5, "seen": 50.0},
    ]


class Matrices(Scripted):
    """Hand out the very array that it goes on to change."""

    def __init__(self) -> None:
        super().__init__(wave)
        self.matrix = np.zeros((2, 2), dtype=np.float32)

    def advance(self, iterations: int) -> Any:
        self.matrix += iterations
        return list(super().advance(iterations))

    def weights(self) -> dict[str, Any]:
        return {"w": self.matrix, "n": np.int64(3)}


def test_weights_are_copied_and_lists_are_taken() -> None:
    first, last = train(Matrices(), [5, 9])
    assert first.initial_weights["w"].tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert first.final_weights["w"][0, 0] == 5.0
    assert last.final_weights["w"].dtype == np.float64
    assert last.final_weights["n"] == 3.0


@pytest.mark.parametrize(
    "curve",
    [
        lambda steps: np.ones(len(steps) + 1),
        lambda steps: np.ones((len(steps), 1)),
        lambda steps: 1.0,
        lambda steps: [],
    ],
)
def test_advance_of_another_shape_is_told_with_class_and_method(
    curve: Callable[[Any], Any],
) -> None:
    it = Scripted(curve)
    it.error = lambda: 1.0  # type: ignore[method-assign]
    with pytest.raises(TrainerError, match=r"Scripted\.advance\(1\) returned shape"):
        list(train(it, [3]))


def test_error_of_another_shape_is_told_with_class_and_method() -> None:
    it = Scripted(wave)
    it.error = lambda: np.ones(2)  # type: ignore[assignment, method-assign, return-value]
    with pytest.raises(TrainerError, match=r"Scripted\.error\(\) returned shape \(2,\)"):
        list(train(it, [3]))


@pytest.mark.parametrize("value", ["text", None, ["a"], {"a": 1}])
def test_advance_of_another_kind_is_told_with_class_and_method(value: Any) -> None:
    it = Scripted(lambda steps: value)
    it.error = lambda: 1.0  # type: ignore[method-assign]
    with pytest.raises(TrainerError, match=r"Scripted\.advance"):
        list(train(it, [1]))


def test_weights_of_another_kind_are_told_with_class_and_method() -> None:
    it = Scripted(wave)
    it.weights = lambda: [1.0]  # type: ignore[assignment, method-assign, return-value]
    with pytest.raises(TrainerError, match=r"Scripted\.weights"):
        list(train(it, [3]))
    it.weights = lambda: {"w": "text"}  # type: ignore[method-assign]
    with pytest.raises(TrainerError, match=r"Scripted\.weights"):
        list(train(it, [3]))


class NoMethod:
    def error(self) -> float:
        return 1.0


def test_missing_method_is_told_with_class_and_method() -> None:
    with pytest.raises(TrainerError, match=r"NoMethod has no method (weights|advance)"):
        list(train(NoMethod(), [3]))  # type: ignore[arg-type]


def test_metrics_of_another_kind_are_told_with_class_and_method() -> None:
    it = OwnMetrics(wave)
    it.metrics = lambda: {"accuracy": "high"}  # type: ignore[method-assign]
    with pytest.raises(TrainerError, match=r"OwnMetrics\.metrics"):
        list(train(it, [3]))


@settings(max_examples=50, deadline=None)
@given(cuts=st.lists(st.integers(0, 60), max_size=12))
def test_curve_does_not_depend_on_slices(cuts: list[int]) -> None:
    errors = wave(np.arange(1, sum(cuts) + 1))
    whole, sliced = ErrorCurve(float(wave(0))), ErrorCurve(float(wave(0)))
    whole.extend(errors)
    at = 0
    for cut in cuts:
        sliced.extend(errors[at : at + cut])
        at += cut
    for one, other in zip(whole.points(), sliced.points(), strict=True):
        assert one.tobytes() == other.tobytes()
    assert whole.thresholds == sliced.thresholds
    assert whole.best_step == sliced.best_step


def test_curve_takes_a_copy_of_the_errors() -> None:
    curve, errors = ErrorCurve(1.0), np.full(3, 0.5)
    curve.extend(errors)
    errors[:] = 9.0
    assert curve.points()[1].tolist() == [1.0, 0.5, 0.5, 0.5]


# --- validation errors, beside the curve -------------------------------------------------------


class Watched(Scripted):
    """Tell a validation error at every step but those whose number is a multiple of `gap`."""

    def __init__(self, curve: Callable[[Any], Any], gap: int = 10**9) -> None:
        super().__init__(curve)
        self.gap = gap
        self.others = self.other(np.array([0]))

    def other(self, steps: Any) -> Any:
        return np.where((steps > 0) & (steps % self.gap == 0), np.nan, 3 + np.cos(steps * 0.11))

    def advance(self, iterations: int) -> Any:
        self.others = self.other(np.arange(self.step + 1, self.step + iterations + 1))
        return super().advance(iterations)

    def validation_errors(self) -> Any:
        return self.others


def test_validation_is_told_at_the_curves_steps() -> None:
    stops = [7, 1000, FULL_CURVE + 5000]
    for stop, result in zip(stops, train(Watched(wave), stops), strict=True):
        assert result.validation is not None
        assert (result.validation == Watched(wave).other(result.steps)).all()
        assert result.steps[-1] == stop and result.best_step in result.steps
        assert result.final_validation_error == 3 + np.cos(stop * 0.11)
        every = Watched(wave).other(np.arange(stop + 1))
        assert result.best_validation_error == every.min()
        assert_equal(result, only(train(Watched(wave), [stop])))
        alone = only(train(Scripted(wave), [stop]))
        assert (alone.errors == result.errors).all()
        assert alone.validation is alone.final_validation_error is None


def test_validation_that_was_not_taken_is_a_gap() -> None:
    result = only(train(Watched(wave, gap=5), [20]))
    assert result.validation is not None
    assert np.flatnonzero(np.isnan(result.validation)).tolist() == [5, 10, 15, 20]
    assert result.final_validation_error is None
    assert result.best_validation_error is not None


def test_validation_ends_where_the_run_diverges() -> None:
    result = only(train(Watched(breaks_at(500, math.nan)), [1000]))
    assert result.outcome == "diverged"
    assert result.validation is not None
    assert len(result.validation) == len(result.steps) == 500
    assert result.final_validation_error is None


def test_validation_none_at_all_is_no_curve() -> None:
    it = Watched(wave)
    it.validation_errors = lambda: None  # type: ignore[method-assign]
    assert only(train(it, [5])).validation is None


def test_validation_of_another_shape_is_told_with_class_and_method() -> None:
    it = Watched(wave)
    it.validation_errors = lambda: np.ones(3)  # type: ignore[method-assign]
    with pytest.raises(TrainerError, match=r"Watched\.validation_errors\(\) returned shape \(3,\)"):
        list(train(it, [5]))


@given(last=st.integers(0, 10**12), more=st.integers(0, 10**12))
def test_charted_steps_of_a_part_are_charted_of_the_whole(last: int, more: int) -> None:
    part, whole = charted(last), charted(last + more)
    assert set(part) <= set(whole)
    assert set(whole) <= set(kept_steps(last + more))
    assert len(whole) <= CHART_POINTS - 3


# --- going on from what was kept ----------------------------------------------------------------


class Kept(Watched):
    def state(self) -> dict[str, Any]:
        return {"step": self.step, "note": "a text"}

    def restore(self, state: Any) -> None:
        assert state["note"] == "a text"
        self.step = int(state["step"])


def kept_at(make: Callable[[], Any], step: int, stops: list[int]) -> dict[str, Any]:
    """Return what a training that is ended at `step` or soon after keeps, as plain arrays."""
    done: list[int] = []
    kept: list[Any] = []
    list(
        train(make(), stops, stop=lambda: sum(done) >= step, progress=done.append, keep=kept.append)
    )
    (state,) = kept
    return {name: np.array(value) for name, value in state.items()}


def built_in() -> list[tuple[str, Callable[[], Any]]]:
    net, one = notebook.notebook_network(), notebook.notebook_data()
    rng = np.random.default_rng(0)
    inputs, targets = rng.normal(size=(9, 4)), rng.random(size=(9, 2))
    many = Data(inputs[:7], targets[:7])
    split = Data(inputs[:7], targets[:7], inputs[7:], targets[7:])

    def full(lr: float) -> Single:
        return Single(Backprop([net], one, lrs=[lr], rule="notebook"))

    def batches(data: Data) -> Single:
        return Single(Backprop([net], data, lrs=[0.1], rule="gradient", batch_size=2, seed=1))

    return [
        ("scripted", lambda: Kept(wave, gap=7)),
        ("full batch", lambda: full(0.05)),
        ("stalled", lambda: full(1e4)),
        ("batches", lambda: batches(many)),
        ("validated", lambda: batches(split)),
    ]


@pytest.mark.parametrize(("name", "make"), built_in(), ids=[name for name, _ in built_in()])
@pytest.mark.parametrize("step", [0, 1, 500, 2000])
def test_going_on_gives_the_bits_of_training_at_once(
    name: str, make: Callable[[], Any], step: int
) -> None:
    state = kept_at(make, step, [10**6])
    at = int(state["step"])
    assert step <= at < 10**6
    wanted = [at + 1, at + 3000]
    for result, other in zip(
        train(make(), wanted, start=state), train(make(), wanted), strict=True
    ):
        assert_equal(result, other)


def test_going_on_beyond_the_full_curve_gives_the_same_points() -> None:
    state = kept_at(lambda: Kept(wave), FULL_CURVE + 3000, [10**7])
    at = int(state["step"])
    assert at > FULL_CURVE
    stops = [at + 10_000]
    assert_equal(
        only(train(Kept(wave), stops, start=state)),
        only(train(Kept(wave), stops)),
    )


def test_time_trained_before_does_not_count_against_the_limit() -> None:
    state = kept_at(lambda: Kept(wave), 100, [10**7])
    state["seconds"] = np.array(1e6)
    result = only(train(Kept(wave), [int(state["step"]) + 10], start=state, max_seconds=100.0))
    assert result.outcome == "completed"
    assert result.train_seconds >= 1e6


def test_nothing_is_kept_of_a_training_that_ends_well() -> None:
    kept: list[Any] = []
    list(train(Kept(wave), [1000], keep=kept.append))
    assert kept == []


@pytest.mark.parametrize("value", [[1, 2], None, {"model": object()}, {"model": [None]}])
def test_state_of_another_kind_is_told_with_class_and_method(value: Any) -> None:
    it = Kept(wave)
    it.state = lambda: value  # type: ignore[method-assign]
    with pytest.raises(TrainerError, match=r"Kept\.state\(\)"):
        list(train(it, [10], stop=lambda: True, keep=lambda state: None))
