"""Read back: every page, in plan order, one run a cell, the newest sweep whatever the clock."""

from __future__ import annotations

import pytest

from sweep.errors import NotFoundError
from sweep.tracking import read
from sweep.tracking.session import create_sweep, deduplicate_runs
from sweep.tracking.store import Store
from tests.tracking.support import PARAMS, SIGNATURE, SWEEP, finish, plan, result, start_run


def begin(store: Store, parent: str, name: str, sweep_id: str = SWEEP) -> str:
    return start_run(
        store,
        name=name,
        params=PARAMS,
        tags={"sweep.signature": SIGNATURE},
        sweep_id=sweep_id,
        parent_run_id=parent,
    )


def test_runs_come_in_plan_order_from_every_page(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read, "PAGE", 3)
    names = [f"lr={n}" for n in (3, 1, 2, 11, 7, 5, 0)]
    parent = create_sweep(store, SWEEP, plan(*names), {})
    for name in sorted(names):
        begin(store, parent, name)
    begin(store, parent, "not in the plan")
    found = [run.name for run in read.sweep_runs(store, SWEEP)]
    assert found == [*names, "not in the plan"]


def test_last_is_the_sweep_that_was_begun_last_whatever_the_clock(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = 2_000_000_000_000
    monkeypatch.setattr("sweep.tracking.session._now", lambda: clock)
    ids = ["20330518-000000-aaaa", "20330517-230000-bbbb", "20330517-220000-cccc"]
    for sweep_id in ids:
        create_sweep(store, sweep_id, plan(), {})
        clock -= 3_600_000
    assert read.find_sweep(store, "last").sweep_id == ids[-1]
    assert [sweep.sweep_id for sweep in read.list_sweeps(store)] == ids[::-1]


def test_last_passes_over_single_runs(store: Store) -> None:
    start_run(store, name="single", params=PARAMS, tags={})
    with pytest.raises(NotFoundError, match="no sweep"):
        read.find_sweep(store, "last")


@pytest.mark.parametrize("name", ["nope", "", "x' or 1=1 --", "../../etc", "a`b", "表", "a\nb"])
def test_unknown_ids_are_not_found(name: str, store: Store) -> None:
    with pytest.raises(NotFoundError):
        read.find_sweep(store, name)
    with pytest.raises(NotFoundError):
        read.find_run(store, name)
    assert read.sweep_runs(store, "x' or 1=1") == []


def test_sweep_that_is_named_as_a_run_and_what_was_deleted_are_explained(store: Store) -> None:
    parent = create_sweep(store, SWEEP, plan("a"), {})
    with pytest.raises(NotFoundError, match=f"is a sweep; write sweep={SWEEP}"):
        read.find_run(store, parent)
    run_id = begin(store, parent, "a")
    store.client.delete_run(run_id)
    assert read.sweep_runs(store, SWEEP) == []
    store.client.delete_run(parent)
    with pytest.raises(NotFoundError, match=f"restore --run-id {parent}"):
        read.find_sweep(store, SWEEP)
    with pytest.raises(NotFoundError, match=f"restore --run-id {run_id}"):
        read.find_run(store, run_id)


def kill(store: Store, run_id: str) -> None:
    finish(store, run_id, None)


def test_finished_attempt_counts_and_the_others_are_superseded(store: Store) -> None:
    parent = create_sweep(store, SWEEP, plan("a", "b"), {})
    killed, first, second, newest = (begin(store, parent, "a") for _ in range(4))
    kill(store, killed)
    finish(store, second, result())
    finish(store, first, result())
    kill(store, newest)
    earlier, later = (begin(store, parent, "b") for _ in range(2))
    kill(store, earlier)
    kill(store, later)
    sweep = read.find_sweep(store, SWEEP)
    for _ in range(2):
        assert [run.run_id for run in deduplicate_runs(store, sweep)] == [first, later]
    tags = {run.run_id: run.tags for run in read.sweep_runs(store, SWEEP, every=True)}
    assert len(tags) == 6
    assert {key: found.get(read.SUPERSEDED) for key, found in tags.items()} == {
        killed: first,
        first: None,
        second: first,
        newest: first,
        earlier: later,
        later: None,
    }
    assert [run.run_id for run in read.sweep_runs(store, SWEEP)] == [first, later]


def test_run_that_no_longer_names_its_grid_point_does_not_count(store: Store) -> None:
    parent = create_sweep(store, SWEEP, plan("a", "b"), {})
    first, second = (begin(store, parent, name) for name in "ab")
    store.client.set_tag(first, "sweep.cell", "one")
    assert [(run.name, run.cell) for run in read.sweep_runs(store, SWEEP)] == [("b", 1)]
    store.client.set_tag(second, "sweep.cell", "0")
    assert [(run.name, run.cell) for run in read.sweep_runs(store, SWEEP)] == [("b", 0)]


def test_sweep_that_died_before_its_plan_has_an_empty_one(store: Store) -> None:
    parent = create_sweep(store, SWEEP, plan("a"), {})
    (store.tracking.artifacts / parent / "artifacts" / "plan.json").unlink()
    assert read.find_sweep(store, SWEEP).plan() == {}
