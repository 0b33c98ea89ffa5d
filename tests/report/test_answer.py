"""The answer of a sweep in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sweep.report.answer import answer
from sweep.report.data import SweepData, sweep_data
from tests.report import stored

BUILT_IN = {"_target_": "sweep.training.backprop.Backprop"}


def data(folder: Path, ends: dict[tuple[float, int], float], **config: object) -> SweepData:
    """Return the data of one run for each (lr, iters) with this final error."""
    axes = {"lr": sorted({lr for lr, _ in ends}), "iters": sorted({n for _, n in ends})}
    plan = stored.cells(axes)
    runs = []
    for cell in plan:
        cell["config"] = config
        end = ends.get((cell["values"]["lr"], cell["values"]["iters"]))
        if end is not None:
            runs.append(stored.stored_run(folder, cell, np.array([0.6, end])))
    return sweep_data(stored.stored_sweep(folder, plan), runs)


def test_answer_at_the_floor_names_the_cheapest(tmp_path: Path) -> None:
    ends = {(0.05, 1000): 0.001, (0.05, 100000): 1e-31, (1.0, 1000): 2e-27, (1.0, 100000): 1e-30}
    assert answer(data(tmp_path, ends)) == (
        "Best of 4 runs: lr=1.0, 1000 iterations, final error 2e-27 (√E = 4.5e-14). "
        "No cheaper run reaches this precision (errors below 1e-26 count as equal). "
        "lr=1.0 is the largest of the grid: try rates above 1.0."
    )


def test_answer_says_nothing_of_the_floor_where_no_run_is_near_it(tmp_path: Path) -> None:
    text = answer(data(tmp_path, {(0.05, 10): 0.1, (1.0, 10): 0.05}))
    assert text.startswith("Best of 2 runs: lr=1.0, 10 iterations, final error 0.05")
    assert "precision" not in text and "1e-" not in text


@pytest.mark.parametrize(
    ("metric", "words"),
    [("stalled_at", "nothing changes after them"), ("stopped_at", "the run stopped there")],
)
def test_answer_gives_the_iteration_from_which_nothing_changed_or_a_run_stopped(
    tmp_path: Path, metric: str, words: str
) -> None:
    (cell,) = stored.cells({"lr": [1.0], "iters": [10000]})
    run = stored.stored_run(tmp_path, cell, np.array([0.6, 1e-30]), metrics={metric: 4417.0})
    text = answer(sweep_data(stored.stored_sweep(tmp_path, [cell]), [run]))
    assert f"lr=1.0, 4417 iterations (of 10000; {words})" in text
    assert "stalled" not in text, "a fixed point at the floor is no trouble"


@pytest.mark.parametrize(
    ("best", "words"),
    [
        (0.01, "lr=0.01 is the smallest of the grid: try rates below 0.01."),
        (0.1, ""),
        (1.0, "lr=1.0 is the largest of the grid: try rates above 1.0."),
    ],
)
def test_answer_says_where_the_best_lies_at_the_edge(
    tmp_path: Path, best: float, words: str
) -> None:
    ends = {(lr, 10): 0.01 if lr == best else 0.3 for lr in (0.01, 0.1, 1.0)}
    text = answer(data(tmp_path, ends))
    assert words in text if words else "edge" not in text and "try" not in text


def test_answer_names_no_edge_of_an_axis_without_effect(tmp_path: Path) -> None:
    axes = {"lr": [0.1, 1.0], "iters": [10], "trainer.batch_size": [8, 16], "seed": [1, 2]}
    text = answer(sweep_data(*stored.grid(tmp_path, axes)))
    assert "try rates above 1.0" in text and "batch_size=8 is" not in text
    assert "seed=1 is" not in text


def test_answer_advises_no_value_that_would_be_refused(tmp_path: Path) -> None:
    axes = {"lr": [0.1], "iters": [10], "trainer.batch_size": [1, 8], "trainer.p": [0.5, 0.9]}
    axes["data.split_seed"] = [3, 4]
    text = answer(stored.ended(tmp_path, axes, [0.1 + 0.05 * at for at in range(8)]))
    assert text.endswith("trainer.p=0.5 is the smallest of the grid: try values below 0.5.")
    assert text.count("try") == 1


@pytest.mark.parametrize(
    ("end", "config", "rooted"),
    [
        (0.04, {}, True),
        (0.04, {"network": {"loss": "squared_error"}, "trainer": BUILT_IN}, True),
        (0.04, {"network": {"loss": "cross_entropy"}, "trainer": BUILT_IN}, False),
        (0.04, {"trainer": {"_target_": "mine.Trainer"}}, False),
        (-3.5, {}, False),
    ],
)
def test_root_is_of_squared_errors_that_are_not_negative(
    tmp_path: Path, end: float, config: dict[str, object], rooted: bool
) -> None:
    text = answer(data(tmp_path, {(0.1, 1): end}, **config))
    assert f"final error {end:g}" in text and ("√E" in text) == rooted


def test_answer_of_one_run_is_short(tmp_path: Path) -> None:
    text = answer(data(tmp_path, {(0.1, 1): 0.5}))
    assert text == "Best of 1 run: lr=0.1, 1 iteration, final error 0.5 (√E = 0.71)."


def test_answer_tells_what_became_of_the_others(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1, 1.0, 2.0, 3.0, 4.0], "iters": [10]})
    runs = [
        stored.stored_run(tmp_path, plan[0]),
        stored.stored_run(tmp_path, plan[1], outcome="diverged"),
        stored.stored_run(tmp_path, plan[2], outcome="failed"),
        stored.stored_run(tmp_path, plan[3], outcome="interrupted"),
    ]
    text = answer(sweep_data(stored.stored_sweep(tmp_path, plan), runs))
    assert text.endswith(
        "1 run diverged. 1 run failed. 1 run did not finish. "
        "1 of 5 runs is missing; `resume=20250101-120000-abcd` finishes it."
    )


def test_answer_without_any_final_error(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1, 1.0, 2.0], "iters": [10]})
    runs = [stored.stored_run(tmp_path, plan[0], outcome="diverged")]
    text = answer(sweep_data(stored.stored_sweep(tmp_path, plan), runs))
    assert text.startswith(
        "None of 3 runs completed with a final error. 1 run diverged. 2 of 3 runs are "
    )


def test_answer_counts_a_stall_only_above_the_floor(tmp_path: Path) -> None:
    plan = stored.cells({"lr": [0.1, 500.0], "iters": [10]})
    ends = [np.array([0.6, 1e-30]), np.array([0.6, 0.00625])]
    runs = [
        stored.stored_run(tmp_path, cell, errors, metrics={"stalled_at": 5.0})
        for cell, errors in zip(plan, ends, strict=True)
    ]
    text = answer(sweep_data(stored.stored_sweep(tmp_path, plan), runs))
    assert text.endswith("1 run stalled.")
