"""Data files: which there are, their columns, and their rows piece by piece.

A file is never held as a whole, nothing in it is run or unpickled, and no address is opened:
what is read is a local path. pandas and pyarrow are imported when a file is opened.
"""

from __future__ import annotations

import glob
import lzma
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.checks import known_keys, one_of
from sweep.errors import ConfigError
from sweep.training.data.arrays import npz_groups, npz_pieces, parquet_names, parquet_pieces
from sweep.training.data.hints import encoding_hint, quoted
from sweep.training.data.text import READ, text_names, text_pieces

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Source", "is_file_name", "open_source", "paths_of"]

PIECE_ROWS = 65_536

TEXT = (".csv", ".tsv", ".data", ".txt")
PACKED = (".gz", ".bz2", ".xz", ".zip")
ENDINGS = (*TEXT, ".parquet", ".npz")
"""Kinds of files by the end of their name; one of PACKED may follow those of TEXT."""

UNREADABLE = (
    *(ValueError, OSError, EOFError, LookupError, Warning),
    *(zlib.error, lzma.LZMAError, zipfile.BadZipFile),
)


@dataclass(frozen=True)
class Source:
    """One or several files with the same columns.

    Attributes
    ----------
    paths
        The files, in the order of their rows.
    names
        The name of each column, without blanks at its ends; its position where it has none.
    groups
        What a configuration can name -> positions: a column, or a matrix of an NPZ file.
    read
        Options of pandas.read_csv.
    """

    paths: tuple[Path, ...]
    names: tuple[str, ...]
    groups: Mapping[str, Sequence[int]]
    read: Mapping[str, Any]

    def positions(self, column: Any, what: str) -> Sequence[int]:
        """Return the positions of a column that is named, or else given by its position from 0.

        Raises
        ------
        ConfigError
            There is no such column, or there are two of that name.
        """
        if isinstance(column, int) and str(column) not in self.groups:
            if -len(self.names) <= column < len(self.names):
                return [column % len(self.names)]
            raise ConfigError(f"{what} is {column}: the columns are 0 to {len(self.names) - 1}.")
        name = str(column).strip()
        if self.names.count(name) > 1:
            raise ConfigError(
                f"{what} is {name!r}: {self.paths[0].name} has two columns named {name!r}; say "
                "which by its position, from 0."
            )
        if name in self.groups:
            return self.groups[name]
        near = get_close_matches(name, self.groups, n=1)
        if near:
            raise ConfigError(f"{what} is {name!r}: did you mean {quoted(near[0])}?")
        known = ", ".join(map(quoted, list(self.groups)[:40]))
        more = ", ..." if len(self.groups) > 40 else ""
        raise ConfigError(
            f"{what} is {name!r}: it must be one of {known}{more}, the columns of "
            f"{self.paths[0].name}."
        )

    def pieces(
        self, columns: Sequence[int], text: Collection[int]
    ) -> Iterator[tuple[Path, int, pd.DataFrame]]:
        """Yield a file, how many of its rows came before, and rows with at least the `columns`.

        Those of `text` come as text where the file is one.

        Raises
        ------
        ConfigError
            A file cannot be read.
        """
        for path in self.paths:
            first = 0
            with _reading(path):
                kind = _kind(path)
                if kind == ".parquet":
                    frames = parquet_pieces(path, columns, PIECE_ROWS)
                elif kind == ".npz":
                    frames = npz_pieces(path, self.groups, columns, PIECE_ROWS)
                else:
                    frames = text_pieces(path, self.read, len(self.names), text, PIECE_ROWS)
                for frame in frames:
                    yield path, first, frame
                    first += len(frame)


def is_file_name(text: str) -> bool:
    """Return whether a text ends as the name of a data file."""
    path = Path(text.lower())
    return (path.with_suffix("") if path.suffix in PACKED else path).suffix in ENDINGS


def paths_of(file: str, base: Path, what: str = "data.file") -> tuple[Path, ...]:
    """Return the files of a path or pattern, sorted; relative to `base`.

    Raises
    ------
    ConfigError
        There is none, or one of them is no file.
    """
    path = base / Path(file).expanduser()
    found = [path] if path.exists() else sorted(map(Path, glob.glob(str(path), recursive=True)))
    if not found:
        raise ConfigError(
            f"{what} {path} does not exist"
            + ("; no file matches this pattern." if glob.has_magic(file) else ".")
        )
    for one in found:
        if not one.is_file():
            raise ConfigError(f"{what} {one} is no file.")
    return tuple(found)


def open_source(paths: Sequence[Path], read: Mapping[str, Any]) -> Source:
    """Return the columns of files.

    Parameters
    ----------
    read
        Options of pandas.read_csv, of READ alone; None stands for pandas' own default, but
        for `header`, where it says that there is none.

    Raises
    ------
    ConfigError
        A file cannot be read, is not what its name says or looks misread, or the files have
        different columns.
    """
    known_keys(read, READ, "data.read")
    options = {key: value for key, value in read.items() if value is not None}
    options["header"] = read.get("header", "infer")
    columns = []
    for path in paths:
        with _reading(path):
            columns.append(_columns(path, options))
        if columns[-1] != columns[0]:
            raise ConfigError(
                f"data.file {path} has other columns than {paths[0].name}: files of one pattern "
                "must have the same header."
            )
    names, groups = columns[0]
    return Source(tuple(paths), tuple(names), groups, options)


def _columns(path: Path, read: Mapping[str, Any]) -> tuple[list[str], dict[str, list[int]]]:
    kind = _kind(path)
    if kind not in TEXT and read != {"header": "infer"}:
        raise ConfigError(f"data.read is for text files: leave it out for {path.name}.")
    if kind != ".npz":
        names = parquet_names(path) if kind == ".parquet" else text_names(path, read)
        return names, {name: [at] for at, name in enumerate(names)}
    names, groups = [], {}
    for name, wide in npz_groups(path).items():
        groups[name] = list(range(len(names), len(names) + (wide or 1)))
        names += [f"{name}[{at}]" for at in range(wide)] or [name]
    return names, {name: [at] for at, name in enumerate(names)} | groups


def _kind(path: Path) -> str:
    """Return one of ENDINGS."""
    ending = path.suffix.lower()
    if ending in PACKED:
        ending = path.with_suffix("").suffix.lower() or ".csv"
        return one_of(ending, TEXT, f"what is packed in data.file {path.name}")
    if ending in ENDINGS:
        return ending
    raise ConfigError(
        f"data.file {path.name}: files that end with {ending!r} cannot be read; use one of "
        f"{', '.join(ENDINGS)}, the first four also with {', '.join(PACKED)}."
    )


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what goes wrong with a file within into one sentence."""
    try:
        yield
    except PermissionError as error:
        raise ConfigError(f"data.file {path} may not be read: {error.strerror}.") from error
    except UnicodeError as error:
        raise ConfigError(f"data.file {path} {encoding_hint(error)}") from error
    except UNREADABLE as error:
        cause = str(error).strip().splitlines() or [type(error).__name__]
        kind = _kind(path).lstrip(".").upper()
        raise ConfigError(f"data.file {path} cannot be read as {kind}: {cause[0]}") from error
