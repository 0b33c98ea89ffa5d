"""A generator function as a trainer: what its values mean, how it ends, what it may be given."""

from __future__ import annotations

import math
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sweep.engine.executors.worker import Worker
from sweep.errors import ConfigError
from sweep.training.function import Function
from sweep.training.history import History, RunResult
from sweep.training.protocol import Batch, TrainerError
from sweep.training.stopping import Stopping
from sweep.training.surroundings import Failure, captured, take
from sweep.training.task import Item, SliceResult, Task
from sweep.training.trainers import check_options, locate
from tests import configuration
from tests.training.alone import train

Values = Generator[Any]


def halving(stop: int | None = None, closed: list[int] | None = None) -> Values:
    """Yield 1, 1/2, 1/4, ...; with `stop` the value of that step is the last."""
    at = 0
    try:
        while stop is None or at <= stop:
            print(f"step {at}")
            yield 0.5**at
            at += 1
    finally:
        if closed is not None:
            closed.append(at)


def results(values: Values, *cuts: int) -> list[RunResult]:
    return list(train(Function("train", values), cuts))


def test_first_value_is_the_error_before_training() -> None:
    three, ten = results(halving(), 3, 10)
    assert three.steps.tolist() == [0, 1, 2, 3]
    assert three.errors.tolist() == [1, 0.5, 0.25, 0.125]
    assert (ten.initial_error, ten.final_error, ten.outcome) == (1.0, 0.5**10, "completed")
    assert ten.stopped_at is None


def test_no_value_is_drawn_that_no_run_needs() -> None:
    closed: list[int] = []
    results(halving(closed=closed), 3, 10)
    assert closed == [10]


def test_generator_that_ends_early_completes_the_runs_beyond() -> None:
    four, six, ten = results(halving(stop=6), 4, 6, 10)
    assert [one.stopped_at for one in (four, six, ten)] == [None, None, 6]
    assert {one.outcome for one in (four, six, ten)} == {"completed"}
    assert ten.final_error == six.final_error == 0.5**6
    assert ten.steps[-1] == 6


def named() -> Values:
    weights = {"w": np.zeros(2)}
    for at in range(1000):
        more = {"accuracy": at / 1000} if at % 10 == 0 else {}
        yield {
            "error": 1 / (at + 1),
            "loss": math.inf if at == 5 else at,
            "weights": weights,
            **more,
        }
        weights["w"] += 1


def test_each_name_is_a_curve_of_its_own() -> None:
    short, long, whole = results(named(), 25, 100, 10**4)
    steps, values = short.curves["accuracy"]
    assert steps.tolist() == [0, 10, 20] and values.tolist() == [0, 0.01, 0.02]
    assert short.curves["loss"][0].tolist() == [at for at in range(26) if at != 5]
    assert long.curves["accuracy"][0].tolist() == list(range(0, 101, 10))
    assert short.final_weights["w"].tolist() == [25, 25]
    assert short.initial_weights["w"].tolist() == [0, 0]
    assert whole.final_weights["w"].tolist() == [999, 999]
    assert short.metrics == {}


def test_last_value_that_is_not_finite_is_a_metric_for_the_eye() -> None:
    (five,) = results(named(), 5)
    assert five.metrics == {"loss": math.inf}
    assert five.curves["loss"][0].tolist() == [0, 1, 2, 3, 4]


def test_validation_error_is_the_validation_curve() -> None:
    def values() -> Values:
        for at in range(9):
            yield {"error": 1.0, "validation_error": abs(at - 4.0)}

    (six,) = results(values(), 6)
    assert six.validation is not None and six.validation.tolist() == [4, 3, 2, 1, 0, 1, 2]
    assert (six.best_validation_error, six.final_validation_error) == (0, 2)
    assert six.curves == {}


def test_weights_may_be_a_function_that_is_called_where_a_run_ends() -> None:
    asked: list[int] = []

    def values() -> Values:
        for at in range(100):
            yield {"error": 1.0, "weights": lambda at=at: asked.append(at) or {"w": at}}

    three, five = results(values(), 3, 5)
    assert asked == [0, 3, 5]
    assert (three.final_weights, five.final_weights) == ({"w": 3.0}, {"w": 5.0})


def once(value: Any) -> Values:
    yield 1.0
    yield value


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("0.5", "train yielded '0.5' at step 1; yield a number"),
        (None, "train yielded None at step 1"),
        (np.array("0.5"), "train yielded array('0.5', dtype='<U3') at step 1"),
        (bytearray(b"5"), "train yielded bytearray(b'5') at step 1"),
        ({"error": 1.0, "weights": {"w": [[1.0], [1.0, 2.0]]}}, "'w' returned [[1.0], [1.0, 2.0]]"),
        (np.complex64(1), "train yielded np.complex64(1+0j) at step 1"),
        ({"loss": 1.0}, "a mapping must name the error"),
        ({"error": 1.0, "note": "fine"}, "train yielded 'fine' as 'note' at step 1"),
        ({"error": 1.0, "validation_error": 1.0}, "and none at step 0"),
    ],
)
def test_value_of_another_kind_is_told_with_its_step(value: Any, told: str) -> None:
    with pytest.raises(TrainerError) as caught:
        results(once(value), 3)
    assert told in str(caught.value)


@pytest.mark.parametrize("stop", [{}, {"error": 1e-9}])
@pytest.mark.parametrize(("bad", "told"), [(None, "no way"), ("text", "yielded 'text' at step 6")])
def test_values_before_an_exception_are_kept(
    bad: str | None, told: str, stop: dict[str, Any]
) -> None:
    def values() -> Values:
        yield from ({"error": 0.5**at, "at\ud800": at} for at in range(6))
        if bad is None:
            raise ArithmeticError("no way")
        yield bad

    function: Batch = Function("train", values())
    function = Stopping(function, **stop) if stop else function
    kept = function.advance(10)
    assert kept.errors.tolist() == [[0.5**at for at in range(1, 6)]] and not kept.stopped
    assert [points.tolist() for points in kept.named["at\\ud800"]] == [[1, 2, 3, 4, 5]] * 2
    with pytest.raises((ArithmeticError, TrainerError), match=told):
        function.advance(5)


def test_function_that_yields_nothing_is_told() -> None:
    with pytest.raises(TrainerError, match="ended before it yielded anything"):
        results((_ for _ in ()), 3)  # type: ignore[arg-type]


def test_what_closing_raises_loses_nothing_that_was_trained() -> None:
    def values() -> Values:
        try:
            while True:
                yield 0.25
        finally:
            raise OSError("the file is gone")

    (result,) = results(values(), 3)
    assert (result.outcome, result.final_error) == ("failed", 0.25)
    assert result.failure is not None and "the file is gone" in result.failure.sentence


# --- found, checked and given -----------------------------------------------------------------

SOURCE = """
import functools

CLOSED = []

def train(lr, data, seed, network, momentum=0.0):
    print("begin", lr, seed, momentum, data.inputs.shape, network.layers)
    w = 1.0
    try:
        while True:
            yield {"error": w * w, "w": w}
            w -= lr * w
    finally:
        CLOSED.append(w)

def plain(lr):
    return [1.0]

def told_iters(lr, iters):
    yield 1.0

def marked(function):
    @functools.wraps(function)
    def inner(*args, **kwargs):
        return function(*args, **kwargs)
    return inner

decorated = marked(train)

def logs(lr):
    import mlflow
    yield 1.0
logs.thread_safe = True

def breaks(lr):
    print("before")
    yield 1.0
    print("half \\ud800", end="")
    raise ArithmeticError("no way")

def locked(lr):
    try:
        while True:
            yield 1.0
    finally:
        raise OSError("still locked")


def shuffled(shuffle=False):
    yield 1.0
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    name = f"mine_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield name
    sys.modules.pop(name, None)


def spec(target: str, **options: Any) -> Any:
    trainer = {"_target_": target, **options}
    return configuration.spec(trainer=trainer, rule=None, seed=7, iters=4)


def test_function_is_found_and_one_that_does_not_yield_refused(mine: str) -> None:
    assert locate(f"{mine}.train").__name__ == "train"
    assert locate(f"{mine}.decorated").__name__ == "train"
    with pytest.raises(ConfigError, match="this function does not yield; yield the error before"):
        locate(f"{mine}.plain")


def test_arguments_are_given_by_name_and_unknown_ones_refused(mine: str) -> None:
    function = locate(f"{mine}.train")
    check_options(function, {"momentum": 0.9})
    with pytest.raises(ConfigError, match="train takes no such argument.*'momentum'"):
        check_options(function, {"momentun": 0.9})
    with pytest.raises(ConfigError, match=r"needs the argument iters; leave it out and yield"):
        check_options(locate(f"{mine}.told_iters"), {})


def test_settings_of_the_built_in_trainer_are_no_arguments_unless_they_were_changed(
    mine: str,
) -> None:
    left = {"batch_size": None, "shuffle": True}
    assert spec(f"{mine}.train", **left, momentum=0.5).trainer.options == {"momentum": 0.5}
    assert spec(f"{mine}.shuffled", **left).trainer.options == {"shuffle": True}
    with pytest.raises(ConfigError, match="trainer.batch_size: train takes no such argument"):
        spec(f"{mine}.train", **{**left, "batch_size": 2})


def task(spec: Any, seconds: float = 1e9) -> Task:
    return Task(0, 0, seconds, (Item(spec, (2, 4)),))


def test_worker_gives_what_is_asked_for_and_keeps_what_is_printed(
    mine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    reply = Worker().advance(task(spec(f"{mine}.train", momentum=0.5)))
    assert isinstance(reply, SliceResult)
    history = History([2, 4])
    two, four = history.add(reply.parts[0])
    assert two.printed == four.printed == "begin 0.1 7 0.5 (1, 4) (4, 3, 2)\n"
    assert four.curves["w"][1].tolist() == pytest.approx([0.9**at for at in range(5)])
    assert sys.modules[mine].CLOSED == [pytest.approx(0.9**4)]
    assert capsys.readouterr().out == ""


def test_left_training_that_raises_when_closed_is_logged_and_fails_no_other_run(
    mine: str, caplog: pytest.LogCaptureFixture
) -> None:
    worker = Worker()
    left = Task(0, 0, 0.0, (Item(spec(f"{mine}.locked"), (10**9,)),))
    for then in (task(spec(f"{mine}.train")), Task(1, 7, 1.0, None)):
        worker.advance(left)
        reply = worker.advance(then)
        assert reply is None or (isinstance(reply, SliceResult) and reply.failure is None)
    worker.advance(left)
    worker.close()
    assert caplog.text.count("OSError: still locked") == 3


def test_file_that_names_mlflow_trains_in_processes(mine: str) -> None:
    assert spec(f"{mine}.logs").trainer.thread_safe is False


def test_kept_method_of_the_output_prints_into_the_training_that_calls_it() -> None:
    for text in ("first", "second"):
        with captured():
            if text == "first":
                write, lines = sys.stdout.write, sys.stdout.writelines
            write(text)
            lines([text])
            assert take() == text * 2


def test_what_was_printed_before_a_failure_comes_with_it(mine: str) -> None:
    reply = Worker().advance(task(spec(f"{mine}.breaks")))
    assert isinstance(reply, SliceResult) and reply.failure is not None
    printed = reply.parts[0].printed + reply.failure.printed
    assert printed == "before\nhalf \\ud800"


class Unprintable(Exception):
    def __str__(self) -> str:
        raise TypeError


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ValueError("no file \udcff"), "ValueError: no file \\udcff"),
        (ValueError("\n two\nlines"), "ValueError: two"),
        (Unprintable(), "Unprintable: <exception str() failed>"),
    ],
)
def test_failure_of_any_exception_can_be_printed(error: Exception, sentence: str) -> None:
    failure = Failure.of(error)
    assert failure.sentence == sentence
    assert failure.traceback is not None and "\udcff" not in failure.traceback
