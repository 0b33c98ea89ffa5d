"""Numbers as text, runs as text, and the answer to "which rate, how many iterations?"."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

from sweep.report.facts import Facts, Point

__all__ = [
    "answer",
    "decade",
    "duration",
    "figure",
    "grouped",
    "plain",
    "point_words",
    "power",
    "rate",
    "tally",
    "thin",
    "tick_text",
    "values_words",
]

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def figure(value: float | None, digits: int = 4) -> str:
    """Return a number with `digits` significant digits, an empty text for none.

    >>> figure(0.0423), figure(1.5e-33), figure(0.0)
    ('0.0423', '1.5e-33', '0')
    """
    return "" if value is None else f"{value:.{digits}g}"


def power(value: float, digits: int = 2) -> str:
    """Return a number as it stands in a picture: 0.042, 1.5×10⁻³³."""
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e4:
        return f"{value:#.{digits}g}" if abs(value) < 9.5 else f"{value:.0f}"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa}×10{str(int(exponent)).translate(_SUPERSCRIPT)}"


def decade(exponent: int) -> str:
    """Return a power of ten as a tick label: 0.01, 1, 1000, 100 000, 10⁶, 10⁻⁹."""
    if 0 <= exponent <= 5:
        return thin(10**exponent)
    if -2 <= exponent < 0:
        return f"{10.0**exponent:g}"
    return "10" + str(exponent).translate(_SUPERSCRIPT)


def grouped(count: int) -> str:
    """Return a whole number with its thousands apart: 100 000 (spaces that do not break)."""
    return f"{count:,}".replace(",", "\N{NO-BREAK SPACE}")


def tick_text(digit: int, exponent: int) -> str:
    """Return digit · 10^exponent as a tick label: 0.05, 200, 2×10⁻⁷."""
    if digit == 1:
        return decade(exponent)
    if exponent < -2 or exponent > 5:
        return f"{digit}×10{str(exponent).translate(_SUPERSCRIPT)}"
    return thin(digit * 10**exponent) if exponent >= 0 else f"{digit * 10.0**exponent:g}"


def thin(count: int) -> str:
    """Return a whole number for an axis: 1000, 10 000 with a thin space, 2.0×10⁶."""
    if count >= 10**6:
        return power(float(count))
    return str(count) if count < 10**4 else f"{count:,}".replace(",", "\N{THIN SPACE}")


def rate(value: float) -> str:
    """Return a learning rate as it is written on the command line."""
    return repr(value)


def duration(seconds: float) -> str:
    """Return a time to read: 12 ms, 3.4 s, 2 min 5 s, 3 h 4 min."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def plain(text: str, length: int = 60) -> str:
    """Return text on one line, without control characters, cut to `length` with an ellipsis."""
    flat = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return flat if len(flat) <= length else flat[: length - 1] + "…"


def values_words(names: Iterable[str], values: Iterable[str], length: int = 60) -> str:
    """Return axes with their values: rule=notebook, seed=1."""
    pairs = zip(names, values, strict=True)
    return ", ".join(f"{plain(name, length)}={plain(value, length)}" for name, value in pairs)


def point_words(facts: Facts, point: Point) -> str:
    """Return what a run is: lr=0.05, 1000 iterations, rule=gradient."""
    noun = "iteration" if point.iters == 1 else "iterations"
    words = f"lr={rate(point.lr)}, {point.iters} {noun}"
    others = values_words(facts.others, point.others)
    return f"{words}, {others}" if others else words


def tally(facts: Facts) -> dict[str, int]:
    """Return how many runs ended in each way, in the order in which a report tells them."""
    counts = Counter(point.outcome for point in facts.points)
    stalled = sum(p.step("stalled_at") is not None and not p.at_floor for p in facts.points)
    order = ("completed", "diverged", "failed", "interrupted", "unfinished")
    told = {name: counts.pop(name) for name in order if counts.get(name)}
    told |= {plain(name): count for name, count in counts.items()}
    if stalled:
        told["stalled"] = stalled
    if facts.missing:
        told["not started"] = len(facts.missing)
    return told


def answer(facts: Facts) -> str:
    """Return the answer of the sweep in one paragraph of plain text with its figures."""
    best, cheapest = facts.best, facts.cheapest
    total = len(facts.points) + len(facts.missing)
    trouble = ", ".join(f"{n} {what}" for what, n in tally(facts).items() if what != "completed")
    if best is None or cheapest is None or best.final_error is None:
        return f"No run has a final error ({total} planned{': ' + trouble if trouble else ''})."
    noun = "run" if total == 1 else "runs"
    words = [f"Best of {total} {noun}: {point_words(facts, best)}, {_errors(best)}."]
    if cheapest is not best:
        words.append(
            f"As good for all practical purposes and cheapest: {point_words(facts, cheapest)}, "
            f"{_errors(cheapest)}{_saving(best, cheapest)}."
        )
    elif best.at_floor:
        words.append("It is also the cheapest at the floor of double precision (√E ≤ 1e-13).")
    elif total > 1:
        words.append(
            "No run is cheaper and as good (none reaches √E ≤ 1e-13, the floor of "
            "double precision)."
        )
    if trouble:
        words.append(f"Not all went well: {trouble}." if _bad(facts) else f"Of them {trouble}.")
    return " ".join(words)


def _bad(facts: Facts) -> bool:
    return any(what not in ("completed", "stalled") for what in tally(facts))


def _errors(point: Point) -> str:
    value = point.final_error
    if value is None:
        return "no final error"
    root = math.sqrt(value) if value >= 0 else math.nan
    return f"final error {figure(value)} (√E = {figure(root, 2)})"


def _saving(best: Point, cheapest: Point) -> str:
    if cheapest.iters >= best.iters:
        return ""
    return f", {figure(best.iters / cheapest.iters, 3)} times fewer iterations"
