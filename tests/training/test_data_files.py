"""Data files as people bring them: right at once, or one sentence says what to write."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sweep.config.models import Data as Group
from sweep.config.validation import validated
from sweep.errors import ConfigError
from sweep.training.data import Data, load_data

XOR = "x1,x2,y\n0,0,0\n0,1,1\n1,0,1\n1,1,0\n"
WINE = '"acid level";"sugar";"grade"\n7.4;0.7;5\n7.8;0.88;6\n6.1;0.5;5\n'
CARS = 'mpg weight\tname\n18.0   3504.\t"buick skylark"\n15.0   3693.\t"ford torino"\n'
SENSOR = 'Date,CO(GT),RH,AH\n10/03/2004,"2,6","48,9","7,578"\n10/03/2004,2,"47,7","7,255"\n'
PLANTS = "5.1,3.5,setosa\n4.9,3.0,setosa\n6.2,3.4,virginica\n"
BIRDS = "species,island,bill,sex\nAdelie,Biscoe,39,M\nAdelie,Dream,,F\nGentoo,Biscoe,46,\n"
SPLIT = "grade,part,ash\n1,train,2.1\n2,train,2.3\n1,test,2.2\n2,validation,2.4\n1,train,2.0\n"
HEART = '"","age","sex","num"\n"1",63,"male",0\n"2",67,"female",1\n"3",51,"male",1\n'

ALL = {"inputs": "all", "targets": ["y"]}
# fmt: off
FILES: list[tuple[str, str | bytes, dict[str, Any], str, dict[str, Any], tuple[int, int, int]]] = [
    ("plain.csv", XOR, ALL, "", {}, (4, 2, 1)),
    ("bom.csv", b"\xef\xbb\xbf" + XOR.encode(), ALL, "", {}, (4, 2, 1)),
    ("crlf.csv", XOR.replace("\n", "\r\n"), ALL, "", {}, (4, 2, 1)),
    ("blank.csv", XOR.replace("0,1,1\n", "0,1,1\n\n"), ALL, "", {}, (4, 2, 1)),
    ("header.csv", XOR.replace("x1,x2", "x1 , x2"), ALL, "", {}, (4, 2, 1)),
    ("cells.csv", XOR.replace("0,1", "0, 1"), ALL, "", {}, (4, 2, 1)),
    ("tabs.tsv", XOR.replace(",", "\t"), ALL, "", {}, (4, 2, 1)),
    ("signs.csv", XOR.replace(",", "§").replace("x1", "»x1»"), ALL, "",
     {"read": {"sep": "§", "quotechar": "»"}}, (4, 2, 1)),
    ("packed.csv.gz", gzip.compress(XOR.encode()), ALL, "", {}, (4, 2, 1)),
    ("tabs.txt", XOR.replace(",", "\t"), ALL,
     r"""one column named 'x1\\tx2\\ty'.*write 'data.read.sep="\\t"'""", {"read": {"sep": r"\t"}},
     (4, 2, 1)),
    ("comment.csv", "# made by logger 3.1\n" + XOR, ALL, "'data.read.comment=\"#\"'",
     {"read": {"comment": "#"}}, (4, 2, 1)),
    ("latin.csv", XOR.replace("x1", "größe").encode("latin-1"), ALL,
     "write data.read.encoding=latin-1", {"read": {"encoding": "latin-1"}}, (4, 2, 1)),
    ("wide.csv", XOR.encode("utf-16"), ALL, "write data.read.encoding=utf-16",
     {"read": {"encoding": "utf-16"}}, (4, 2, 1)),
    ("thousands.csv", XOR.replace("0,0,0", '"1,000",0,0'), ALL,
     r"""'1,000' in column 'x1', row 1: .*'data.read.thousands=","'""",
     {"read": {"thousands": ","}}, (4, 2, 1)),
    ("comma.csv", SENSOR,
     {"inputs": "all", "targets": ["AH"], "drop": ["Date"], "read": {"thousands": ","}},
     r"""'2,6' in column 'CO\(GT\)', row 1: .*write 'data.read.decimal=","' in its place""",
     {"read": {"decimal": ","}}, (2, 2, 1)),
    ("points.csv", "x1;x2;y\n1.234;1,5;0\n12.345;2,5;1\n",
     {**ALL, "read": {"sep": ";", "decimal": ","}},
     r"""'1.234' in column 'x1', row 1: .*write 'data.read.thousands="."'""",
     {"read": {"sep": ";", "decimal": ",", "thousands": "."}}, (2, 2, 1)),
    ("mixed.csv", "x1;x2;y\n1.5;1,5;0\n1.5;2,5;1\n",
     {**ALL, "read": {"sep": ";", "decimal": ","}, "categories": "auto"},
     "'1.5' in column 'x1', row 1: .*leave out data.read.decimal", {"categories": ["x1"]},
     (2, 2, 1)),
    ("commas.csv", "5,1;3,5\n4,9;3,0\n",
     {"inputs": "all", "targets": [-1], "read": {"sep": ";", "decimal": ","}},
     "'5,1' in its first row.* looks like data: write data.read.header=null",
     {"read": {"sep": ";", "decimal": ",", "header": None}}, (2, 1, 1)),
    ("from_r.csv", "x1,y\n1,5,6\n2,7,8\n", ALL,
     r"more cells than names.*data.read.skiprows=1 'data.read.names=\[label,x,y\]'",
     {"read": {"skiprows": 1, "names": ["label", "x", "y"], "index_col": 0}}, (2, 1, 1)),
    ("letters.csv", "x,a,a,y\ny,a,b,n\n",
     {"inputs": "all", "targets": [0], "one_hot": True, "categories": "auto"},
     "two columns named 'a'; .*data.read.header=null if the first row is data",
     {"read": {"header": None}}, (2, 5, 2)),
    ("words.csv", "red,small,yes\nblue,large,no\nred,large,yes\n",
     {"inputs": "all", "targets": [-1], "one_hot": True, "categories": "auto"},
     "'red' in its first row and again in that column.*write data.read.header=null",
     {"read": {"header": None}}, (3, 4, 2)),
    ("gap.csv", XOR.replace("0,1,1", "0,NA,1"), ALL,
     "no value in column 'x2', row 2: write data.missing=drop .* or data.missing=mean",
     {"missing": "drop"}, (3, 2, 1)),
    ("mark.csv", XOR.replace("0,1,1", "0,?,1"), ALL,
     r"""'\?' in column 'x2', row 2: .*'data.read.na_values=\["\?"\]'""",
     {"read": {"na_values": ["?"]}, "missing": "mean"}, (4, 2, 1)),
    ("marks.csv", XOR.replace("0,1,1", "0,-,1"), {**ALL, "missing": "mean"},
     r"""na_values=\["-"\]""", {"read": {"na_values": {"x2": ["-"]}}}, (4, 2, 1)),
    ("truth.csv", "x1,x2,y\nFalse,0,0\nFalse,1,1\nTrue,0,1\n", ALL,
     "'False' in column 'x1', row 1: .*data.categories=auto", {"categories": "auto"}, (3, 3, 1)),
    ("labels.csv", "x1,x2,y\n0,0,no\n0,1,yes\n1,0,yes\n", ALL,
     "'no' in column 'y', row 1: .*write data.one_hot=true", {"one_hot": True}, (3, 2, 2)),
    ("zeros.csv", "x1,x2,y\n0,0,001\n0,1,1\n1,0,01\n1,1,1\n", {**ALL, "one_hot": True}, "", {},
     (4, 2, 3)),
    ("wine.csv", WINE, {"inputs": "all", "targets": ["grade"]},
     'one column named \'acid level;"sugar";"grade"\'.*write \'data.read.sep=";"\'',
     {"read": {"sep": ";"}}, (3, 2, 1)),
    ("cars.data", CARS, {"inputs": "all", "targets": ["mpg"], "drop": ["name"]},
     r"""separated by blanks: write 'data.read.sep="\\s\+"'""", {"read": {"sep": r"\s+"}},
     (2, 1, 1)),
    ("plants.csv", PLANTS, {"inputs": "all", "targets": [-1], "one_hot": True},
     "'5.1' in its first row.* looks like data: write data.read.header=null",
     {"read": {"header": None}}, (3, 2, 2)),
    ("years.csv", XOR.replace("x1,x2", "1990,1991"), ALL, "data.read.header=0 if these are names",
     {"read": {"header": 0}}, (4, 2, 1)),
    ("heart.csv", HEART, {"inputs": "all", "targets": ["num"], "categories": ["sex"]},
     "column 0 of heart.csv has no name. .*write data.read.index_col=0", {"read": {"index_col": 0}},
     (3, 3, 1)),
    ("pandas.csv", ",0,1,y\n0,5.5,6,1\n1,6.5,5,0\n", {**ALL, "read": {"header": 0}},
     r"data.read.index_col=-4; .*'data.drop=\[-4\]'", {"drop": [-4]}, (2, 2, 1)),
    ("doubled.csv", "x,x,y\n1,2,3\n4,5,6\n", ALL, r"'data.drop=\[0\]'", {"drop": 0}, (2, 1, 1)),
    ("unknown.csv", "k,y\nunknown,1\nu,2\nu,3\n", {**ALL, "categories": "auto"},
     "if it is a category, name the column in data.categories", {"categories": ["k"]}, (3, 2, 1)),
    ("birds.csv", BIRDS,
     {"inputs": "all", "targets": ["species"], "one_hot": True, "missing": "median"},
     r"'Biscoe' in column 'island', row 1 \(and in 1 other column\): .*'data.drop=\[island,sex\]'",
     {"categories": "auto"}, (3, 5, 2)),
    ("split.csv", SPLIT, {"inputs": "all", "targets": ["grade"]},
     "'train' in column 'part', row 1: .*'data.validation=part'", {"validation": "part"},
     (3, 1, 1)),
]
# fmt: on


def load(folder: Path, seed: int = 0, **config: Any) -> Data:
    checked = validated(Group, config, "data").without_unset()
    return load_data(checked, seed=seed, base=folder)


def write(path: Path, content: str | bytes) -> None:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.mark.parametrize(
    ("name", "content", "config", "asked", "answer", "shape"), FILES, ids=[one[0] for one in FILES]
)
def test_file_is_read_or_says_what_to_write(
    tmp_path: Path,
    name: str,
    content: str | bytes,
    config: dict[str, Any],
    asked: str,
    answer: dict[str, Any],
    shape: tuple[int, int, int],
) -> None:
    write(tmp_path / name, content)
    if asked:
        with pytest.raises(ConfigError, match=asked) as caught:
            load(tmp_path, file=name, **config)
        assert len(str(caught.value).splitlines()) == 1
    data = load(tmp_path, file=name, **{**config, **answer})
    assert (len(data.inputs), data.inputs.shape[1], data.targets.shape[1]) == shape


HORSES = "2,1,38.5,?,2\n1,1,?,88,1\n2,9,39.1,164,1\n"

STEPS: list[tuple[str, dict[str, Any], list[tuple[str, dict[str, Any]]], tuple[int, int, int]]] = [
    (
        SENSOR,
        {"inputs": "all", "targets": ["AH"]},
        [
            (
                r"row 1 \(and in 2 other columns\): .*write 'data\.read\.decimal=\",\"'",
                {"read": {"decimal": ","}},
            ),
            (r"'data\.drop=\[Date\]'", {"drop": ["Date"]}),
        ],
        (2, 2, 1),
    ),
    (
        "Date,x,y,,\n1/1,1,2,,\n2/1,3,4,,\n",
        {**ALL, "drop": ["x"]},
        [
            (r"columns 3, 4 .*'data\.drop=\[x,3,4\]'", {"drop": ["x", 3, 4]}),
            (r"data\.inputs=all 'data\.drop=\[x,3,4,Date\]'", {"categories": ["Date"]}),
        ],
        (2, 2, 1),
    ),
    (
        HORSES,
        {"inputs": "all", "targets": [-1]},
        [
            (r"write data\.read\.header=null", {"read": {"header": None}}),
            (r"'data\.read\.na_values=\[\"\?\"\]'", {"read": {"header": None, "na_values": ["?"]}}),
            (r"or data\.missing=mean or median", {"missing": "mean"}),
        ],
        (3, 4, 1),
    ),
]


@pytest.mark.parametrize(
    ("text", "given", "steps", "shape"), STEPS, ids=["sensor", "unnamed", "horses"]
)
def test_advice_that_is_followed_to_its_end_gives_the_rows_and_columns(
    text: str,
    given: dict[str, Any],
    steps: list[tuple[str, dict[str, Any]]],
    shape: tuple[int, int, int],
    tmp_path: Path,
) -> None:
    (tmp_path / "own.csv").write_text(text)
    for told, change in steps:
        with pytest.raises(ConfigError, match=told):
            load(tmp_path, file="own.csv", **given)
        given = {**given, **change}
    data = load(tmp_path, file="own.csv", **given)
    assert (*data.inputs.shape, data.targets.shape[1]) == shape


def test_text_with_a_column_of_its_own_among_the_files_is_exact(tmp_path: Path) -> None:
    write(tmp_path / "sensor.csv", SENSOR)
    asked = {"file": "sensor.csv", "inputs": "all", "targets": "AH", "drop": "Date"}
    data = load(tmp_path, **asked, read={"decimal": ","})
    assert data.inputs.tolist() == [[2.6, 48.9], [2.0, 47.7]]
    assert data.targets.tolist() == [[7.578], [7.255]]


def test_files_of_a_pattern_are_one_in_sorted_order(tmp_path: Path) -> None:
    write(tmp_path / "part2.csv", "x,y\n3,30\n")
    write(tmp_path / "part1.csv", "x,y\n1,10\n2,20\n")
    with zipfile.ZipFile(tmp_path / "part3.csv.zip", "w") as packed:
        packed.writestr("part3.csv", "x,y\n4,40\n")
    data = load(tmp_path, file="part*", inputs="all", targets=["y"])
    assert data.inputs[:, 0].tolist() == [1, 2, 3, 4]
    write(tmp_path / "part4.csv", "y,x\n1,1\n")
    with pytest.raises(ConfigError, match="part4.csv: it has other columns than part1.csv"):
        load(tmp_path, file="part*", inputs="all", targets=["y"])


def test_name_that_is_a_number_is_a_name(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "2,1,0\n5,6,7\n8,9,10\n")
    data = load(tmp_path, file="a.csv", inputs=[2], targets=["0"], read={"header": 0})
    assert (data.inputs.tolist(), data.targets.tolist()) == ([[5], [8]], [[7], [10]])
    data = load(tmp_path, file="a.csv", inputs=[2], targets=[0], read={"header": None})
    assert (data.inputs[:, 0].tolist(), data.targets[:, 0].tolist()) == ([0, 7, 10], [2, 5, 8])


def test_home_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "a.csv", XOR)
    assert len(load(Path("/nowhere"), file="~/a.csv", **ALL).inputs) == 4


@pytest.mark.parametrize(
    ("read", "words"),
    [
        ({"sepp": ";"}, "data.read.sepp: .*did you mean 'sep'"),
        ({"converters": {"x1": "eval"}}, "data.read.converters: there is no such key"),
        ({"storage_options": {"anon": True}}, "data.read.storage_options: there is no such key"),
        ({"engine": "python"}, "data.read.engine: there is no such key"),
        ({"header": 3}, "data.read.header=3: .*data.read.skiprows"),
        ({"skiprows": "two"}, "data.read.skiprows=two"),
        ({"encoding": "latin-99"}, "latin-99"),
        ({"names": ["a", "b"]}, "2 names, but a.csv has 3 columns"),
        ({"decimal": ",,"}, "data.read.decimal=,,: give the decimal point, one"),
        ({"sep": "(("}, "a.csv: it cannot be read as CSV"),
        ({"index_col": "id"}, "data.read.index_col=id"),
    ],
)
def test_option_that_is_none_or_runs_code_is_refused(
    tmp_path: Path, read: dict[str, Any], words: str
) -> None:
    write(tmp_path / "a.csv", XOR)
    with pytest.raises(ConfigError, match=words):
        load(tmp_path, file="a.csv", read=read, **ALL)


def test_options_are_checked_where_a_stored_configuration_is_read_again(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", XOR)
    config = {"file": "a.csv", **ALL, "read": {"converters": {"x1": "eval"}}}
    with pytest.raises(ConfigError, match="data.read.converters: there is no such key"):
        load_data(config, seed=0, base=tmp_path)


def test_number_column_with_some_text_is_no_category(tmp_path: Path) -> None:
    cells = ["1", "2", "3", "4", "later", "6"]
    write(tmp_path / "a.csv", "x,y\n" + "".join(f"{cell},1\n" for cell in cells))
    config = {"file": "a.csv", **ALL, "categories": "auto"}
    with pytest.raises(ConfigError, match="'later' in column 'x', row 5"):
        load(tmp_path, **config)
    assert load(tmp_path, **{**config, "categories": ["x"]}).inputs.shape == (6, 6)


def test_category_that_names_rows_is_refused(tmp_path: Path) -> None:
    lines = "".join(f"name {at},{at}\n" for at in range(30))
    write(tmp_path / "a.csv", "who,y\n" + lines)
    with pytest.raises(ConfigError, match="'who' has 30 values in 30 rows"):
        load(tmp_path, file="a.csv", **ALL, categories="auto")


def test_categories_are_columns_in_order_and_kept_apart(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "a,k,b,y\n5,10,1,0\n6,9,2,0\n7,010,3,0\n8,10,4,0\n")
    data = load(tmp_path, file="a.csv", **ALL, categories=["k"])
    assert data.inputs.tolist() == [
        [5, 0, 0, 1, 1],
        [6, 1, 0, 0, 2],
        [7, 0, 1, 0, 3],
        [8, 0, 0, 1, 4],
    ]
    assert data.preparation.inputs[1].values == ("9", "010", "10")


@pytest.mark.parametrize(("missing", "filled"), [("mean", 3.0), ("median", 2.0)])
def test_gaps_are_filled_from_the_training_rows(
    tmp_path: Path, missing: str, filled: float
) -> None:
    write(tmp_path / "a.csv", "x,p,y\n1,0,1\n2,0,1\n6,0,1\n,0,1\n100,1,1\n,1,1\n")
    data = load(tmp_path, file="a.csv", **ALL, missing=missing, validation="p")
    assert data.inputs[:, 0].tolist() == [1, 2, 6, filled]
    assert data.validation_inputs is not None
    assert data.validation_inputs[:, 0].tolist() == [100, filled]
    assert f"2 missing numbers filled in with the column's {missing}" in data.summary


def test_missing_target_is_never_filled(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "x,y\n1,\n2,3\n")
    with pytest.raises(ConfigError, match="'y', row 1: write data.missing=drop") as caught:
        load(tmp_path, file="a.csv", **ALL, missing="mean")
    assert "mean" not in str(caught.value)
    data = load(tmp_path, file="a.csv", **ALL, missing="drop")
    assert data.summary == "2 rows: 1 trained on, 1 left out for a missing value"


def test_split_has_a_seed_of_its_own(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "x,y\n" + "".join(f"{at},0\n" for at in range(20)))
    config = {"file": "a.csv", **ALL, "validation": 0.3}
    free = {load(tmp_path, seed, **config).digest for seed in range(4)}
    held = {load(tmp_path, seed, **config, split_seed=1).digest for seed in range(4)}
    assert len(free) == 4
    assert held == {load(tmp_path, 1, **config).digest}


def test_folds_keep_each_row_back_once(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "x,y\n" + "".join(f"{at},0\n" for at in range(11)))
    back: list[float] = []
    for fold in range(3):
        data = load(tmp_path, file="a.csv", **ALL, folds=3, fold=fold, split_seed=5)
        assert data.validation_inputs is not None
        assert len(data.inputs) + len(data.validation_inputs) == 11
        back += data.validation_inputs[:, 0].tolist()
    assert sorted(back) == list(range(11))


def test_column_that_splits_needs_words_that_are_known(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", SPLIT.replace("test", "later"))
    config = {"file": "a.csv", "inputs": "all", "targets": ["grade"], "validation": "part"}
    with pytest.raises(ConfigError, match="a row has 'later'; write train, validation or test"):
        load(tmp_path, **config)
    write(tmp_path / "a.csv", SPLIT.replace("validation", "test"))
    data = load(tmp_path, **config)
    assert data.validation_inputs is not None and len(data.validation_inputs) == 2
    write(tmp_path / "a.csv", SPLIT.replace("validation", "train").replace("test", "train"))
    with pytest.raises(ConfigError, match="no row to keep back"):
        load(tmp_path, **config)


def test_second_file_is_prepared_as_the_first(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "x,k,y\n1,u,1\n3,v,2\n")
    write(tmp_path / "b.csv", "k,y,x\nv,5,7\nw,6,\n")
    data = load(
        tmp_path,
        file="a.csv",
        **ALL,
        validation="b.csv",
        categories="auto",
        missing="mean",
        standardize=True,
    )
    assert data.inputs.tolist() == [[-1, 1, 0], [1, 0, 1]]
    assert data.validation_inputs is not None and data.validation_targets is not None
    assert data.validation_inputs.tolist() == [[5, 0, 1], [0, 0, 0]]
    assert data.validation_targets.tolist() == [[5], [6]]


def test_second_file_has_the_categories_of_the_first(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "x,k,y\n1,7,1\n3,v,2\n")
    write(tmp_path / "b.csv", "x,k,y\n7,7,5\n")
    write(tmp_path / "c.csv", "x,k,y\nu,7,5\n")
    asked = {"file": "a.csv", **ALL, "categories": "auto"}
    data = load(tmp_path, **asked, validation="b.csv")
    assert data.validation_inputs is not None
    assert data.validation_inputs.tolist() == [[7, 1, 0]]
    with pytest.raises(ConfigError, match="c.csv: it holds 'u' in column 'x', row 1"):
        load(tmp_path, **asked, validation="c.csv")


def test_row_labels_of_a_parquet_file_are_no_inputs(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0], "y": [0, 1]}, index=[7, 9])
    for name in (None, "id"):
        frame.rename_axis(name).to_parquet(tmp_path / "a.parquet")
        assert load(tmp_path, file="a.parquet", **ALL).inputs.tolist() == [[1], [2]]
    assert load(tmp_path, file="a.parquet", inputs=["id"], targets="y").inputs[0, 0] == 7


def test_file_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    for name in ("~no-such-user/a.csv", "a" * 300 + ".csv"):
        with pytest.raises(ConfigError, match=f"data.file=.*{name}: it does not exist"):
            load(tmp_path, file=name, **ALL)
    with zipfile.ZipFile(tmp_path / "a.csv.zip", "w") as packed:
        packed.writestr("a.csv", XOR)
    content = bytearray((tmp_path / "a.csv.zip").read_bytes())
    for header, flags in (b"PK\x03\x04", 6), (b"PK\x01\x02", 8):
        content[content.index(header) + flags] |= 1  # protected by a password
    (tmp_path / "a.csv.zip").write_bytes(content)
    with pytest.raises(ConfigError, match="a.csv.zip: it cannot be read as CSV: .*encrypted"):
        load(tmp_path, file="a.csv.zip", **ALL)
    np.savez(tmp_path / "a.npz", x=np.zeros(2, "V8"), y=np.ones(2))
    with pytest.raises(ConfigError, match="'x' as .*, which is never loaded: save it as numbers"):
        load(tmp_path, file="a.npz", inputs=["x"], targets=["y"])


@pytest.mark.parametrize("cells", [["2020-01-01", "2021-01-01"], [1 + 2j, 3]])
def test_dates_and_complex_numbers_are_no_numbers(tmp_path: Path, cells: list[Any]) -> None:
    kind = complex if isinstance(cells[0], complex) else "datetime64[D]"
    np.savez(tmp_path / "a.npz", x=np.array(cells, kind), y=np.ones(2))
    with pytest.raises(ConfigError, match="in column 'x', row 1: it must be a number"):
        load(tmp_path, file="a.npz", inputs=["x"], targets=["y"])


def test_preparation_survives_json_to_the_last_bit(tmp_path: Path) -> None:
    import json

    x = np.random.default_rng(0).normal(size=(50, 2))
    lines = [f"{a!r},{b!r},{'uvw'[at % 3]}\n" for at, (a, b) in enumerate(x.tolist())]
    write(tmp_path / "a.csv", "a,b,y\n" + "".join(lines))
    made = load(tmp_path, file="a.csv", **ALL, one_hot=True, standardize=True).preparation
    assert type(made).from_document(json.loads(json.dumps(made.document()))) == made
    assert made.classes == ("u", "v", "w")
    assert made.widths == (2, 3)
