"""Numbers and answers as text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sweep.report.facts import Facts, facts_of
from sweep.report.words import answer, decade, duration, figure, plain, power, thin
from tests.report import stored


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (1.0, "1.0"),
        (0.6, "0.60"),
        (0.00624, "0.0062"),
        (1.951e-4, "2.0×10⁻⁴"),
        (1.8e282, "1.8×10²⁸²"),
        (9.99, "10"),
        (812.0, "812"),
        (5e-324, "4.9×10⁻³²⁴"),
        (-0.5, "-0.50"),
    ],
)
def test_power(value: float, text: str) -> None:
    assert power(value) == text


def test_figure_of_none_is_empty() -> None:
    assert figure(None) == "" and figure(1.5e-33) == "1.5e-33"


def test_decade_labels() -> None:
    assert [decade(k) for k in (-9, -2, 0, 3, 6)] == ["10⁻⁹", "0.01", "1", "1000", "10⁶"]


def test_thin() -> None:
    assert [thin(n) for n in (1, 9999, 10000, 2_000_000)] == ["1", "9999", "10\u2009000", "2.0×10⁶"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0 ms"), (0.25, "250 ms"), (59.94, "59.9 s"), (125, "2 min 5 s"), (3661, "1 h 1 min")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_plain_is_one_line_without_control_characters() -> None:
    assert plain("a\nb\x00\x1b[31m\u202ec\t d") == "a b [31m c d"
    assert plain("x" * 100, 10) == "x" * 9 + "…"


def facts(folder: Path, ends: dict[tuple[float, int], float], **changed: object) -> Facts:
    """Return the facts of one run for each (lr, iters) with this final error."""
    axes = {"lr": sorted({lr for lr, _ in ends}), "iters": sorted({n for _, n in ends})}
    plan = stored.cells(axes)
    runs = []
    for cell in plan:
        end = ends.get((cell["values"]["lr"], cell["values"]["iters"]))
        if end is not None:
            runs.append(stored.stored_run(folder, cell, np.array([0.6, end])))
    return facts_of(stored.stored_sweep(folder, plan), runs)


def test_answer_names_best_and_cheapest_with_figures(tmp_path: Path) -> None:
    ends = {(0.05, 1000): 0.001, (0.05, 100000): 1e-31, (1.0, 1000): 2e-27, (1.0, 100000): 1e-30}
    assert answer(facts(tmp_path, ends)) == (
        "Best of 4 runs: lr=0.05, 100000 iterations, final error 1e-31 (√E = 3.2e-16). "
        "As good for all practical purposes and cheapest: lr=1.0, 1000 iterations, "
        "final error 2e-27 (√E = 4.5e-14), 100 times fewer iterations."
    )


def test_answer_where_the_floor_is_not_reached(tmp_path: Path) -> None:
    text = answer(facts(tmp_path, {(0.05, 10): 0.1, (1.0, 10): 0.05}))
    assert text.startswith("Best of 2 runs: lr=1.0, 10 iterations, final error 0.05")
    assert "none reaches √E ≤ 1e-13" in text


def test_answer_of_one_run_is_short(tmp_path: Path) -> None:
    text = answer(facts(tmp_path, {(0.1, 1): 0.5}))
    assert text == "Best of 1 run: lr=0.1, 1 iteration, final error 0.5 (√E = 0.71)."


def test_answer_tells_what_went_wrong(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1, 1.0, 2.0, 3.0], "iters": [10]})
    runs = [
        stored.stored_run(tmp_path, plan[0]),
        stored.stored_run(tmp_path, plan[1], outcome="diverged"),
        stored.stored_run(tmp_path, plan[2], outcome="failed"),
    ]
    text = answer(facts_of(stored.stored_sweep(tmp_path, plan), runs))
    assert text.endswith("Not all went well: 1 diverged, 1 failed, 1 not started.")


def test_answer_without_any_final_error(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1, 1.0], "iters": [10]})
    runs = [stored.stored_run(tmp_path, plan[0], outcome="diverged")]
    text = answer(facts_of(stored.stored_sweep(tmp_path, plan), runs))
    assert text == "No run has a final error (2 planned: 1 diverged, 1 not started)."


def test_answer_counts_a_stall_only_above_the_floor(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1, 500.0], "iters": [10]})
    ends = [np.array([0.6, 1e-30]), np.array([0.6, 0.00625])]
    runs = [
        stored.stored_run(tmp_path, cell, errors, metrics={"stalled_at": 5.0})
        for cell, errors in zip(plan, ends, strict=True)
    ]
    text = answer(facts_of(stored.stored_sweep(tmp_path, plan), runs))
    assert text.endswith("Of them 1 stalled.")
