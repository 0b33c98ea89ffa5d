"""Formats of numbers, names and tables in the report."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def figure(value: float | None, digits: int = 4) -> str:
    """Return a number with `digits` significant digits; empty for None and NaN."""
    return "" if value is None or math.isnan(value) else f"{value:.{digits}g}"


def exact(metric: str, value: float) -> str:
    """Return a metric with all digits; steps as integers, train_seconds with three digits."""
    if metric == "train_seconds" or math.isnan(value):
        return figure(value, 3)
    whole = metric.endswith(("_step", "_at")) and value.is_integer() and abs(value) < 1e15
    return str(int(value)) if whole else repr(float(value))


def spread(mean: float, sd: float, n: float) -> str:
    """Return a mean over `n` repeats: 0.042 ± 0.003 (10); for one run only the number."""
    return f"{figure(mean)} ± {figure(sd, 2)} ({n:.0f})" if n > 1 else figure(mean)


def power(value: float, digits: int = 2) -> str:
    """Return a number as shown in pictures: 0.042, 1.5×10⁻³³."""
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e4:
        return f"{value:#.{digits}g}" if abs(value) < 9.5 else f"{value:.0f}"
    return _scientific(f"{value:.{digits - 1}e}")


def _scientific(text: str) -> str:
    mantissa, exponent = text.split("e")
    return f"{mantissa}×10{str(int(exponent)).translate(_SUPERSCRIPT)}"


def tick(value: float) -> str:
    """Return a tick label: 0.05, 1000, 100 000 (thin space), 10⁶, 2×10⁻⁷."""
    if value == 0:
        return "0"
    if not math.isfinite(value) or 1e-3 <= abs(value) < 1e4:
        return f"{value:.6g}"
    if abs(value) < 1e6 and value == round(value):
        return f"{value:,.0f}".replace(",", "\N{THIN SPACE}")
    mantissa, exponent = f"{value:.3e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".")
    return _scientific(f"{mantissa}e{exponent}").removeprefix("1×")


def short(text: str) -> str:
    """Return a value of a swept key for a picture: 0.954 for 0.9540000000000001."""
    try:
        value = float(text)
    except ValueError:
        return plain(text, 24)
    if text.isdecimal():
        return tick(value)
    keep = len(text) <= 7 or not math.isfinite(value)
    return plain(text, 24) if keep else f"{value:.4g}"


def grouped(count: int) -> str:
    """Return an integer with thousands separators: 100 000 (no-break spaces)."""
    return f"{count:,}".replace(",", "\N{NO-BREAK SPACE}")


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: 1 run, 12 runs."""
    return f"{grouped(count)} {noun}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """Return a duration: 12 ms, 3.4 s, 2 min 5 s, 3 h 4 min."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def plain(text: str, length: int = 60) -> str:
    """Return printable text on one line, shortened to `length` with an ellipsis."""
    flat = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return flat if len(flat) <= length else flat[: length - 1] + "…"


def joined(names: Iterable[str], values: Iterable[str], length: int = 60) -> str:
    """Return keys with their values: rule=notebook, seed=1."""
    pairs = zip(names, values, strict=True)
    return ", ".join(f"{plain(name, length)}={plain(value, length)}" for name, value in pairs)


def natural(name: str) -> list[object]:
    """Return a sort key that orders w2 before w10."""
    return [int(p) if p.isdigit() else p for p in re.split(r"([0-9]+)", name)]


@dataclass(frozen=True)
class Table:
    """A table of texts: `numeric` columns are right-aligned, `marked` (row, column) highlighted."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]
    note: str = ""
    marked: frozenset[tuple[int, int]] = frozenset()


def table_of(
    title: str,
    frame: Any,
    note: str = "",
    marked: Iterable[tuple[int, int]] = (),
    text: Iterable[str] = (),
) -> Table:
    """Return a table of plain texts, numbers by `figure`; columns are numeric unless in `text`."""
    names, words = tuple(map(plain, map(str, frame.columns))), {plain(name) for name in text}
    shown = frame.astype(object).map(lambda cell: figure(cell) if isinstance(cell, float) else cell)
    cells = tuple(tuple(plain(str(cell), 200) for cell in row) for row in shown.to_numpy().tolist())
    numeric = tuple(name not in words for name in names)
    return Table(title, names, cells, numeric, note.strip(), frozenset(marked))
