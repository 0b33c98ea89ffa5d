"""The question that decides, and repeats, from the command line to store, report and resume."""

from __future__ import annotations

import base64
import csv
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from scipy.stats import ttest_ind

from sweep.tracking import pages
from tests.commands import run_here
from tests.examples.support import spec_of, trained
from tests.faults.support import trainer
from tests.processes import Ended
from tests.stores import PARENTS, client_of, runs_of

REPEATS = ["-m", "network=exclusive_or", "data=exclusive_or", "lr=2,10,40", "iters=100"]
REPEATS += ["seed=range(10)"]
RATES = ("2.0", "10.0", "40.0")


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ended]:
    """Return the folder of a sweep of three rates by ten seeds, and what it printed."""
    folder = tmp_path_factory.mktemp("repeats")
    return folder, run_here(REPEATS, folder)


@pytest.fixture(scope="module")
def store(swept: tuple[Path, Ended]) -> tuple[MlflowClient, Run, list[Run]]:
    outputs = swept[0] / "outputs"
    (parent,) = runs_of(outputs, PARENTS).values()
    return client_of(outputs), parent, [*runs_of(outputs).values()]


def ends(runs: list[Run]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for run in runs:
        found.setdefault(run.data.params["lr"], []).append(run.data.metrics["final_error"])
    return found


def means(runs: list[Run]) -> dict[str, float]:
    return {lr: sum(own) / len(own) for lr, own in ends(runs).items()}


@pytest.mark.slow
def test_best_by_mean_is_not_the_luckiest_of_thirty_runs(
    swept: tuple[Path, Ended], store: tuple[MlflowClient, Run, list[Run]]
) -> None:
    _, ended = swept
    _, parent, runs = store
    assert ended.code == 0, ended
    luckiest = min(runs, key=lambda run: run.data.metrics["final_error"])
    best = means(runs)
    assert min(best, key=best.__getitem__) == "10.0"
    assert luckiest.data.params["lr"] == "40.0"
    assert (
        "Best of 3 grid points by final error, the mean of 10 seeds: lr=10.0, 100 iterations"
        in ended.out
    )
    assert f"The best single run is another: {luckiest.info.run_name} with" in ended.out
    own = ends(runs)
    tests = {lr: ttest_ind(own["10.0"], own[lr], equal_var=False).pvalue for lr in own}
    alike = sorted((lr for lr in tests if tests[lr] >= 0.05), key=best.__getitem__)
    assert len(alike) > 1
    listed = f"{', '.join(alike[:-1])} and {alike[-1]}"
    assert f"{listed} are equal within the spread of 10 seeds." in ended.out
    assert parent.data.metrics["best_final_error"] == luckiest.data.metrics["final_error"]
    assert parent.data.metrics["best_mean_final_error"] == pytest.approx(best["10.0"], rel=1e-14)


@pytest.mark.slow
def test_runs_name_their_point_and_mlflow_groups_by_it(
    store: tuple[MlflowClient, Run, list[Run]],
) -> None:
    client, parent, runs = store
    assert {run.data.tags["sweep.point"] for run in runs} == {f"lr={lr},iters=100" for lr in RATES}
    tags = client.get_experiment(parent.info.experiment_id).tags
    key = f"{pages.PREFIX}sweep-{parent.info.run_name}"
    packed = json.loads(tags[key])["state"].removeprefix("deflate;")
    state = json.loads(zlib.decompress(base64.b64decode(packed)))
    assert state["groupBy"]["groupByKeys"] == [{"mode": "tag", "groupByData": "sweep.point"}]


@pytest.mark.slow
def test_report_has_a_line_a_point_and_every_run(swept: tuple[Path, Ended]) -> None:
    (folder,) = (swept[0] / "outputs" / "reports").iterdir()
    points = list(csv.DictReader((folder / "repeats.csv").read_text().splitlines()))
    assert [(row["lr"], row["runs"]) for row in points] == [(lr, "10") for lr in RATES]
    rows = list(csv.DictReader((folder / "final_error.csv").read_text().splitlines()))
    assert len(rows) == 30 and list(rows[0]) == ["lr", "seed", "100"]


@pytest.mark.slow
def test_plan_keeps_the_question_and_a_report_asks_another(swept: tuple[Path, Ended]) -> None:
    folder, _ = swept
    (parent,) = runs_of(folder / "outputs", PARENTS).values()
    plan = json.loads(
        (folder / "outputs/artifacts" / parent.info.run_id / "artifacts/plan.json").read_text()
    )
    assert plan["question"] == {"metric": None, "mode": "min", "repeats": ["seed", "data.fold"]}
    single = run_here(["repeats=[]"], folder, module="sweep.report")
    assert single.out.startswith("Best of 30 runs: lr=40.0, 100 iterations, seed=")
    refused = run_here(["metric=f1", "repeats=[zz]"], folder, module="sweep.report")
    assert refused.code == 2
    assert (
        "metric=f1: no run has this metric; the runs have accuracy, best_error, best_step"
        in refused.err
    )
    assert "repeats=[zz]: this is no axis; name one of seed." in refused.err
    assert run_here([], folder, module="sweep.report").out.startswith("Best of 3 grid points")


@pytest.mark.slow
@pytest.mark.parametrize("mode", [[], ["-m"]])
def test_metric_that_ones_own_trainer_does_not_give_is_said_at_the_end(
    mode: list[str], tmp_path: Path
) -> None:
    ended = run_here([*mode, *trainer(tmp_path, "Lasting"), "metric=f1"], tmp_path)
    assert ended.code == 1 and "metric=f1: " in ended.err and "best_error" in ended.err, ended
    (run,) = runs_of(tmp_path / "outputs").values()
    assert run.info.status == "FINISHED"


@pytest.mark.slow
def test_validation_decides_a_resumed_sweep_keeps_its_question_and_the_best_predicts(
    tmp_path: Path,
) -> None:
    rows = "\n".join(f"{x / 10},{(x / 10) ** 2}" for x in range(20))
    (tmp_path / "square.csv").write_text(f"x,y\n{rows}\n")
    data = ["data.file=square.csv", "data.inputs=[x]", "data.targets=[y]", "data.validation=0.25"]
    network = ["network=auto", "data.standardize=all", "trainer.shuffle=false"]
    axes = ["network.layers=[auto,3,auto],[auto,5,auto]", "trainer.batch_size=4,null"]
    axes += ["iters=10,50", "lr=0.1"]
    ended = run_here(["-m", *network, *data, *axes, "model=best"], tmp_path)
    assert ended.code == 0 and " by min best_validation_error: " in ended.out, ended
    outputs = tmp_path / "outputs"
    (parent,) = runs_of(outputs, PARENTS).values()
    values = [run.data.metrics["best_validation_error"] for run in runs_of(outputs).values()]
    assert parent.data.metrics["best_best_validation_error"] == min(values)
    other = run_here(["metric=best_step"], tmp_path, module="sweep.report")
    assert other.out.startswith("Best of 8 runs by min best_step: ")
    more = run_here(["resume=last", "iters=100", "metric=best_error"], tmp_path)
    assert "Best of 12 runs by min best_error: " in more.out
    best = min(runs_of(outputs).values(), key=lambda run: run.data.metrics["best_error"])
    assert f"runs:/{best.info.run_id}/model" in more.out and "iters=100" in best.info.run_name
    again = run_here([], tmp_path, module="sweep.report")
    assert again.out.startswith("Best of 12 runs by min best_error: ")

    (tmp_path / "new.csv").write_text("x\n0.05\n1.5\n")
    predicted = run_here(["data.file=new.csv"], tmp_path, module="sweep.predict")
    assert predicted.code == 0, predicted
    chosen = [f"{key}={best.data.params[key]}" for key in ("network.layers", "trainer.batch_size")]
    spec = spec_of(tmp_path, *network, *data, *chosen, "lr=0.1", "iters=100", base=tmp_path)
    weights = [np.ravel(value) for value in trained(spec).final_weights.values()]
    (x,) = spec.data().preparation.inputs
    assert x.mean is not None and x.deviation is not None
    inputs = (np.array([[0.05], [1.5]]) - x.mean) / x.deviation
    outputs = spec.network.replace(np.concatenate(weights)).forward(inputs)[-1]
    expected = spec.data().preparation.outputs(outputs)[:, 0].tolist()
    assert [float(line) for line in predicted.out.splitlines()[1:]] == expected


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["regression", "digits"])
def test_preset_on_real_data_can_be_verified(preset: str, tmp_path: Path) -> None:
    short = ["iters=2", "lr=0.1", "seed=0,1"]
    ended = run_here([f"experiment={preset}", *short], tmp_path)
    assert ended.code == 0 and "the mean of 2 seeds: " in ended.out, ended
    verified = run_here([], tmp_path, module="sweep.verify")
    assert verified.code == 0 and "0 differ, 0 not verified" in verified.out, verified
