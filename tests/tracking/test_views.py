"""Views, notes and links of a sweep: what is written into a real store, and when it is not."""

from __future__ import annotations

import base64
import json
import secrets
import shutil
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sweep.config.settings import Tracking
from sweep.question import question_of, totals_of
from sweep.tracking import pages, read
from sweep.tracking.session import create_sweep, end_sweep
from sweep.tracking.store import Store, open_store
from tests.commands import run_here
from tests.tracking import support

NOTE = "Best of 2 runs: lr=1.0.\n\n| lr | 1 |\n|---:|---:|\n| 0.1 | **0.5** |\n"
WEIGHTS = [f"weights/{name}" for name in support.NAMES]


def opened(value: str) -> dict[str, Any]:
    """Return the state of a view as the page reads it: JSON, base64, zlib."""
    packed = json.loads(value)["state"]
    assert packed.startswith("deflate;")
    text = zlib.decompress(base64.b64decode(packed.removeprefix("deflate;")))
    state: dict[str, Any] = json.loads(text)
    return state


def words(
    axes: tuple[str, ...] = ("lr", "iters"), weights: int = 0, varied: bool = True
) -> dict[str, list[str]]:
    """Return the words of two runs whose learning rate differs, and whose weights may."""
    params = [{"lr": str(n), "iters": "5"} for n in (1, 2)]
    names = [f"weights/w{n}" for n in range(1, weights + 1)]
    metrics = [{name: float(n * varied) for name in names} for n in (1, 2)]
    return pages.words_of("s-1", axes, params, metrics)


def state_of(template: str, of: dict[str, list[str]], *metrics: str) -> dict[str, Any]:
    made = pages.view(template, of, metrics)
    assert made is not None
    return made[1]


def shown(state: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    charts = state["compareRunCharts"]
    return [chart for chart in charts if chart["type"] == kind and not chart["deleted"]]


def make_sweep(store: Store, sweep_id: str = support.SWEEP, runs: int = 2) -> str:
    """Store a finished sweep with one run for each of some rates; return the parent's id."""
    names = [f"lr={rate}" for rate in range(1, runs + 1)]
    plan = {**support.plan(*names), "sweep_id": sweep_id, "axes": ["lr", "iters"]}
    run_id = create_sweep(store, sweep_id, plan, {})
    for rate, name in enumerate(names, start=1):
        started = support.start_run(
            store,
            name=name,
            params={**support.PARAMS, "lr": str(float(rate))},
            tags={"sweep.signature": support.SIGNATURE},
            sweep_id=sweep_id,
            parent_run_id=run_id,
        )
        final = {label: at / rate for at, label in enumerate(support.NAMES)}
        result = support.result(final_error=0.1 / rate, final_weights=final)
        support.finish(store, started, result)
    totals = totals_of(read.sweep_runs(store, sweep_id), question_of(plan))
    end_sweep(store, run_id, "FINISHED", totals)
    return run_id


def saved(store: Store) -> dict[str, str]:
    tags = store.client.get_experiment(store.experiment_id).tags
    return {
        name.removeprefix(pages.PREFIX): value
        for name, value in tags.items()
        if name.startswith(pages.PREFIX)
    }


def save_views(store: Store, sweep_id: str = support.SWEEP) -> dict[str, str]:
    return pages.save_views(store, *gathered(store, sweep_id))


def gathered(store: Store, sweep_id: str = support.SWEEP) -> tuple[Any, Any]:
    return read.find_sweep(store, sweep_id), read.sweep_runs(store, sweep_id)


@pytest.fixture(scope="module")
def stored(first_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Return a store with one sweep, for tests that change nothing but its views and notes."""
    outputs = tmp_path_factory.mktemp("views") / "outputs"
    outputs.mkdir()
    shutil.copy(first_store / "mlflow.db", outputs)
    store = open_store(Tracking(kind="local", outputs=outputs), mode="write", echo=lambda _: None)
    make_sweep(store)
    return store


# --- the format --------------------------------------------------------------------------


def test_view_finds_exactly_the_runs_that_count() -> None:
    state = state_of("sweep", words())
    condition = state["searchFilter"]
    assert "tags.`sweep.id` = 's-1'" in condition
    assert "tags.`sweep.role` = 'run'" in condition
    assert "tags.`sweep.superseded_by` IS NULL" in condition
    assert state["runsHiddenMode"] == "SHOW_ALL"
    assert state["startTime"] == "ALL"


@pytest.mark.parametrize("template", ["sweep", "weights", "all-sweeps"])
def test_every_metric_has_a_chart_or_a_deleted_one(template: str) -> None:
    """The page adds a chart of its own for a metric that it finds none for."""
    metrics = {"error", "final_error_log10", "train_seconds", "weights/w1", "weights/w2"}
    state = state_of(template, words(weights=2), *metrics)
    charts = state["compareRunCharts"]
    keys = [chart["metricKey"] for chart in charts if "metricKey" in chart]
    assert metrics <= set(keys)
    assert len(set(keys)) == len(keys)
    uuids = [chart["uuid"] for chart in charts]
    assert len(set(uuids)) == len(uuids)
    sections = {section["uuid"] for section in state["compareRunSections"]}
    assert {chart["metricSectionId"] for chart in charts} <= sections
    assert "$" not in json.dumps(state)


def test_parallel_coordinates_have_the_axes_that_vary() -> None:
    (chart,) = shown(state_of("sweep", words()), "PARALLEL")
    assert chart["selectedParams"] == ["lr"]
    assert chart["selectedMetrics"] == ["final_error_log10"]
    one = state_of("sweep", words(axes=("iters",)))
    assert shown(one, "PARALLEL") == []
    assert [section["uuid"] for section in one["compareRunSections"]] == ["curves", "finals"]


def test_view_follows_the_metric_that_decides() -> None:
    params, metrics = [{"lr": "1"}, {"lr": "2"}], [{"accuracy": 0.1}, {"accuracy": 0.2}]
    state = state_of("sweep", pages.words_of("s-1", ["lr"], params, metrics, "accuracy"))
    assert state["orderByKey"] == "metrics.`accuracy`"
    assert state["selectedColumns"][2:4] == ["metrics.`accuracy`", "metrics.`final_error`"]
    assert [chart["metricKey"] for chart in shown(state, "BAR")] == [
        "accuracy",
        "final_error_log10",
    ]
    (chart,) = shown(state, "PARALLEL")
    assert chart["selectedMetrics"] == ["accuracy"]
    sections = [section["name"] for section in state["compareRunSections"]]
    assert sections[:2] == ["Error by iteration", "accuracy"]


def test_weights_are_in_the_notebooks_order() -> None:
    values = [{name: float(n + at) for at, name in enumerate(reversed(WEIGHTS))} for n in (1, 2)]
    state = state_of("weights", pages.words_of("s", ["lr"], [{}, {}], values), *WEIGHTS)
    (parallel,) = shown(state, "PARALLEL")
    assert parallel["selectedMetrics"] == WEIGHTS
    assert [chart["metricKey"] for chart in shown(state, "BAR")] == WEIGHTS


def test_large_network_has_no_view_of_weights() -> None:
    assert pages.view("weights", words(), ["error", "final_error"]) is None


def test_tag_holds_the_state_and_fits() -> None:
    of = words(weights=64)
    made = pages.view("weights", of, of["weight"])
    assert made is not None
    value = pages.view_tag(*made, now=5)
    assert value is not None
    assert len(value) <= 5000
    assert opened(value) == made[1]
    assert json.loads(value)["name"] == made[0] == "sweep s-1: weights"


def test_view_that_is_too_large_for_a_tag_is_none() -> None:
    made = pages.view("sweep", words(tuple(secrets.token_hex(40) for _ in range(200))), [])
    assert made is not None
    assert pages.view_tag(*made, now=5) is None


def test_later_versions_of_mlflow_3_are_known() -> None:
    assert all(map(pages.is_known, ["3.17.2", "3.17", "3.18.0", "3.100.0"]))
    assert not any(map(pages.is_known, ["3.1.7", "4.0.0", ""]))


def test_plain_comparison_names_the_runs_or_searches_them() -> None:
    few = pages.plain_comparison("7", "x", ["a", "b"])
    assert few == "#/compare-runs?runs=%5B%22a%22%2C%22b%22%5D&experiments=%5B%227%22%5D"
    many = pages.plain_comparison("7", "x", ["a"] * 51)
    assert "searchFilter=tags.%60sweep.id%60%20%3D%20%27x%27" in many
    assert "workflowType=machine_learning" in many


# --- a real store ------------------------------------------------------------------------


def test_sweep_has_two_views_and_the_experiment_one(stored: Store) -> None:
    found = save_views(stored)
    assert set(saved(stored)) == {
        f"sweep-{support.SWEEP}",
        f"sweep-{support.SWEEP}-weights",
        "all-sweeps",
    }
    assert list(found) == ["compare", "weights", "best run", "report", "all sweeps", "plain"]
    assert f"viewStateShareKey=sweep-{support.SWEEP}&" in found["compare"]
    for name, address in found.items():
        assert "workflowType=machine_learning" in address or name == "plain"


def test_views_condition_finds_the_sweeps_runs_alone(store: Store) -> None:
    make_sweep(store)
    make_sweep(store, "20260102-030405-othr", runs=3)
    save_views(store)
    state = opened(saved(store)[f"sweep-{support.SWEEP}"])
    found = store.client.search_runs([store.experiment_id], state["searchFilter"])
    assert sorted(run.info.run_name for run in found) == ["lr=1", "lr=2"]
    state = opened(saved(store)["all-sweeps"])
    found = store.client.search_runs([store.experiment_id], state["searchFilter"])
    assert len(found) == 2


def test_old_views_are_removed_beyond_the_stated_number(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "KEPT", 2)
    ids = [f"20260102-03040{n}-wxyz" for n in range(4)]
    for sweep_id in ids:
        make_sweep(store, sweep_id, runs=1)
        save_views(store, sweep_id)
    store.client.set_experiment_tag(store.experiment_id, f"{pages.PREFIX}of-a-user", "{}")
    save_views(store, ids[-1])
    kept = {f"sweep-{one}{part}" for one in ids[2:] for part in ("", "-weights")}
    assert set(saved(store)) == kept | {"all-sweeps", "of-a-user"}
    save_views(store, ids[0])
    assert f"sweep-{ids[0]}" in saved(store), "they can be made again"


def test_other_version_gets_the_plain_comparison(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_sweep(store)
    monkeypatch.setattr(pages, "OLDEST", (3, 999))
    found = save_views(store)
    assert saved(store) == {}
    assert found["compare"].startswith("#/compare-runs?runs=")
    for run in read.sweep_runs(store, support.SWEEP):
        assert run.run_id in found["compare"]
    assert list(found) == ["compare", "best run", "report"]


def test_sweep_without_any_run_has_links(store: Store) -> None:
    create_sweep(store, support.SWEEP, support.plan("lr=1"), {})
    found = save_views(store)
    assert "compare" in found
    assert "best run" not in found


# --- notes -------------------------------------------------------------------------------


def described(store: Store, tmp_path: Path, text: str = NOTE) -> str:
    sweep = read.find_sweep(store, support.SWEEP)
    return pages.describe(store, sweep, save_views(store), text, tmp_path)


def test_note_has_answer_links_table_and_pictures_in_this_order(
    stored: Store, tmp_path: Path
) -> None:
    run_id = read.find_sweep(stored, support.SWEEP).run_id
    (tmp_path / "curves.png").write_bytes(b"png")
    (tmp_path / "curves.svg").write_bytes(b"<svg/>")
    (tmp_path / "heat.png").write_bytes(b"png")
    note = described(stored, tmp_path)
    assert note.startswith("Best of 2 runs: lr=1.0.\n\n[Compare the runs](#/experiments/")
    places = [note.index(part) for part in ("[report](", "**0.5**", "![Curves](", "![Heat](")]
    assert places == sorted(places)
    assert f"(get-artifact?path=report%2Fcurves.svg&run_uuid={run_id})" in note
    assert f"(get-artifact?path=report%2Fheat.png&run_uuid={run_id})" in note


def test_large_svg_is_shown_as_png(
    stored: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "LARGEST_PICTURE", 10)
    (tmp_path / "curves.png").write_bytes(b"png")
    (tmp_path / "curves.svg").write_bytes(b"<svg>" * 10)
    assert "curves.png" in described(stored, tmp_path)


def test_picture_that_is_wider_than_the_page_is_left_out(stored: Store, tmp_path: Path) -> None:
    for name, width in (("narrow", 700), ("wide", 830)):
        (tmp_path / f"{name}.png").write_bytes(b"png")
        head = f'<?xml?>\n<svg xmlns:xlink="x" width="{width}.5pt" height="9pt">'
        (tmp_path / f"{name}.svg").write_text(head)
    note = described(stored, tmp_path)
    assert "narrow.svg" in note
    assert "wide" not in note


def test_long_note_keeps_links_and_pictures_and_is_never_cut_by_mlflow(
    stored: Store, tmp_path: Path
) -> None:
    run_id = read.find_sweep(stored, support.SWEEP).run_id
    (tmp_path / "curves.png").write_bytes(b"png")
    rows = "".join(f"| {n} | {'x' * 40} |\n" for n in range(2000))
    note = described(stored, tmp_path, f"Answer.\n\n| a | b |\n|---|---|\n{rows}")
    assert len(note) <= 7500
    assert note.startswith("Answer.\n\n[Compare the runs](")
    assert note.rstrip().endswith(f"curves.png&run_uuid={run_id})")
    stored.client.set_tag(run_id, pages.NOTE, note)
    assert stored.client.get_run(run_id).data.tags[pages.NOTE] == note


def test_table_cells_are_apart_and_the_rule_is_untouched(stored: Store, tmp_path: Path) -> None:
    note = described(stored, tmp_path)
    assert "|---:|---:|" in note
    assert "| 0.1 &emsp;| **0.5** &emsp;|" in note


def test_experiments_note_says_what_this_is_first(stored: Store, tmp_path: Path) -> None:
    described(stored, tmp_path)
    note = stored.client.get_experiment(stored.experiment_id).tags[pages.NOTE]
    first = note.splitlines()[0]
    assert first.startswith("Sweeps of `python -m sweep`")
    assert f"viewStateShareKey=sweep-{support.SWEEP}" in first
    assert "viewStateShareKey=all-sweeps" in first


def test_users_own_note_of_the_experiment_stays(store: Store, tmp_path: Path) -> None:
    make_sweep(store)
    store.client.set_experiment_tag(store.experiment_id, pages.NOTE, "Mine.")
    described(store, tmp_path)
    assert store.client.get_experiment(store.experiment_id).tags[pages.NOTE] == "Mine."


# --- decoration --------------------------------------------------------------------------


@pytest.mark.slow
def test_sweep_whose_page_cannot_be_arranged_is_finished(tmp_path: Path) -> None:
    """Where the experiment's tags cannot be written the runs are stored all the same."""
    grid = ["-m", "lr=0.1,1.0", "iters=5"]
    assert run_here(grid, tmp_path).code == 0
    with closing(sqlite3.connect(tmp_path / "outputs" / "mlflow.db")) as database, database:
        for what in ("INSERT", "UPDATE"):
            database.execute(
                f"CREATE TRIGGER no_{what} BEFORE {what} ON experiment_tags "
                "BEGIN SELECT RAISE(ABORT, 'read-only'); END"
            )
    ended = run_here(grid, tmp_path)
    assert ended.code == 0, ended
    assert ended.err.count("\n") == 1
    assert ended.err.startswith("MLflow's page was not arranged (")
    assert "Compare:" not in ended.out
    with closing(sqlite3.connect(tmp_path / "outputs" / "mlflow.db")) as database:
        status = database.execute("SELECT status FROM runs").fetchall()
    assert status == [("FINISHED",)] * 6
