"""Two sweeps side by side: what changed in configuration and what came of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sweep.report.cost import trained
from sweep.report.facts import Facts, Point
from sweep.report.tables import Table
from sweep.report.words import duration, figure, plain, point_words, rate

__all__ = [
    "Comparison",
    "Match",
    "change_table",
    "compared",
    "cost_table",
    "exact_columns",
    "result_table",
]

MOST_VALUES = 12

Key = tuple[float, int, tuple[str, ...]]


@dataclass(frozen=True)
class Match:
    """One grid point of both sweeps; `others` are its values on the axes of either."""

    first: Point
    second: Point
    others: tuple[str, ...]

    @property
    def errors(self) -> tuple[float | None, float | None]:
        """Return both final errors."""
        return self.first.final_error, self.second.final_error

    @property
    def same(self) -> bool:
        """Tell whether both ended alike, to the last bit of the final error."""
        return self.first.outcome == self.second.outcome and self.errors[0] == self.errors[1]


@dataclass(frozen=True)
class Comparison:
    """What two sweeps have in common and what not.

    Attributes
    ----------
    axes
        The axes beside lr and iters that either sweep has.
    matches
        The grid points that both ran, in the order of the first sweep.
    alone
        How many grid points only the first and only the second ran.
    """

    facts: tuple[Facts, Facts]
    axes: tuple[str, ...]
    matches: tuple[Match, ...]
    alone: tuple[int, int]

    @property
    def answer(self) -> str:
        """Return in words which sweep did better, and how alike they are."""
        words = [self._best(), self._alike()]
        alone = [f"{n} only in the {which}" for n, which in zip(self.alone, _WHICH, strict=True)]
        if any(self.alone):
            words.append(f"Grid points: {' and '.join(alone)}.")
        return " ".join(words)

    def _best(self) -> str:
        first, second = (facts.best for facts in self.facts)
        if first is None or second is None:
            known = [w for w, b in zip(_WHICH, (first, second), strict=True) if b is not None]
            return f"Only the {known[0]} sweep has a final error." if known else "No final errors."
        a, b = first.final_error or 0.0, second.final_error or 0.0
        if first.at_floor and second.at_floor:
            verdict = "Both sweeps reach the floor of double precision"
        elif a == b:
            verdict = "Both sweeps end equally well"
        else:
            verdict = f"The {_WHICH[a > b]} sweep has the better run"
        one, two = (
            f"{point_words(facts, best)}: {figure(best.final_error)}"
            for facts, best in zip(self.facts, (first, second), strict=True)
        )
        return f"{verdict}: best of the first {one}; best of the second {two}."

    def _alike(self) -> str:
        count = len(self.matches)
        if not count:
            return "They have no grid point in common."
        same = sum(match.same for match in self.matches)
        noun = "grid point" if count == 1 else "grid points"
        if same == count:
            return f"All {count} {noun} that both ran end the same to the last bit."
        return f"Of {count} {noun} that both ran, {same} end the same to the last bit."


_WHICH = ("first", "second")


def compared(first: Facts, second: Facts) -> Comparison:
    """Match the grid points of two sweeps.

    An axis that only one of them has is matched by what the other's plan says of that key.
    """
    axes = tuple(dict.fromkeys(first.others + second.others))
    one, two = _by_key(first, axes), _by_key(second, axes)
    matches = tuple(Match(one[key], two[key], key[2]) for key in one if key in two)
    alone = (len(one) - len(matches), len(two) - len(matches))
    return Comparison((first, second), axes, matches, alone)


def _by_key(facts: Facts, axes: tuple[str, ...]) -> dict[Key, Point]:
    return {(p.lr, p.iters, tuple(p.value(axis) for axis in axes)): p for p in facts.grid.values()}


def result_table(comparison: Comparison) -> Table:
    """Return the final errors of both sweeps at every grid point that both ran."""
    rows = []
    for match in comparison.matches:
        a, b = match.errors
        ratio = figure(b / a, 3) if a and b is not None and abs(b / a) < 1e300 else ""
        rows.append(
            (
                rate(match.first.lr),
                str(match.first.iters),
                *map(plain, match.others),
                figure(a) or plain(match.first.outcome),
                figure(b) or plain(match.second.outcome),
                ratio,
                "the same" if match.same else "differs",
            )
        )
    return Table(
        "Final error E in both sweeps",
        ("lr", "iterations", *map(plain, comparison.axes), "first", "second", "ratio", "bits"),
        tuple(rows),
        (True, True, *[False] * len(comparison.axes), True, True, True, False),
        "The ratio is second / first.",
    )


def exact_columns(comparison: Comparison) -> dict[str, list[object]]:
    """Return the columns of comparison.csv: a row for each grid point of both."""
    matches = comparison.matches
    columns: dict[str, list[object]] = {
        "lr": [match.first.lr for match in matches],
        "iters": [str(match.first.iters) for match in matches],
    }
    for index, axis in enumerate(comparison.axes):
        columns[axis] = [match.others[index] for match in matches]
    for place, which in enumerate(_WHICH):
        points = [(match.first, match.second)[place] for match in matches]
        columns[f"{which}_run_id"] = [point.run.run_id for point in points]
        columns[f"{which}_outcome"] = [point.outcome for point in points]
        columns[f"{which}_final_error"] = [point.final_error for point in points]
    return columns


def change_table(comparison: Comparison) -> Table:
    """Return every key of the configuration whose values differ between the sweeps."""
    first, second = (_values(facts) for facts in comparison.facts)
    rows = []
    for key in dict.fromkeys([*first, *second]):
        a, b = first.get(key, {}), second.get(key, {})
        if set(a) != set(b):
            rows.append((plain(key, 80), _listed(a), _listed(b)))
    others = sum(_inputs_differ(match) for match in comparison.matches)
    if others:
        noun = "run" if others == 1 else "runs"
        what = "data's content, trainer's source or algorithm"
        rows.append((what, "", f"not the same, under an equal configuration, in {others} {noun}"))
    return Table(
        "What changed in the configuration",
        ("key", "first", "second"),
        tuple(rows),
        (False, False, False),
        "" if rows else "Nothing.",
    )


def _inputs_differ(match: Match) -> bool:
    """Tell whether two runs of one configuration were made of something else all the same."""
    cells = [point.cell for point in (match.first, match.second)]
    if any(not cell.get("signature") or "config" not in cell for cell in cells):
        return False
    one, two = cells
    return bool(one["config"] == two["config"] and one["signature"] != two["signature"])


def cost_table(comparison: Comparison) -> Table:
    """Return runs, iterations and training time of both sweeps."""
    columns = []
    for facts in comparison.facts:
        iterations, seconds = trained(facts)
        ends = (str(len(facts.points)), str(len(facts.completed)), str(iterations))
        columns.append((*ends, duration(seconds)))
    names = ("runs", "completed", "iterations trained", "training")
    rows = tuple(zip(names, *columns, strict=True))
    return Table("Time and cost", ("what", "first", "second"), rows, (False, True, True))


def _values(facts: Facts) -> dict[str, dict[str, None]]:
    """Return the values that each key takes over all cells, as text, in order."""
    found: dict[str, dict[str, None]] = {"command": {str(facts.plan.get("command", "")): None}}
    cells = [c for c in facts.plan.get("cells", ()) if isinstance(c, Mapping)]
    for cell in cells:
        own = {key: str(value) for key, value in (cell.get("params") or {}).items()}
        config = cell.get("config")
        own |= _flat(config) if isinstance(config, Mapping) else {}
        for key, value in own.items():
            found.setdefault(key, {})[value] = None
    for run in facts.runs:
        for tag in ("sweep.versions", "sweep.platform"):
            if run.tags.get(tag):
                found.setdefault(tag, {})[run.tags[tag]] = None
    return found


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return a nested configuration as dotted keys with JSON texts."""
    found: dict[str, str] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            found |= _flat(value, f"{name}.")
        else:
            found[name] = value if isinstance(value, str) else json.dumps(value, default=str)
    return found


def _listed(values: Mapping[str, None]) -> str:
    shown = [plain(value, 200) for value in list(values)[:MOST_VALUES]]
    more = len(values) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
