"""Read data files in chunks: text by pandas.read_csv, Parquet by pyarrow, NPZ by NumPy.

The columns of the frames are positions. Nothing is executed or unpickled. Messages suggest options
for files that are read with wrong ones.
"""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from sweep.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

ROWS = 65_536  # at most, of a frame

SPLIT = (
    *("sep", "quotechar", "quoting", "doublequote", "escapechar", "comment", "skipinitialspace"),
    *("skiprows", "skip_blank_lines", "lineterminator"),
    *("encoding", "encoding_errors", "compression"),
)
"""Options of read_csv for splitting a file into cells."""

VALUES = (
    *("decimal", "thousands", "na_values", "keep_default_na", "true_values", "false_values"),
    "nrows",
)

READ = (*SPLIT, *VALUES, "header", "names", "index_col")
"""Options of pandas.read_csv that `data.read` accepts; none executes code."""

UNNAMED = "Unnamed: "  # begins the name of a column without one; its position follows

SEPARATORS = {";": ";", "\t": r"\t", "|": "|", ",": ",", r"\s+": r"\s+"}
"""Separator -> how to write it on the command line."""

NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)
COMMA = re.compile(r"[-+]?\d*,\d+")
THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?")
GAP = re.compile(r"[^\w]{1,3}|na|n\.a\.|unknown|missing|nil", re.IGNORECASE)


def text_names(path: Path, what: str, read: Mapping[str, Any]) -> list[str]:
    """Return the columns' names; their positions if there is no header."""
    import pandas as pd

    split = _split(path, read)
    first = pd.read_csv(path, header=None, nrows=1, dtype=str, na_filter=False, **split)
    cells = [str(cell).strip() for cell in first.iloc[0]]
    check_head(path, what, cells, read, split)
    if "names" in read:
        if len(read["names"]) != len(cells):
            raise ConfigError(
                f"data.read.names has {len(read['names'])} names, but {path.name} has "
                f"{len(cells)} columns."
            )
        return list(read["names"])
    if read["header"] is None:
        return list(map(str, range(len(cells))))
    return [cell or f"{UNNAMED}{at}" for at, cell in enumerate(cells)]


def text_frames(
    path: Path,
    what: str,
    read: Mapping[str, Any],
    names: Sequence[str],
    columns: Sequence[int],
    text: Collection[int],
) -> Iterator[pd.DataFrame]:
    """Yield frames with all columns; those of `text` as text, the other `columns` are checked."""
    import pandas as pd

    options = _split(path, read) | {key: read[key] for key in VALUES if key in read}
    marks = options.get("na_values")
    if isinstance(marks, Mapping):
        for name in marks:
            if name not in names:
                raise ConfigError(f"data.read.na_values: {path.name} has no column {name!r}.")
        options["na_values"] = {names.index(name): mark for name, mark in marks.items()}
    header = read["header"]
    options["header"] = header if header != "infer" else None if "names" in read else 0
    if "engine" not in options:
        options["low_memory"] = False
        if pd.__version__ < "3":
            options["float_precision"] = "round_trip"  # the default is exact from pandas 3 on
    options |= {"names": range(len(names)), "dtype": dict.fromkeys(text, str)}
    with warnings.catch_warnings():
        # pandas warns if it truncates rows, but not with `usecols`
        warnings.simplefilter("error", pd.errors.ParserWarning)
        with pd.read_csv(path, index_col=False, chunksize=ROWS, **options) as frames:
            if options.pop("thousands", None) is None:
                yield from frames
                return
            options["dtype"] = str
            with pd.read_csv(path, index_col=False, chunksize=ROWS, **options) as cells:
                for frame, texts in zip(frames, cells, strict=True):
                    numbers = [at for at in columns if frame[at].dtype.kind in "iuf"]
                    _check_groups(what, names, texts[numbers], read)
                    yield frame


def _check_groups(
    what: str,
    names: Sequence[str],
    cells: pd.DataFrame,
    read: Mapping[str, Any],
) -> None:
    """Raise ConfigError for a number that `thousands` does not separate into groups.

    pandas removes the character wherever it is: with ``,`` it reads 48,9 as 489.
    """
    thousands = read["thousands"]
    mark, point = re.escape(thousands), re.escape(read.get("decimal", "."))
    grouped = rf"[-+]?[1-9]\d{{0,2}}({mark}\d{{2,3}})*{mark}\d{{3}}({point}\d*)?(e[-+]?\d+)?"
    for at, column in cells.items():
        given = column[column.str.contains(thousands, regex=False, na=False)].str.strip()
        wrong = given[~given.str.fullmatch(grouped, case=False)]
        if len(wrong):
            raise ConfigError(
                f"{what} holds {wrong.iloc[0]!r} in column {names[int(str(at))]!r}, row "
                f"{wrong.index[0] + 1}: data.read.thousands separates groups of three digits; if "
                f"{thousands!r} is the decimal point, write 'data.read.decimal=\"{thousands}\"' in "
                "its place."
            )


def _split(path: Path, read: Mapping[str, Any]) -> dict[str, Any]:
    options = {key: read[key] for key in SPLIT if key in read}
    sep = options.setdefault("sep", "\t" if ".tsv" in path.name.lower() else ",")
    if sep == r"\t":
        options["sep"] = "\t"
    elif (len(sep) > 1 and sep != r"\s+") or not f"{sep}{read.get('quotechar', '')}".isascii():
        options["engine"] = "python"  # for a regular expression, or a character outside ASCII
    return options


def parquet_frames(path: Path, columns: Sequence[int]) -> Iterator[pd.DataFrame]:
    """Yield frames with the chosen columns."""
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        names = [file.schema_arrow.names[at] for at in columns]
        for batch in file.iter_batches(ROWS, columns=names):
            frame = batch.select(names).to_pandas(ignore_metadata=True)
            yield frame.set_axis(list(columns), axis=1)


def npz_widths(path: Path, what: str) -> dict[str, int]:
    """Return each array's number of columns, 0 for a vector."""
    lengths, widths = {}, {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            name = member.removesuffix(".npy")
            with archive.open(member) as stream:
                shape, _, dtype = _npy_header(stream)
            if dtype.hasobject or dtype.kind == "V":
                raise ConfigError(
                    f"{what} holds {name!r} as {dtype}, which is never loaded: save it as numbers."
                )
            if len(shape) not in (1, 2):
                raise ConfigError(
                    f"{what} holds {name!r} with shape {shape}: it must be a vector, or "
                    "a matrix with a row a sample."
                )
            lengths[name], *rest = shape
            widths[name] = sum(rest)
    if len(set(lengths.values())) > 1:
        raise ConfigError(f"{what} has arrays of unlike length: {lengths}.")
    return widths


def npz_frames(path: Path, arrays: Mapping[str, Sequence[int]]) -> Iterator[pd.DataFrame]:
    """Yield frames with the columns of `arrays` (name -> positions)."""
    import pandas as pd

    with zipfile.ZipFile(path) as archive, ExitStack() as stack:
        streams: dict[str, tuple[IO[bytes], Any]] = {}
        held = {}
        for name in arrays:
            stream = stack.enter_context(archive.open(f"{name}.npy"))
            (length, *_), by_column, dtype = _npy_header(stream)
            streams[name] = stream, dtype
            if by_column:  # Fortran order: rows are not contiguous in the file
                held[name] = np.frombuffer(stream.read(), dtype).reshape(-1, length).T
        for first in range(0, length, ROWS):
            count = min(ROWS, length - first)
            frame: dict[int, Any] = {}
            for name, (stream, dtype) in streams.items():
                if name in held:
                    rows = held[name][first : first + count]
                else:
                    content = stream.read(count * len(arrays[name]) * dtype.itemsize)
                    rows = np.frombuffer(content, dtype).reshape(count, -1)
                frame |= dict(zip(arrays[name], rows.T, strict=True))
            yield pd.DataFrame(frame)


def _npy_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, Any]:
    """Return an array's shape, whether it is in Fortran order, and its dtype."""
    if np.lib.format.read_magic(stream) == (1, 0):
        return np.lib.format.read_array_header_1_0(stream)
    return np.lib.format.read_array_header_2_0(stream)


def quoted(name: Any) -> str:
    """Return a column's name, in quotes if the command line needs them."""
    text = str(name)
    return text if re.fullmatch(r"[A-Za-z_]\w*", text, re.ASCII) else f'"{text}"'


def check_head(
    path: Path,
    what: str,
    cells: Sequence[str],
    read: Mapping[str, Any],
    split: Mapping[str, Any],
) -> None:
    """Raise ConfigError if the first row of a text file shows that options are wrong.

    `read` has all options, `split` only those for splitting the file into cells.
    """
    named = read["header"] == "infer" and "names" not in read
    if named and cells[0][:1] in ("#", "%") and "comment" not in read:
        raise ConfigError(
            f"{what} begins with {cells[0][:60]!r}: if this line is a comment, write "
            f"'data.read.comment=\"{cells[0][0]}\"'; if it names the columns, data.read.header=0."
        )
    if len(cells) == 1:
        found = dict(_separators(path, split))
        sep = max(found, key=found.__getitem__, default=None)
        sep = sep or next((one for one in ";\t" if one in cells[0]), None)
        if sep is not None:
            raise ConfigError(
                f"{what} has one column named {cells[0][:60]!r}. It looks separated by "
                f"{'blanks' if sep.startswith(chr(92)) else repr(sep)}: write "
                f"'data.read.sep=\"{SEPARATORS[sep]}\"'."
            )
    numbers = [cell for cell in cells if NUMBER.fullmatch(cell.replace(",", ""))]
    if named and numbers:
        raise ConfigError(
            f"{what} has {numbers[0]!r} in its first row, which should hold the names of the "
            "columns. It looks like data: write data.read.header=null, or data.read.header=0 if "
            "these are names."
        )


def _separators(path: Path, split: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Yield separators that split all of the first rows into equally many cells, and how many."""
    import pandas as pd

    others = {key: value for key, value in split.items() if key not in ("sep", "engine")}
    for sep in SEPARATORS:
        try:
            frame = pd.read_csv(path, sep=sep, header=None, nrows=20, dtype=str, **others)
        except (ValueError, OSError):
            continue  # rows of different lengths
        full = frame.iloc[1:].notna().any()  # an empty column: the separator is part of a text
        if len(frame) > 1 and len(full) > 1 and full.all():
            yield sep, len(full)


def plain_numbers(read: Mapping[str, Any]) -> dict[int, str | None]:
    """Return the table of str.translate from a file's numbers to ones with a decimal point."""
    decimal, thousands = read.get("decimal", "."), read.get("thousands")
    table: dict[int, str | None] = {} if decimal == "." else {ord("."): "?", ord(decimal): "."}
    return table if thousands is None else {**table, ord(thousands): None}


def number_hints(cells: Mapping[int, str], read: Mapping[str, Any]) -> dict[int, str]:
    """Return advice by column, for cells in another number format or marking a missing value."""
    comma = any(COMMA.fullmatch(cell) and not THOUSANDS.fullmatch(cell) for cell in cells.values())
    swapped = str.maketrans(",.", ".,")
    hints = {}
    for at, cell in cells.items():
        if read.get("decimal") == "," and THOUSANDS.fullmatch(cell.translate(swapped)):
            hints[at] = "write 'data.read.thousands=\".\"'"
        elif NUMBER.fullmatch(cell):  # data.read.decimal is another character
            hints[at] = "leave out data.read.decimal where numbers have a point"
        elif THOUSANDS.fullmatch(cell) and not comma:
            other = ", or decimal in place of thousands" if COMMA.fullmatch(cell) else ""
            hints[at] = f"write 'data.read.thousands=\",\"'{other}"
        elif COMMA.fullmatch(cell):
            hints[at] = "write 'data.read.decimal=\",\"'"
        elif GAP.fullmatch(cell):
            category = "; if it is a category, name the column in data.categories"
            hints[at] = "if it stands for a missing value, write "
            hints[at] += f"'data.read.na_values=[\"{cell}\"]'{category if cell.isalpha() else ''}"
    return hints
