"""Many trajectories at once give what each gives alone, and no more memory than one."""

from __future__ import annotations

import tracemalloc
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from sweep.training import together
from sweep.training.backprop import Backprop
from sweep.training.data import Data
from sweep.training.network import Network
from sweep.training.together import train_together
from sweep.training.trainers import Single
from sweep.training.training import CurvePart, RunResult, train
from tests import notebook


def abreast(lrs: Sequence[float]) -> Backprop:
    net = notebook.notebook_network()
    return Backprop([net] * len(lrs), notebook.notebook_data(), lrs=lrs, rule="notebook")


def alone(lr: float, stops: Sequence[int]) -> list[RunResult]:
    return list(train(Single(abreast([lr])), stops))


def told(result: RunResult) -> dict[str, Any]:
    """Return all that a result says, but for the time."""
    values = dict(vars(result))
    del values["train_seconds"]
    return {
        name: value.tobytes() if isinstance(value, np.ndarray) else repr(value)
        for name, value in values.items()
    }


def test_results_are_those_of_each_alone() -> None:
    rates = (0.05, 1000.0, 1.0, 0.01)
    stops = [(1, 1000, 40_000), (7, 90_000), (100_000, 130_001), (40_000,)]
    results = defaultdict(list)
    for at, result in train_together(abreast(rates), stops):
        results[at].append(result)
    assert sorted(results) == [0, 1, 2, 3]
    for at, lr in enumerate(rates):
        for one, other in zip(results[at], alone(lr, stops[at]), strict=True):
            assert told(one) == told(other)


def test_diverged_run_ends_all_its_stops_and_no_other() -> None:
    net = Network.build(layers=[2, 1], activation="identity", init={"scheme": "he"})
    data = Data(np.array([[1.0, 2.0], [2.0, 1.0]]), np.array([[0.3], [0.9]]))
    many = Backprop([net] * 2, data, lrs=[5.0, 0.01], rule="gradient")
    results = list(train_together(many, [(10, 100_000), (10, 5000)]))
    outcomes = Counter((at, result.iters, result.outcome) for at, result in results)
    assert outcomes == Counter(
        [
            (0, 10, "completed"),
            (0, 100_000, "diverged"),
            (1, 10, "completed"),
            (1, 5000, "completed"),
        ]
    )
    single = train(Single(Backprop([net], data, lrs=[5.0], rule="gradient")), (10, 100_000))
    expected = {result.iters: told(result) for result in single}
    assert {r.iters: told(r) for at, r in results if at == 0} == expected


def test_results_come_as_their_stops_are_passed() -> None:
    iters = [result.iters for _, result in train_together(abreast([0.1, 0.2]), [(5, 300), (20,)])]
    assert iters == [5, 20, 300]


def test_progress_counts_each_iteration_once_before_the_result() -> None:
    counted: Counter[int] = Counter()

    def count(at: int, iterations: int) -> None:
        counted[at] += iterations

    stops = [(5, 3000), (20,)]
    for at, result in train_together(abreast([0.1, 0.2]), stops, progress=count):
        assert counted[at] == result.iters
    assert counted == {0: 3000, 1: 20}


def test_stop_interrupts_all_that_is_left_and_keeps_the_curves() -> None:
    asked = iter([False] * 4)
    results = dict(
        train_together(abreast([0.1, 0.2]), [(10**9,), (10**12,)], stop=lambda: next(asked, True))
    )
    assert [results[at].outcome for at in (0, 1)] == ["interrupted"] * 2
    for at, lr in enumerate((0.1, 0.2)):
        last = int(results[at].steps[-1])
        assert 4 <= last < 10**9
        (expected,) = alone(lr, [last])
        assert results[at].errors.tobytes() == expected.errors.tobytes()
        assert results[at].final_weights == expected.final_weights


def test_max_seconds_interrupts() -> None:
    results = [r for _, r in train_together(abreast([0.1, 0.2]), [(10**12,)] * 2, max_seconds=0.05)]
    assert [result.outcome for result in results] == ["interrupted"] * 2
    assert sum(result.train_seconds for result in results) >= 0.05


def test_shares_of_time_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(10**6))
    monkeypatch.setattr(together.time, "perf_counter", lambda: float(next(clock)))
    results = [r for _, r in train_together(abreast([0.1, 0.2, 0.3]), [(1,), (1,), (2,)])]
    seconds = [result.train_seconds for result in results]
    assert seconds == pytest.approx([1 / 3, 1 / 3, 4 / 3])


def test_parts_of_the_curves_are_told_and_no_point_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweep.training.training.WATCH_SECONDS", 0.0)
    steps: dict[int, list[int]] = defaultdict(list)

    def watch(at: int, part: CurvePart) -> None:
        steps[at] += part.steps.tolist()

    list(train_together(abreast([0.1, 0.2]), [(3000,), (500,)], watch=watch))
    for at in (0, 1):
        assert len(steps[at]) > 10
        assert len(set(steps[at])) == len(steps[at])


def peak(run: Callable[[], Any]) -> int:
    """Return the most bytes that were allocated at once, NumPy's arrays included."""
    run()  # compiled and imported
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_iterations() -> None:
    count = 2_500_000  # 160 MB of errors
    together_ = peak(lambda: list(train_together(abreast([1e-4] * 8), [(count,)] * 8)))
    assert together_ < 40e6


def test_memory_of_one_alone_does_not_grow_with_iterations() -> None:
    net, data = notebook.notebook_network(), notebook.notebook_data()

    def run(count: int) -> None:
        list(train(Single(Backprop([net], data, lrs=[1e-4], rule="notebook")), [count]))

    assert peak(lambda: run(4_000_000)) < 12e6  # 32 MB of errors
