"""Tamper with a store in every way that a number can be changed: verify names each one."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import yaml

from sweep.checks import plain_text
from sweep.config.settings import Tracking
from sweep.engine.signals import StopRequest
from sweep.errors import NotFoundError
from sweep.tracking.store import open_store
from sweep.verify.check import Verdict, named, prepared, totals
from sweep.verify.compare import Near, difference, differences, exact, flat
from sweep.verify.retrain import verdicts
from tests.commands import run_here
from tests.processes import Ended
from tests.report.stored import result_of

GRID = ["-m", "lr=0.1,1.0", "iters=10,100"]
RUN = "lr=0.1,iters=100"


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which a grid of four runs was swept."""
    folder = tmp_path_factory.mktemp("swept")
    ended = run_here(GRID, folder)
    assert ended.code == 0, ended.err
    return folder


@pytest.fixture
def store(swept: Path, tmp_path: Path) -> Store:
    """Return a copy of that folder, to tamper with."""
    return Store.copy(swept, tmp_path / "a copy")


class Store:
    """A store to tamper with, by the tools of a stranger: SQL and files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def copy(cls, source: Path, folder: Path) -> Store:
        shutil.copytree(source, folder, ignore=shutil.ignore_patterns("reports"))
        return cls(folder)

    def sql(self, statement: str, *values: object) -> int:
        with closing(sqlite3.connect(self.folder / "outputs" / "mlflow.db")) as database:
            with database:
                return database.execute(statement, values).rowcount

    def id_of(self, key: str, value: str) -> str:
        with closing(sqlite3.connect(self.folder / "outputs" / "mlflow.db")) as database:
            query = "SELECT run_uuid FROM tags WHERE key=? AND value=?"
            return str(database.execute(query, (key, value)).fetchone()[0])

    @property
    def run_id(self) -> str:
        return self.id_of("mlflow.runName", RUN)

    def set(self, table: str, key: str, change: Callable[[float], float], where: str = "") -> None:
        """Change a run's value of `key` in one of MLflow's tables."""
        with closing(sqlite3.connect(self.folder / "outputs" / "mlflow.db")) as database:
            condition = f"run_uuid=? AND key=? {where}"
            query = f"SELECT rowid, value FROM {table} WHERE {condition}"
            row, value = database.execute(query, (self.run_id, key)).fetchone()
            with database:
                database.execute(f"UPDATE {table} SET value=? WHERE rowid=?", (change(value), row))

    def path(self, name: str) -> Path:
        return self.folder / "outputs" / "artifacts" / self.run_id / "artifacts" / name

    @property
    def plan(self) -> Path:
        sweep = self.id_of("sweep.role", "sweep")
        return self.folder / "outputs" / "artifacts" / sweep / "artifacts" / "plan.json"

    def json(self, name: str, change: Callable[[Any], object]) -> None:
        rewrite(self.path(name), json.loads, json.dumps, change)

    def yaml(self, change: Callable[[Any], object]) -> None:
        rewrite(self.path("config.yaml"), yaml.safe_load, yaml.safe_dump, change)

    def verdicts(self, sweep: str = "last", run: str | None = None) -> list[Verdict]:
        """Verify in this process; return the verdicts that are not `equal`."""
        store = open_store(Tracking(kind="local", outputs=self.folder / "outputs"), mode="read")
        stored, plan, runs = named(store, sweep, run)
        found, cases = prepared(runs, plan, Path(plan.get("base", "")))
        found += verdicts(cases, PLATFORM, store, StopRequest())
        assert len(found) == len(runs)
        if stored is not None and run is None:
            found += totals(stored, runs)
        return [verdict for verdict in found if verdict.word != "equal"]


def rewrite(
    path: Path,
    load: Callable[[str], Any],
    dump: Callable[[Any], str],
    change: Callable[[Any], object],
) -> None:
    value = load(path.read_text())
    change(value)
    path.write_text(dump(value))


def platform() -> str:
    from sweep.tracking.entities import platform_tags

    return platform_tags()["sweep.platform"]


PLATFORM = platform()


def next_float(value: float) -> float:
    return float(np.nextafter(value, np.inf))


def curve_point(store: Store, step: int = 50) -> None:
    path = store.path("curve.parquet")
    table = pyarrow.parquet.read_table(path)
    errors = table["error"].to_numpy().copy()
    errors[step] = next_float(errors[step])
    changed = pyarrow.table({"step": table["step"], "error": errors})
    pyarrow.parquet.write_table(changed, path)


def shorter_curve(store: Store) -> None:
    path = store.path("curve.parquet")
    pyarrow.parquet.write_table(pyarrow.parquet.read_table(path)[:-3], path)


def extra_metric(store: Store) -> None:
    for table in ("metrics", "latest_metrics"):
        store.sql(
            f"INSERT INTO {table} (key, value, timestamp, run_uuid, step, is_nan)"
            " VALUES ('accuracy', 1.0, 0, ?, 0, 0)",
            store.run_id,
        )


def without_metric(key: str) -> Callable[[Store], None]:
    def tamper(store: Store) -> None:
        for table in ("metrics", "latest_metrics"):
            assert store.sql(f"DELETE FROM {table} WHERE run_uuid=? AND key=?", store.run_id, key)

    return tamper


def metric(table: str, key: str, where: str = "") -> Callable[[Store], None]:
    return lambda store: store.set(table, key, next_float, where)


def config(change: Callable[[Any], object]) -> Callable[[Store], None]:
    return lambda store: store.yaml(change)


def in_json(name: str, change: Callable[[Any], object]) -> Callable[[Store], None]:
    return lambda store: store.json(name, change)


def without(name: str) -> Callable[[Store], None]:
    return lambda store: store.path(name).unlink()


def damaged(name: str, content: bytes) -> Callable[[Store], None]:
    def tamper(store: Store) -> None:
        store.path(name).write_bytes(content)

    return tamper


def tag(key: str, value: str, table: str = "tags") -> Callable[[Store], None]:
    def tamper(store: Store) -> None:
        statement = f"UPDATE {table} SET value=? WHERE run_uuid=? AND key=?"
        assert store.sql(statement, value, store.run_id, key)

    return tamper


def cell_of_plan(change: Callable[[Any], object]) -> Callable[[Store], None]:
    def tamper(store: Store) -> None:
        def one_cell(plan: Any) -> None:
            (cell,) = [cell for cell in plan["cells"] if cell["name"] == RUN]
            change(cell)

        rewrite(store.plan, json.loads, json.dumps, one_cell)

    return tamper


def last_digit(weights: Any) -> None:
    weights["final"]["w7"] = next_float(weights["final"]["w7"])


TAMPERED: Mapping[str, tuple[Callable[[Store], None], str]] = {
    "last digit": (metric("metrics", "final_error"), "metric final_error@0:"),
    "last digit of the last value": (metric("latest_metrics", "best_error"), "metric best_error:"),
    "point of the chart": (metric("metrics", "error", "AND step=10"), "metric error@10: stored"),
    "negative time": (
        lambda store: store.set("latest_metrics", "train_seconds", lambda value: -1.0),
        "metric train_seconds: stored -1.0",
    ),
    "missing metric": (without_metric("initial_error"), "metric initial_error: stored nothing"),
    "extra metric": (extra_metric, "metric accuracy: stored 1.0, expected nothing"),
    "missing point": (
        lambda store: store.sql(
            "DELETE FROM metrics WHERE key='error' AND step=10 AND run_uuid=?", store.run_id
        ),
        "metric error@10: stored nothing",
    ),
    "extra point": (
        lambda store: store.sql(
            "INSERT INTO metrics VALUES ('error', 0.5, 0, ?, 11, 0)", store.run_id
        ),
        "metric error@11: stored 0.5",
    ),
    "second value of a point": (
        lambda store: store.sql(
            "INSERT INTO metrics VALUES ('error', 0.5, 0, ?, 10, 0)", store.run_id
        ),
        "metric error@10 again: stored ",
    ),
    "param": (tag("seed", "1", "params"), "param seed: stored 1"),
    "extra param": (
        lambda store: store.sql("INSERT INTO params VALUES ('x', 'y', ?)", store.run_id),
        "param x: stored y",
    ),
    "curve": (curve_point, "curve@50:"),
    "short curve": (shorter_curve, "curve@98: stored nothing"),
    "no curve": (without("curve.parquet"), "curve.parquet: stored nothing"),
    "damaged curve": (damaged("curve.parquet", b"PAR1"), "curve.parquet: stored an unreadable"),
    "configuration": (config(lambda c: c.update(lr=0.2)), "config.yaml lr: stored 0.2, expected"),
    "configuration's type": (config(lambda c: c.update(lr=1)), "config.yaml lr: stored 1,"),
    "weights of the start": (
        config(lambda c: c["network"]["weights"][0][0].__setitem__(1, 0.5300000000000001)),
        "config.yaml network.weights.0.0.1",
    ),
    "key more": (config(lambda c: c.update(extra=1)), "config.yaml extra: stored 1"),
    "key less": (config(lambda c: c.pop("rule")), "config.yaml rule: stored nothing"),
    "no configuration": (without("config.yaml"), "config.yaml: stored nothing"),
    "damaged configuration": (damaged("config.yaml", b"{a: ["), "config.yaml: stored an unr"),
    "threshold": (
        in_json("thresholds.json", lambda t: t.update({"1e-1": t["1e-1"] + 1})),
        "threshold 1e-1:",
    ),
    "threshold reached": (
        in_json("thresholds.json", lambda t: t.update({"1e-30": 9})),
        "threshold 1e-30: stored 9, expected None",
    ),
    "digit of a weight": (in_json("weights.json", last_digit), "weights final w7:"),
    "weight of the start": (
        in_json("weights.json", lambda w: w["initial"].update(b1=0.25)),
        "weights initial b1: stored 0.25, expected 0.5 (off by 0.25)",
    ),
    "weight that is none": (
        in_json("weights.json", lambda w: w["final"].update(w1=None)),
        "weights final w1: stored nan",
    ),
    "no weights": (without("weights.json"), "weights.json: stored nothing"),
    "damaged weights": (damaged("weights.json", b"[]"), "weights.json: stored an unreadable"),
    "run's name": (
        lambda store: store.sql("UPDATE runs SET name='x' WHERE run_uuid=?", store.run_id),
        f"run name: stored x, expected {RUN}",
    ),
    "file more": (
        lambda store: store.path("preparation.json").write_text("{}"),
        "preparation.json: stored a file, expected nothing",
    ),
    "signature": (tag("sweep.signature", "0" * 64), "tag sweep.signature: stored 0000"),
    "outcome": (tag("sweep.outcome", "diverged"), "tag sweep.outcome: stored diverged"),
    "plan's configuration": (
        cell_of_plan(lambda cell: cell["config"].update(seed=3)),
        "plan.json config.seed: stored 3, expected 0",
    ),
    "plan's params": (
        cell_of_plan(lambda cell: cell["params"].update(seed="3")),
        "plan.json params.seed: stored 3",
    ),
    "plan's name": (
        cell_of_plan(lambda cell: cell.update(name="lr=9")),
        f"plan.json name: stored lr=9, expected {RUN}",
    ),
    "plan's values": (
        cell_of_plan(lambda cell: cell["values"].update(lr=9.0)),
        "plan.json values.lr: stored 9.0, expected 0.1",
    ),
    "plan's choices": (
        cell_of_plan(lambda cell: cell["choices"].update(other="a")),
        "plan.json choices.other: stored a",
    ),
    "plan's signature": (
        cell_of_plan(lambda cell: cell.update(signature="f" * 64)),
        "plan.json signature: stored ffff",
    ),
}


@pytest.mark.parametrize("how", TAMPERED)
def test_each_change_is_noticed_and_named(how: str, store: Store) -> None:
    (tamper, expected), run_id = TAMPERED[how], store.run_id
    tamper(store)
    (found,) = store.verdicts(run=run_id)
    assert found.word == "differs"
    assert any(text.startswith(expected) for text in found.differences), found
    assert len(found.differences) <= 3, "a single change does not make everything differ"


@pytest.mark.slow
def test_preparation_of_the_data_is_compared(tmp_path: Path) -> None:
    data = ["data.inputs=[[1,2],[3,5]]", "data.targets=[[1],[0]]", "data.standardize=true"]
    assert run_here(["-m", "network=auto", *data, "lr=0.1", "iters=2"], tmp_path).code == 0
    store = Store(tmp_path)
    path = tmp_path / f"outputs/artifacts/{store.id_of('sweep.cell', '0')}/artifacts"
    path /= "preparation.json"
    rewrite(path, json.loads, json.dumps, lambda found: found["inputs"][1].update(mean=4.0))
    (verdict,) = store.verdicts()
    assert verdict.differences == [
        "preparation.json inputs.1.mean: stored 4.0, expected 3.5 (off by 0.5)"
    ]
    path.unlink()
    (verdict,) = store.verdicts()
    assert verdict.differences == ["preparation.json: stored nothing, expected a file"]


@pytest.mark.parametrize("field", ["config", "params", "signature", "choices", "values", "source"])
def test_grid_point_of_the_plan_without_a_field_differs(field: str, store: Store) -> None:
    cell_of_plan(lambda cell: cell.pop(field))(store)
    (verdict,) = store.verdicts(run=store.run_id)
    assert verdict.differences == [f"plan.json {field}: stored nothing, expected a field"]


def test_plan_without_fields_or_file_differs(store: Store) -> None:
    rewrite(store.plan, json.loads, json.dumps, lambda plan: (plan.pop("base"), plan.pop("about")))
    (verdict,) = store.verdicts()
    expected = ["base: stored nothing, expected a field", "about: stored nothing, expected a field"]
    assert verdict.differences == [f"plan.json {text}" for text in expected]
    store.plan.unlink()
    (verdict,) = store.verdicts()
    assert verdict.differences == ["plan.json: stored nothing, expected a file"]


def test_resume_says_what_is_damaged_in_the_plan(store: Store) -> None:
    cell_of_plan(lambda cell: cell.update(params=5))(store)
    ended = run_here(["resume=last"], store.folder)
    assert ended.code == 3 and "is damaged: cells.1 params is 5; put" in ended.err, ended
    store.plan.write_text("{")
    ended = run_here(["resume=last"], store.folder)
    assert ended.code == 3 and "is damaged: it cannot be read (" in ended.err, ended


def test_untouched_store_is_equal(store: Store) -> None:
    assert store.verdicts() == []


def test_change_of_the_sweeps_own_metrics_is_noticed(store: Store) -> None:
    store.sql("UPDATE latest_metrics SET value=1.0 WHERE key='best_final_error'")
    (verdict,) = store.verdicts()
    assert "metric best_final_error: stored 1.0, expected " in verdict.differences[0]
    store.sql("UPDATE latest_metrics SET value=-1.0 WHERE key='best_final_error_log10'")
    (verdict,) = store.verdicts()
    assert len(verdict.differences) == 2


@pytest.mark.slow
def test_run_deleted_on_purpose_is_no_difference_and_not_missing(store: Store) -> None:
    store.sql("UPDATE runs SET lifecycle_stage='deleted' WHERE run_uuid=?", store.run_id)
    (verdict,) = store.verdicts()
    assert (verdict.name, verdict.word, verdict.reason) == (RUN, "not compared", "it was deleted")
    ended = run_here([], store.folder, module="sweep.report")
    assert ended.out.startswith("Best of 3 runs: ") and "1 run was deleted." in ended.out
    assert "missing" not in ended.out
    store.sql("DELETE FROM tags WHERE run_uuid=?", store.run_id)
    (verdict, counts) = store.verdicts()
    assert verdict.differences == ["run: stored nothing, expected a finished run"]
    assert counts.differences == ["metric runs_finished: stored 4.0, expected 3.0 (off by 1)"]


@pytest.mark.slow
def test_run_that_its_time_limit_ended_is_compared_as_far_as_it_came(tmp_path: Path) -> None:
    ended = run_here(["-m", "lr=0.1", "iters=10,1e12", "max_seconds=0.3"], tmp_path)
    assert ended.code == 1, ended
    killed = Store(tmp_path)
    run_id = killed.id_of("mlflow.runName", "lr=0.1,iters=1000000000000")
    assert killed.verdicts() == []
    path = tmp_path / "outputs" / "artifacts" / run_id / "artifacts" / "curve.parquet"
    table = pyarrow.parquet.read_table(path)
    errors = table.column("error").to_numpy().copy()
    errors[-2] = next_float(errors[-2])
    changed = table.set_column(1, "error", pyarrow.array(errors))
    pyarrow.parquet.write_table(changed, path)
    (verdict,) = killed.verdicts()
    assert (verdict.word, len(verdict.differences)) == ("differs", 1)
    path.write_bytes(b"PAR1")
    (verdict,) = killed.verdicts()
    assert verdict.word == "differs"


@pytest.mark.parametrize("status", ["FAILED", "RUNNING"])
def test_run_that_did_not_finish_is_not_compared(status: str, store: Store) -> None:
    store.sql("UPDATE runs SET status=? WHERE run_uuid=?", status, store.run_id)
    (verdict,) = [one for one in store.verdicts() if one.name == RUN]
    assert (verdict.word, verdict.reason) == ("not compared", f"it is {status}")


def test_run_that_names_another_grid_point_is_noticed(store: Store) -> None:
    tag("sweep.cell", "0")(store)
    assert {one.name: one.word for one in store.verdicts()}[RUN] == "differs"


def test_one_run_of_a_sweep_is_verified_alone(store: Store) -> None:
    assert store.verdicts(run=store.run_id) == []
    curve_point(store)
    (verdict,) = store.verdicts(run=store.run_id)
    assert verdict.name == RUN


def test_foreign_target_in_the_store_is_never_imported(store: Store) -> None:
    def plant(config: Any) -> None:
        config["trainer"] = {"_target_": "planted.Boom"}

    store.yaml(plant)
    cell_of_plan(lambda cell: plant(cell["config"]))(store)
    planted = store.folder / "planted.py"  # where `python -m` would find it
    planted.write_text("raise SystemExit('it ran')\n")
    ended = verify([], store.folder)
    assert ended.code == 0
    assert "it ran" not in ended.out + ended.err
    assert f"not verified  {RUN}: its trainer planted.Boom is retrained only" in ended.out
    assert "3 runs verified, 0 differ, 1 not verified" in ended.out
    tag("sweep.cell", "99")(store)  # a run that the plan does not have
    ended = verify([], store.folder)
    assert ended.code == 1 and "run: stored " in ended.out, ended


def test_planted_target_in_the_runs_own_file_alone_differs_from_the_plan(store: Store) -> None:
    store.yaml(lambda config: config["trainer"].update(_target_="os.system"))
    (verdict,) = store.verdicts()
    assert verdict.word == "differs"
    assert [text.partition(":")[0] for text in verdict.differences] == [
        "config.yaml trainer._target_"
    ]


# --- the command ---------------------------------------------------------------------------


def verify(args: list[str], folder: Path, **options: Any) -> Ended:
    return run_here(args, folder, module="sweep.verify", **options)


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith(("-wal", "-shm"))
    }


def test_command_says_that_all_is_equal_and_writes_nothing(store: Store) -> None:
    before = tree(store.folder)
    ended = verify([], store.folder)
    assert ended.code == 0, ended.err
    assert ended.err == ""
    assert ended.out.splitlines()[-1] == "4 runs verified, 0 differ, 0 not verified"
    assert "4 runs to train again, 2 trajectories, 200 iterations" in ended.out
    assert tree(store.folder) == before


def test_command_ends_with_1_and_names_what_differs(store: Store) -> None:
    store.set("metrics", "final_error", next_float)
    tag("mlflow.runName", "\x1b[2Jcleared")(store)
    store.sql(
        "UPDATE runs SET name=? WHERE run_uuid=?",
        "\x1b[2Jcleared",
        store.id_of("mlflow.runName", "\x1b[2Jcleared"),
    )
    ended = verify([], store.folder)
    assert ended.code == 1
    assert "3 runs verified, 1 differ, 0 not verified" in ended.out
    assert "      metric final_error@0: stored 0." in ended.out
    assert "(off by " in ended.out
    assert "\x1b" not in ended.out and "\\x1b[2Jcleared" in ended.out


@pytest.mark.parametrize("keys", [{"run": "../../x"}, {"run": "0" * 32}, {"sweep": "x' or '1"}])
def test_what_is_not_there_is_refused(keys: dict[str, str], store: Store) -> None:
    with pytest.raises(NotFoundError, match="holds no such"):
        store.verdicts(**keys)


@pytest.mark.slow
def test_run_of_another_machine_is_compared_to_the_tolerance(store: Store) -> None:
    store.sql("UPDATE tags SET value='arm64, Darwin' WHERE key='sweep.platform'")
    store.set("metrics", "final_error", next_float)
    store.set("latest_metrics", "weights/w3", lambda value: value * (1 + 1e-10))
    curve_point(store)
    ended = verify([], store.folder)
    assert ended.code == 0, ended.out
    assert "another kind of machine (arm64, Darwin; this one: " in ended.out
    assert f"equal within the tolerance  {RUN}" in ended.out
    store.set("latest_metrics", "weights/w3", lambda value: value * (1 + 1e-8))
    store.set("metrics", "best_error", lambda value: value * (1 + 1e-8))
    (verdict,) = store.verdicts()
    keys = {text.partition(":")[0] for text in verdict.differences}
    assert keys == {"metric weights/w3", "metric best_error@0"}


# --- a trainer of the user's own -----------------------------------------------------------

TRAINER = '''\
"""A trainer of one weight."""

from pathlib import Path

Path("imported").touch()


def half(start):
    while True:
        yield {"error": start**2, "weights": {"w": start}}
        start /= 2
'''


@pytest.mark.slow
def test_users_trainer_runs_only_when_named_and_unchanged(tmp_path: Path) -> None:
    (tmp_path / "half.py").write_text(TRAINER)
    (tmp_path / "own" / "trainer").mkdir(parents=True)
    text = "_target_: half.half\nstart: ${lr}\n"  # a key that verify does not have
    (tmp_path / "own" / "trainer" / "half.yaml").write_text(text)
    named = ["--config-dir", "own", "trainer=half"]
    assert run_here(["-m", *named, "lr=3.0", "iters=2,4"], tmp_path).code == 0

    (tmp_path / "imported").unlink()
    ended = verify([], tmp_path)
    assert ended.code == 0
    assert "0 runs verified, 0 differ, 2 not verified" in ended.out
    assert "its trainer half.half is retrained only if your configuration" in ended.out
    assert not (tmp_path / "imported").exists()

    ended = verify(named, tmp_path)
    assert ended.code == 0, ended.out + ended.err
    assert "2 runs verified, 0 differ, 0 not verified" in ended.out

    (tmp_path / "half.py").write_text(TRAINER + "# changed\n")
    ended = verify(named, tmp_path)
    assert ended.code == 0
    assert "0 runs verified, 0 differ, 2 not verified" in ended.out
    assert "the source of half.half, its settings or the data do not match" in ended.out


# --- units ---------------------------------------------------------------------------------


def near_to(*errors: float) -> Near:
    return Near(result_of(0.1, len(errors) - 1, np.array(errors)))


@pytest.mark.parametrize(
    ("key", "stored", "expected", "same"),
    [
        ("metric error@3", 0.25 * (1 + 1.9e-9), 0.25, True),
        ("metric error@3", 0.25 * (1 + 2.1e-9), 0.25, False),
        ("curve@3", 0.25 * (1 + 1.9e-9), 0.25, True),
        ("curve@3", 0.9e-26, 0.0, True),
        ("curve@3", 1.1e-26, 0.0, False),
        ("metric final_error", -0.25, 0.25, False),
        ("metric final_error", float("nan"), 0.25, False),
        ("metric final_error_log10", -324.0, -27.0, True),
        ("metric final_error_log10", -2.0, -2.1, False),
        ("weights final w1", float("nan"), float("nan"), True),
        ("weights final w1", float("inf"), float("-inf"), False),
        ("metric weights/w1", 1.0 + 0.9e-9, 1.0, True),
        ("metric weights/w1", 1.0 + 1.1e-9, 1.0, False),
        ("weights final w1", 0.0, 1e-12, False),
        ("metric final_validation_error", 0.25 * (1 + 1e-10), 0.25, False),
        ("metric my_validation_error", 0.25 * (1 + 1e-10), 0.25, False),
        ("param lr", "0.1", "0.10", False),
    ],
)
def test_tolerance_is_that_of_the_kind_of_key(
    key: str, stored: Any, expected: Any, same: bool
) -> None:
    assert near_to(0.25, 0.01, 1e-30)(key, stored, expected) is same
    assert not exact(key, stored, expected) or same


def test_steps_of_another_machine_are_judged_by_their_errors() -> None:
    errors = [1.0, 0.2, 0.1 + 1e-11, 0.1 - 1e-11, 0.05, 1e-28, 2e-29]
    near = Near(result_of(0.1, 6, np.array(errors)), 5.0)
    assert near("threshold 1e-1", 2, 3) and near("threshold 1e-1", 3, 2)
    assert not near("threshold 1e-1", 1, 3) and not near("threshold 1e-1", "x", 3)
    assert not near("threshold 1e-1", None, 3) and not near("threshold 1e-1", 3, None)
    assert near("threshold 1e-29", None, 6), "all below the floor is one"
    assert near("metric best_step", 5.0, 6.0) and not near("metric best_step", 4.0, 6.0)
    assert not near("metric best_step", 99.0, 6.0)
    assert near("metric stalled_at", 5.0, 9.0)
    assert not near("metric diverged_at", 5.0, 9.0)
    assert differences({"curve@5": 1e-28}, {}, near) == [], "a thinned curve keeps its best step"
    assert len(differences({"curve@4": 0.05}, {}, near)) == 1


def test_exact_tells_zeros_apart_and_nan_from_numbers() -> None:
    pairs = [(0.0, 0.0), (-0.0, 0.0), (np.nan, 0.5), (1.0, 1.0), (1, 1.0), (True, 1)]
    same = [exact("curve@1", stored, expected) for stored, expected in pairs]
    assert same == [True, False, False, True, False, False]


def test_leaves_of_one_value_and_three_types() -> None:
    stored, expected = {"a": 1, "b": [True, {}]}, {"a": 1.0, "b": [1, {}], "c": None}
    found = differences(flat({"x": stored}), flat({"x": expected}), exact)
    assert [text.partition(":")[0] for text in found] == ["x a", "x b.0", "x c"]


def test_many_points_of_one_curve_are_counted() -> None:
    stored = {f"curve@{step}": 0.5 for step in range(9)}
    found = differences(stored, {"curve@0": 0.5}, exact)
    assert len(found) == 4
    assert found[-1] == "curve: 5 more points differ"


def test_difference_cuts_what_is_long_and_escapes_what_is_no_text() -> None:
    text = difference("param a", "x" * 5000 + "\n", "\x1b]0;t\x07")
    assert len(text) < 400
    assert text.isprintable()
    assert plain_text("a\r\u202eb\ud800") == "a\\r\\u202eb\\ud800"
