"""What is written of a run and of a sweep, as outside programs read it."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow.entities import Run

from sweep.question import question_of, totals_of
from sweep.tracking import read, results
from sweep.tracking.entities import chart_steps
from sweep.tracking.read import StoredRun
from sweep.tracking.runs import store_result
from sweep.tracking.session import Session, create_sweep, deduplicate_runs, end_sweep
from sweep.tracking.store import Store
from sweep.training.curve import CHART_POINTS, CurveSlice, Landmarks, charted, kept_steps
from sweep.training.surroundings import Failure
from tests.tracking.support import (
    CONFIG,
    PARAMS,
    SWEEP,
    diverged,
    finish,
    plan,
    record_of,
    result,
    saved,
    start_run,
    tree,
)


def written(store: Store, value: Any, **options: Any) -> Run:
    """Return a single run as MLflow's own client reads it after `value` was recorded."""
    options = {"name": "lr=0.05,iters=1000", "params": PARAMS, "tags": {}, **options}
    run_id = start_run(store, **options)
    assert store.client.get_run(run_id).info.status == "RUNNING"
    finish(store, run_id, value)
    return store.client.get_run(run_id)


def folder(store: Store, run: Run) -> Path:
    return store.tracking.artifacts / run.info.run_id / "artifacts"


# --- a completed run ---------------------------------------------------------------------


def test_params_that_training_code_logged_first_end_no_run(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(store, "echo", said.append)
    run_id = start_run(store, name="a", params=PARAMS)
    store.client.log_param(run_id, "lr", "0.050")
    store.client.log_param(run_id, "seed", "0")
    finish(store, run_id, result())
    run = store.client.get_run(run_id)
    assert (run.info.status, run.data.params) == ("FINISHED", PARAMS | {"lr": "0.050"})
    assert {key for key in run.data.tags if key.startswith("sweep.param.")} == {"sweep.param.lr"}
    assert read.find_run(store, run_id).params == PARAMS
    assert said[0].startswith("a: its training code logged lr=0.050 (ours: 0.05)")


@pytest.mark.parametrize("value", [0.0, 5e-324, 1.7976931348623157e308, 0.1 + 0.2, 1e-17])
def test_floats_come_back_exactly(value: float, store: Store) -> None:
    run = written(store, result(final_error=value, best_error=value))
    stored = StoredRun.of(store, run)
    assert stored.metrics["final_error"] == value
    assert stored.metrics["final_error_log10"] == (math.log10(value) if value else -324.0)


def test_large_network_keeps_its_weights_as_arrays(store: Store) -> None:
    weights = {"weights_1": np.arange(64.0).reshape(8, 8) / 7, "biases_1": np.array([np.nan])}
    run = written(store, result(initial_weights=weights, final_weights=weights))
    assert not [name for name in run.data.metrics if name.startswith("weights/")]
    assert (folder(store, run) / "weights.npz").exists()
    back = StoredRun.of(store, run).weights()
    for part in ("initial", "final"):
        for name, array in weights.items():
            assert np.array_equal(back[part][name], array, equal_nan=True)


def test_small_arrays_are_numbered(store: Store) -> None:
    weights = {"w": np.array([[1.0, 2.0], [3.0, np.inf]]), "b": 4.0}
    run = written(store, result(initial_weights=weights, final_weights=weights))
    found = {k: v for k, v in run.data.metrics.items() if k.startswith("weights/")}
    assert found == {"weights/w_1": 1, "weights/w_2": 2, "weights/w_3": 3, "weights/b": 4}
    back = StoredRun.of(store, run).weights()
    assert back["final"] == {"w": [[1.0, 2.0], [3.0, None]], "b": 4.0}


def test_metrics_of_a_trainer_never_hide_ours(store: Store) -> None:
    extra = {"final_error": 7.0, "error": 8.0, "accuracy (%)": 0.5, "bad": math.nan, "../up": 1.0}
    extra["caf\udce9"] = 0.25
    run = written(store, result(metrics=extra))
    metrics = run.data.metrics
    assert metrics["final_error"] != 7.0
    assert metrics["trainer/final_error"] == 7.0
    assert metrics["trainer/error"] == 8.0
    (percent,) = [name for name in metrics if name.startswith("accuracy ___")]
    assert metrics[percent] == 0.5
    assert run.data.tags[f"sweep.metric.{percent}"] == "accuracy (%)"
    assert "caf\\udce9" in run.data.tags.values()  # a lone surrogate, which is escaped
    assert "bad" not in metrics and run.data.tags["sweep.not_finite.bad"] == "nan"
    assert not [name for name in metrics if ".." in name and "/" in name]


def test_names_that_differ_in_what_mlflow_does_not_take_stay_apart(store: Store) -> None:
    run = written(store, result(metrics={"F1(macro)": 0.25, "F1[macro]": 0.5, "F1_macro_": 0.75}))
    names = {key: run.data.tags.get(f"sweep.metric.{key}", key) for key in run.data.metrics}
    found = {name: run.data.metrics[key] for key, name in names.items() if name.startswith("F1")}
    assert found == {"F1(macro)": 0.25, "F1[macro]": 0.5, "F1_macro_": 0.75}


def test_further_curves_are_metrics_with_a_history(store: Store) -> None:
    every_ten = np.arange(0, 1000, 10), np.arange(100) / 100
    run = written(store, result(curves={"margin": every_ten}))
    assert run.data.metrics["margin"] == 0.99
    history = store.client.get_metric_history(run.info.run_id, "margin")
    assert {point.step: point.value for point in history}.items() <= dict(
        zip(every_ten[0].tolist(), every_ten[1].tolist(), strict=True)
    ).items()
    assert {point.step for point in history} >= {0, 990}
    copied = results.copied(record_of(store, "b"), StoredRun.of(store, run), CONFIG)
    assert copied is not None
    points = {point[1:] for point in copied[0].metrics if point.key == "margin"}
    assert points == {(point.value, point.step) for point in history}


@pytest.mark.parametrize("after", [True, False])
def test_run_that_failed_in_or_after_its_training_keeps_it(after: bool, store: Store) -> None:
    failure = Failure("ValueError: no", "Traceback ...\nValueError: no", "a line\n")
    whole = result(outcome="failed", failure=failure, printed="a line\n")
    part = replace(failure, trained=result(outcome="interrupted", final_error=None))
    run = written(store, whole if after else part)
    assert (run.info.status, run.data.tags["sweep.outcome"]) == ("FAILED", "failed")
    assert run.data.metrics["error"] > 0 and ("final_error" in run.data.metrics) is after
    for name, text in (("traceback.txt", "Traceback"), ("log.txt", "a line\n")):
        content = store.artifacts.read(run.info.run_id, name)
        assert content is not None and content.decode().startswith(text)
    assert store.artifacts.read(run.info.run_id, "curve.parquet")


def test_curve_that_was_shown_while_it_trained_has_each_point_once(store: Store) -> None:
    value = result(5000)
    session = Session(lambda: False, os.getpid())
    session.store = store
    begun = record_of(store, "long")
    run_id = session.start_run(begun)
    assert run_id is not None
    for at in range(0, 4000, 1000):
        steps = np.intersect1d(value.steps[at : at + 1000], [0, *charted(at + 1000)])
        part = CurveSlice(Landmarks(), steps, value.errors[steps])
        for _ in range(2):
            session.log_curve(begun.cell, begun.start_time, part)
    shown = store.client.get_metric_history(run_id, "error")
    assert {0, 1, 10, 100, 1000} <= {point.step for point in shown}
    session.finish_runs([saved(store, begun, value)])
    history = store.client.get_metric_history(run_id, "error")
    found = {point.step: point.value for point in history}
    assert len(history) == len(found) <= CHART_POINTS and set(found) > {p.step for p in shown}
    alone = written(store, value)
    expected = store.client.get_metric_history(alone.info.run_id, "error")
    assert found == {point.step: point.value for point in expected}
    assert store.client.get_run(run_id).data.metrics["error"] == value.final_error


# --- other ends --------------------------------------------------------------------------


def test_diverged_run_is_finished_without_a_final_error(store: Store) -> None:
    run = written(store, diverged())
    assert (run.info.status, run.data.tags["sweep.outcome"]) == ("FINISHED", "diverged")
    metrics = run.data.metrics
    assert not {"final_error", "final_error_log10", "weights/w2"} & set(metrics)
    assert metrics["diverged_at"] == 5 and metrics["best_error"] == 0.4
    assert metrics["error"] == 1.7e308
    assert all(math.isfinite(value) for value in metrics.values())
    weights = StoredRun.of(store, run).weights()["final"]
    assert weights["w2"] is None and weights["w1"] == 1e300


def test_run_that_was_never_finite_has_no_curve(store: Store) -> None:
    empty = diverged(0)
    run = written(
        store,
        result(
            outcome="diverged",
            steps=empty.steps,
            errors=empty.errors,
            best_error=None,
            best_step=None,
            initial_error=None,
            final_error=None,
            diverged_at=0,
        ),
    )
    assert "error" not in run.data.metrics and run.data.metrics["diverged_at"] == 0
    steps, errors = StoredRun.of(store, run).curve()
    assert len(steps) == len(errors) == 0


def test_failed_run_keeps_its_traceback(store: Store) -> None:
    run_id = start_run(store, name="bad", params=PARAMS, tags={})
    finish(store, run_id, Failure("Traceback <b>\n  ValueError: \udcff"))
    run = read.find_run(store, run_id)
    assert (run.status, run.outcome) == ("FAILED", "failed")
    assert run.params == PARAMS
    assert run.traceback() == "Traceback <b>\n  ValueError: \\udcff"
    assert run.curve()[0].shape == (0,) and run.weights() == {} and run.config() == CONFIG


def test_interrupted_result_is_killed_and_kept(store: Store) -> None:
    run = written(store, result(outcome="interrupted", final_error=None))
    assert (run.info.status, run.data.tags["sweep.outcome"]) == ("KILLED", "interrupted")
    assert "final_error" not in run.data.metrics and "best_error" in run.data.metrics
    assert len(StoredRun.of(store, run).curve()[0]) == 1001


# --- strings -----------------------------------------------------------------------------


def test_long_and_odd_strings_are_cut_and_kept(store: Store) -> None:
    odd = "<script>alert(1)</script>\n=1+cmd|' /C calc'!A0 $\\frac{1}$ 表 \udc80 \0"
    params = {"network.weights": "9" * 10_000, "+extra@x[0]": odd, "/abs": "", "a/../b": "x"}
    run = written(store, result(), params=params, tags={"sweep.versions": "v" * 9000}, name=odd)
    assert all(len(text) <= 500 for text in run.data.params.values())
    assert run.data.params["network.weights"].endswith("…")
    assert len(run.data.params) == 4
    assert "$\\frac{1}$ 表 \\udc80 \\x00" in run.data.params["_extra_x_0_"]
    assert run.data.tags["sweep.versions"].endswith("…")
    assert "<script>" in run.info.run_name


def test_more_params_than_a_batch_takes(store: Store) -> None:
    params = {f"key.{n}": str(n) for n in range(250)}
    assert written(store, result(), params=params).data.params == params


# --- the chart's points ------------------------------------------------------------------


@pytest.mark.parametrize("last", [0, 1, 2, 17, 1000, 100_000, 10**6, 10**9])
def test_chart_keeps_the_ends_and_the_best(last: int) -> None:
    steps = kept_steps(last)
    if steps[-1] != last:
        steps = np.append(steps, last)
    best = int(steps[len(steps) // 3])
    chosen = steps[chart_steps(steps, best)]
    assert chosen[0] == 0 and chosen[-1] == last and best in chosen
    assert len(chosen) <= CHART_POINTS
    assert (np.diff(chosen) > 0).all()


def test_chart_of_a_very_long_run_has_no_more_points() -> None:
    steps = np.unique(np.round(10.0 ** np.linspace(0, 18, 9000)).astype(np.int64))
    assert len(chart_steps(np.append(0, steps), None)) <= CHART_POINTS


# --- a sweep -----------------------------------------------------------------------------


def test_diverged_run_is_taken_over_with_what_was_not_finite(store: Store, tmp_path: Path) -> None:
    first = start_run(store, name="a", params=PARAMS, tags={})
    finish(store, first, diverged())
    run = StoredRun.of(store, store.client.get_run(first))
    taken = results.copied(record_of(store, "b"), run, CONFIG)
    assert taken is not None
    second = store_result(store, results.write(tmp_path, *taken), taken[0], None)
    for name in ("weights.json", "curve.parquet", "thresholds.json"):
        assert store.artifacts.read(second, name) == store.artifacts.read(first, name)
    again = store.client.get_run(second).data.metrics
    assert again == run.metrics


def test_sweep_has_its_plan_before_its_runs_and_its_report_after(
    store: Store, tmp_path: Path
) -> None:
    parent = create_sweep(store, SWEEP, plan("a", "b", "c"), {"sweep.platform": "x"})
    assert read.find_sweep(store, SWEEP).plan() == plan("a", "b", "c")
    assert store.client.get_run(parent).info.status == "RUNNING"
    values = [result(), diverged(), None]
    for name, value in zip("abc", values, strict=True):
        run_id = start_run(
            store, name=name, params=PARAMS, tags={}, sweep_id=SWEEP, parent_run_id=parent
        )
        if value is None:
            finish(store, run_id, Failure("boom"))
        else:
            finish(store, run_id, value)
    report = tmp_path / "report"
    (report / "sub").mkdir(parents=True)
    (report / "index.html").write_text("<p>")
    (report / "sub" / "a.png").write_bytes(b"png")
    (report / ".index.html.1f").write_text("<")  # that another command is writing
    note = "Summary\n" + "| 1 |\n" * 5000
    found = read.find_sweep(store, SWEEP)
    totals = totals_of(deduplicate_runs(store, found), question_of(found.plan()))
    for _ in range(2):  # a report is made again over the old one
        end_sweep(store, parent, "FAILED", totals, note, report)
    run = store.client.get_run(parent)
    assert run.info.run_name == SWEEP and run.info.status == "FAILED"
    assert run.data.tags["sweep.role"] == "sweep" and run.data.tags["sweep.id"] == SWEEP
    expected = {
        "runs_total": 3,
        "runs_finished": 2,
        "runs_failed": 1,
        "runs_diverged": 1,
        "best_final_error": result().final_error,
    }
    assert run.data.metrics.items() >= expected.items()
    assert run.data.tags["mlflow.note.content"].endswith("| 1 |\n…")
    assert set(tree(folder(store, run))) == {"plan.json", "report/index.html", "report/sub/a.png"}
    assert set(tree(report)) == {".index.html.1f", "index.html", "sub/a.png"}  # untouched
