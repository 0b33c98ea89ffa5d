"""Samples from everywhere: the same numbers whatever holds them, and every wrong file refused."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sweep.config.models import Data as Group
from sweep.config.validation import validated
from sweep.errors import ConfigError
from sweep.training.data import Data, load_data
from tests.processes import clean_environment, start

INLINE = {"inputs": [[1, 2], [3, 4.5]], "targets": [[0], [1]]}
NAMED = {"inputs": ["x1", "x2"], "targets": ["y"]}
VALUES = {
    "x1": np.array([0.1, 1e-310, -3.0, 4.0, 123456789.123456789]),
    "x2": np.array([1.0, 2.0, 2.5, 1e308, -0.0]),
    "y": np.array([0.0, 1.0, 0.0, 1.0, 0.5]),
}


def load(config: Mapping[str, Any], base: Path, seed: int = 0) -> Data:
    checked = validated(Group, config, "data").without_unset()
    return load_data(checked, seed=seed, base=base)


def refused(words: str, base: Path, **config: Any) -> None:
    """Assert that a configuration is refused in one sentence."""
    with pytest.raises(ConfigError, match=words) as caught:
        load(config, base)
    assert "\n" not in str(caught.value)


def write_csv(path: Path, columns: Mapping[str, Any]) -> None:
    rows = zip(*columns.values(), strict=True)
    lines = [",".join(columns), *(",".join(str(value) for value in row) for row in rows)]
    path.write_text("\n".join(lines) + "\n")


def write_parquet(path: Path, columns: Mapping[str, Any]) -> None:
    pq.write_table(pa.table(dict(columns)), path)


def write_npz(path: Path, columns: Mapping[str, Any]) -> None:
    np.savez_compressed(path, **columns)


WRITERS = {"csv": write_csv, "parquet": write_parquet, "npz": write_npz}


@pytest.fixture(params=WRITERS)
def written(request: pytest.FixtureRequest, weird_path: Path) -> Path:
    """Return a file of each kind, with a column that nobody asks for."""
    path = weird_path / f"some points.{request.param}"
    WRITERS[request.param](path, {"id": np.arange(5), **VALUES})
    return path


def test_file_gives_its_columns_to_the_last_bit(written: Path) -> None:
    data = load({"file": written.name, **NAMED}, written.parent)
    expected = np.column_stack([VALUES["x1"], VALUES["x2"]])
    assert data.inputs.tobytes() == expected.tobytes()
    assert data.targets.tolist() == VALUES["y"][:, None].tolist()
    for array in (data.inputs, data.targets):
        assert array.dtype == np.float64
        assert array.flags.c_contiguous
        assert not array.flags.writeable


def test_file_can_be_absolute_and_columns_in_any_order(written: Path) -> None:
    config = {"file": str(written), "inputs": ["y", "x1"], "targets": "x2"}
    data = load(config, Path("/nowhere"))
    assert data.inputs[1].tolist() == [1.0, 1e-310]
    assert data.targets[2].tolist() == [2.5]
    assert load({**config, "inputs": [-1, 1], "targets": 2}, Path("/nowhere")) is not data
    assert load({**config, "inputs": [-1, 1], "targets": 2}, Path("/")).digest == data.digest


def test_kinds_of_files_have_one_digest(weird_path: Path) -> None:
    digests = set()
    for kind, write in WRITERS.items():
        write(weird_path / f"a.{kind}", VALUES)
        digests.add(load({"file": f"a.{kind}", **NAMED}, weird_path).digest)
    assert len(digests) == 1


def test_digest_follows_content_and_shape(tmp_path: Path) -> None:
    digest = load(INLINE, tmp_path).digest
    assert len(digest) == 64
    assert digest == load({**INLINE, "file": None}, tmp_path).digest
    other = {**INLINE, "targets": [[0], [1.0000000001]]}
    split = {**INLINE, "validation": 0.5}
    wide = {"inputs": [[1, 2, 3, 4.5]], "targets": [[0, 1]]}
    assert len({digest, *(load(c, tmp_path).digest for c in (other, split, wide))}) == 4


@pytest.mark.parametrize("kind", WRITERS)
def test_whole_numbers_and_narrow_floats_are_numbers_and_truth_values_categories(
    tmp_path: Path, kind: str
) -> None:
    columns = {"x1": np.array([1, 2]), "x2": np.array([True, False])}
    WRITERS[kind](tmp_path / f"b.{kind}", {**columns, "y": np.array([1.5, 2], np.float32)})
    with pytest.raises(ConfigError, match="'True' in column 'x2', row 1.*categories=auto"):
        load({"file": f"b.{kind}", **NAMED}, tmp_path)
    data = load({"file": f"b.{kind}", **NAMED, "categories": "auto"}, tmp_path)
    assert data.inputs.tolist() == [[1.0, 0.0, 1.0], [2.0, 1.0, 0.0]]
    assert data.targets.tolist() == [[1.5], [2.0]]


@pytest.mark.parametrize("order", ["C", "F"])
def test_npz_matrix_is_as_many_columns_as_it_is_wide(tmp_path: Path, order: Any) -> None:
    x = np.arange(200_000 * 3, dtype=np.float64).reshape(-1, 3)
    np.savez(tmp_path / "m.npz", x=np.array(x, order=order), z=x[:, 0] / 7, y=x[:, :2])
    data = load({"file": "m.npz", "inputs": ["x", "z"], "targets": ["y"]}, tmp_path)
    assert (data.inputs == np.column_stack([x, x[:, 0] / 7])).all()
    assert (data.targets == x[:, :2]).all()


@pytest.mark.parametrize("kind", WRITERS)
def test_long_file_keeps_its_order_and_its_split(tmp_path: Path, kind: str) -> None:
    rows = 150_000
    x = np.arange(rows, dtype=np.float64)
    WRITERS[kind](tmp_path / f"l.{kind}", {"x": x, "y": -x})
    config = {"file": f"l.{kind}", "inputs": ["x"], "targets": ["y"], "validation": 0.25}
    data = load(config, tmp_path, seed=4)
    assert data.validation_inputs is not None and data.validation_targets is not None
    kept, back = data.inputs[:, 0], data.validation_inputs[:, 0]
    assert (len(kept), len(back)) == (112_500, 37_500)
    assert (np.diff(kept) > 0).all() and (np.diff(back) > 0).all()
    assert (np.sort(np.concatenate([kept, back])) == x).all()
    assert (data.targets == -data.inputs).all()
    assert (data.validation_targets == -data.validation_inputs).all()
    assert load(config, tmp_path, seed=5).digest != data.digest


def test_split_depends_on_the_seed_and_not_on_where_rows_come_from(written: Path) -> None:
    inline = {
        "inputs": np.column_stack([VALUES["x1"], VALUES["x2"]]).tolist(),
        "targets": VALUES["y"][:, None].tolist(),
        "validation": 0.4,
    }
    for seed in range(5):
        file = load({"file": written.name, **NAMED, "validation": 0.4}, written.parent, seed)
        assert file.digest == load(inline, written.parent, seed).digest
        assert len(file.inputs) == 3


def test_standardize_uses_the_training_samples_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(5, 3, 40), np.full(40, 0.1), np.full(40, 1e308)])
    y = rng.normal(100, 20, (40, 1))
    config = {"inputs": x.tolist(), "targets": y.tolist(), "validation": 0.25}
    plain = load(config, tmp_path, seed=1)
    inputs = load({**config, "standardize": True}, tmp_path, seed=1)
    both = load({**config, "standardize": "all"}, tmp_path, seed=1)
    mean, deviation = plain.inputs[:, 0].mean(), plain.inputs[:, 0].std()
    assert inputs.inputs[:, 0].mean() == pytest.approx(0, abs=1e-14)
    assert inputs.inputs[:, 0].std() == pytest.approx(1)
    assert (inputs.inputs[:, 1:] == 0).all()
    assert inputs.validation_inputs is not None and plain.validation_inputs is not None
    scaled = (plain.validation_inputs[:, 0] - mean) / deviation
    assert inputs.validation_inputs[:, 0] == pytest.approx(scaled)
    assert (inputs.targets == plain.targets).all()
    assert both.targets.std() == pytest.approx(1)


def test_column_too_wide_to_standardize_is_refused(tmp_path: Path) -> None:
    config = {"inputs": [[0, 1e308], [1, -1e308]], "targets": [[0], [1]], "standardize": True}
    with pytest.raises(ConfigError, match="inputs column 1"):
        load(config, tmp_path)


@pytest.mark.parametrize("kind", WRITERS)
def test_one_hot_gives_each_label_a_column_in_order(tmp_path: Path, kind: str) -> None:
    labels = np.array(["oak", "elm", "yew", "elm"])
    for given in [labels] if kind == "csv" else [labels, labels.astype(bytes)]:
        WRITERS[kind](tmp_path / f"t.{kind}", {"x": np.arange(4.0), "kind": given})
        config = {"file": f"t.{kind}", "inputs": ["x"], "targets": ["kind"], "one_hot": True}
        data = load(config, tmp_path)
        assert data.targets.tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1], [1, 0, 0]]
        assert data.preparation.classes == ("elm", "oak", "yew")


def test_one_hot_of_numbers_is_in_the_order_of_numbers(tmp_path: Path) -> None:
    config = {"inputs": [[0]] * 3, "targets": [[10], [9], [10]], "one_hot": True}
    assert load(config, tmp_path).targets.tolist() == [[0, 1], [1, 0], [0, 1]]
    write_csv(tmp_path / "n.csv", {"x": [0, 0, 0], "y": [10, 9, 10]})
    named = {"file": "n.csv", "inputs": ["x"], "targets": ["y"], "one_hot": True}
    assert load(named, tmp_path).targets.tolist() == [[0, 1], [1, 0], [0, 1]]


def test_file_is_loaded_once_until_it_changes(written: Path) -> None:
    config = {"file": written.name, **NAMED}
    first = load(config, written.parent, seed=1)
    assert load(config, written.parent, seed=2) is first
    assert load({**config, "one_hot": True}, written.parent) is not first
    stat = written.stat()
    os.utime(written, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    again = load(config, written.parent)
    assert again is not first
    assert again.digest == first.digest


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"inputs": None}, "data.inputs is missing"),
        ({"target": [[1]]}, "did you mean 'targets'"),
        ({"inputs": [[1, 2], [3]]}, r"data.inputs\[1\] has 1 numbers"),
        ({"inputs": [[1, 2], [3, "4"]]}, r"data.inputs\[1\]\[1\]=4: "),
        ({"inputs": [[1, 2], [3, float("nan")]]}, r"data.inputs\[1\]\[1\]=nan"),
        ({"inputs": []}, "no numbers"),
        ({"inputs": ["x1"]}, "=x1: give a list"),
        ({"inputs": [[1, 2]]}, "1 rows, but data.targets has 2"),
        ({"standardize": "yes"}, "standardize=yes: use true, false or all"),
        ({"drop": 0}, "data.drop=0: it has a meaning with data.file alone"),
        ({"read": {"sep": ";"}}, "with data.file alone"),
        ({"folds": 1}, "at least 2"),
        ({"folds": 3, "fold": 0}, "fewer rows"),
        ({"folds": 2}, "name one with data.fold=0"),
        ({"folds": 2, "fold": 2}, "0 to 1"),
        ({"folds": 2, "fold": 0, "validation": 0.5}, "write data.validation=null, or leave"),
        ({"fold": 1}, "write data.folds=5 too"),
        ({"split_seed": -1}, "split_seed=-1"),
        ({"validation": 1.0}, "1.0"),
        ({"validation": "half"}, "=half: without data.file"),
        ({"validation": 0.9}, "no row of 2 to train on"),
        ({"one_hot": 2}, "one_hot=2: write true or false"),
        ({"one_hot": True, "targets": [[1, 2], [3, 4]]}, "one_hot needs one"),
    ],
)
def test_inline_refuses_in_one_sentence(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    refused(words, tmp_path, **{**INLINE, **changes})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"inputs": ["x1", "z"]}, "data.inputs=z: it must be one of id, x1, x2, y"),
        ({"inputs": ["x1", "xx2"]}, "data.inputs=xx2: did you mean x2"),
        ({"inputs": ["x1", "x2", "x1"]}, "the column 'x1' twice"),
        ({"inputs": ["x1", "y"]}, "the column 'y', which data.targets names too"),
        ({"inputs": ["x1", 4]}, "data.inputs=4: the columns are 0 to 3"),
        ({"drop": ["x1"]}, "which data.drop names too"),
        ({"categories": ["y"]}, "no input"),
        ({"targets": ["nothing like it"]}, "must be one of"),
        ({"inputs": [[1, 2]]}, "list of columns, by name or position; as data.inputs=all"),
        ({"inputs": []}, "list of columns"),
        ({"file": "none.csv"}, "does not exist"),
        ({"file": "none*.csv"}, "no file matches"),
        ({"validation": "hlaf"}, "a column of data.file, or a second file"),
        ({"file": "."}, "is no file"),
        ({"one_hot": True, "targets": ["y", "x1"]}, "exactly one column"),
    ],
)
def test_file_refuses_in_one_sentence(written: Path, changes: dict[str, Any], words: str) -> None:
    refused(words, written.parent, **{"file": written.name, **NAMED, **changes})


@pytest.mark.parametrize("kind", ["csv", "parquet", "npz"])
def test_file_that_is_something_else_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"odd.{kind}"
    for content in (b"", b"\x00\x01\x02\xff" * 100, b"PK\x03\x04 cut short"):
        path.write_bytes(content)
        refused(f"odd.{kind}", tmp_path, file=path.name, **NAMED)


def test_unknown_end_of_a_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").write_text("x")
    refused("xlsx", tmp_path, file="a.xlsx", **NAMED)


@pytest.mark.parametrize("kind", WRITERS)
def test_no_rows_are_refused(tmp_path: Path, kind: str) -> None:
    WRITERS[kind](tmp_path / f"e.{kind}", {name: np.empty(0) for name in VALUES})
    refused("no rows", tmp_path, file=f"e.{kind}", **NAMED)


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("gap", [np.nan, -np.inf])
def test_gap_names_its_row_and_column(tmp_path: Path, kind: str, gap: float) -> None:
    x2 = np.ones(70_000)
    x2[66_666] = gap
    WRITERS[kind](tmp_path / f"g.{kind}", {"x1": np.ones(70_000), "x2": x2, "y": np.ones(70_000)})
    told = r"holds no (finite number|value) .*'x2', row 66667"
    refused(told, tmp_path, file=f"g.{kind}", **NAMED)


@pytest.mark.parametrize("cell", ["abc", "1,5", "1_000", "0x10", "--1", "1e", "£3"])
def test_text_in_a_csv_names_its_row_and_column(tmp_path: Path, cell: str) -> None:
    quoted = f'"{cell}"'
    write_csv(tmp_path / "t.csv", {"x1": [1, 2, 3], "x2": [1, quoted, 3], "y": [1, 2, "later"]})
    with pytest.raises(ConfigError, match=rf"{re.escape(repr(cell))} in column 'x2', row 2"):
        load({"file": "t.csv", **NAMED}, tmp_path)


def test_ragged_csv_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("x1,x2,y\n1,2,3\n1,2\n")
    refused("column 'y', row 2", tmp_path, file="r.csv", **NAMED)
    longer = "names in its first row: .*data.read.skiprows=1 'data.read.names="
    for rows, words in (
        ("1,2,3\n1,2,3,4\n", "4 cells in line 3 and 3 before it: mend the line, or write"),
        ("1,2,3,4\n1,2,3,4\n", longer),
    ):
        (tmp_path / "r.csv").write_text("x1,x2,y\n" + rows)
        refused(words, tmp_path, file="r.csv", inputs=["x1"], targets=["y"])


def test_doubled_column_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("x1,x1,x2,y\n1,2,3,4\n")
    refused("two columns named 'x1'", tmp_path, file="d.csv", **NAMED)
    refused("it must be one of", tmp_path, file="d.csv", inputs=["9" * 5000], targets=["y"])


@pytest.mark.parametrize("kind", ["parquet", "npz"])
def test_column_of_text_is_refused(tmp_path: Path, kind: str) -> None:
    WRITERS[kind](tmp_path / f"t.{kind}", {**VALUES, "x2": np.array(["a", "b", "c", "d", "e"])})
    refused("'x2'", tmp_path, file=f"t.{kind}", **NAMED)


def test_missing_label_is_refused(tmp_path: Path) -> None:
    write_csv(tmp_path / "l.csv", {"x": [1, 2], "y": ["a", ""]})
    refused("row 2", tmp_path, file="l.csv", inputs=["x"], targets=["y"], one_hot=True)


@pytest.mark.parametrize("arrays", [{"x1": np.ones(3)}, {"x1": np.ones((2, 2, 2))}])
def test_npz_arrays_that_do_not_fit_are_refused(tmp_path: Path, arrays: dict[str, Any]) -> None:
    np.savez(tmp_path / "u.npz", **{"x2": np.ones(2), "y": np.ones(2), **arrays})
    refused("x1", tmp_path, file="u.npz", **NAMED)


MEASURE = """
import resource, sys
from pathlib import Path
import numpy, pandas, pyarrow, pyarrow.parquet
from sweep.training.data import load_data
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
names = ["x", "z"] if sys.argv[1].endswith("npz") else [f"x{i}" for i in range(20)]
data = load_data({"file": sys.argv[1], "inputs": names[:-1], "targets": names[-1:],
                  "validation": 0.1, "standardize": True}, seed=0, base=Path.cwd())
assert len(data.inputs) == 900_000
unit = 1 if sys.platform == "darwin" else 1024
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", WRITERS)
def test_million_rows_are_not_held_twice(tmp_path: Path, kind: str) -> None:
    values = np.random.default_rng(0).random((1_000_000, 20))
    path = tmp_path / f"big.{kind}"
    if kind == "npz":
        np.savez(path, x=values[:, :19], z=values[:, 19])
    else:
        frame = pa.table({f"x{i}": values[:, i] for i in range(20)})
        if kind == "csv":
            from pyarrow import csv

            csv.write_csv(frame, path)
        else:
            pq.write_table(frame, path, row_group_size=100_000)
    import sys

    command = [sys.executable, "-c", MEASURE, path.name]
    out, err = start(command, tmp_path, clean_environment()).communicate(timeout=120)
    assert err == ""
    assert int(out) < 1.6 * values.nbytes
