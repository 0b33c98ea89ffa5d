"""Bundles: who trains side by side with whom, and that nobody can tell from the results."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest

from sweep.engine import bundle
from sweep.engine.backends import Done, Emitted, create
from sweep.engine.bundle import BundleWork, Member, bundles
from sweep.engine.checkpoint import checkpoint_name
from sweep.engine.plan import Cell, Plan, Trajectory
from sweep.engine.work import Progress, TrajectoryWork
from sweep.training.training import RunResult
from tests.configuration import spec as specification

LONG = 2_000_000
"""Iterations of which a few trajectories are worth a bundle."""


def trajectories(lrs: Sequence[float], iters: int = LONG, **changes: Any) -> list[Trajectory]:
    specs = [specification(lr=lr, iters=iters, **changes) for lr in lrs]
    return [
        Trajectory((Cell(number, (), {"lr": spec.lr}, spec),)) for number, spec in enumerate(specs)
    ]


def rates(count: int) -> list[float]:
    return [0.001 * (1 + at) for at in range(count)]


def sizes(found: Sequence[Sequence[Trajectory]]) -> list[int]:
    return [len(one) for one in found]


@pytest.mark.parametrize(
    ("count", "workers", "expected"),
    [
        (1, 1, [1]),
        (2, 1, [1, 1]),
        (3, 1, [3]),
        (2, 2, [1, 1]),
        (4, 2, [1] * 4),
        (5, 2, [5]),
        (8, 2, [8]),
        (9, 2, [4, 5]),
        (16, 2, [8, 8]),
        (17, 2, [5, 6, 6]),
        (64, 2, [8] * 8),
        (64, 64, [1] * 64),
        (12, 4, [6, 6]),
    ],
)
def test_sizes(count: int, workers: int, expected: list[int]) -> None:
    given = trajectories(rates(count), iters=10 * LONG)
    found = bundles(given, workers)
    assert sizes(found) == expected
    assert sorted(id(one) for part in found for one in part) == sorted(map(id, given))


def test_short_sweeps_pay_nothing_for_a_second_kernel() -> None:
    assert sizes(bundles(trajectories(rates(12), iters=100_000), 2)) == [1] * 12


def test_trajectories_of_one_length_are_neighbours() -> None:
    given = [
        *trajectories(rates(8), iters=LONG),
        *trajectories([0.5 + at for at in range(8)], iters=9 * LONG),
    ]
    mixed = given[::2] + given[1::2]
    for part in bundles(mixed, 2):
        assert len({one.stops[-1] for one in part}) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"rule": "gradient"},
        {"network": {"layers": [4, 2, 2], "init": {"scheme": "he"}}},
        {"data": {"inputs": [[2, 5, 1, 4]], "targets": [[0.1, 0.1]]}},
    ],
    ids=["rule", "network", "data"],
)
def test_different_kinds_are_never_in_one_bundle(changes: dict[str, Any]) -> None:
    given = trajectories(rates(8)) + trajectories(rates(8), **changes)
    found = bundles([one for pair in zip(given[:8], given[8:], strict=True) for one in pair], 2)
    assert sizes(found) == [8, 8]
    for part in found:
        assert len({one.spec.rule for one in part}) == 1
        assert len({one.spec.network.layers for one in part}) == 1
        assert len({one.spec.data_digest for one in part}) == 1


def test_seeds_of_one_network_go_together() -> None:
    network = {"layers": [4, 3, 2], "init": {"scheme": "he"}}
    given = [one for seed in range(6) for one in trajectories([0.1], network=network, seed=seed)]
    assert sizes(bundles(given, 2)) == [6]


@pytest.mark.parametrize(
    "changes",
    [
        {"network": {"layers": [4, 30, 2], "init": {"scheme": "he"}}},
        {"trainer": {"_target_": "sweep.backprop.Backprop", "batch_size": 1}, "many": True},
        {"many": True, "validation": True},
    ],
    ids=["large", "batches", "validation"],
)
def test_what_has_no_lanes_trains_alone(changes: dict[str, Any]) -> None:
    if changes.pop("many", False):
        rng = np.random.default_rng(0)
        changes["data"] = {
            "inputs": rng.random((10, 4)).tolist(),
            "targets": rng.random((10, 2)).tolist(),
        }
        if changes.pop("validation", False):
            changes["data"]["validation"] = 0.2
    assert sizes(bundles(trajectories(rates(16), **changes), 2)) == [1] * 16


def results(works: Sequence[Any], backend: str, workers: int = 2) -> dict[tuple[int, int], Any]:
    """Carry the works out; return what each trajectory gave, by its place and its iterations."""
    first, places = 0, []
    for work in works:
        places.append(first)
        first += len(work.works) if isinstance(work, BundleWork) else 1
    found = {}
    restarts: dict[int, int] = defaultdict(int)
    counted: dict[int, int] = defaultdict(int)
    with create(backend, workers) as engine:
        for key, work in enumerate(works):
            engine.submit(key, work)
        for event in engine.events():
            if isinstance(event, Done):
                assert event.error is None, event.traceback
            elif isinstance(event, Emitted):
                value, place = event.value, places[event.key]
                if isinstance(value, Member):
                    value, place = value.value, place + value.position
                if isinstance(value, RunResult):
                    assert counted[place] == value.iters
                    curve = (value.steps.tobytes(), value.errors.tobytes())
                    found[place, value.iters] = (value.outcome, curve, repr(value.final_weights))
                elif isinstance(value, Progress):
                    restarts[place] += value.restarted
                    counted[place] += value.iterations
    assert set(restarts.values()) == {1}
    return found


def test_no_engine_company_or_order_changes_a_bit() -> None:
    lrs = [0.01 * (1 + at) for at in range(11)]
    specs = [specification(lr=lr, iters=3000) for lr in lrs]
    works = [TrajectoryWork(spec, (100, 3000), None) for spec in specs]
    expected = results(works, "serial")
    assert len(expected) == 22
    parts = [BundleWork(tuple(works[:8])), BundleWork(tuple(works[8:]))]
    assert results(parts, "serial") == expected
    assert results(parts, "threads") == expected
    assert results(parts, "processes") == expected
    backwards = results([BundleWork(tuple(works[:7:-1])), *works[7::-1]], "threads", 4)
    assert {(10 - place, iters): value for (place, iters), value in backwards.items()} == expected


def kept_works(folder: Path, lrs: Sequence[float], stops: tuple[int, ...]) -> list[TrajectoryWork]:
    specs = [specification(lr=lr, iters=stops[-1]) for lr in lrs]
    return [TrajectoryWork(one, stops, None, folder / checkpoint_name(one)) for one in specs]


def carried_out(work: Any, stop_after: int | None = None) -> dict[int, RunResult]:
    """Carry a work out in this thread; it is told to stop once asked so often."""
    asked = itertools.count(1)
    emitted: list[Any] = []
    work(emitted.append, lambda: stop_after is not None and next(asked) > stop_after)
    found = {}
    for value in emitted:
        position, value = (value.position, value.value) if isinstance(value, Member) else (0, value)
        if isinstance(value, RunResult):
            found[position] = value
    return found


def bits(result: RunResult) -> tuple[Any, ...]:
    arrays = (result.steps.tobytes(), result.errors.tobytes(), repr(result.final_weights))
    return (*arrays, result.outcome, result.stalled_at, result.best_step, dict(result.thresholds))


@pytest.mark.parametrize("together", [True, False])
def test_interrupted_bundle_goes_on_where_it_was(together: bool, tmp_path: Path) -> None:
    """Together again, or each alone; one of the trajectories has stalled by then."""
    lrs, stops = [0.01, 1000.0, 0.3], (20_000,)
    works = kept_works(tmp_path / "kept", lrs, stops)
    first = carried_out(BundleWork(tuple(works)), stop_after=4)
    assert {result.outcome for result in first.values()} == {"interrupted"}
    assert all(work.checkpoint is not None and work.checkpoint.exists() for work in works)
    if together:
        found = carried_out(BundleWork(tuple(works)))
    else:
        found = {at: carried_out(work)[0] for at, work in enumerate(works)}
    for at, lr in enumerate(lrs):
        (work,) = kept_works(tmp_path / "none", [lr], stops)
        assert bits(found[at]) == bits(carried_out(work)[0])
    assert not (tmp_path / "kept").exists()


def test_trajectories_at_different_steps_go_on_in_one_bundle(tmp_path: Path) -> None:
    lrs, stops = [0.01, 0.02, 0.03, 0.04, 0.05], (20_000,)
    works = kept_works(tmp_path / "kept", lrs, stops)
    carried_out(works[0], stop_after=2)
    carried_out(works[1], stop_after=0)
    carried_out(BundleWork(tuple(works[2:4])), stop_after=4)
    found = carried_out(BundleWork(tuple(works)))
    for at, lr in enumerate(lrs):
        (work,) = kept_works(tmp_path / "none", [lr], stops)
        assert bits(found[at]) == bits(carried_out(work)[0])


def test_bundle_travels_as_plain_values() -> None:
    work = BundleWork((TrajectoryWork(specification(), (1,), None),))
    assert cloudpickle.loads(cloudpickle.dumps(work)).works[0].stops == (1,)


def test_plan_of_many_rates_is_bundled_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that share a trajectory stay with it."""
    monkeypatch.setattr(bundle, "WORTH", 0)
    specs = [specification(lr=lr, iters=n) for lr in rates(8) for n in (10, 20)]
    cells = tuple(Cell(number, (), {"lr": one.lr}, one) for number, one in enumerate(specs))
    (whole,) = bundles(Plan(cells, (), len(cells), "", specs[0].base).trajectories(), 2)
    assert [trajectory.stops for trajectory in whole] == [(10, 20)] * 8
