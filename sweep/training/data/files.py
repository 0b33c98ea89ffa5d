"""Read named columns of CSV, Parquet and NPZ files, piece by piece.

A file is opened twice by its reader, once to count rows and once to read them, so that the
caller can make its arrays first and no column is ever held twice. Nothing is unpickled.
pyarrow is imported when a file of its kind is opened.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from sweep.checks import one_of
from sweep.errors import ConfigError
from sweep.training.data.columns import Blocks, Columns

__all__ = ["KINDS", "open_columns"]

PIECE_ROWS = 65_536


class CsvColumns(Columns):
    """A CSV file with a header; numbers are read exactly rounded."""

    def open(self) -> None:
        import pyarrow as pa
        from pyarrow import csv

        try:
            with csv.open_csv(self.path) as reader:
                self.check_names(reader.schema.names)
            self.rows = sum(len(batch) for batch in self._batches(self.chosen[:1], text=True))
        except (pa.ArrowException, ValueError) as error:
            raise self.unreadable(error) from error

    def blocks(self) -> Blocks:
        import pyarrow as pa

        try:
            for batch in self._batches(self.chosen, text=False):
                yield {column: _numpy(batch.column(column)) for column in self.chosen}
        except (pa.ArrowException, ValueError) as error:
            raise self._first_text() or self.unreadable(error) from error

    def _batches(self, columns: Sequence[str], *, text: bool) -> Iterator[Any]:
        import pyarrow as pa
        from pyarrow import csv

        kinds = {name: pa.string() if text else pa.float64() for name in self.numbers}
        kinds |= {name: pa.string() for name in self.labels}
        options = csv.ConvertOptions(
            include_columns=list(columns),
            column_types={name: kinds[name] for name in columns},
            strings_can_be_null=False,
        )
        with csv.open_csv(self.path, convert_options=options) as reader:
            yield from reader

    def _first_text(self) -> ConfigError | None:
        """Return the refusal that names the first cell that is no number, if there is one."""
        import pyarrow as pa

        row = 0
        for batch in self._batches(self.numbers, text=True):
            wrong: list[tuple[int, str, Any]] = []
            for column in self.numbers:
                cells = batch.column(column)
                try:
                    cells.cast(pa.float64())
                except pa.ArrowInvalid:
                    wrong.append(_first_wrong(cells, column))
            if wrong:
                at, column, value = min(wrong)
                return self.text(column, row + at, value)
            row += len(batch)
        return None


class ParquetColumns(Columns):
    """A Parquet file; whole numbers, floats and booleans are numbers."""

    def open(self) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        try:
            with parquet.ParquetFile(self.path) as file:
                self.check_names(file.schema_arrow.names)
                self.rows = file.metadata.num_rows
                for column in self.numbers:
                    kind = file.schema_arrow.field(column).type
                    if not (
                        pa.types.is_integer(kind)
                        or pa.types.is_floating(kind)
                        or pa.types.is_boolean(kind)
                    ):
                        first = next(file.iter_batches(1, columns=[column]), None)
                        value = None if first is None else first.column(0)[0].as_py()
                        raise self.text(column, 0, value)
        except (pa.ArrowException, OSError) as error:
            raise self.unreadable(error) from error

    def blocks(self) -> Blocks:
        import pyarrow as pa
        from pyarrow import parquet

        try:
            with parquet.ParquetFile(self.path) as file:
                for batch in file.iter_batches(PIECE_ROWS, columns=self.chosen):
                    yield {column: _numpy(batch.column(column)) for column in self.chosen}
        except (pa.ArrowException, OSError) as error:
            raise self.unreadable(error) from error


class NpzColumns(Columns):
    """Arrays of an NPZ file: a vector is a column, a matrix as many as it is wide."""

    def open(self) -> None:
        try:
            with zipfile.ZipFile(self.path) as file:
                self.check_names([name.removesuffix(".npy") for name in file.namelist()])
                heads = {column: self._head(file, column) for column in self.chosen}
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise self.unreadable(error) from error
        lengths = {}
        for column, (shape, _, dtype) in heads.items():
            if len(shape) not in (1, 2) or (len(shape) == 2 and column in self.labels):
                raise ConfigError(
                    f"data.file {self.path} holds {column!r} with shape {shape}: it must be a "
                    "vector, or a matrix with a row a sample."
                )
            if column in self.numbers and dtype.kind not in "biuf":
                raise ConfigError(
                    f"data.file {self.path} holds {column!r} as {dtype}: it must hold numbers."
                )
            self.widths[column] = shape[1] if len(shape) == 2 else 1
            lengths[column] = shape[0]
        if len(set(lengths.values())) > 1:
            raise ConfigError(f"data.file {self.path} has arrays of unlike length: {lengths}.")
        self.rows = next(iter(lengths.values()))

    def blocks(self) -> Blocks:
        try:
            with zipfile.ZipFile(self.path) as file, ExitStack() as stack:
                streams = {c: stack.enter_context(file.open(f"{c}.npy")) for c in self.chosen}
                heads = {c: _array_head(stream) for c, stream in streams.items()}
                whole = {
                    c: np.lib.format.read_array(file.open(f"{c}.npy"), allow_pickle=False)
                    for c, (_, fortran, _) in heads.items()
                    if fortran
                }
                for first in range(0, self.rows, PIECE_ROWS):
                    count = min(PIECE_ROWS, self.rows - first)
                    yield {
                        c: whole[c][first : first + count]
                        if c in whole
                        else _piece(streams[c], count, *heads[c])
                        for c in self.chosen
                    }
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise self.unreadable(error) from error

    def _head(self, file: zipfile.ZipFile, column: str) -> tuple[tuple[int, ...], bool, Any]:
        with file.open(f"{column}.npy") as stream:
            head = _array_head(stream)
        if head[2].hasobject:
            raise ConfigError(
                f"data.file {self.path} holds {column!r} as pickled objects, which are never "
                "loaded: save it as numbers."
            )
        return head


KINDS: Mapping[str, type[Columns]] = {
    ".csv": CsvColumns,
    ".parquet": ParquetColumns,
    ".npz": NpzColumns,
}
"""The reader of each kind of file, by the end of its name."""


def open_columns(path: Path, numbers: Sequence[str], labels: Sequence[str] = ()) -> Columns:
    """Open `path` for its columns of `numbers` and of `labels`; raise ConfigError if it cannot."""
    if not path.exists():
        raise ConfigError(f"data.file {path} does not exist.")
    if not path.is_file():
        raise ConfigError(f"data.file {path} is no file.")
    kind = one_of(path.suffix.lower(), KINDS, f"the end of data.file {path.name}")
    try:
        return KINDS[kind](path, numbers, labels)
    except PermissionError as error:
        raise ConfigError(f"data.file {path} may not be read: {error.strerror}.") from error


def _numpy(column: Any) -> npt.NDArray[Any]:
    """Return an Arrow column as NumPy: numbers as float64, nothing as NaN."""
    import pyarrow as pa

    if pa.types.is_string(column.type) or pa.types.is_dictionary(column.type):
        return np.array(column.to_pylist(), dtype=object)
    values = column.to_numpy(zero_copy_only=False)
    if values.dtype == object:  # booleans or whole numbers with gaps
        return np.array([np.nan if v is None else v for v in values], dtype=np.float64)
    return np.asarray(values, dtype=np.float64)


def _first_wrong(cells: Any, column: str) -> tuple[int, str, Any]:
    import pyarrow as pa

    for at, cell in enumerate(cells):
        try:
            cell.cast(pa.float64())
        except pa.ArrowInvalid:
            return at, column, cell.as_py()
    return len(cells), column, None


def _array_head(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, Any]:
    """Read the head of one .npy array: its shape, whether columns come first, its type."""
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(stream)
    return np.lib.format.read_array_header_2_0(stream)


def _piece(
    stream: IO[bytes], count: int, shape: tuple[int, ...], fortran: bool, dtype: Any
) -> npt.NDArray[Any]:
    size = count * int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize
    return np.frombuffer(stream.read(size), dtype=dtype).reshape(count, *shape[1:])
