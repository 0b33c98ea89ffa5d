"""Read Parquet and NPZ files piece by piece; nothing in them is unpickled."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from sweep.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["npz_groups", "npz_pieces", "parquet_names", "parquet_pieces"]

Head = tuple[tuple[int, ...], bool, Any]
"""An array's shape, whether its columns come first, and its type."""


def parquet_names(path: Path) -> list[str]:
    """Return the name of each column, without blanks."""
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        return [str(name).strip() for name in file.schema_arrow.names]


def parquet_pieces(path: Path, columns: Sequence[int], rows: int) -> Iterator[pd.DataFrame]:
    """Yield frames of up to `rows`, the chosen columns by position."""
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        names = [file.schema_arrow.names[at] for at in columns]
        for batch in file.iter_batches(rows, columns=names):
            frame = batch.select(names).to_pandas()
            frame.columns = list(columns)
            yield frame


def npz_groups(path: Path) -> dict[str, int]:
    """Return each array and its width: 1 for a vector, that of a matrix.

    Raises
    ------
    ConfigError
        An array that gives no rows of numbers or text.
    """
    with zipfile.ZipFile(path) as file:
        heads = _heads(file)
    for name, (shape, _, dtype) in heads.items():
        if dtype.hasobject:
            raise ConfigError(
                f"data.file {path} holds {name!r} as pickled objects, which are never loaded: "
                "save it as numbers."
            )
        if len(shape) not in (1, 2):
            raise ConfigError(
                f"data.file {path} holds {name!r} with shape {shape}: it must be a vector, or a "
                "matrix with a row a sample."
            )
    lengths = {name: shape[0] for name, (shape, _, _) in heads.items()}
    if len(set(lengths.values())) > 1:
        raise ConfigError(f"data.file {path} has arrays of unlike length: {lengths}.")
    return {name: shape[1] if len(shape) == 2 else 0 for name, (shape, _, _) in heads.items()}


def npz_pieces(
    path: Path, groups: Mapping[str, Sequence[int]], columns: Sequence[int], rows: int
) -> Iterator[pd.DataFrame]:
    """Yield frames of up to `rows`, the arrays that hold chosen columns, by position."""
    import pandas as pd

    with zipfile.ZipFile(path) as file, ExitStack() as stack:
        heads = {n: head for n, head in _heads(file).items() if {*groups[n]} & {*columns}}
        streams = {name: stack.enter_context(file.open(f"{name}.npy")) for name in heads}
        whole = {}
        for name, (shape, by_column, _) in heads.items():
            if by_column and len(shape) == 2:
                whole[name] = np.lib.format.read_array(streams[name], allow_pickle=False)
            else:
                _head(streams[name])
        length = next(iter(heads.values()))[0][0]
        for first in range(0, length, rows):
            frame: dict[int, Any] = {}
            for name, (shape, _, dtype) in heads.items():
                count = min(rows, length - first)
                if name in whole:
                    block = whole[name][first : first + count]
                else:
                    size = count * int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize
                    block = np.frombuffer(streams[name].read(size), dtype).reshape(count, -1)
                frame |= dict(zip(groups[name], block.T, strict=True))
            yield pd.DataFrame(frame)


def _heads(file: zipfile.ZipFile) -> dict[str, Head]:
    heads = {}
    for member in file.namelist():
        with file.open(member) as stream:
            heads[member.removesuffix(".npy")] = _head(stream)
    return heads


def _head(stream: IO[bytes]) -> Head:
    if np.lib.format.read_magic(stream) == (1, 0):
        return np.lib.format.read_array_header_1_0(stream)
    return np.lib.format.read_array_header_2_0(stream)
