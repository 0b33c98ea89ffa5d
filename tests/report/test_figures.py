"""What the pictures show, and that they can be drawn for any sweep."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Text

from sweep.report.data import SweepData, sweep_data
from sweep.report.figures import pictures_of
from sweep.report.figures.canvas import MANY, Picture, png_bytes, sheet, svg_bytes
from sweep.report.figures.effects import effects_data
from sweep.report.figures.error_curves import curves_data
from sweep.report.figures.final_errors import final_errors
from sweep.report.figures.heat import heat_data
from sweep.report.figures.lines import MOST_LINES
from sweep.report.figures.parallel import parallel_data
from sweep.report.figures.rules import rule_pairs
from sweep.report.figures.scale import error_scale, set_scale
from sweep.report.figures.weights import weights_data
from tests.report import stored

PNG = b"\x89PNG\r\n"


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
    return pictures_of(data, rule_pairs(data))


FIVE = {
    "lr": [0.001, 0.01, 0.1],
    "iters": [20],
    "network.layers": [[4, 3, 2], [4, 8, 8, 2], [4, 16, 2]],
    "network.activation": ["tanh", "sigmoid"],
    "trainer.batch_size": [8, 64],
    "seed": [0, 1],
}


# --- which pictures there are ------------------------------------------------------------


@pytest.mark.parametrize(
    ("axes", "names"),
    [
        ({"lr": [0.1], "iters": [5]}, ["error_curves", "weights"]),
        (
            {"lr": [0.1], "iters": [5, 10]},
            ["error_curves", "final_error_by_iterations", "weights"],
        ),
        (
            {"lr": [0.1, 1.0], "iters": [5]},
            ["error_curves", "effect_of_each_axis", "weights"],
        ),
        (
            {"lr": [0.01 * i for i in range(1, 7)], "iters": [5]},
            ["error_curves", "final_error_by_rate", "weights"],
        ),
        (
            stored.DEFAULT,
            ["error_curves", "final_error_heatmap", "final_error_by_iterations", "weights"],
        ),
        (
            FIVE,
            ["effect_of_each_axis", "final_error_heatmap", "parallel_coordinates"]
            + ["error_curves", "weights"],
        ),
    ],
)
def test_pictures_of_a_sweep(tmp_path: Path, axes: dict[str, list[object]], names: list) -> None:
    found = pictures(grid(tmp_path, **axes))
    assert [picture.name for picture in found] == names


def test_pictures_of_a_sweep_without_results_are_none(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1], "iters": [1]})
    assert pictures(sweep_data(stored.stored_sweep(tmp_path, plan), [])) == []
    runs = [stored.stored_run(tmp_path, plan[0], outcome="failed")]
    for path in (tmp_path / runs[0].run_id / "artifacts").iterdir():
        path.unlink()
    assert pictures(sweep_data(stored.stored_sweep(tmp_path, plan), runs)) == []


# --- lines -------------------------------------------------------------------------------


def test_curves_mark_every_iteration_count_on_its_curve(tmp_path: Path) -> None:
    shown = curves_data(grid(tmp_path, **stored.DEFAULT))
    (panel,) = shown.panels
    assert len(panel.lines) == 3
    for line in panel.lines:
        assert [x for x, _ in line.runs] == [1, 10, 100, 1000]
        for x, y in line.runs:
            assert line.y[np.argmin(np.abs(line.x - x))] == pytest.approx(y)
    assert shown.counts == (1, 10, 100, 1000)
    assert shown.x.kind == "symlog" and shown.x.low < 0  # step 0 has a place


def test_curves_let_a_diverging_line_leave_at_the_top(tmp_path: Path) -> None:
    shown = curves_data(diverged(tmp_path))
    line = next(line for line in shown.panels[0].lines if line.value == 3)
    assert line.y.max() > shown.y.high and shown.y.high < 1e4
    assert line.diverged and [error for _, error in line.runs if error <= shown.y.high] == []


def test_many_rates_get_a_scale_and_the_best_of_all(tmp_path: Path) -> None:
    few = curves_data(grid(tmp_path / "few", lr=rates(MANY - 1), iters=[10]))
    many = curves_data(grid(tmp_path / "many", lr=rates(MANY), iters=[10]))
    assert not few.many and few.panels[0].lowest is None
    assert many.many and many.panels[0].lowest is not None
    lowest = min(line.y.min() for line in many.panels[0].lines)
    assert many.panels[0].lowest[1].min() == pytest.approx(lowest)


def test_hundreds_of_curves_are_thinned_and_it_is_said(tmp_path: Path) -> None:
    data = grid(tmp_path, lr=rates(150), iters=[10, 20])
    shown = curves_data(data)
    values = [line.value for line in shown.panels[0].lines]
    assert len(values) == MOST_LINES and values[0] == 0 and values[-1] == 149
    assert "60 of 150 curves" in shown.note
    assert "60 of 150 lines" in final_errors(data, data.axes["iters"], data.axes["lr"]).note


def test_final_errors_by_iterations_and_by_rate_agree(tmp_path: Path) -> None:
    data = grid(tmp_path, lr=rates(6), iters=[1, 10, 100])
    lr, iters = data.axes["lr"], data.axes["iters"]
    by_iterations, by_rate = final_errors(data, iters, lr), final_errors(data, lr, iters)
    assert [len(line.runs) for line in by_iterations.panels[0].lines] == [3] * 6
    assert [len(line.runs) for line in by_rate.panels[0].lines] == [6] * 3
    every = {y for line in by_iterations.panels[0].lines for _, y in line.runs}
    assert every == {y for line in by_rate.panels[0].lines for _, y in line.runs}


def test_validation_is_a_second_line(tmp_path: Path) -> None:
    (cell,) = stored.cells({"lr": [0.1], "iters": [10]})
    errors = stored.decay(0.1, 10)
    others = 3 * errors
    others[5] = np.nan
    result = replace(stored.result_of(0.1, 10, errors), validation=others)
    run = stored.stored_run(tmp_path, cell, result=result)
    shown = curves_data(sweep_data(stored.stored_sweep(tmp_path, [cell]), [run]))
    (line,) = shown.panels[0].lines
    assert line.validation is not None
    assert len(line.validation[0]) == 10  # step 5 has none
    assert line.validation[1].max() <= shown.y.high


def test_other_axes_have_panels_in_rows_and_columns(tmp_path: Path) -> None:
    axes = {"lr": [0.1, 1.0], "iters": [5], "rule": ["notebook", "gradient"], "seed": [0, 1, 2]}
    shown = curves_data(grid(tmp_path, **axes))
    assert shown.columns == 3 and len(shown.panels) == 6
    assert shown.panels[3].title == "rule=gradient, seed=0"


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
    shown = curves_data(grid(tmp_path, lr=[0.1, 1.0], iters=[5, 10], **axes))
    assert [panel.title for panel in shown.panels] == [""]
    assert len(shown.panels[0].lines) == 2 * int(note.split()[1])
    assert shown.note == note


# --- the other pictures ------------------------------------------------------------------


def test_heat_map_has_every_number_and_the_best(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1, 1.0], "iters": [10, 100]})
    ends = [0.5, 1e-5, 1e-28, 1e-30]
    runs = [
        stored.stored_run(tmp_path, cell, np.array([0.6, end]))
        for cell, end in zip(plan, ends, strict=True)
    ]
    shown = heat_data(sweep_data(stored.stored_sweep(tmp_path, plan), runs))
    assert shown is not None and (shown.down.name, shown.across.name) == ("lr", "iters")
    ((_, text),) = shown.cells
    assert text.to_numpy().tolist() == [["1.0×10⁻²⁸", "1.0×10⁻³⁰"], ["0.50", "1.0×10⁻⁵"]]
    assert shown.best == ((0, 0),), "of two at the floor the one with fewer iterations"


def test_heat_map_names_what_has_no_number(tmp_path: Path) -> None:
    shown = heat_data(diverged(tmp_path))
    assert shown is not None
    ((error, text),) = shown.cells
    assert text.iloc[0].tolist()[1:] == ["diverged", "not run"]
    assert text.iloc[1, 2] == "failed" and np.isnan(error.iloc[0, 1])


def test_heat_map_shows_the_two_axes_that_matter_most(tmp_path: Path) -> None:
    plan = stored.cells({**FIVE, "iters": [20, 30]})
    runs = []
    for cell in plan:
        values = cell["values"]
        end = values["lr"] * (0.01 if values["network.activation"] == "tanh" else 1)
        runs.append(stored.stored_run(tmp_path, cell, np.array([0.6, end + values["seed"] * 1e-6])))
    shown = heat_data(sweep_data(stored.stored_sweep(tmp_path, plan), runs))
    assert shown is not None
    assert (shown.down.name, shown.across.name) == ("lr", "network.activation")
    assert shown.titles == ("",) and shown.note.startswith("the best of all 24 combinations")
    ((error, _),) = shown.cells
    assert error.loc["0.1", "sigmoid"] == 0.1 and error.loc["0.001", "tanh"] == 1e-5


def test_effects_and_parallel_coordinates_hold_every_run(tmp_path: Path) -> None:
    data = grid(tmp_path, **FIVE)
    shown = effects_data(data)
    assert [axis.name for axis in shown.axes][0] == "lr" and len(shown.axes) == 5
    assert all(table.runs.sum() == 72 for table in shown.tables)
    assert [axis.scale for axis in shown.axes if axis.name == "trainer.batch_size"] == ["log"]
    lines = parallel_data(data)
    assert lines.places.shape == (72, 6)
    assert lines.places.min() == 0 and lines.places.max() == 1
    assert lines.places[-1, -1] == 0, "the best run is drawn last"


def test_weights_show_the_longest_run_of_each_rate(tmp_path: Path) -> None:
    shown = weights_data(grid(tmp_path, **stored.DEFAULT))
    assert shown is not None
    assert shown.names[:2] == ("w1", "w2") and shown.names[-2:] == ("b1", "b2")
    assert [(s.value, s.iters) for s in shown.panels[0]] == [(0, 1000), (1, 1000), (2, 1000)]
    assert shown.panels[0][2].final[0] == pytest.approx(0.1)


def test_weights_of_many_rates_keep_ends_and_best(tmp_path: Path) -> None:
    shown = weights_data(grid(tmp_path, lr=rates(40), iters=[10]))
    assert shown is not None and {0, 39} <= {s.value for s in shown.panels[0]}
    assert "6 of 40 values of learning rate" in shown.note


def test_weights_of_many_combinations_are_those_of_the_best(tmp_path: Path) -> None:
    shown = weights_data(grid(tmp_path, **FIVE))
    assert shown is not None and len(shown.panels) == 1 and len(shown.panels[0]) == 3
    assert shown.note.startswith("the combination of the best run, of 24 combinations")


def test_weights_are_none_where_no_run_left_any(tmp_path: Path) -> None:
    sweep, runs = stored.grid(tmp_path, {"lr": [0.1], "iters": [5]})
    (tmp_path / runs[0].run_id / "artifacts" / "weights.json").unlink()
    assert weights_data(sweep_data(sweep, runs)) is None


# --- drawn -------------------------------------------------------------------------------


def overlaps(figure: Figure) -> list[tuple[str, str]]:
    """Return the pairs of texts whose boxes overlap on paper, and texts that leave it."""
    figure.canvas.draw()
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
    "odd": {"lr": [0.3], "iters": [777]},
    "rules": {"lr": [0.01, 1.0], "iters": [1, 100], "rule": ["notebook", "gradient"]},
    "rates": {"lr": rates(30), "iters": [1, 10]},
    "counts": {"lr": [0.1, 1.0], "iters": [1, 2, 3, 5, 8, 13, 21, 34, 55, 89]},
    "long labels": {"lr": [0.9540000000000001, 0.1 + 0.2], "iters": [1, 100000]},
    "five": FIVE,
}


@pytest.mark.parametrize("name", SWEEPS)
def test_pictures_have_no_overlaps_and_no_parsed_text(tmp_path: Path, name: str) -> None:
    for picture in pictures(grid(tmp_path, **SWEEPS[name])):
        figure = picture.draw("sweep 20250101-120000-abcd · 12 runs")
        assert overlaps(figure) == [], picture.name
        texts = [text for text in figure.findobj(Text) if text.get_text()]
        assert not [text.get_text() for text in texts if text.get_parse_math()]


def test_pictures_survive_divergence_failure_zero_and_gaps(tmp_path: Path) -> None:
    for picture in pictures(diverged(tmp_path)):
        figure = picture.draw("subtitle")
        assert png_bytes(figure).startswith(PNG)
        assert overlaps(figure) == [], picture.name


def test_pictures_survive_negative_errors(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1, 1.0], "iters": [10, 20], "seed": [0, 1]})
    runs = [
        stored.stored_run(tmp_path, cell, np.linspace(-0.5, 3.0 - at, 21))
        for at, cell in enumerate(plan)
    ]
    for picture in pictures(sweep_data(stored.stored_sweep(tmp_path, plan), runs)):
        figure = picture.draw("subtitle")
        assert overlaps(figure) == [], picture.name


def test_pictures_survive_runs_that_all_diverged_from_a_small_error(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1, 1.0], "iters": [10, 20]})
    errors = np.array([1e-12, 1e-11])
    runs = [stored.stored_run(tmp_path, cell, errors, outcome="diverged") for cell in plan]
    found = pictures(sweep_data(stored.stored_sweep(tmp_path, plan), runs))
    assert {"error_curves", "final_error_heatmap"} <= {picture.name for picture in found}
    for picture in found:
        assert overlaps(picture.draw("subtitle")) == [], picture.name


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", r"$\frac{1}$", "$x", "a\nb", "中文"])
def test_pictures_show_any_text_as_it_is(tmp_path: Path, text: str) -> None:
    axes = {"lr": [0.1, 1.0], "iters": [1, 10], "network": [text, "notebook"]}
    for picture in pictures(grid(tmp_path, **axes)):
        figure = picture.draw(text)
        assert png_bytes(figure).startswith(PNG)
        assert "<script" not in svg_bytes(figure, picture.name).decode()


def test_picture_bytes_are_the_same_each_time(tmp_path: Path) -> None:
    for picture in pictures(grid(tmp_path, lr=[0.1, 1.0], iters=[1, 10], seed=[0, 1])):
        first, second = picture.draw("x"), picture.draw("x")
        assert svg_bytes(first, picture.name) == svg_bytes(second, picture.name)


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
    shown = weights_data(data)
    assert shown is not None and shown.names == ()
    assert len(shown.panels[0][0].final) <= 3000
    picture = next(p for p in pictures(data) if p.name == "weights")
    assert overlaps(picture.draw("x")) == []


def test_alt_texts_say_what_is_seen(tmp_path: Path) -> None:
    alts = {picture.name: picture.alt for picture in pictures(grid(tmp_path, **stored.DEFAULT))}
    assert "3 error curves" in alts["error_curves"] and "lr=1.0" in alts["error_curves"]
    assert "Smallest: 5.988e-07 at lr=1.0" in alts["final_error_heatmap"]
    assert "moves most" in alts["weights"]
    assert all(40 < len(alt) < 500 for alt in alts.values())


# --- axes --------------------------------------------------------------------------------

numbers = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(numbers, max_size=6))
def test_error_axis_holds_every_finite_value(values: list[float]) -> None:
    scale = error_scale(values)
    page = sheet("title", "subtitle", 1)
    set_scale(page.panels[0], "y", scale)
    page.figure.canvas.draw()
    assert scale.low < scale.high
    drawn = scale.inside(values)
    limits = page.panels[0].get_ylim()
    assert np.all((drawn >= limits[0]) & (drawn <= limits[1]))
    assert scale.kind == ("linear" if min(values, default=0) < 0 else scale.kind)


def test_error_axis_has_a_place_for_zero_alone_where_there_is_one() -> None:
    assert error_scale([0.0, 1e-30, 1.0]).kind == "symlog"
    assert error_scale([1e-30, 1.0]).kind == "log"


def test_error_axis_with_ceiling_puts_what_is_above_at_the_edge() -> None:
    scale = error_scale([0.5, 1.8e282], ceiling=500.0)
    assert scale.high < 1e4 and scale.inside([1.8e282])[0] == scale.high
    assert scale.drawn([1.8e282])[0] == 1.8e282
