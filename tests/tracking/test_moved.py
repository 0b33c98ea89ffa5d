"""A project folder that was moved or copied: everything is found, nothing goes to the old place."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from sweep.config.settings import Tracking
from sweep.errors import StoreError, StoreVersionError
from sweep.tracking import read
from sweep.tracking.session import create_sweep
from sweep.tracking.store import Store, open_store
from tests.tracking.support import PARAMS, SWEEP, finish, plan, result, start_run, tree


def fill(store: Store) -> str:
    parent = create_sweep(store, SWEEP, plan("a"), {})
    run_id = start_run(
        store, name="a", params=PARAMS, tags={}, sweep_id=SWEEP, parent_run_id=parent
    )
    finish(store, run_id, result())
    return run_id


def settled(outputs: Path) -> None:
    """Let a copy hold what is still in the log beside the database."""
    with closing(sqlite3.connect(outputs / "mlflow.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@pytest.mark.parametrize("name", ["plain", "with space", "100% #1"])
def test_copy_is_readdressed_with_a_message(name: str, store: Store, tmp_path: Path) -> None:
    run_id = fill(store)
    old = store.tracking.outputs
    settled(old)
    new = tmp_path / name / "outputs"
    shutil.copytree(old, new)
    before = tree(old / "artifacts")
    messages: list[str] = []
    moved = open_store(Tracking(kind="local", outputs=new), mode="write", echo=messages.append)
    assert len(messages) == 1 and "was moved" in messages[0]
    assert moved.client.get_run(run_id).info.artifact_uri == (
        (new / "artifacts").as_uri() + f"/{run_id}/artifacts"
    )
    assert len(moved.client.list_artifacts(run_id)) == 4  # as `mlflow ui` looks
    second = start_run(moved, name="b", params=PARAMS, tags={})
    finish(moved, second, result())
    assert len(moved.client.list_artifacts(second)) == 4
    assert tree(old / "artifacts") == before
    open_store(Tracking(kind="local", outputs=new), mode="write", echo=messages.append)
    assert len(messages) == 1


def test_readers_find_the_files_of_a_moved_store_without_writing(
    store: Store, tmp_path: Path
) -> None:
    run_id = fill(store)
    settled(store.tracking.outputs)
    new = tmp_path / "new"
    shutil.copytree(store.tracking.outputs, new)
    shutil.rmtree(store.tracking.artifacts)
    moved = open_store(Tracking(kind="local", outputs=new), mode="read")
    assert len(read.find_run(moved, run_id).curve()[0]) == 1001
    assert "/new/" not in moved.client.get_run(run_id).info.artifact_uri


def test_folder_whose_name_begins_alike_is_not_touched(store: Store, tmp_path: Path) -> None:
    fill(store)
    neighbour = store.tracking.artifacts.as_uri() + "-2"
    store.client.create_experiment("neighbour", artifact_location=neighbour)
    settled(store.tracking.outputs)
    shutil.copytree(store.tracking.outputs, tmp_path / "new")
    moved = open_store(
        Tracking(kind="local", outputs=tmp_path / "new"), mode="write", echo=lambda _: None
    )
    assert moved.client.get_experiment_by_name("neighbour").artifact_location == neighbour
    with pytest.raises(StoreError, match="neighbour"):
        open_store(
            Tracking(kind="local", outputs=tmp_path / "new", experiment="neighbour"), mode="write"
        )


def test_store_of_another_version_is_not_readdressed(store: Store, tmp_path: Path) -> None:
    settled(store.tracking.outputs)
    new = tmp_path / "new"
    shutil.copytree(store.tracking.outputs, new)
    with closing(sqlite3.connect(new / "mlflow.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")
    before = (new / "mlflow.db").read_bytes()
    with pytest.raises(StoreVersionError):
        open_store(Tracking(kind="local", outputs=new), mode="write")
    assert (new / "mlflow.db").read_bytes() == before
