"""A user's folder outside the checkout: its trainer, swept in two commands by real processes."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow.tracking import MlflowClient

from sweep.training.advance import train
from sweep.training.history import RunResult
from sweep.training.protocol import BatchOfOne
from tests.commands import run_here
from tests.examples.support import EXAMPLES
from tests.processes import Ended

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
    client = MlflowClient(f"sqlite:///{folder / 'outputs' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("sweep")
    found = client.search_runs([experiment.experiment_id], "tags.`sweep.role` = 'run'")
    return {run.info.run_name: run for run in found}


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


def direct(folder: Path, lr: float, stops: list[int]) -> list[RunResult]:
    """Train with the class alone, in this process."""
    sys.path.insert(0, str(folder))
    try:
        from digits_sgd import DigitsSGD  # type: ignore[import-not-found]

        return list(train(BatchOfOne(DigitsSGD(lr=lr)), stops))
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop("digits_sgd", None)


def test_numbers_are_those_of_the_class_alone(runs: dict[str, Any], folder: Path) -> None:
    for lr in (0.001, 0.05):
        for result in direct(folder, lr, [1, 6]):
            metrics = runs[f"lr={lr},iters={result.iters}"].data.metrics
            assert metrics["final_error"] == result.final_error
            assert metrics["accuracy"] == result.metrics["accuracy"]
            assert metrics["best_validation_error"] == result.best_validation_error


def test_validation_error_is_a_curve_of_its_own(runs: dict[str, Any], folder: Path) -> None:
    client = MlflowClient(f"sqlite:///{folder / 'outputs' / 'mlflow.db'}")
    history = client.get_metric_history(runs["lr=0.05,iters=6"].info.run_id, "validation_error")
    (_, result) = direct(folder, 0.05, [1, 6])
    assert result.validation is not None
    expected = dict(zip(result.steps.tolist(), result.validation.tolist(), strict=True))
    assert {point.step: point.value for point in history}.items() <= expected.items()
    assert {point.step for point in history} >= {0, 1, 6}


def test_advance_in_parts_is_advance_at_once(folder: Path) -> None:
    whole, parts = direct(folder, 0.05, [6]), direct(folder, 0.05, [2, 3, 6])
    assert (whole[-1].errors == parts[-1].errors).all()
    for name, weights in whole[-1].final_weights.items():
        assert (weights == parts[-1].final_weights[name]).all()


def test_state_goes_on_where_it_was(folder: Path) -> None:
    sys.path.insert(0, str(folder))
    try:
        from digits_sgd import DigitsSGD

        whole, first, second = DigitsSGD(lr=0.05), DigitsSGD(lr=0.05), DigitsSGD(lr=0.05)
        errors = whole.advance(5)
        first.advance(2)
        second.restore({name: np.array(value) for name, value in first.state().items()})
        assert second.error() == first.error()
        assert second.advance(3) == errors[2:]
        assert (second.weights()["weights"] == whole.weights()["weights"]).all()
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop("digits_sgd", None)


def test_backend_changes_no_bit(runs: dict[str, Any], folder: Path) -> None:
    options = ["lr=0.05", "iters=6", "hydra.launcher.backend=processes", "outputs=other"]
    ended = run_here(["-m", "--config-dir", "my_conf", "trainer=digits_sgd", *options], folder)
    assert (ended.code, ended.err) == (0, ""), ended
    client = MlflowClient(f"sqlite:///{folder / 'other' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("sweep")
    run = client.search_runs([experiment.experiment_id], "tags.`sweep.role` = 'run'")[0]
    same = runs["lr=0.05,iters=6"]
    for key in ("final_error", "best_error", "accuracy", "final_validation_error"):
        assert run.data.metrics[key] == same.data.metrics[key], key
    assert run.data.tags["sweep.signature"] == same.data.tags["sweep.signature"]
    shutil.rmtree(folder / "other")
