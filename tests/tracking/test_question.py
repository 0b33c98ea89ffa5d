"""Which metric decides between stored runs, and what a sweep's best is."""

from __future__ import annotations

import pytest

from sweep.question import Question, question_of
from sweep.tracking.read import StoredRun


def run(point: str = "", outcome: str = "completed", iters: int = 1, **metrics: float) -> StoredRun:
    tags = {"sweep.outcome": outcome, **({"sweep.point": point} if point else {})}
    ident = f"{point}{metrics}"
    params = {"iters": str(iters)}
    return StoredRun(ident, "run", "FINISHED", params, metrics, tags, 0, 1)


REPEATED = [
    run("a", final_error=0.5, accuracy=0.9),
    run("a", final_error=0.5, accuracy=0.5),
    run("b", final_error=0.1, accuracy=0.8),
    run("b", final_error=1.2, accuracy=0.8),
]


def test_best_of_repeats_is_that_of_the_best_mean() -> None:
    found = Question().best_metrics(REPEATED)
    assert found == {"best_final_error": 0.1, "best_mean_final_error": 0.5}
    best = Question().best_run(REPEATED)
    assert best is not None and best.tags["sweep.point"] == "a"


def test_point_with_a_diverged_repeat_is_best_only_among_its_like() -> None:
    diverged = run("b", "diverged")
    runs = [run("a", final_error=0.5), run("b", final_error=0.1), diverged]
    best = Question().best_run(runs)
    assert best is not None and best.tags["sweep.point"] == "a"
    found = Question().best_metrics(runs)
    assert found == {"best_final_error": 0.1, "best_mean_final_error": 0.5}
    assert Question().best_run([runs[1], diverged]) is runs[1]


def test_largest_mean_of_a_metric() -> None:
    question = Question("accuracy", "max")
    assert question.best_metrics(REPEATED) == {
        "best_final_error": 0.1,
        "best_accuracy": 0.9,
        "best_mean_accuracy": 0.8,
    }
    assert question.best_run(REPEATED) is REPEATED[2]


def test_run_that_did_not_complete_is_never_best() -> None:
    runs = [run(final_error=0.5), run(outcome="diverged", accuracy=1.0), run(accuracy=0.5)]
    assert Question("accuracy", "max").best_run(runs) is runs[2]
    assert Question("accuracy", "max").best_metrics(runs)["best_accuracy"] == 0.5
    assert Question("f1").best_run(runs) is None
    assert Question("f1").best_metrics(runs) == {"best_final_error": 0.5}


def test_equal_runs_prefer_fewer_iterations() -> None:
    runs = [run(iters=100, final_error=0.5), run(iters=10, final_error=0.5, other=1.0)]
    assert Question().best_run(runs) is runs[1]


def test_errors_below_the_floor_are_equal_and_a_run_that_stopped_needed_no_more() -> None:
    runs = [run(iters=n, final_error=end) for n, end in ((4000, 3e-31), (3700, 2e-26), (9000, 0))]
    assert Question().best_run(runs) is runs[0]
    runs.append(run(iters=9000, final_error=1e-30, stalled_at=3800))
    assert Question().best_run(runs) is runs[3]


@pytest.mark.parametrize("stored", [None, [], {"repeats": 3, "mode": {}}, {"metric": None}])
def test_plan_that_holds_anything_asks_the_usual(stored: object) -> None:
    assert question_of({"question": stored}) == Question()
