"""Two sweeps side by side."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from sweep.report.build import build_comparison
from sweep.report.compare import Comparison, change_table, compared, cost_table, result_table
from sweep.report.data import SweepData, sweep_data
from tests.report import stored
from tests.report.test_pages import Tree

FIRST = {"lr": [0.1, 1.0], "iters": [10, 100]}
SECOND = {"lr": [0.1, 1.0, 2.0], "iters": [10, 1000], "rule": ["notebook", "gradient"]}


def both(folder: Path, second: dict[str, list[object]] = SECOND) -> tuple[SweepData, SweepData]:
    one = sweep_data(*stored.grid(folder / "one", FIRST))
    return one, sweep_data(*stored.grid(folder / "two", second))


@pytest.fixture
def comparison(tmp_path: Path) -> Comparison:
    return compared(*both(tmp_path))


def test_matches_an_axis_of_one_by_the_param_of_the_other(comparison: Comparison) -> None:
    assert comparison.axes == ("rule",)
    points = comparison.points
    found = list(zip(points.lr, points.iters, points["axis rule"], strict=True))
    assert found == [(0.1, 10, "notebook"), (1.0, 10, "notebook")]
    assert comparison.unmatched == (2, 10)


def test_matches_an_axis_of_one_by_the_configuration_of_the_other(tmp_path: Path) -> None:
    axes = {"lr": [0.1], "iters": [10], "network.activation": ["sigmoid", "tanh"]}
    first = single(tmp_path / "one", config={"network": {"activation": "sigmoid"}})
    comparison = compared(first, sweep_data(*stored.grid(tmp_path / "two", axes)))
    assert list(comparison.points["axis network.activation"]) == ["sigmoid"]
    assert comparison.unmatched == (0, 1)


def sides(folder: Path, *ends: list[float]) -> Comparison:
    """Return the comparison of two sweeps over the same grid that ended so."""
    both = []
    for name, errors in zip(("one", "two"), ends, strict=True):
        axes = {"lr": [0.1, 0.2, 0.3][: len(errors)], "iters": [10]}
        both.append(stored.ended(folder / name, axes, errors))
    return compared(*both)


def test_answer_says_that_points_are_the_same(comparison: Comparison) -> None:
    assert comparison.answer.startswith(
        "The 2 grid points that both ran end the same to the last bit. "
        "Best of the first: lr=1.0, 100 iterations: 5.882e-05. "
        "Best of the second: lr=2.0, 1000 iterations, rule=notebook: "
    )
    assert "2 only in the first and 10 only in the second" in comparison.answer


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        ([0.3, 0.2, 0.1], [0.2, 0.1, 0.5], "better at 2, worse at 1: the second is better."),
        ([0.3, 0.2, 0.1], [0.4, 0.2, 0.01], "at 1, worse at 1 and equally good at 1: neither is"),
        ([0.1, 0.2], [0.3, 0.01], "the second sweep is better at 1, worse at 1: neither is"),
        ([1e-30, 0.1], [1e-33, 0.2], "at 0, worse at 1 and equally good at 1: the first is better"),
    ],
)
def test_answer_counts_points_before_it_names_a_winner(
    tmp_path: Path, first: list[float], second: list[float], verdict: str
) -> None:
    assert verdict in sides(tmp_path, first, second).answer


def test_last_bit_counts(tmp_path: Path) -> None:
    comparison = sides(tmp_path, [0.1], [float(np.nextafter(0.1, 1))])
    assert not comparison.points.same.any()
    assert "Of 1 grid point that both ran the second sweep is better at 0" in comparison.answer
    assert result_table(comparison).rows == (("0.1", "10", "0.1", "0.1", "1", "differs"),)


def test_changes_list_keys_that_differ_and_no_other(comparison: Comparison) -> None:
    changes = {row[0]: row[1:] for row in change_table(comparison).rows}
    assert changes == {
        "lr": ("0.1, 1.0", "0.1, 1.0, 2.0"),
        "iters": ("10, 100", "10, 1000"),
        "rule": ("notebook", "notebook, gradient"),
    }


def single(folder: Path, outcome: str = "completed", **changes: object) -> SweepData:
    """Return the data of a sweep of one run, its cell changed."""
    (cell,) = stored.cells({"lr": [0.1], "iters": [10]})
    run = stored.stored_run(folder, cell | changes, outcome=outcome)
    return sweep_data(stored.stored_sweep(folder, [cell | changes]), [run])


def test_changes_look_into_the_configuration(tmp_path: Path) -> None:
    one, two = ({"network": {"layers": [4, n, 2], "bias": "shared"}, "seed": 0} for n in (3, 5))
    both = single(tmp_path / "one", config=one), single(tmp_path / "two", config=two)
    assert change_table(compared(*both)).rows == (("network.layers", "[4, 3, 2]", "[4, 5, 2]"),)


def test_changes_name_what_no_configuration_shows(tmp_path: Path) -> None:
    """Data, a trainer's source or the algorithm are in the signature alone."""
    both = [single(tmp_path / name, config={"seed": 0}, signature=name * 21) for name in "12"]
    comparison = compared(*both)
    assert "At 1 of them the configuration is equal, but not the data's" in comparison.answer
    (row,) = change_table(comparison).rows
    assert row[0].startswith("data's content") and row[2].startswith("differ in 1 run ")


def test_equal_sweeps_have_no_changes(tmp_path: Path) -> None:
    comparison = compared(*both(tmp_path, FIRST))
    assert change_table(comparison).rows == () and change_table(comparison).note == "Nothing."
    assert comparison.unmatched == (0, 0) and "Grid points" not in comparison.answer
    assert [row[1:] for row in cost_table(comparison).rows if row[1] != row[2]] == []


def test_sweeps_with_nothing_in_common(tmp_path: Path) -> None:
    comparison = compared(*both(tmp_path, {"lr": [3.0], "iters": [7]}))
    assert "no grid point in common, so neither is named better" in comparison.answer
    assert result_table(comparison).rows == ()


def test_sweep_that_diverged_is_compared_by_words(tmp_path: Path) -> None:
    comparison = compared(single(tmp_path / "one"), single(tmp_path / "two", "diverged"))
    assert "worse at 1: the first is better." in comparison.answer
    assert "The second has no final error." in comparison.answer
    assert result_table(comparison).rows[0][2:] == ("0.15", "diverged", "", "differs")


def test_build_writes_page_markdown_csv_and_picture(tmp_path: Path) -> None:
    one = stored.grid(tmp_path / "one", FIRST)
    two = stored.grid(tmp_path / "two", SECOND | {"rule": ["notebook", "<script>"]})
    built = build_comparison(one, two, tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {path.name for path in built.files}
    assert names == {*"comparison.csv comparison.png comparison.svg index.html report.md".split()}
    tree = Tree((tmp_path / "out" / "index.html").read_text(encoding="utf-8"))
    assert len(tree.all("script")) == len(tree.all("img")) == 1
    assert "<script" not in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    with open(tmp_path / "out" / "comparison.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["first_final_error"]) for row in rows] == [
        stored.decay(lr, 10)[-1] for lr in (0.1, 1.0)
    ]
    assert (tmp_path / "out" / "report.md").read_text().startswith(built.headline[:30])


def test_build_without_anything_in_common_has_no_picture(tmp_path: Path) -> None:
    one = stored.grid(tmp_path / "one", FIRST)
    two = stored.grid(tmp_path / "two", {"lr": [5.0], "iters": [1]})
    built = build_comparison(one, two, tmp_path / "out")
    assert {path.suffix for path in built.files} == {".csv", ".md", ".html"}
