"""A sweep on a file as people bring it, and new rows through its best network, to the last bit."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sweep.config.settings import Tracking
from sweep.config.spec import BUILT_IN
from sweep.errors import ConfigError
from sweep.model import Model, model_of
from sweep.tracking import read
from sweep.tracking.read import StoredRun
from sweep.tracking.store import open_store
from sweep.training.data import load_data
from sweep.training.data.files import Source, open_source
from sweep.training.data.preparation import Column, Preparation, new_rows
from sweep.training.network import Network
from tests.commands import assert_refused, run_here

HEAD = '"fixed acidity";"kind";"alcohol";"quality"\n'
SETTINGS = (
    'data.file=wine.csv data.read.sep=";" data.read.nrows=60 data.inputs=all '
    "data.targets=[quality] data.folds=2 data.split_seed=3 data.standardize=true "
    "data.missing=median data.categories=auto data.one_hot=true network.init.scheme=xavier "
    "network.activation=[tanh,softmax] network.loss=cross_entropy"
).split()
AXES = ["network.layers=[auto,2,auto],[auto,4,auto]", "trainer.batch_size=16,null", "iters=30"]
AXES += ["stop.patience=3"]


def wines(rows: int, seed: int, *, labelled: bool) -> str:
    """Return rows with two numbers, one of them sometimes missing, and a category."""
    rng = np.random.default_rng(seed)
    lines = [HEAD if labelled else HEAD.replace(';"quality"', "")]
    for _ in range(rows):
        acid, alcohol = rng.normal(8, 2), rng.normal(10, 1)
        kind = "red" if rng.random() < 0.5 else "white"
        shown = "" if rng.random() < 0.2 else repr(float(alcohol))
        line = f"{float(acid)!r};{kind};{shown}"
        lines.append(f"{line};{'good' if acid + alcohol > 18 else 'poor'}\n" if labelled else line)
        lines[-1] = lines[-1].rstrip("\n") + "\n"
    return "".join(lines)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a sweep over hidden size, batch size and the parts of a split."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "wine.csv").write_text(wines(60, 0, labelled=True))
    (folder / "new.csv").write_text(wines(20, 1, labelled=False))
    ended = run_here(["-m", *SETTINGS, *AXES, "lr=20", "model=best"], folder)
    assert ended.code == 0, ended.err
    assert "8 runs" in ended.out
    assert ended.err == ""
    return folder


@pytest.fixture(scope="module")
def runs(home: Path) -> list[StoredRun]:
    store = open_store(Tracking(kind="local", outputs=home / "outputs"), mode="read")
    return read.sweep_runs(store, read.find_sweep(store, "last").sweep_id)


def model(run: StoredRun) -> Model:
    return model_of(run.config(), run.weights(), run.preparation())


def table(path: Path) -> tuple[list[str], list[list[str]]]:
    with open(path, newline="", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    return head, rows


def test_each_part_is_kept_back_once_and_runs_say_what_was_done(
    home: Path, runs: list[StoredRun]
) -> None:
    (page,) = (home / "outputs" / "reports").glob("*/report.md")
    assert "30 trained on, 30 kept back" in page.read_text(encoding="utf-8")
    assert sorted(run.params["data.fold"] for run in runs) == ["0"] * 4 + ["1"] * 4
    for run in runs:
        assert run.tags["sweep.data"].startswith("60 rows: 30 trained on, 30 kept back; ")
        assert "filled in with the column's median" in run.tags["sweep.data"]
        assert 0 < run.metrics["accuracy"] <= 1
        assert 0 < run.metrics["validation_accuracy"] <= 1


def test_new_rows_give_what_the_trained_network_gives_to_the_last_bit(
    home: Path, runs: list[StoredRun]
) -> None:
    ended = run_here(["data.file=new.csv", "to=out.csv"], home, module="sweep.predict")
    assert ended.code == 0, ended.err
    (best,) = [run for run in runs if run.run_id in ended.out]
    head, rows = table(home / "out.csv")
    assert head == ["quality", "quality=good", "quality=poor"]

    # The same by NumPy alone, from the run's own files.
    document: Any = best.preparation()
    acid, kind, alcohol = document["inputs"]
    _, *lines = (home / "new.csv").read_text().splitlines()
    cells = [line.split(";") for line in lines]
    given = np.array([[float(a), float(b or alcohol["fill"])] for a, _, b in cells])
    first = (given[:, 0] - acid["mean"]) / acid["deviation"]
    last = (given[:, 1] - alcohol["mean"]) / alcohol["deviation"]
    shares = [[float(cell[1] == value) for value in kind["values"]] for cell in cells]
    inputs = np.ascontiguousarray(np.column_stack([first, shares, last]))
    network = model(best).network
    kept = best.weights()
    assert network.named() == kept["best"] != kept["final"]
    expected = network.forward(inputs)[-1]
    assert [[float(cell) for cell in row[1:]] for row in rows] == expected.tolist()
    assert [row[0] for row in rows] == [["good", "poor"][at] for at in expected.argmax(axis=1)]


def test_model_of_the_best_run_gives_the_same(home: Path, runs: list[StoredRun]) -> None:
    import mlflow.pyfunc

    (folder,) = (home / "outputs" / "artifacts").glob("*/artifacts/model")
    (best,) = [run for run in runs if run.run_id in folder.parts]
    assert not [path for path in folder.rglob("*") if path.suffix in (".pkl", ".pickle")]
    frame = pd.read_csv(home / "new.csv", sep=";")
    given = mlflow.pyfunc.load_model(str(folder)).predict(frame)
    source = open_source([home / "new.csv"], model(best).read)
    expected, _ = model(best).predict(source)
    pd.testing.assert_frame_equal(given, expected, check_exact=True)


def test_rows_that_were_trained_on_are_prepared_as_then(home: Path, runs: list[StoredRun]) -> None:
    run = runs[0]
    config = run.config()["data"]
    data = load_data(config, seed=0, base=home)
    assert data.preparation.document() == run.preparation()
    made = model_of(run.config(), {"final": run.weights()["final"]}, run.preparation())
    assert made.network.error(data.inputs, data.targets) == pytest.approx(
        run.metrics["final_error"], rel=1e-12
    )
    assert made.network.accuracy(data.inputs, data.targets) == run.metrics["accuracy"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (HEAD.replace("alcohol", "alcohool"), "bad.csv: input 'alcohol' of the run: did you mean"),
        (HEAD + "8.1;pink;9;good\n", "'pink' in column 'kind', row 1: no row that the network"),
        (HEAD + "abc;red;9;good\n", "'abc' in column 'fixed acidity', row 1"),
        (HEAD.replace(";", ",") + "8.1,red,9,good\n", 'data.read.sep=","'),
    ],
)
def test_rows_that_cannot_be_prepared_are_refused(
    tmp_path: Path, runs: list[StoredRun], content: str, words: str
) -> None:
    (tmp_path / "bad.csv").write_text(content)
    made = model(runs[0])
    with pytest.raises(ConfigError) as caught:
        made.predict(open_source([tmp_path / "bad.csv"], made.read))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("", "fill it in, or write data.missing=drop to leave out rows with missing values"),
        ("much", "column 'x', row 1: it must be a number; the network is trained on numbers"),
    ],
)
def test_new_rows_are_not_told_to_be_trained_otherwise(
    tmp_path: Path, cell: str, words: str
) -> None:
    (tmp_path / "bad.csv").write_text(f"x,z\n{cell},1\n")
    preparation = Preparation((Column("x"),), (Column("y"),))
    with pytest.raises(ConfigError) as caught:
        new_rows(preparation, open_source([tmp_path / "bad.csv"], {}))
    assert words in str(caught.value)
    for key in ("mean", "categories", "one_hot", "drop=["):
        assert key not in str(caught.value)
    frame = pd.read_csv(tmp_path / "bad.csv")
    with pytest.raises(ConfigError, match="^the frame holds .* in column 'x', row 1: ") as served:
        new_rows(preparation, Source.of(frame))
    assert "data." not in str(served.value)


def test_columns_without_a_name_of_their_own_are_found_in_their_order_once(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,x,y\n1,2,3\n4,5,6\n")
    (tmp_path / "c.csv").write_text("id,x,x,y\n0,1,2,3\n0,4,5,6\n")
    given = {"file": "a.csv", "inputs": [1], "targets": ["y"], "validation": "c.csv"}
    data = load_data(given, seed=0, base=tmp_path)
    assert data.validation_inputs is not None
    assert data.validation_inputs.tolist() == [[2], [5]]
    for name in ("a.csv", "c.csv"):
        rows, _ = new_rows(data.preparation, open_source([tmp_path / name], {}))
        assert rows.tolist() == [[2], [5]]
    for head in ("id,x", "x,x,x[1]"):
        (tmp_path / "d.csv").write_text(f"{head}\n1,2,3\n")
        with pytest.raises(ConfigError, match=r"d.csv: input 'x\[1\]' of the run: "):
            new_rows(data.preparation, open_source([tmp_path / "d.csv"], {}))
    (tmp_path / "b.csv").write_text("1,2\n7,8\n")
    with pytest.raises(ConfigError, match="b.csv: input '1' .* is column 0, as is input '0'"):
        new_rows(
            Preparation((Column("0"), Column("1")), ()),
            open_source([tmp_path / "b.csv"], {"header": 0}),
        )


def test_rows_of_any_run_are_printed_and_those_with_missing_values_left_out_and_named(
    home: Path, runs: list[StoredRun]
) -> None:
    rows = (home / "new.csv").read_text()
    gaps = [at for at, line in enumerate(rows.splitlines()) if line[-1] == ";"]
    assert gaps
    (home / "commas.csv").write_text(rows.replace(";", ","))
    frame = pd.read_csv(home / "new.csv", sep=";")
    frame.to_parquet(home / "new.parquet")
    assert model(runs[-1]).read == {"sep": ";"}, "nrows is for the rows that were trained on"
    printed = set()
    for options in (["new.csv"], ["commas.csv", "data.read.sep=null"], ["new.parquet"]):
        arguments = [f"run={runs[-1].run_id}", "data.missing=drop", f"data.file={options[0]}"]
        shown = run_here([*arguments, *options[1:]], home, module="sweep.predict")
        assert f"for a missing value: {', '.join(map(str, gaps))}" in shown.err, shown
        printed.add(shown.out)
    (out,) = printed
    assert len(out.splitlines()) == 1 + 20 - len(gaps)


def test_target_of_zeros_and_ones_is_predicted_as_a_class(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n-3,0\n3,1\n")
    data = load_data({"file": "a.csv", "inputs": "all", "targets": ["y"]}, seed=0, base=tmp_path)
    assert data.preparation.binary
    network = Network.build(layers=[1, 1], activation="sigmoid", weights=[[[1.0]]], biases=[0.0])
    made = Model(network, data.preparation, {})
    frame, _ = made.predict(open_source([tmp_path / "a.csv"], {}))
    assert made.columns == [*frame.columns] == ["y", "y=1"]
    assert frame["y"].tolist() == ["0", "1"]
    assert frame["y=1"].tolist() == network.forward(data.inputs)[-1][:, 0].tolist()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["to=never.csv"], "data.file: name the file"),
        (["data.file=new.csv", "to=rows.txt"], "ends with .csv"),
        (["data.file=new.csv", "data.missing=mean"], "write drop to leave out such rows"),
        (["data.file=new.csv", "data.read.decimal=[1]"], "data.read.decimal=[1]"),
        (["data.file=new.csv", "to=new.csv"], "to=new.csv: it exists already"),
        (["data.file=new.csv", "run=none"], "run=none"),
    ],
)
def test_command_is_refused_in_one_sentence(home: Path, arguments: list[str], words: str) -> None:
    assert_refused(arguments, [words], home, module="sweep.predict")


def test_preparation_of_inline_rows_is_made_again_and_that_of_a_file_must_be_stored() -> None:
    data: dict[str, Any] = {"inputs": [[0, 5], [4, 9]], "targets": [[0], [1]], "standardize": True}
    network = {"layers": [2, 1], "weights": [[[0.0], [0.0]]], "biases": [0.0]}
    config = {"trainer": {"_target_": BUILT_IN}, "seed": 0, "network": network, "data": data}
    final = {"final": {"w1": 1.0, "w2": 0.0, "b1": 0.0}}
    rows = Source.of(pd.DataFrame({"a": [4], "b": [9], "c": [0]}))
    frame, _ = model_of(config, final, None).predict(rows)
    assert frame.to_dict("list") == {"output_1": ["1"], "output_1=1": [1 / (1 + np.exp(-1.0))]}
    data["file"] = "a.csv"
    with pytest.raises(ConfigError, match="files are damaged .*preparation.json"):
        model_of(config, final, None)


def test_run_of_another_trainer_has_no_network_to_give_back() -> None:
    with pytest.raises(ConfigError, match="trainer own.Trainer made it"):
        model_of({"trainer": {"_target_": "own.Trainer"}}, {"final": {"w1": 1.0}}, None)
