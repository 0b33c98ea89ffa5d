"""What the pictures show, and that they can be drawn for any sweep."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from sweep.report import canvas
from sweep.report.curves import MOST_CURVES, curves_info, lines_info, rates_info
from sweep.report.facts import Facts, facts_of
from sweep.report.heat import heat_info
from sweep.report.looks import MANY
from sweep.report.pictures import pictures_of
from sweep.report.rules import rule_pairs
from sweep.report.weights import flat_weights, weights_info
from tests.report import stored

PNG = b"\x89PNG\r\n"


def diverged(folder: Path) -> Facts:
    """Return facts of runs that diverge, fail, reach zero and never start."""
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
    return facts_of(stored.stored_sweep(folder, plan), runs)


def grid(folder: Path, **axes: list[object]) -> Facts:
    return facts_of(*stored.grid(folder, axes))


def rates(count: int) -> list[object]:
    return [float(f"{x:.4g}") for x in np.geomspace(1e-3, 10, count)]


def test_curves_mark_every_iteration_count_on_its_curve(tmp_path: Path) -> None:
    info = curves_info(facts_of(*stored.grid(tmp_path, stored.DEFAULT)))
    (panel,) = info.panels
    assert len(panel.lines) == 3
    for line in panel.lines:
        assert [round(10**x) for x, _ in line.marks] == [1, 10, 100, 1000]
        for x, y in line.marks:
            at = int(np.argmin(np.abs(line.x - x)))
            assert line.y[at] == pytest.approx(y)
    assert [label for _, label in info.counts] == ["1", "10", "100", "1000"]


def test_curves_place_step_zero_left_of_step_one(tmp_path: Path) -> None:
    info = curves_info(facts_of(*stored.grid(tmp_path, stored.DEFAULT)))
    assert info.x.zero is not None and info.x.labels[0] == "0"
    assert all(line.x[0] == info.x.zero < line.x[1] == 0.0 for line in info.panels[0].lines)


def test_curves_let_a_diverging_line_leave_at_the_top(tmp_path: Path) -> None:
    info = curves_info(diverged(tmp_path))
    line = next(line for line in info.panels[0].lines if line.value == 10.0)
    assert line.y.max() > info.y.high and info.y.high < 4
    assert line.beyond and line.diverged and not line.marks


def test_curves_give_zero_a_place(tmp_path: Path) -> None:
    info = curves_info(diverged(tmp_path))
    assert info.y.zero is not None and "0" in info.y.labels
    assert info.panels[0].best is not None and info.panels[0].best[1] == info.y.zero


def test_many_rates_get_a_scale_and_the_best_envelope(tmp_path: Path) -> None:
    few = curves_info(grid(tmp_path / "few", lr=rates(MANY - 1), iters=[10]))
    many = curves_info(grid(tmp_path / "many", lr=rates(MANY), iters=[10]))
    assert not few.key.many and few.panels[0].lowest is None
    assert many.key.many and many.panels[0].lowest is not None
    lowest = min(line.y.min() for line in many.panels[0].lines)
    assert many.panels[0].lowest[1].min() == lowest


def test_hundreds_of_curves_are_thinned_and_it_is_said(tmp_path: Path) -> None:
    facts = grid(tmp_path, lr=rates(150), iters=[10])
    info = curves_info(facts)
    values = [line.value for line in info.panels[0].lines]
    assert len(values) == MOST_CURVES and values[0] == 1e-3 and values[-1] == 10.0
    assert "60 of 150 curves" in info.left_out
    assert "60 of 150 lines" in lines_info(facts).left_out


def test_final_errors_by_iterations_and_by_rate_agree(tmp_path: Path) -> None:
    facts = grid(tmp_path, lr=rates(6), iters=[1, 10, 100])
    lines, by_rate = lines_info(facts), rates_info(facts)
    assert [len(line.marks) for line in lines.panels[0].lines] == [3] * 6
    assert [len(line.marks) for line in by_rate.panels[0].lines] == [6] * 3
    every = {y for line in lines.panels[0].lines for _, y in line.marks}
    assert every == {y for line in by_rate.panels[0].lines for _, y in line.marks}


def test_heat_has_every_number_the_best_and_the_cheapest(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1, 1.0], "iters": [10, 100]})
    ends = [0.5, 1e-5, 1e-28, 1e-30]
    runs = [
        stored.stored_run(tmp_path, cell, np.array([0.6, end]))
        for cell, end in zip(plan, ends, strict=True)
    ]
    info = heat_info(facts_of(stored.stored_sweep(tmp_path, plan), runs))
    assert info.rates == ("1.0", "0.1")
    (panel,) = info.panels
    assert panel.texts == (("1.0×10⁻²⁸", "1.0×10⁻³⁰"), ("0.50", "1.0×10⁻⁵"))
    assert panel.best == (0, 1) and panel.cheapest == (0, 0)


def test_heat_names_what_has_no_number(tmp_path: Path) -> None:
    info = heat_info(diverged(tmp_path))
    assert info.panels[0].texts[0][1:] == ("diverged", "not run")
    assert info.panels[0].texts[1][2] == "failed"
    assert np.isnan(info.panels[0].values[0, 1])


def test_facets_put_two_axes_in_rows_and_columns(tmp_path: Path) -> None:
    facts = grid(tmp_path, lr=[0.1], iters=[5], rule=["notebook", "gradient"], seed=[0, 1, 2])
    info = curves_info(facts)
    assert info.columns == 3 and len(info.panels) == 6
    assert info.panels[3].title == "rule=gradient, seed=0"


def test_too_many_facets_show_the_best(tmp_path: Path) -> None:
    info = curves_info(grid(tmp_path, lr=[0.1], iters=[5], seed=list(range(20))))
    assert len(info.panels) == 12 and "12 best of 20" in info.left_out


def test_weights_show_the_longest_run_of_each_rate(tmp_path: Path) -> None:
    info = weights_info(facts_of(*stored.grid(tmp_path, stored.DEFAULT)))
    assert info is not None
    assert info.names[:2] == ("w1", "w2") and info.names[-2:] == ("b1", "b2")
    assert [s.label for s in info.panels[0].series] == [
        "0.01 · 1\xa0000",
        "0.05 · 1\xa0000",
        "1.0 · 1\xa0000",
    ]
    assert info.panels[0].series[2].final[0] == pytest.approx(0.1)


def test_weights_of_many_rates_keep_ends_and_best(tmp_path: Path) -> None:
    info = weights_info(grid(tmp_path, lr=rates(40), iters=[10]))
    assert info is not None and len(info.panels[0].series) <= 7
    assert "of 40 learning rates" in info.left_out


def test_flat_weights_open_arrays_and_keep_nulls_as_nan() -> None:
    names, values = flat_weights({"a": [[1.0, 2.0], [3.0, None]], "b": None})
    assert names == ("a[0]", "a[1]", "a[2]", "a[3]", "b")
    assert values[:3].tolist() == [1, 2, 3] and np.isnan(values[3:]).all()


def test_weights_are_none_where_no_run_left_any(tmp_path: Path) -> None:
    sweep, runs = stored.grid(tmp_path, {"lr": [0.1], "iters": [5]})
    (tmp_path / runs[0].run_id / "artifacts" / "weights.json").unlink()
    assert weights_info(facts_of(sweep, runs)) is None


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


SWEEPS = {
    "one": {"lr": [0.1], "iters": [1]},
    "default": {"lr": [0.01, 0.05, 1.0], "iters": [1, 1000, 2000]},
    "odd": {"lr": [0.3], "iters": [777]},
    "rules": {"lr": [0.01, 1.0], "iters": [1, 100], "rule": ["notebook", "gradient"]},
    "rates": {"lr": rates(30), "iters": [1, 10]},
    "counts": {"lr": [0.1, 1.0], "iters": [1, 2, 3, 5, 8, 13, 21, 34, 55, 89]},
    "seeds": {"lr": [0.1, 1.0], "iters": [1, 10], "seed": [0, 1, 2, 3, 4]},
}


@pytest.mark.parametrize("name", SWEEPS)
def test_pictures_have_no_overlaps_and_no_parsed_text(tmp_path: Path, name: str) -> None:
    facts = facts_of(*stored.grid(tmp_path, SWEEPS[name]))
    for picture in pictures_of(facts, rule_pairs(facts)):
        figure = picture.draw("sweep 20250101-120000-abcd · 12 runs")
        assert overlaps(figure) == [], picture.name
        texts = [text for text in figure.findobj(Text) if text.get_text()]
        assert not [text for text in texts if text.get_parse_math()], picture.name


def test_pictures_survive_divergence_failure_zero_and_gaps(tmp_path: Path) -> None:
    facts = diverged(tmp_path)
    for picture in pictures_of(facts, ()):
        figure = picture.draw("subtitle")
        assert canvas.png_bytes(figure).startswith(PNG)
        assert overlaps(figure) == [], picture.name


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", r"$\frac{1}$", "$x", "a\nb", "中文"])
def test_pictures_show_any_text_as_it_is(tmp_path: Path, text: str) -> None:
    facts = grid(tmp_path, lr=[0.1, 1.0], iters=[1, 10], network=[text, "notebook"])
    for picture in pictures_of(facts, ()):
        figure = picture.draw(text)
        assert canvas.png_bytes(figure).startswith(PNG)
        svg = canvas.svg_bytes(figure, picture.name).decode()
        assert "<script" not in svg


def test_picture_bytes_are_the_same_each_time(tmp_path: Path) -> None:
    facts = facts_of(*stored.grid(tmp_path, stored.DEFAULT))
    for picture in pictures_of(facts, ()):
        first, second = picture.draw("x"), picture.draw("x")
        assert canvas.svg_bytes(first, picture.name) == canvas.svg_bytes(second, picture.name)


def test_pictures_of_a_sweep_without_results_are_few(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1], "iters": [1]})
    assert pictures_of(facts_of(stored.stored_sweep(tmp_path, plan), []), ()) == []
    runs = [stored.stored_run(tmp_path, plan[0], outcome="failed")]
    for path in (tmp_path / runs[0].run_id / "artifacts").iterdir():
        path.unlink()
    facts = facts_of(stored.stored_sweep(tmp_path, plan), runs)
    (picture,) = pictures_of(facts, ())
    assert canvas.png_bytes(picture.draw("x")).startswith(PNG)


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
    facts = facts_of(stored.stored_sweep(tmp_path, plan), runs)
    info = weights_info(facts)
    assert info is not None and info.names == ()
    assert len(info.panels[0].series[0].final) <= 3000
    picture = next(p for p in pictures_of(facts, ()) if p.name == "weights")
    assert overlaps(picture.draw("x")) == []


def test_alt_texts_say_what_is_seen(tmp_path: Path) -> None:
    facts = facts_of(*stored.grid(tmp_path, stored.DEFAULT))
    alts = {picture.name: picture.alt for picture in pictures_of(facts, ())}
    assert "3 error curves" in alts["error_curves"] and "lr=1.0" in alts["error_curves"]
    assert "Smallest: 5.988e-07 at lr=1.0" in alts["final_error_heatmap"]
    assert "moves most" in alts["weights"]
    assert all(40 < len(alt) < 500 for alt in alts.values())
