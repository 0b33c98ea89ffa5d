"""Training code that logs to MLflow and prints: where it lands, and what is left of a failure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.commands import run_here
from tests.processes import Ended, run_sweep
from tests.stores import client_of, runs_of

pytestmark = pytest.mark.slow

SOURCE = """
import os

import mlflow


def train(lr, seed):
    w = 1.0
    with mlflow.start_run(run_name="a name of its own"):
        mlflow.log_param("who", f"lr {lr}")
        while True:
            print("w is", w)
            mlflow.log_metric("mine", w)
            yield {"error": w * w, "F1(macro)": w, "F1[macro]": w / 2}
            w -= lr * w


class Halving:
    def __init__(self, lr):
        self.at, self.lr = 1.0, lr

    def advance(self, iterations):
        errors = []
        for _ in range(iterations):
            self.at *= self.lr
            errors.append(self.at)
        with mlflow.start_run(nested=True):
            mlflow.log_param("fold", len(errors))
        with mlflow.start_run():
            mlflow.log_metric("mine", self.at)
        assert "MLFLOW_RUN_ID" in os.environ, "MLflow removes it"
        mlflow.log_metrics({"error": 9.0})
        with open(f"note-{self.lr}.txt", "w") as file:
            file.write("a note")
        mlflow.log_artifact(f"note-{self.lr}.txt")
        return errors

    def error(self):
        return self.at

    def weights(self):
        return {"w": self.at}

    def metrics(self):
        return {"share": float("inf")} if self.lr < 0.5 else "high"
"""

AUTOLOG = """
import mlflow.sklearn
import numpy as np
from sklearn.linear_model import SGDRegressor


def train(lr, seed):
    mlflow.sklearn.autolog(log_models=False)
    x = np.linspace(0, 1, 20)[:, None]
    yield 1.0
    model = SGDRegressor(eta0=lr, random_state=seed).fit(x, x[:, 0])
    model.fit(x, x[:, 0])
    yield float(np.mean((model.predict(x) - x[:, 0]) ** 2))
"""

Runs = dict[str, Any]


def every_run(folder: Path, outputs: str) -> Runs:
    """Return all runs of a store but sweeps; any other run must be below one of them."""
    client = client_of(folder / outputs)
    ids = [one.experiment_id for one in client.search_experiments()]
    everything = client.search_runs(ids)
    found = [run for run in everything if run.data.tags.get("sweep.role") == "run"]
    others = [run for run in everything if "sweep.role" not in run.data.tags]
    parents = {run.data.tags["mlflow.parentRunId"] for run in others}
    assert parents <= {run.info.run_id for run in found}
    runs = {run.info.run_name: run for run in found}
    assert len(runs) == len(found)
    return runs


def artifacts(folder: Path, outputs: str, run: Any) -> Path:
    return folder / outputs / "artifacts" / run.info.run_id / "artifacts"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("training code") / "mine"
    (made / "my_conf" / "trainer").mkdir(parents=True)
    (made / "theirs.py").write_text(SOURCE)
    for name in ("train", "Halving"):
        text = f"_target_: theirs.{name}\n"
        (made / "my_conf" / "trainer" / f"{name.lower()}.yaml").write_text(text)
    return made


@pytest.fixture(scope="module")
def swept(folder: Path) -> Ended:
    options = ["trainer=train,halving", "lr=0.25,0.5", "iters=3"]
    return run_here(["-m", "--config-dir", "my_conf", *options, "outputs=four"], folder)


@pytest.fixture(scope="module")
def runs(swept: Ended, folder: Path) -> Runs:
    return every_run(folder, "four")


def test_what_training_code_logs_lands_in_the_grid_points_own_run(runs: Runs, folder: Path) -> None:
    assert sorted(runs) == sorted(
        f"lr={lr},iters=3,trainer={name}" for lr in (0.25, 0.5) for name in ("train", "halving")
    )
    for lr in (0.25, 0.5):
        ours = runs[f"lr={lr},iters=3,trainer=train"]
        assert ours.data.params["who"] == f"lr {lr}"
        assert ours.data.metrics["mine"] == pytest.approx((1 - lr) ** 3)
        assert ours.info.status == "FINISHED"
        theirs = runs[f"lr={lr},iters=3,trainer=halving"]
        assert theirs.data.metrics["mine"] == theirs.data.metrics["error"] == lr**3
        assert theirs.data.metrics["trainer/error"] == 9.0
        assert (artifacts(folder, "four", theirs) / f"note-{lr}.txt").read_text() == "a note"


def test_nothing_is_left_beside_the_sweeps_own_store(runs: Runs, folder: Path) -> None:
    ours = "four single my_conf theirs.py note-0.25.txt note-0.5.txt __pycache__".split()
    assert {path.name for path in folder.iterdir()} <= {*ours}


def test_what_a_run_prints_is_marked_and_its_artifact(
    swept: Ended, runs: Runs, folder: Path
) -> None:
    assert "[lr=0.25,iters=3,trainer=train] w is 0.75\n" in swept.out
    ours = runs["lr=0.25,iters=3,trainer=train"]
    log = (artifacts(folder, "four", ours) / "log.txt").read_text()
    assert log == "".join(f"w is {0.75**at}\n" for at in range(4))
    theirs = runs["lr=0.25,iters=3,trainer=halving"]
    assert not (artifacts(folder, "four", theirs) / "log.txt").exists()


def test_metrics_that_fail_leave_the_trained_run_and_end_with_1(
    swept: Ended, runs: Runs, folder: Path
) -> None:
    assert swept.code == 1
    bad = runs["lr=0.5,iters=3,trainer=halving"]
    assert (bad.info.status, bad.data.tags["sweep.outcome"]) == ("FAILED", "failed")
    assert bad.data.metrics["final_error"] == 0.125
    assert bad.data.metrics["weights/w"] == 0.125
    assert "Halving.metrics() returned 'high'" in swept.out
    files = {path.name for path in artifacts(folder, "four", bad).iterdir()}
    assert files >= {"curve.parquet", "weights.json", "traceback.txt"}


def test_metrics_keep_their_difference_and_what_they_are(runs: Runs, folder: Path) -> None:
    ours = runs["lr=0.25,iters=3,trainer=train"].data
    names = {key: ours.tags.get(f"sweep.metric.{key}", key) for key in ours.metrics}
    found = {name: ours.metrics[key] for key, name in names.items()}
    assert (found["F1(macro)"], found["F1[macro]"]) == (0.75**3, 0.75**3 / 2)
    theirs = runs["lr=0.25,iters=3,trainer=halving"].data
    assert theirs.tags["sweep.not_finite.share"] == "inf" and "share" not in theirs.metrics
    (page,) = (folder / "four" / "reports").glob("*/index.html")
    shown = page.read_text(encoding="utf-8")
    assert "F1(macro)" in shown and "F1[macro]" in shown and ">inf<" in shown


def test_single_run_is_the_active_run_too(swept: Ended, folder: Path) -> None:
    options = ["trainer=train", "lr=0.25", "iters=3", "outputs=single"]
    ended = run_here(["--config-dir", "my_conf", *options], folder)
    assert ended.code == 0, ended
    (run,) = every_run(folder, "single").values()
    assert (run.info.status, run.data.params["who"]) == ("FINISHED", "lr 0.25")
    assert "w is 0.75\n" in ended.out
    test_nothing_is_left_beside_the_sweeps_own_store({}, folder)


def test_autolog_logs_to_the_grid_points_own_runs(tmp_path: Path) -> None:
    (tmp_path / "own" / "trainer").mkdir(parents=True)
    (tmp_path / "own" / "trainer" / "fits.yaml").write_text("_target_: fits.train\n")
    (tmp_path / "fits.py").write_text(AUTOLOG)
    own = ["--config-dir", "own", "trainer=fits"]
    ended = run_sweep(["-m", *own, "lr=0.1,0.2", "iters=1"], tmp_path)
    assert ended.code == 0, ended
    runs = every_run(tmp_path, "outputs")
    assert [run.data.params["eta0"] for run in runs.values()] == [
        run.data.params["lr"] for run in runs.values()
    ]
    assert all("training_mean_squared_error" in run.data.metrics for run in runs.values())
    assert len(runs) == 2 and not (tmp_path / "mlflow.db").exists()


@pytest.mark.slow
def test_verify_trains_such_code_again_and_writes_nothing(swept: Ended, folder: Path) -> None:
    before = len(every_run(folder, "four"))
    ended = run_here(["--config-dir", "my_conf", "outputs=four"], folder, module="sweep.verify")
    assert ended.code == 0, ended
    assert len(every_run(folder, "four")) == before
    test_nothing_is_left_beside_the_sweeps_own_store({}, folder)


def test_mended_source_trains_again_what_had_failed(swept: Ended, runs: Runs, folder: Path) -> None:
    source = folder / "theirs.py"
    source.write_text(SOURCE.replace('else "high"', 'else {"share": 1.0}'))
    try:
        command = ["-m", "--config-dir", "my_conf", "outputs=four", "resume=last"]
        ended = run_here(command, folder)
    finally:
        source.write_text(SOURCE)
    assert (ended.code, ended.err) == (0, ""), ended
    assert "train with the new one: 1, finished with the old one: 3" in ended.out
    finished = "attributes.status = 'FINISHED' and tags.`sweep.role` = 'run'"
    found, name = runs_of(folder / "four", finished), "lr=0.5,iters=3,trainer=halving"
    assert len(found) == 4 and found[name].data.metrics["share"] == 1.0
    signatures = [run.data.tags["sweep.signature"] for run in (found[name], runs[name])]
    assert signatures[0] != signatures[1]
