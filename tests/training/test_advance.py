"""Trajectories by slices: prefixes, thinning, thresholds, and every way in which one ends."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.engine.executors.worker import Worker
from sweep.training.advance import Training, advance
from sweep.training.backprop import Backprop
from sweep.training.curve import (
    CHART_POINTS,
    FULL_CURVE,
    THRESHOLDS,
    Landmarks,
    charted,
    joined,
    kept_steps,
    measured,
)
from sweep.training.data import Data
from sweep.training.history import History, RunResult
from sweep.training.network import Network
from sweep.training.protocol import Batch, BatchOfOne, TrainerError
from sweep.training.task import Item, SliceResult, Task
from tests import notebook
from tests.configuration import spec
from tests.training.alone import train as train_batch


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


def side_by_side(lrs: Sequence[float]) -> Batch:
    net, data = notebook.notebook_network(), notebook.notebook_data()
    return Backprop([net] * len(lrs), data, lrs=lrs, rule="notebook")


def notebook_trainer(lr: float = 0.05) -> Batch:
    return side_by_side([lr])


def train(trainer: Any, cuts: Sequence[int], **options: Any) -> Iterator[RunResult]:
    """Train a batch of one, or a trainer of a user's own."""
    batch = trainer if isinstance(trainer, Backprop | BatchOfOne) else BatchOfOne(trainer)
    return train_batch(batch, cuts, **options)


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


def test_error_of_zero_passes_all_thresholds_at_its_first_step_and_is_best_there() -> None:
    result = only(train(Scripted(lambda steps: np.where(steps < 7, 1.0, 0.0)), [5000]))
    assert set(result.thresholds.values()) == {7}
    assert result.best_step == 7


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


def test_max_seconds_interrupts() -> None:
    result = only(train(notebook_trainer(), [10**12], max_seconds=0.05))
    assert result.outcome == "interrupted"
    assert result.train_seconds >= 0.05
    assert 0 < result.steps[-1] < 10**12
    alone = only(train(notebook_trainer(), [int(result.steps[-1])]))
    assert (alone.errors == result.errors).all()


class OwnMetrics(Scripted):
    def metrics(self) -> dict[str, Any]:
        return {"accuracy": np.float32(0.5), "seen\ud800": self.step}


def test_weights_and_metrics_are_those_of_the_runs_step() -> None:
    for step, result in zip([2, 50], train(OwnMetrics(wave), [2, 50]), strict=True):
        assert (result.initial_weights, result.final_weights) == ({"w": 0.0}, {"w": float(step)})
        assert result.metrics == {"accuracy": 0.5, "seen\\ud800": float(step)}


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


OF_ANOTHER_KIND = ({"seen": "high"}, {"seen": None}, {"seen": [1.0, 2.0]}, "text", None, [1.0])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("metrics", lambda value=value: value) for value in OF_ANOTHER_KIND),
        *(("stalled_at", value) for value in ("3", 2.5, True, [3])),
    ],
)
def test_values_of_another_kind_lose_nothing_that_was_trained(name: str, value: Any) -> None:
    it = OwnMetrics(wave)
    setattr(it, name, value)
    first, second = train(it, [3, 5])
    for result in (first, second):
        assert result.outcome == "failed" and result.failure is not None
        assert f"OwnMetrics.{name}" in result.failure.sentence
        assert result.final_error == wave(result.iters) and result.final_weights["w"] > 0
        assert len(result.errors) == result.iters + 1


@pytest.mark.parametrize("step", [3, 3.0, np.float32(3), np.array(3), float("nan"), None])
def test_step_of_a_stall_is_any_whole_number(step: Any) -> None:
    it = OwnMetrics(wave)
    it.stalled_at = step  # type: ignore[attr-defined]
    (result,) = train(it, [5])
    assert result.stalled_at == (3 if step == 3 else None) and result.outcome == "completed"


def test_what_metrics_and_weights_raise_is_the_end_of_that_run_alone() -> None:
    class Fragile(Scripted):
        def metrics(self) -> dict[str, float]:
            if self.step == 3:
                raise RuntimeError("no metrics today")
            return {"at": float(self.step)}

    first, second = train(Fragile(wave), [3, 5])
    assert first.failure is not None and "no metrics today" in str(first.failure.traceback)
    assert (first.outcome, first.final_error) == ("failed", wave(3))
    assert (second.outcome, second.metrics) == ("completed", {"at": 5.0})


@given(end=st.integers(0, 400), more=st.integers(0, 400))
def test_curve_goes_back_to_what_it_was(end: int, more: int) -> None:
    errors = wave(np.arange(1000))
    first = measured(Landmarks(), errors[: end + 1])
    second = measured(first.marks, errors[end + 1 : end + 1 + more])
    again = joined([first, second]).until(first.marks)
    assert again.marks == first.marks
    assert again.completed().errors.tobytes() == first.completed().errors.tobytes()


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


@settings(max_examples=40, deadline=None)
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


def built_in() -> list[tuple[str, Callable[[], Any]]]:
    net, one = notebook.notebook_network(), notebook.notebook_data()
    rng = np.random.default_rng(0)
    inputs, targets = rng.normal(size=(9, 4)), rng.random(size=(9, 2))
    many = Data(inputs[:7], targets[:7])

    split = Data(inputs[:7], targets[:7], inputs[7:], targets[7:])
    large = Network.build(layers=[4, 9, 2], activation="tanh", init={"scheme": "he"})

    def full(lr: float) -> Batch:
        return Backprop([net], one, lrs=[lr], rule="notebook")

    def batches(data: Data) -> Batch:
        return Backprop([net], data, lrs=[0.1], rule="gradient", batch_size=2, seed=1)

    return [
        ("scripted", lambda: BatchOfOne(Kept(wave, gap=7))),
        ("full batch", lambda: full(0.05)),
        ("stalled", lambda: full(1e4)),
        ("batches", lambda: batches(many)),
        ("validated", lambda: batches(split)),
        ("large", lambda: Backprop([large], many, lrs=[0.1], rule="gradient")),
    ]


def by_slices(
    make: Callable[[], Batch], cuts: Sequence[Sequence[int]], lengths: Iterator[int]
) -> list[list[RunResult]]:
    """Train by slices of these lengths, each in a fresh trainer from the state that came back."""
    histories = [History(one) for one in cuts]
    results: list[list[RunResult]] = [[] for _ in cuts]
    alive = list(range(len(cuts)))
    while alive:
        saved = [histories[at].saved for at in alive]
        training = Training(chosen(make(), alive), [histories[at].left for at in alive], saved)
        done = training.advance(iterations=next(lengths))
        for at, part in zip(alive, done.parts, strict=True):
            results[at] += histories[at].add(part)
        alive = [at for at in alive if histories[at].left]
    return results


def chosen(batch: Batch, indices: list[int]) -> Batch:
    """Return a batch with these of its items, as a driver builds it when others have ended."""
    if len(indices) == len(batch.items):
        return batch
    return side_by_side([RATES[at] for at in indices])


RATES = (0.05, 1000.0, 1.0, 0.01)


@pytest.mark.parametrize(("name", "make"), built_in(), ids=[name for name, _ in built_in()])
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_slices_of_any_length_give_the_same_bits(
    name: str, make: Callable[[], Any], data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, 3000), min_size=1, max_size=3)))
    lengths = iter(lambda: data.draw(st.integers(100, 1500)), None)
    (found,) = by_slices(make, [cuts], lengths)
    for result, other in zip(found, train(make(), cuts), strict=True):
        assert_equal(result, other)


def test_slices_beyond_the_full_curve_give_the_same_points() -> None:
    cuts = [FULL_CURVE + 7, 150_000]
    lengths = iter(lambda: 33_333, None)
    (found,) = by_slices(lambda: BatchOfOne(Kept(wave)), [cuts], lengths)
    for result, other in zip(found, train(Kept(wave), cuts), strict=True):
        assert_equal(result, other)


@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_batch_by_slices_gives_what_each_gives_alone(data: st.DataObject) -> None:
    cuts = [
        sorted(data.draw(st.sets(st.integers(1, 40_000), min_size=1, max_size=3))) for _ in RATES
    ]
    lengths = iter(lambda: data.draw(st.integers(3_000, 30_000)), None)
    found = by_slices(lambda: side_by_side(RATES), cuts, lengths)
    for lr, own, results in zip(RATES, cuts, found, strict=True):
        for result, other in zip(results, train(notebook_trainer(lr), own), strict=True):
            assert_equal(result, other)


def test_item_of_a_batch_that_diverges_ends_all_its_cuts_and_no_other() -> None:
    net = Network.build(layers=[2, 1], activation="identity", init={"scheme": "he"})
    data = Data(np.array([[1.0, 2.0], [2.0, 1.0]]), np.array([[0.3], [0.9]]))
    many = Backprop([net] * 2, data, lrs=[5.0, 0.01], rule="gradient")
    cuts = [(10, 100_000), (10, 5000)]
    results = by_slices(lambda: many, cuts, iter([10**6]))
    outcomes = [[(one.iters, one.outcome) for one in own] for own in results]
    assert outcomes == [
        [(10, "completed"), (100_000, "diverged")],
        [(10, "completed"), (5000, "completed")],
    ]
    single = train(Backprop([net], data, lrs=[5.0], rule="gradient"), cuts[0])
    for result, other in zip(results[0], single, strict=True):
        assert_equal(result, other)


def test_max_seconds_is_the_time_of_each_trajectory_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a batch, too: one that trains for longer does not end the others, nor they it."""
    ticks = itertools.count()
    clock = SimpleNamespace(perf_counter=lambda: next(ticks) / 100)
    monkeypatch.setattr("sweep.training.advance.time", clock)
    cuts = [[10**12], [10**12]]
    training = Training(side_by_side([0.1, 0.2]), cuts, None, [0.05, 0.2])
    histories = [History(one) for one in cuts]
    results = [
        list(history.add(part))
        for history, part in zip(histories, training.advance().parts, strict=True)
    ]
    assert [[one.outcome for one in own] for own in results] == [["interrupted"]] * 2
    ((first,), (second,)) = results
    assert 0.05 <= first.train_seconds < second.train_seconds
    assert second.train_seconds >= 0.2


def test_time_that_was_trained_before_counts() -> None:
    training = Training(BatchOfOne(Kept(wave)), [[100]])
    saved = training.advance(iterations=50).parts[0].state
    assert saved is not None
    old = replace(saved, seconds=1e6)
    again = Training(BatchOfOne(Kept(wave)), [[100]], [old], [1e6])
    assert again.done
    again = Training(BatchOfOne(Kept(wave)), [[100]], [old], [1e6 + 100])
    history = History([100], old)
    (result,) = history.add(again.advance().parts[0])
    assert result.outcome == "completed"
    assert result.train_seconds >= 1e6


def test_slice_ends_after_its_seconds_and_within_its_iterations() -> None:
    training = Training(BatchOfOne(Kept(wave)), [[10**9]])
    state = training.advance(iterations=777).parts[0].state
    assert state is not None and state.marks.last == 777
    training.advance(seconds=0.0)
    state = training.advance(iterations=0).parts[0].state
    assert state is not None and 777 < state.marks.last < 10**6


def test_large_state_comes_back_when_it_is_due_alone() -> None:
    class Large(Kept):
        def state(self) -> dict[str, Any]:
            return {**super().state(), "block": np.zeros(100_000)}

    training = Training(BatchOfOne(Large(wave)), [[10**9]])
    states = [training.advance(iterations=10).parts[0].state for _ in range(3)]
    assert [state is not None for state in states] == [True, False, False]


def peak(run: Callable[[int], Any], iterations: int) -> int:
    """Return the most bytes that were allocated at once, NumPy's arrays included."""
    run(10)  # compiled and imported
    tracemalloc.start()
    try:
        run(iterations)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_iterations() -> None:
    one, eight = 2_500_000, 1_500_000  # 20 and 96 MB of errors
    assert peak(lambda count: list(train(notebook_trainer(1e-4), [count])), one) < 12e6
    batch = lambda count: Training(side_by_side([1e-4] * 8), [[count]] * 8).advance()  # noqa: E731
    assert peak(batch, eight) < 40e6


# --- a trainer that breaks its protocol

BROKEN = [
    ("advance", np.ones(2), r"advance\(1\) returned shape \(2,\)"),
    ("advance", np.ones((1, 1)), r"advance\(1\) returned shape \(1, 1\)"),
    ("advance", 1.0, r"advance\(1\) returned shape \(\)"),
    ("advance", [], r"advance\(1\) returned shape \(0,\)"),
    ("advance", "text", r"advance\(1\) returned 'text'"),
    ("advance", None, r"advance\(1\) returned None"),
    ("advance", ["0.5"], r"advance\(1\) returned \['0.5'\]"),
    ("advance", np.array(["0.5"], dtype=object), r"advance\(1\) returned array\(\['0.5'\]"),
    ("weights", {"w": np.array(["0.5"], np.dtypes.StringDType())}, r"weights\(\), 'w' returned"),
    ("weights", {"w": [1.0, None]}, r"weights\(\), 'w' returned \[1.0, None\]"),
    ("error", np.ones(2), r"error\(\) returned shape \(2,\)"),
    ("weights", [1.0], r"weights\(\) returned \[1.0\]; it must map"),
    ("weights", {"w": "0.25"}, r"weights\(\), 'w' returned '0.25'"),
    ("weights", {"w": np.array([1j])}, r"weights\(\), 'w' returned array\("),
    ("weights", {"w": np.array("2020-01-01", "M8[ns]")}, r"weights\(\), 'w' returned array\("),
    ("validation_errors", np.ones(3), r"validation_errors\(\) returned shape \(3,\)"),
    ("state", [1, 2], r"state\(\) returned \[1, 2\]; it must map"),
    ("state", None, r"state\(\) returned None; it must map"),
    ("state", {"model": object()}, r"state\(\), 'model' is <object"),
    ("state", {"model": [None]}, r"state\(\), 'model' is \[None\]"),
]


@pytest.mark.parametrize(("method", "value", "told"), BROKEN)
def test_value_of_another_kind_is_told_with_class_and_method(
    method: str, value: Any, told: str
) -> None:
    it = Kept(wave)
    setattr(it, method, lambda *arguments: value)
    with pytest.raises(TrainerError, match=rf"Kept\.{told}"):
        Training(BatchOfOne(it), [[10]]).advance(iterations=3)


def test_missing_method_is_told_with_its_class() -> None:
    it = Kept(wave)
    it.advance = None  # type: ignore[assignment, method-assign]
    with pytest.raises(TrainerError, match="Kept has no method advance; a trainer needs it"):
        list(train(it, [3]))


# --- the worker


def task(
    number: int, *lrs: float, iters: int = 10**6, begin: bool = True, seconds: float = 0.0
) -> Task:
    items = tuple(Item(spec(lr=lr, iters=iters), (iters,)) for lr in lrs)
    return Task(0, number, seconds, items if begin else None)


def test_advance_is_a_function_of_its_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainers that a worker has kept give what new ones give from the last state."""
    monkeypatch.setattr("sweep.training.advance.MOST_ERRORS", 2)  # one iteration in a slice
    items = tuple(Item(spec(lr=lr, iters=10**6), (2, 10**6)) for lr in (0.1, 0.2))
    kept: list[Training] = []
    for at in range(4):
        one = advance(Task(0, at, 0.0, items))
        other = advance(Task(0, at, 0.0, None if at else items), kept)
        assert isinstance(one, SliceResult) and isinstance(other, SliceResult)
        for first, second in zip(one.parts, other.parts, strict=True):
            assert first.state is not None and second.state is not None
            assert repr(first.curve) == repr(second.curve)
            assert repr(first.state.trainer) == repr(second.state.trainer)
            assert [s.weights for s in first.snapshots] == [s.weights for s in second.snapshots]
        items = tuple(
            replace(item, saved=part.state, cuts=item.cuts[len(part.snapshots) :])
            for item, part in zip(items, one.parts, strict=True)
        )


def test_worker_goes_on_with_the_slice_that_follows_alone() -> None:
    worker = Worker()
    first = worker.advance(task(0, 0.1))
    assert isinstance(first, SliceResult)
    second = worker.advance(task(1, begin=False))
    assert isinstance(second, SliceResult)
    assert second.parts[0].initial is None and second.parts[0].curve.steps[0] > 0
    assert worker.advance(task(1, begin=False)) is None
    assert worker.advance(task(3, begin=False)) is None
    assert Worker().advance(task(2, begin=False)) is None
