"""Read text files with pandas.read_csv and the user's own options, piece by piece."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.errors import ConfigError
from sweep.training.data.hints import check_head

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["READ", "text_names", "text_pieces"]

SPLIT = (
    *("sep", "quotechar", "quoting", "doublequote", "escapechar", "comment", "skipinitialspace"),
    *("skiprows", "skip_blank_lines", "lineterminator"),
    *("encoding", "encoding_errors", "compression"),
)
"""Options of read_csv that say how a file is split into cells."""

VALUES = (
    *("decimal", "thousands", "na_values", "keep_default_na", "true_values", "false_values"),
    "nrows",
)

READ = (*SPLIT, *VALUES, "header", "names", "index_col")
"""Options of pandas.read_csv that `data.read` takes: plain values, none that runs code."""


def text_names(path: Path, read: Mapping[str, Any]) -> list[str]:
    """Return the name of each column, without blanks; its position where there is no header.

    Raises
    ------
    ConfigError
        The first row says that the file is misread.
    """
    import pandas as pd

    split = _split(path, read)
    first = pd.read_csv(path, header=None, nrows=1, dtype=str, na_filter=False, **split)
    cells = [str(cell).strip() for cell in first.iloc[0]]
    check_head(path, cells, read, split)
    if "names" in read:
        if len(read["names"]) != len(cells):
            raise ConfigError(
                f"data.read.names has {len(read['names'])} names, but {path.name} has "
                f"{len(cells)} columns."
            )
        return [str(name).strip() for name in read["names"]]
    if read["header"] is None:
        return list(map(str, range(len(cells))))
    return [cell or f"Unnamed: {at}" for at, cell in enumerate(cells)]


def text_pieces(
    path: Path, read: Mapping[str, Any], columns: int, text: Collection[int], rows: int
) -> Iterator[pd.DataFrame]:
    """Yield frames of so many `rows`, columns by position; those of `text` as text."""
    import pandas as pd

    options: dict[str, Any] = {key: read[key] for key in VALUES if key in read}
    options |= _split(path, read)
    header = read["header"]
    options["header"] = header if header != "infer" else None if "names" in read else 0
    if "engine" not in options:
        options["low_memory"] = False
        if pd.__version__ < "3":
            options["float_precision"] = "round_trip"  # later ones are exact by themselves
    with warnings.catch_warnings():
        # It tells of rows that are cut; and with some columns alone pandas does not even tell.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        yield from pd.read_csv(
            path,
            names=range(columns),
            index_col=False,
            dtype=dict.fromkeys(text, str),
            chunksize=rows,
            **options,
        )


def _split(path: Path, read: Mapping[str, Any]) -> dict[str, Any]:
    options = {key: read[key] for key in SPLIT if key in read}
    sep = options.setdefault("sep", "\t" if ".tsv" in path.name.lower() else ",")
    if sep == r"\t":
        options["sep"] = "\t"
    elif len(sep) > 1 and sep != r"\s+":
        options["engine"] = "python"  # a pattern
    return options
