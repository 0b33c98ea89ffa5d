"""Open the store: made once, found again, refused in one sentence when it cannot be used."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import requests

from sweep.config.settings import Tracking
from sweep.errors import NotFoundError, StoreBusyError, StoreError, StoreVersionError
from sweep.tracking.settings import translated
from sweep.tracking.store import Store, open_store
from tests.processes import run
from tests.tracking.support import tree


@pytest.fixture
def tracking(first_store: Path, tmp_path: Path) -> Tracking:
    """Return the settings of a store that is there, to be damaged."""
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    shutil.copy(first_store / "mlflow.db", outputs)
    return Tracking(kind="local", outputs=outputs)


def refused(tracking: Tracking, **options: int) -> str:
    """Return the sentence of a refusal, after checking that the store was left as it was."""
    before = tree(tracking.outputs)
    with pytest.raises(StoreError) as caught:
        open_store(tracking, mode="write", **options)
    assert tree(tracking.outputs) == before
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    assert caught.value.exit_code == 3
    return text


def change(tracking: Tracking, statement: str) -> None:
    with closing(sqlite3.connect(tracking.database)) as connection, connection:
        connection.execute(statement)


# --- made and found ----------------------------------------------------------------------


def test_new_store_replaces_an_empty_file_by_one_under_wal(weird_path: Path) -> None:
    outputs = weird_path / "new" / "outputs"
    outputs.mkdir(parents=True)
    (outputs / "mlflow.db").touch()
    (outputs / "mlflow.db-wal").write_bytes(b"of another database")
    store = open_store(
        Tracking(kind="local", outputs=outputs, experiment="my experiment"), mode="write"
    )
    names = {path.name for path in outputs.iterdir()} - {".locks"}
    assert names <= {"mlflow.db", "mlflow.db-shm", "mlflow.db-wal"}  # the last two while it is open
    with closing(sqlite3.connect(outputs / "mlflow.db")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    experiment = store.client.get_experiment_by_name("my experiment")
    assert experiment.experiment_id == store.experiment_id
    assert experiment.artifact_location == (outputs / "artifacts").as_uri()


def test_second_experiment_joins_the_same_file(tracking: Tracking) -> None:
    first = open_store(tracking, mode="write")
    odd = tracking.model_copy(update={"experiment": "<b>x</b> `y`\n=1+cmd 表 $\\frac{1}$'\""})
    second = open_store(odd, mode="write")
    assert open_store(odd, mode="read").experiment_id == second.experiment_id
    assert second.experiment_id != first.experiment_id


def test_reading_an_unknown_experiment_makes_nothing(tracking: Tracking) -> None:
    with pytest.raises(NotFoundError, match="nope: .* it has .*'sweep'"):
        open_store(Tracking(kind="local", outputs=tracking.outputs, experiment="nope"), mode="read")
    names = {e.name for e in open_store(tracking, mode="read").client.search_experiments()}
    assert names == {"Default", "sweep"}


def test_pragmas_reach_our_database_and_no_other(tracking: Tracking, tmp_path: Path) -> None:
    import sqlalchemy

    open_store(tracking, mode="write")
    ours = sqlalchemy.create_engine(f"sqlite:///{tracking.database}")
    other = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'other.db'}")
    found = {}
    for engine in (ours, other):
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA busy_timeout = 20000;")
            found[engine] = [
                connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("synchronous", "busy_timeout")
            ]
        engine.dispose()
    assert found == {ours: [1, 500], other: [2, 20000]}


# --- refused -----------------------------------------------------------------------------


def test_file_in_the_place_of_outputs(tmp_path: Path) -> None:
    (tmp_path / "outputs").write_text("x")
    with pytest.raises(StoreError, match="is a file"):
        open_store(Tracking(kind="local", outputs=tmp_path / "outputs"), mode="write")
    with pytest.raises(StoreError, match="is a file"):
        open_store(Tracking(kind="local", outputs=tmp_path / "outputs" / "below"), mode="write")


def test_folder_that_cannot_be_made() -> None:
    """/proc stands for a folder without permission: it refuses the superuser too."""
    with pytest.raises(StoreError, match="cannot be written"):
        open_store(Tracking(kind="local", outputs=Path("/proc/outputs")), mode="write")


@pytest.mark.parametrize("name", ["what?", "100%25"])
def test_path_that_an_address_cannot_carry(name: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="choose another folder"):
        open_store(Tracking(kind="local", outputs=tmp_path / name), mode="write")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["50%", "a#b", "c:d", "at@x", "ü日本", "it's", "new\nline", "%zz"])
def test_path_with_odd_characters(
    name: str, make_store: Callable[[Path], Store], tmp_path: Path
) -> None:
    store = make_store(tmp_path / name)
    run = store.client.create_run(store.experiment_id)
    store.client.log_text(run.info.run_id, "text", "a.txt")  # as MLflow itself finds the place
    assert store.artifacts.read(run.info.run_id, "a.txt") == b"text"
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_less_space_than_the_plan_needs(tracking: Tracking) -> None:
    assert "MB are free and the plan needs" in refused(tracking, need_bytes=10**18)


@pytest.mark.parametrize(
    ("damage", "told"),
    [(lambda content, size=size: content[:size], "cut off") for size in (50, 1000, 4096, 100_000)]
    + [
        (lambda content: b"no database at all" * 1000, "not a SQLite database"),
        (lambda content: content[:100] + bytes(len(content) - 100), "damaged"),  # a header alone
    ],
)
def test_damaged_database(damage: Callable[[bytes], bytes], told: str, tracking: Tracking) -> None:
    tracking.database.write_bytes(damage(tracking.database.read_bytes()))
    assert told in refused(tracking)


def test_directory_in_the_place_of_the_database(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").mkdir()
    with pytest.raises(StoreError):
        open_store(Tracking(kind="local", outputs=tmp_path), mode="write")


def test_empty_database_beside_runs_is_not_made_again(tracking: Tracking) -> None:
    (tracking.artifacts / "run").mkdir(parents=True)
    tracking.database.write_bytes(b"")
    assert "is empty" in refused(tracking)


def test_database_of_another_program(tracking: Tracking) -> None:
    tracking.database.unlink()
    change(tracking, "CREATE TABLE bookmarks (id INTEGER)")
    assert "not one of MLflow" in refused(tracking)


def test_older_schema_is_named_with_the_upgrade(tracking: Tracking) -> None:
    """A table less is how an older version looks; MLflow alone would migrate it unasked."""
    change(tracking, "UPDATE alembic_version SET version_num = '451aebb31d03'")
    change(tracking, "DROP TABLE webhooks")
    text = refused(tracking)
    assert f"mlflow db upgrade 'sqlite:///{tracking.database}'" in text
    with pytest.raises(StoreVersionError):
        open_store(tracking, mode="read")


def test_newer_schema_is_left_alone(tracking: Tracking) -> None:
    change(tracking, "UPDATE alembic_version SET version_num = 'fedcba987654'")
    assert "newer MLflow" in refused(tracking)


def test_deleted_experiment_is_named_with_its_restore_command(tracking: Tracking) -> None:
    store = open_store(tracking, mode="write")
    store.client.delete_experiment(store.experiment_id)
    with pytest.raises(StoreError, match=f"restore --experiment-id {store.experiment_id}"):
        open_store(tracking, mode="write")


def test_experiment_with_artifacts_of_its_own_is_refused(tracking: Tracking) -> None:
    store = open_store(tracking, mode="write")
    store.client.create_experiment("theirs", artifact_location="s3://bucket/x")
    with pytest.raises(StoreError, match="s3://bucket/x"):
        open_store(
            Tracking(kind="local", outputs=tracking.outputs, experiment="theirs"), mode="write"
        )


@pytest.mark.parametrize("uri", [None, "", "http://", "sqlite:///x.db", "nonsense"])
def test_server_without_an_address(uri: str | None, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="address"):
        open_store(Tracking(kind="server", outputs=tmp_path, uri=uri), mode="write")


def test_server_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no server answers"):
        open_store(
            Tracking(kind="server", outputs=tmp_path, uri="http://127.0.0.1:9"), mode="write"
        )
    assert not list(tmp_path.iterdir())


# --- a busy database ---------------------------------------------------------------------


def test_locked_database_is_waited_for_with_a_message(
    store: Store, messages: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other program ends its lock once the user is notified, so time decides nothing."""
    monkeypatch.setattr("sweep.tracking.settings.NOTICE_AFTER", 0.0)
    with closing(
        sqlite3.connect(store.tracking.database, isolation_level=None, check_same_thread=False)
    ) as other:
        other.execute("BEGIN IMMEDIATE")

        def echo(sentence: str) -> None:
            messages.append(sentence)
            if "waiting" in sentence:
                other.execute("ROLLBACK")

        store.echo = echo
        run = store.call(lambda: store.client.create_run(store.experiment_id))
    assert [sentence.split()[-1] for sentence in messages] == ["it.", "on."]
    assert len(store.client.search_runs([store.experiment_id])) == 1
    assert run.info.status == "RUNNING"


def test_locked_database_does_not_hold_up_a_command_that_shall_end(store: Store) -> None:
    store.stopping = lambda: True
    with closing(sqlite3.connect(store.tracking.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusyError, match="waits on disk"):
            store.call(lambda: store.client.create_run(store.experiment_id))
        other.execute("ROLLBACK")
    store.call(lambda: store.client.create_run(store.experiment_id))


def test_opening_a_locked_database_waits_for_no_one(tracking: Tracking) -> None:
    with closing(sqlite3.connect(tracking.database, isolation_level=None)) as other:
        open_store(tracking, mode="write")  # readdresses the copy before the lock
        other.execute("BEGIN IMMEDIATE")
        assert open_store(tracking, mode="write").experiment_id
        other.execute("ROLLBACK")


def test_opening_a_store_again_keeps_the_locks_of_its_open_connections(
    tracking: Tracking, tmp_path: Path
) -> None:
    """Without them another program that ends would take SQLite's log from under ours."""
    store = open_store(tracking, mode="write")
    store.client.search_runs([store.experiment_id])  # its connection stays open
    open_store(tracking, mode="write")
    code = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("CREATE TABLE other (name TEXT)")
connection.close()
"""
    ended = run([sys.executable, "-c", code, tracking.database], tmp_path)
    assert ended.code == 0, ended
    assert Path(f"{tracking.database}-wal").stat().st_size > 0
    assert store.client.search_runs([store.experiment_id]) == []


def test_path_that_is_no_text_is_one_sentence_and_nothing_is_made(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 come as halves of surrogate pairs, which nothing can write."""
    outputs = tmp_path / "caf\udce9" / "outputs"
    with pytest.raises(StoreError, match=r"caf\\udce9.*no UTF-8.*another folder"):
        open_store(Tracking(kind="local", outputs=outputs), mode="write")
    assert list(tmp_path.iterdir()) == []


def test_refused_file_shows_no_password() -> None:
    response = requests.Response()
    response.status_code = 403
    error = requests.HTTPError("403 for url: http://user:hidden@host/file", response=response)
    told = str(translated(error, "http://host"))
    assert told == "http://host refused a file: 403 for url: http://host/file", told
