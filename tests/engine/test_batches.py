"""Batches: which trajectories form one, and that results do not depend on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sweep.config.spec import RunSpec
from sweep.engine import batches as batches_module
from sweep.engine.batches import batches
from sweep.engine.checkpoint import Checkpoint, checkpoint_name
from sweep.engine.executors import create
from sweep.engine.plan import Cell, Plan, Trajectory
from sweep.training.history import RunResult
from tests.configuration import spec as specification
from tests.engine.driving import Ended, Progressed, bits, events, trajectory

LONG = 2_000_000
"""Iterations of which a few trajectories are worth a batch."""


def trajectories(lrs: Sequence[float], iters: int = LONG, **changes: Any) -> list[Trajectory]:
    first = specification(lr=lrs[0], iters=iters, **changes)
    specs = [replace(first, lr=lr) for lr in lrs]
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
    found = batches(given, workers)
    assert sizes(found) == expected
    assert sorted(id(one) for part in found for one in part) == sorted(map(id, given))


def test_short_sweeps_pay_nothing_for_a_second_kernel() -> None:
    assert sizes(batches(trajectories(rates(12), iters=100_000), 2)) == [1] * 12


def test_trajectories_of_one_length_are_neighbours() -> None:
    given = [
        *trajectories(rates(8), iters=LONG),
        *trajectories([0.5 + at for at in range(8)], iters=9 * LONG),
    ]
    mixed = given[::2] + given[1::2]
    for part in batches(mixed, 2):
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
def test_different_kinds_are_never_in_one_batch(changes: dict[str, Any]) -> None:
    given = trajectories(rates(8)) + trajectories(rates(8), **changes)
    found = batches([one for pair in zip(given[:8], given[8:], strict=True) for one in pair], 2)
    assert sizes(found) == [8, 8]
    for part in found:
        assert len({one.spec.rule for one in part}) == 1
        assert len({one.spec.network.layers for one in part}) == 1
        assert len({one.spec.data_digest for one in part}) == 1


def test_seeds_of_one_network_go_together() -> None:
    network = {"layers": [4, 3, 2], "init": {"scheme": "he"}}
    given = [one for seed in range(6) for one in trajectories([0.1], network=network, seed=seed)]
    assert sizes(batches(given, 2)) == [6]


@pytest.mark.parametrize(
    "changes",
    [
        {"network": {"layers": [4, 30, 2], "init": {"scheme": "he"}}},
        {"trainer": {"_target_": "sweep.backprop.Backprop", "batch_size": 1}, "many": True},
        {"many": True, "validation": True},
    ],
    ids=["large", "batches", "validation"],
)
def test_what_has_no_vector_kernel_trains_separately(changes: dict[str, Any]) -> None:
    if changes.pop("many", False):
        rng = np.random.default_rng(0)
        changes["data"] = {
            "inputs": rng.random((10, 4)).tolist(),
            "targets": rng.random((10, 2)).tolist(),
        }
        if changes.pop("validation", False):
            changes["data"]["validation"] = 0.2
    assert sizes(batches(trajectories(rates(16), **changes), 2)) == [1] * 16


def batchable(count: int, cuts: tuple[int, ...]) -> list[Trajectory]:
    """Return trajectories at rates too small to stall, with a run at each cut."""
    return [trajectory("", 1e-6 * (1 + at), *cuts) for at in range(count)]


def outcomes(given: Sequence[Sequence[Trajectory]], executor: str, **options: Any) -> Any:
    """Train batches; return the bits of each run by (lr, iters)."""
    found = {}
    with create(executor, 2) as engine:
        for event in events(given, engine, **options):
            if isinstance(event, Ended):
                assert isinstance(event.outcome, RunResult), event.outcome
                found[event.cell.spec.lr, event.cell.spec.iters] = bits(event.outcome)
    return found


def test_no_executor_batch_or_order_changes_a_bit() -> None:
    given = batchable(11, (100, 3000))
    expected = outcomes([(one,) for one in given], "serial")
    assert len(expected) == 22
    parts = [tuple(given[:8]), tuple(given[8:])]
    for name in ("serial", "threads", "processes"):
        assert outcomes(parts, name) == expected
    backwards = [tuple(given[:7:-1]), *((one,) for one in given[7::-1])]
    assert outcomes(backwards, "threads") == expected


def kept_in(folder: Path) -> Callable[[RunSpec], Checkpoint]:
    return lambda spec: Checkpoint(folder / checkpoint_name(spec), "this platform")


@pytest.mark.slow
@pytest.mark.parametrize("batched", [True, False], ids=["batch", "separate"])
def test_batch_that_is_left_goes_on_where_it_was(batched: bool, tmp_path: Path) -> None:
    """In one batch again, or separately; one of the trajectories has stalled by then."""
    lrs, iters, checkpoint = [1e-6, 1000.0, 2e-6], 20_000_000, kept_in(tmp_path / "kept")
    given = [trajectory("", lr, iters) for lr in lrs]
    steps: list[int] = []
    with create("threads", 1) as executor:
        for event in events([given], executor, checkpoint=checkpoint):
            if isinstance(event, Progressed):
                steps.append(event.iterations)
                if len(steps) == len(lrs):
                    break
    assert len(list((tmp_path / "kept").iterdir())) == 3
    parts = [tuple(given)] if batched else [(one,) for one in given]
    found = outcomes(parts, "threads", checkpoint=checkpoint)
    assert found == outcomes([(one,) for one in given], "threads")
    assert not (tmp_path / "kept").exists()


@pytest.mark.slow
def test_trajectories_at_different_steps_go_on_in_batches_of_one_step(tmp_path: Path) -> None:
    given, checkpoint = batchable(5, (20_000_000,)), kept_in(tmp_path / "kept")
    for part in ([given[0]], given[2:4]):
        with create("threads", 1) as executor:
            for event in events([part], executor, checkpoint=checkpoint):
                if isinstance(event, Progressed):
                    break
    assert len(list((tmp_path / "kept").iterdir())) == 3
    found = outcomes([tuple(given)], "threads", checkpoint=checkpoint)
    assert found == outcomes([(one,) for one in given], "threads")


def test_plan_of_many_rates_is_one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that share a trajectory stay with it."""
    monkeypatch.setattr(batches_module, "WORTH", 0)
    specs = [specification(lr=lr, iters=n) for lr in rates(8) for n in (10, 20)]
    cells = tuple(Cell(number, (), {"lr": one.lr}, one) for number, one in enumerate(specs))
    (whole,) = batches(Plan(cells, (), len(cells), "", specs[0].base).trajectories(), 2)
    assert [one.stops for one in whole] == [(10, 20)] * 8
