"""A user's folder outside the checkout: its trainer, swept in two commands by real processes."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sweep.training.protocol import BatchOfOne
from tests.commands import run_here
from tests.examples.support import EXAMPLES
from tests.processes import Ended
from tests.stores import client_of, runs_of
from tests.training.alone import train

pytestmark = pytest.mark.slow

OPTIONS = ["--config-dir", "my_conf", "trainer=digits_sgd", "lr=0.001,0.05", "iters=1,6"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a fresh copy of the example, far from the checkout."""
    made = tmp_path_factory.mktemp("a user") / "my digits"
    shutil.copytree(EXAMPLES / "digits", made)
    return made


@pytest.fixture(scope="module")
def swept(folder: Path) -> tuple[Ended, Ended]:
    first = run_here(["-m", *OPTIONS], folder)
    return first, run_here([], folder, module="sweep.report")


@pytest.fixture(scope="module")
def runs(swept: tuple[Ended, Ended], folder: Path) -> dict[str, Any]:
    return runs_of(folder / "outputs")


def test_both_commands_end_well(swept: tuple[Ended, Ended]) -> None:
    for ended in swept:
        assert (ended.code, ended.err) == (0, ""), ended
    assert "4 runs, 2 trajectories, 12 iterations" in swept[0].out


def test_each_run_has_its_own_metrics_and_params(runs: dict[str, Any]) -> None:
    assert sorted(runs) == [f"lr={lr},iters={n}" for lr in ("0.001", "0.05") for n in (1, 6)]
    for run in runs.values():
        assert run.info.status == "FINISHED"
        assert run.data.params["trainer"] == "digits_sgd"
        assert run.data.params["rule"] == "none"
        assert 0.5 < run.data.metrics["accuracy"] <= 1
        assert run.data.metrics["final_validation_error"] > 0
    assert runs["lr=0.05,iters=6"].data.metrics["accuracy"] > 0.85


@pytest.fixture
def digits(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Any]]:
    """Yield the example's class with a learning rate of 0.05."""
    monkeypatch.syspath_prepend(str(folder))
    from digits_sgd import DigitsSGD  # type: ignore[import-not-found]

    yield partial(DigitsSGD, lr=0.05)
    sys.modules.pop("digits_sgd")


def test_numbers_are_those_of_the_class_alone(
    runs: dict[str, Any], folder: Path, digits: Callable[[], Any]
) -> None:
    results = list(train(BatchOfOne(digits()), [1, 6]))
    for result in results:
        metrics = runs[f"lr=0.05,iters={result.iters}"].data.metrics
        assert metrics["final_error"] == result.final_error
        assert metrics["accuracy"] == result.metrics["accuracy"]
        assert metrics["best_validation_error"] == result.best_validation_error
    client = client_of(folder / "outputs")
    history = client.get_metric_history(runs["lr=0.05,iters=6"].info.run_id, "validation_error")
    result = results[-1]
    assert result.validation is not None
    expected = dict(zip(result.steps.tolist(), result.validation.tolist(), strict=True))
    assert {point.step: point.value for point in history}.items() <= expected.items()
    assert {point.step for point in history} >= {0, 1, 6}


def test_state_goes_on_where_it_was(digits: Callable[[], Any]) -> None:
    whole, first, second = digits(), digits(), digits()
    errors = whole.advance(5)
    first.advance(2)
    second.restore({name: np.array(value) for name, value in first.state().items()})
    assert second.error() == first.error()
    assert second.advance(3) == errors[2:]
    assert (second.weights()["weights"] == whole.weights()["weights"]).all()
