"""Find data files, and read their column names and rows; local paths only.

pandas and pyarrow are imported when a file is opened.
"""

from __future__ import annotations

import glob
import itertools
import lzma
import os
import re
import zipfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.checks import known_keys, valid_text
from sweep.errors import ConfigError
from sweep.training.data import formats
from sweep.training.data.formats import UNNAMED, quoted

if TYPE_CHECKING:
    import pandas as pd

TEXT = (".csv", ".tsv", ".data", ".txt")
PACKED = (".gz", ".bz2", ".xz", ".zip")
ENDINGS = (*TEXT, ".parquet", ".npz")
"""Supported suffixes; those of TEXT may be followed by one of PACKED."""

UNREADABLE = (
    *(ValueError, OSError, EOFError, LookupError, RuntimeError, re.error),
    *(zlib.error, lzma.LZMAError, zipfile.BadZipFile),
)


@dataclass(frozen=True)
class Source:
    """Files with the same columns, or a data frame."""

    paths: tuple[Path, ...]  # in the order of their rows
    names: tuple[str, ...]  # of the columns; the position of a column without a name
    read: Mapping[str, Any] = field(default_factory=dict)  # options of pandas.read_csv
    matrices: Mapping[str, Sequence[int]] = field(default_factory=dict)  # NPZ array -> positions
    frame: pd.DataFrame | None = None  # used instead of files
    key: str = "data.file"  # that names the files

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Source:
        """Return the source of a data frame."""
        names = tuple(str(name).strip() for name in frame.columns)
        rows = frame.set_axis(range(len(names)), axis=1)
        return cls((Path("the frame"),), names, frame=rows)

    @cached_property
    def unique(self) -> list[str]:
        """The columns' names; equal ones are followed by their number, as x[0] and x[1]."""
        count, same = Counter(self.names), defaultdict[str, Iterator[int]](itertools.count)
        return [f"{one}[{next(same[one])}]" if count[one] > 1 else one for one in self.names]

    @cached_property
    def groups(self) -> dict[str, Sequence[int]]:
        """Name of a column or matrix -> positions of its columns."""
        names = (self.names, self.unique)
        found = {name: [at] for given in names for at, name in enumerate(given)}
        return found | {**self.matrices}

    @cached_property
    def doubled(self) -> set[str]:
        """The names of several columns."""
        names = (name for both in zip(self.names, self.unique, strict=True) for name in {*both})
        return {name for name, count in Counter(names).items() if count > 1}

    def written(self, at: int) -> str:
        """Return how a user names the column at a position."""
        name = self.names[at]
        if name not in self.doubled and not name.startswith(UNNAMED):
            return quoted(name)
        return str(at - len(self.names) if str(at) in self.groups else at)  # a number may be a name

    def positions(self, column: Any, what: str) -> Sequence[int]:
        """Return the positions of a column or matrix, given by name or by position from 0.

        `what` is the beginning of ConfigError's messages.
        """
        name, file = str(column).strip(), self.paths[0].name
        if name in self.doubled:
            same = [self.written(at) for at, one in enumerate(self.names) if one == name]
            raise ConfigError(
                f"{what}: {file} has two columns named {name!r}; say which by its position, "
                f"{' or '.join(same)}."
            )
        if name in self.groups:
            return self.groups[name]
        if re.fullmatch(r"-?\d{1,9}", name, re.ASCII):
            if -len(self.names) <= int(name) < len(self.names):
                return [int(name) % len(self.names)]
            raise ConfigError(f"{what}: the columns are 0 to {len(self.names) - 1}.")
        near = get_close_matches(name, self.groups, n=1)
        if near:
            raise ConfigError(f"{what}: did you mean {quoted(near[0])}?")
        known = [*map(quoted, self.groups)]
        listed = ", ".join([*known[:40], *["..."] * (len(known) > 40)])
        raise ConfigError(f"{what}: it must be one of {listed}, the columns of {file}.")

    def pieces(
        self, columns: Sequence[int], text: Collection[int]
    ) -> Iterator[tuple[str, pd.DataFrame]]:
        """Yield the begin of messages, and a chunk of the file's rows, at least the `columns`.

        A frame's columns are positions, its index is row numbers from 1. Columns of `text` are
        read as text from text files.
        """
        for path in self.paths:
            first = 1
            what = "the frame" if self.frame is not None else f"{self.key}={path}: it"
            with _reading(path, what):
                if self.frame is not None:
                    frames = iter([self.frame])
                elif (kind := kind_of(path)) == ".parquet":
                    frames = formats.parquet_frames(path, columns)
                elif kind == ".npz":
                    arrays = {name: of for name, of in self.matrices.items() if {*of} & {*columns}}
                    frames = formats.npz_frames(path, arrays)
                else:
                    frames = formats.text_frames(path, what, self.read, self.names, columns, text)
                for frame in frames:
                    yield what, frame.set_axis(range(first, first + len(frame)))
                    first += len(frame)


def paths_of(file: str, base: Path, key: str = "data.file") -> tuple[Path, ...]:
    """Return the files of a path or pattern relative to `base`, sorted."""
    valid_text(file)  # one that glob() found; it is stored with the run
    path = base / os.path.expanduser(file)
    there = os.path.exists(path)  # unlike Path.exists, false for a name that is too long
    found = [path] if there else sorted(map(Path, glob.glob(str(path), recursive=True)))
    if not found:
        raise ConfigError(
            f"{key}={path}: it does not exist"
            + ("; no file matches this pattern." if glob.has_magic(file) else ".")
        )
    for one in found:
        if not one.is_file():
            raise ConfigError(f"{key}={one}: it is no file.")
    return tuple(found)


def open_source(paths: Sequence[Path], read: Mapping[str, Any], key: str = "data.file") -> Source:
    """Return the source of files, which must have the same columns.

    `read` has options of formats.READ; None is pandas' default, but `header` None means that
    the file has no header.
    """
    known_keys(read, formats.READ, "data.read")
    options = {key: value for key, value in read.items() if value is not None}
    options["header"] = read.get("header", "infer")
    sources = []
    for path in paths:
        what = f"{key}={path}: it"
        with _reading(path, what):
            sources.append(_source(path, what, options))
        if sources[-1].names != sources[0].names:
            raise ConfigError(
                f"{what} has other columns than {paths[0].name}: files of one pattern must have "
                "the same header."
            )
    return replace(sources[0], paths=tuple(paths), key=key)


def _source(path: Path, what: str, read: Mapping[str, Any]) -> Source:
    if not (kind := kind_of(path)):
        raise ConfigError(
            f"{what} ends with {path.suffix.lower()!r}, which cannot be read; use one of "
            f"{', '.join(ENDINGS)}, the first four also with {', '.join(PACKED)}."
        )
    if kind not in TEXT:
        if read != {"header": "infer"}:
            raise ConfigError(f"data.read is for text files: leave it out for {path.name}.")
        read = {}
    names: list[str] = []
    matrices = {}
    if kind in TEXT:
        names = formats.text_names(path, what, read)
    elif kind == ".parquet":
        from pyarrow import parquet

        schema = parquet.read_schema(path)
        names = schema.names
        index = (schema.pandas_metadata or {}).get("index_columns", [])
        read = {"index_col": [name for name in index if isinstance(name, str)]}
    else:
        for name, wide in formats.npz_widths(path, what).items():
            matrices[name] = list(range(len(names), len(names) + (wide or 1)))
            names += [f"{name}[{at}]" for at in range(wide)] or [name]
    return Source((path,), tuple(name.strip() for name in names), read, matrices)


def kind_of(path: Path) -> str:
    """Return a file's suffix, one of ENDINGS, without compression; empty for any other."""
    suffix = path.suffix.lower()
    if suffix in PACKED:
        suffix = path.with_suffix("").suffix.lower() or ".csv"
        return suffix if suffix in TEXT else ""
    return suffix if suffix in ENDINGS else ""


@contextmanager
def _reading(path: Path, what: str) -> Iterator[None]:
    """Convert errors of reading a file to ConfigError, whose messages begin with `what`."""
    try:
        yield
    except PermissionError as error:
        raise ConfigError(f"{what} may not be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        wide = error.object[:2] in (b"\xff\xfe", b"\xfe\xff")
        raise ConfigError(
            f"{what} is not encoded as it was read ({error}): write data.read.encoding="
            f"{'utf-16' if wide else 'latin-1, or its own'}."
        ) from error
    except Warning as error:  # of pandas, about cells that it would leave out
        raise ConfigError(
            f"{what} has rows with more cells than names in its first row: name each "
            "cell, as data.read.skiprows=1 'data.read.names=[label,x,y]'; data.read.index_col=0 "
            "if the first one is a label."
        ) from error
    except UNREADABLE as error:
        if long := re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error)):
            expected, line, seen = long.groups()
            raise ConfigError(
                f"{what} has {seen} cells in line {line} and {expected} before it: mend the line, "
                "or write data.read.sep or data.read.quotechar if it is split wrongly."
            ) from error
        cause = str(error).strip().splitlines() or [type(error).__name__]
        kind = kind_of(path).lstrip(".").upper()
        raise ConfigError(f"{what} cannot be read as {kind}: {cause[0]}") from error
