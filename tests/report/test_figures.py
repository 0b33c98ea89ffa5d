"""What the pictures show, and that they can be drawn for any sweep."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from sweep.report.axes import main_axis
from sweep.report.build import PICTURES
from sweep.report.curves import Frame
from sweep.report.data import SweepData, sweep_data
from sweep.report.figures import pictures_of
from sweep.report.figures.curves import curves_data, curves_picture, metrics_picture
from sweep.report.figures.final_errors import effects_picture, final_errors, final_picture
from sweep.report.figures.heat import heat_axes, heat_data, heat_picture
from sweep.report.figures.parallel import parallel_data, parallel_picture
from sweep.report.figures.rules import rule_pairs
from sweep.report.figures.scales import error_axis, inside
from sweep.report.figures.sheet import MANY, MOST_LINES, STYLE, Picture, Sheet, panels_of
from sweep.report.figures.weights import weights_data, weights_picture
from tests.report import stored


def diverged(folder: Path) -> SweepData:
    """Return the data of runs that diverge, fail, reach zero and never start."""
    plan = stored.cells({"lr": [0.01, 0.1, 1.0, 10.0], "iters": [10, 100, 1000]})
    huge = 0.6 * np.exp(6.5 * np.arange(101))
    zero = stored.decay(0.1, 1000)
    zero[500:] = 0.0
    runs = []
    for cell in plan[:-1]:
        lr, iters = cell["values"]["lr"], cell["values"]["iters"]
        if lr == 10.0 and iters == 10:
            runs.append(stored.stored_run(folder, cell, huge[:11]))
        elif lr == 10.0:
            ended = {"diverged_at": 101.0}
            runs.append(stored.stored_run(folder, cell, huge, outcome="diverged", metrics=ended))
        elif lr == 1.0 and iters == 1000:
            runs.append(stored.stored_run(folder, cell, outcome="failed", traceback="E: x"))
        elif lr == 0.1:
            runs.append(stored.stored_run(folder, cell, zero[: iters + 1]))
        else:
            runs.append(stored.stored_run(folder, cell))
    return sweep_data(stored.stored_sweep(folder, plan), runs)


def grid(folder: Path, **axes: list[object]) -> SweepData:
    return sweep_data(*stored.grid(folder, axes))


def rates(count: int) -> list[object]:
    return [float(f"{x:.4g}") for x in np.geomspace(1e-3, 10, count)]


def pictures(data: SweepData) -> list[Picture]:
    found = pictures_of(data, rule_pairs(data))
    assert {picture.name for picture in found} <= {*PICTURES}
    return found


FIVE = {
    "lr": [0.001, 0.01, 0.1],
    "iters": [20],
    "network.layers": [[4, 3, 2], [4, 8, 8, 2], [4, 16, 2]],
    "network.activation": ["tanh", "sigmoid"],
    "trainer.batch_size": [8, 64],
    "seed": [0, 1],
}


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> SweepData:
    return grid(tmp_path_factory.mktemp("five"), **FIVE)


# --- which pictures there are ------------------------------------------------------------


@pytest.mark.parametrize(
    ("axes", "names"),
    [
        ({"lr": [0.1], "iters": [5]}, ""),
        ({"lr": [0.1], "iters": [5, 10]}, "final_error_by_iterations"),
        ({"lr": [0.1, 1.0], "iters": [5]}, "effect_of_each_axis"),
        ({"lr": [0.01 * i for i in range(1, 7)], "iters": [5]}, "final_error_by_rate"),
        (stored.DEFAULT, "final_error_heatmap final_error_by_iterations"),
    ],
)
def test_pictures_of_a_sweep(tmp_path: Path, axes: dict[str, list[object]], names: str) -> None:
    found = pictures(grid(tmp_path, **axes))
    assert [picture.name for picture in found] == ["error_curves", *names.split(), "weights"]


def test_pictures_of_a_sweep_without_results_are_none(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1], "iters": [1]})
    assert pictures(sweep_data(stored.stored_sweep(tmp_path, plan), [])) == []
    runs = [stored.stored_run(tmp_path, plan[0], outcome="failed")]
    for path in (tmp_path / runs[0].run_id / "artifacts").iterdir():
        path.unlink()
    assert pictures(sweep_data(stored.stored_sweep(tmp_path, plan), runs)) == []


# --- lines -------------------------------------------------------------------------------


def curves(data: SweepData) -> tuple[Frame, str]:
    """Return the points of the error curves and their note."""
    key = main_axis(data)
    lines, note = curves_data(data, key, panels_of(data, key, data.axes["iters"]))
    return lines, note


def ends(data: SweepData, x: str, key: str) -> tuple[Frame, str]:
    """Return the points of the final errors by `x` and their note."""
    one, other = data.axes[x], data.axes[key]
    return final_errors(data, one, other, panels_of(data, one, other))


def kind(points: Frame, name: str) -> Frame:
    return points[points.kind == name]


def shown(picture: Picture) -> Figure:
    """Return a picture as it is on paper: ticks get their texts when they are drawn."""
    with mpl.rc_context(STYLE):
        picture.figure.canvas.draw()
    return picture.figure


def drawn(data: SweepData, picture: Callable[[SweepData], Picture | None]) -> Figure:
    found = picture(data)
    assert found is not None
    return shown(found)


def test_curves_mark_every_iteration_count_on_its_curve(tmp_path: Path) -> None:
    data = grid(tmp_path, **stored.DEFAULT)
    points, note = curves(data)
    assert note == ""
    lines = kind(points, "line").groupby("value")
    assert lines.ngroups == 3
    for value, line in lines:
        runs = kind(points, "run")
        runs = runs[runs.value == value]
        assert list(runs.x) == [1, 10, 100, 1000]
        for x, y in zip(runs.x, runs.y, strict=True):
            assert line.y.iloc[(line.x - x).abs().argmin()] == pytest.approx(y)
    (axes,) = drawn(data, curves_picture).axes
    tops = [text.get_text() for text in axes.texts if text.get_position()[1] == 1.01]
    assert tops == ["1", "10", "100", "1000", "runs end at"]
    assert axes.get_xlim()[0] < 0, "step 0 has a place"


def test_crosses_of_diverged_rates_do_not_lie_on_each_other(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1, 5.0, 10.0], "iters": [10, 20]})
    ends = ["completed"] * 2 + ["diverged"] * 4
    runs = [
        stored.stored_run(tmp_path, cell, outcome=end) for cell, end in zip(plan, ends, strict=True)
    ]
    data = sweep_data(stored.stored_sweep(tmp_path, plan), runs)
    axes = drawn(data, lambda data: final_picture(data, "iters")).axes[0]
    crosses = [line for line in axes.lines if line.get_marker() == "x"]
    assert len({line.get_transform().transform((10.0, 1.0))[1] for line in crosses}) == 2


def test_curves_let_a_diverging_line_leave_at_the_top(tmp_path: Path) -> None:
    data = diverged(tmp_path)
    own = curves(data)[0].query("value == '10.0'")
    (axes,) = drawn(data, curves_picture).axes
    high = axes.get_ylim()[1]
    assert kind(own, "line").y.max() > high and high < 1e4
    assert len(kind(own, "diverged")) == 1 and (kind(own, "run").y > high).all()
    assert max(np.max(line.get_ydata()) for line in axes.lines) > high
    (legend,) = axes.figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts[-3:] == ["best", "above the axis", "diverged"]


@pytest.mark.slow
def test_many_rates_get_a_scale_and_the_best_of_all(tmp_path: Path) -> None:
    few = grid(tmp_path / "few", lr=rates(MANY // 2), iters=[10])
    many = grid(tmp_path / "many", lr=rates(MANY), iters=[10])
    assert kind(curves(few)[0], "lowest").empty
    assert len(drawn(few, curves_picture).axes) == 1
    points, _ = curves(many)
    lowest = kind(points, "line").y.min()
    assert kind(points, "lowest").y.min() == pytest.approx(lowest)
    assert drawn(many, curves_picture).axes[1].get_title(loc="left") == "learning rate"


@pytest.mark.slow
def test_hundreds_of_curves_are_thinned_and_it_is_said(tmp_path: Path) -> None:
    data = grid(tmp_path, lr=rates(70), iters=[10, 20])
    points, note = curves(data)
    values = kind(points, "line").value.unique()
    assert len(values) == MOST_LINES
    assert (values[0], values[-1]) == (data.axes["lr"].values[0], data.axes["lr"].values[-1])
    assert note == "60 of 70 curves"
    assert ends(data, "iters", "lr")[1] == "60 of 70 lines"


def test_validation_is_a_second_line(tmp_path: Path) -> None:
    (cell,) = stored.cells({"lr": [0.1], "iters": [10]})
    errors = stored.decay(0.1, 10)
    others = 3 * errors
    others[5] = np.nan
    result = replace(stored.result_of(0.1, 10, errors), validation=others)
    run = stored.stored_run(tmp_path, cell, result=result)
    data = sweep_data(stored.stored_sweep(tmp_path, [cell]), [run])
    dashed = kind(curves(data)[0], "dashed")
    assert len(dashed) == 10  # step 5 has none
    assert dashed.y.max() <= drawn(data, curves_picture).axes[0].get_ylim()[1]


def test_other_axes_have_panels_in_rows_and_columns(tmp_path: Path) -> None:
    axes = {"lr": [0.1, 1.0], "iters": [5], "rule": ["notebook", "gradient"], "seed": [0, 1, 2]}
    found = drawn(grid(tmp_path, **axes), curves_picture).axes
    assert len(found) == 6 and found[0].get_gridspec().ncols == 3
    assert found[3].get_title(loc="left") == "rule=gradient, seed=0"


@pytest.mark.parametrize(
    ("axes", "note"),
    [
        ({"seed": list(range(7))}, "all 7 combinations of seed"),
        ({"a": ["x" * 60, "y"], "b": ["z" * 60, "y"]}, "all 4 combinations of a, b"),
        ({"a": ["x" * 60 + "1", "x" * 60 + "2"]}, "all 2 combinations of a"),
    ],
)
def test_panels_that_are_many_or_have_no_clear_titles_become_one(
    tmp_path: Path, axes: dict[str, list[object]], note: str
) -> None:
    points, said = curves(grid(tmp_path, lr=[0.1, 1.0], iters=[5, 10], **axes))
    assert set(points.panel) == {""}
    assert kind(points, "line").line.nunique() == 2 * int(note.split()[1])
    assert said == note


def test_bands_are_drawn_where_a_panel_has_few_lines(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1, 1.0], "iters": [5], "a": list("bcdefg"), "seed": [0, 1]})
    runs = [
        stored.stored_run(tmp_path, cell, stored.decay(0.1, 5) * (1 + cell["values"]["seed"]))
        for cell in plan
    ]
    sweep = stored.stored_sweep(tmp_path, plan, repeats=["seed"])
    panels = drawn(sweep_data(sweep, runs), curves_picture).axes
    assert [len(axes.collections) for axes in panels] == [2] * 6


# --- the other pictures ------------------------------------------------------------------


def cells_of(data: SweepData, column: str) -> Frame:
    """Return a column of the heat map's only panel, the largest value on top."""
    down, across = heat_axes(data)
    cells, _ = heat_data(data)
    table = cells.pivot(index="down", columns="across", values=column)
    return table.reindex(index=down.values[::-1], columns=across.values)


def test_heat_map_has_every_number_and_the_best(tmp_path: Path) -> None:
    axes = {"lr": [0.1, 1.0], "iters": [10, 100]}
    data = stored.ended(tmp_path, axes, [0.5, 1e-5, 1e-28, 1e-30])
    assert [axis.name for axis in heat_axes(data)] == ["lr", "iters"]
    text = cells_of(data, "text").to_numpy().tolist()
    assert text == [["1.0×10⁻²⁸", "1.0×10⁻³⁰"], ["0.50", "1.0×10⁻⁵"]]
    best = cells_of(data, "best").to_numpy().tolist()
    assert best == [[True, False], [False, False]], "at the floor the one with fewer iterations"
    decades = np.log10(drawn(data, heat_picture).axes[-1].get_yticks())
    assert len(decades) > 2 and np.ptp(np.diff(decades)) < 1e-9, "a colour bar has equal steps"


def test_heat_map_names_what_has_no_number(tmp_path: Path) -> None:
    data = diverged(tmp_path)
    text = cells_of(data, "text")
    assert text.iloc[0].tolist()[1:] == ["diverged", "not run"]
    assert text.iloc[1, 2] == "failed" and np.isnan(cells_of(data, "value").iloc[0, 1])


def test_drawn_rates_and_iterations_are_points_without_lines_and_heat_map(tmp_path: Path) -> None:
    cells = stored.cells({"lr": rates(80), "iters": [*range(2, 82)]})[::81]
    plan = [cell | {"index": index} for index, cell in enumerate(cells)]
    runs = [stored.stored_run(tmp_path, cell) for cell in plan]
    data = sweep_data(stored.stored_sweep(tmp_path, plan), runs)
    assert data.sparse and heat_picture(data) is None
    for x, key in (("lr", "iters"), ("iters", "lr")):
        points, note = ends(data, x, key)
        assert points.kind.value_counts().to_dict() == {"run": 80, "best": 1} and not note


def test_heat_map_shows_the_two_axes_that_matter_most(tmp_path: Path) -> None:
    ends = []
    for values in (cell["values"] for cell in stored.cells(FIVE)):
        end = values["lr"] * (0.01 if values["network.activation"] == "tanh" else 1)
        ends.append(end + values["seed"] * 1e-6)
    data = stored.ended(tmp_path, FIVE, ends)
    assert [axis.name for axis in heat_axes(data)] == ["lr", "network.activation"]
    error = cells_of(data, "value")
    assert error.loc["0.1", "sigmoid"] == 0.1 and error.loc["0.001", "tanh"] == 1e-5
    texts = [text.get_text() for text in drawn(data, heat_picture).texts]
    assert any("the best of all 12 combinations" in text for text in texts)


def test_heat_map_has_every_label_of_categories(tmp_path: Path) -> None:
    names = [f"[{kind},identity]" for kind in ("tanh", "sigmoid", "relu", "identity")]
    axes = {"lr": [0.1, 1.0], "iters": [10], "network.activation": names}
    errors = [lr / at for lr in (1, 2) for at in (1, 3, 5, 7)]
    page = drawn(stored.ended(tmp_path, axes, errors), heat_picture)
    labels = [text.get_text() for text in page.axes[0].get_xticklabels()]
    assert labels == names and overlaps(page) == []


@pytest.mark.slow
def test_effects_and_parallel_coordinates_hold_every_run(five: SweepData) -> None:
    panels = drawn(five, effects_picture).axes
    assert [axes.get_xlabel() for axes in panels][0] == "learning rate" and len(panels) == 5
    assert [a.get_xscale() for a in panels if a.get_xlabel() == "batch_size"] == ["log"]
    runs = parallel_data(five)
    assert runs.shape == (72, 6) and runs.score.iloc[-1] == runs.score.min()
    (lines,) = drawn(five, parallel_picture).axes[0].collections
    assert len(lines.get_paths()) == 72
    assert 0 <= lines.get_datalim(lines.axes.transData).y0


def test_parallel_coordinates_have_the_ceiling_of_the_errors(tmp_path: Path) -> None:
    axes = {"lr": [0.1, 1.0], "iters": [10], "k": [1, 2]}
    data = stored.ended(tmp_path, axes, [0.1, 0.2, 0.3, 1e200])
    assert parallel_data(data).score.max() == pytest.approx(np.log10(600))


def test_metrics_of_a_trainer_have_a_panel_each(tmp_path: Path) -> None:
    runs, plan = [], stored.cells({"lr": [0.1, 1.0], "iters": [5]})
    for cell in plan:
        result = stored.result_of(0.1, 5, stored.decay(0.1, 5))
        steps = np.array([1, 3, 5])
        curves = {"margin": (steps, -0.1 * steps), "accuracy 10": (steps, steps / 5)}
        if cell["values"]["lr"] == 1.0:
            del curves["accuracy 10"]
        run = stored.stored_run(tmp_path, cell, result=replace(result, curves=curves))
        runs.append(run)
    data = sweep_data(stored.stored_sweep(tmp_path, plan), runs)
    figure = drawn(data, metrics_picture)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["accuracy 10", "margin"]
    assert [len(axes.lines) for axes in figure.axes] == [1, 2]
    assert figure.axes[1].get_ylim()[0] < -0.5 and figure.axes[0].get_ylim()[0] > 0
    assert [axes.get_yscale() for axes in figure.axes] == ["linear", "linear"]
    assert overlaps(figure) == []


def weights_of(data: SweepData) -> tuple[Frame | None, str]:
    key = main_axis(data)
    return weights_data(data, key, panels_of(data, key, data.axes["iters"]))


def test_weights_show_the_longest_run_of_each_rate(tmp_path: Path) -> None:
    table, note = weights_of(grid(tmp_path, **stored.DEFAULT))
    names = list(table.weight.unique())
    assert names[:2] == ["w1", "w2"] and names[-2:] == ["b1", "b2"] and note == ""
    runs = table[["value", "iters"]].drop_duplicates().to_numpy().tolist()
    assert runs == [["0.01", 1000], ["0.05", 1000], ["1.0", 1000]]
    assert table[(table.value == "1.0") & (table.weight == "w1")].final.item() == pytest.approx(0.1)


def test_weights_of_many_rates_keep_ends_and_best(tmp_path: Path) -> None:
    data = grid(tmp_path, lr=rates(40), iters=[10])
    table, note = weights_of(data)
    values = data.axes["lr"].values
    assert {values[0], values[-1]} <= set(table.value)
    assert note == "6 of 40 values of learning rate"


def test_weights_name_the_networks_that_have_others(tmp_path: Path) -> None:
    axes = {"lr": [0.1], "iters": [10], "network": ["big", "small"]}
    data = stored.ended(tmp_path, axes, [0.2, 0.1])  # the weights of the best are shown
    other = json.dumps({part: {"a": 1.0} for part in ("initial", "final")})
    (tmp_path / data.stored[0].run_id / "artifacts" / "weights.json").write_text(other)
    assert weights_of(data)[1].endswith("omitted, other layer sizes: network=big")


def test_weights_of_many_combinations_are_those_of_the_best(five: SweepData) -> None:
    table, note = weights_of(five)
    assert set(table.panel) == {""} and table.value.nunique() == 3
    assert note.startswith("the combination of the best run, of 24 combinations")


def test_weights_are_none_where_no_run_left_any(tmp_path: Path) -> None:
    sweep, runs = stored.grid(tmp_path, {"lr": [0.1, 1.0], "iters": [5]})
    (tmp_path / runs[0].run_id / "artifacts" / "weights.json").unlink()
    damaged = '{"initial": [1], "final": {"a": 1}}'
    (tmp_path / runs[1].run_id / "artifacts" / "weights.json").write_text(damaged)
    assert weights_of(sweep_data(sweep, runs))[0] is None


# --- drawn -------------------------------------------------------------------------------


def overlaps(figure: Figure) -> list[tuple[str, str]]:
    """Return the pairs of texts whose boxes overlap on paper, and texts that leave it."""
    boxes = []
    for text in figure.findobj(Text):
        if text.get_text().strip() and text.get_visible():
            boxes.append((text.get_text(), text.get_window_extent()))
    paper = figure.bbox
    found = [
        (first, second)
        for (first, a), (second, b) in combinations(boxes, 2)
        if a.x0 < b.x1 - 1 and b.x0 < a.x1 - 1 and a.y0 < b.y1 - 1 and b.y0 < a.y1 - 1
    ]
    for text, box in boxes:
        if box.x0 < -1 or box.y0 < -1 or box.x1 > paper.x1 + 1 or box.y1 > paper.y1 + 1:
            found.append((text, "paper"))
    return found


SWEEPS: dict[str, dict[str, list[object]]] = {
    "one": {"lr": [0.1], "iters": [1]},
    "default": {"lr": [0.01, 0.05, 1.0], "iters": [1, 1000, 2000]},
    "rules": {"lr": [0.01, 1.0], "iters": [1, 100], "rule": ["notebook", "gradient"]},
    "rates": {"lr": rates(30), "iters": [1, 10]},
    "counts": {"lr": [0.1, 1.0], "iters": [1, 2, 3, 5, 8, 13, 21, 34, 55, 89]},
    "many rates in panels": {"lr": rates(25), "iters": [1, 10], "rule": ["notebook", "gradient"]},
    "long labels": {"lr": [0.9540000000000001, 0.1 + 0.2], "iters": [1, 100000]},
}


def assert_clear(found: list[Picture]) -> None:
    for picture in found:
        figure = shown(picture)
        assert overlaps(figure) == [], picture.name
        assert not [
            t.get_text() for t in figure.findobj(Text) if t.get_text() and t.get_parse_math()
        ]


@pytest.mark.parametrize(
    "name",
    ["one", "default", *(pytest.param(name, marks=pytest.mark.slow) for name in [*SWEEPS][2:])],
)
def test_pictures_have_no_overlaps_and_no_parsed_text(tmp_path: Path, name: str) -> None:
    assert_clear(pictures(grid(tmp_path, **SWEEPS[name])))


@pytest.mark.slow
def test_pictures_of_five_axes(five: SweepData) -> None:
    found = pictures(five)
    names = "effect_of_each_axis final_error_heatmap parallel_coordinates error_curves weights"
    assert [picture.name for picture in found] == names.split()
    assert_clear(found)


def test_pictures_survive_divergence_failure_zero_and_gaps(tmp_path: Path) -> None:
    assert_clear(pictures(diverged(tmp_path)))


@pytest.mark.slow
def test_pictures_survive_negative_errors(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1, 1.0], "iters": [10, 20], "seed": [0, 1]})
    runs = [
        stored.stored_run(tmp_path, cell, np.linspace(-0.5, 3.0 - at, 21))
        for at, cell in enumerate(plan)
    ]
    assert_clear(pictures(sweep_data(stored.stored_sweep(tmp_path, plan), runs)))


def test_pictures_survive_runs_that_all_diverged_from_a_small_error(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1, 1.0], "iters": [10, 20]})
    errors = np.array([1e-12, 1e-11])
    runs = [stored.stored_run(tmp_path, cell, errors, outcome="diverged") for cell in plan]
    found = pictures(sweep_data(stored.stored_sweep(tmp_path, plan), runs))
    assert {"error_curves", "final_error_heatmap"} <= {picture.name for picture in found}
    assert_clear(found)


def test_weights_of_a_large_network_are_a_cloud(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1, 1.0], "iters": [5]})
    runs = []
    for cell in plan:
        lr = cell["values"]["lr"]
        first = np.linspace(-1, 1, 4000).reshape(40, 100)
        weights = {
            "initial_weights": {"weights_1": first},
            "final_weights": {"weights_1": first + lr},
        }
        result = replace(stored.result_of(lr, 5, stored.decay(lr, 5)), **weights)
        runs.append(stored.stored_run(tmp_path, cell, result=result, metrics={}))
    data = sweep_data(stored.stored_sweep(tmp_path, plan), runs)
    table, _ = weights_of(data)
    assert table.groupby("value").size().tolist() == [2000, 2000]
    figure = drawn(data, weights_picture)
    assert overlaps(figure) == []
    assert figure.axes[0].get_xlabel() == "before training"


def test_alt_texts_say_what_is_seen(tmp_path: Path) -> None:
    alts = {picture.name: picture.alt for picture in pictures(grid(tmp_path, **stored.DEFAULT))}
    assert "3 error curves" in alts["error_curves"] and "lr=1.0" in alts["error_curves"]
    assert "Best: 5.988e-07 at lr=1.0" in alts["final_error_heatmap"]
    assert "moves most" in alts["weights"]
    assert all(40 < len(alt) < 500 for alt in alts.values())


# --- axes --------------------------------------------------------------------------------

numbers = st.floats(allow_nan=False, allow_infinity=False)


def error_panel(values: list[float], ceiling: float = np.inf) -> Axes:
    (axes,) = Sheet("title", "subtitle", ("x", "y")).panels
    error_axis(axes, "y", values, ceiling)
    return axes


@settings(max_examples=10)
@example([0.0, 1e138, 3e-158])
@given(st.lists(numbers, max_size=6))
def test_error_axis_holds_every_finite_value(values: list[float]) -> None:
    axes = error_panel(values)
    axes.figure.canvas.draw()
    low, high = axes.get_ylim()
    assert low < high and np.isfinite([low, high]).all()
    near = [value for value in values if 1e-300 < abs(value) < 1e300]
    assert all(low <= value <= high for value in near)
    assert min(values, default=0) >= 0 or axes.get_yscale() == "linear"


def test_error_axis_has_a_place_for_zero_alone_where_there_is_one() -> None:
    assert error_panel([0.0, 1e-30, 1.0]).get_yscale() == "symlog"
    assert error_panel([1e-30, 1.0]).get_yscale() == "log"


def test_error_axis_with_ceiling_puts_what_is_above_at_the_edge() -> None:
    axes = error_panel([0.5, 1.8e282], ceiling=500.0)
    high = axes.get_ylim()[1]
    assert high < 1e4 and inside(axes, [1.8e282])[0] == high
