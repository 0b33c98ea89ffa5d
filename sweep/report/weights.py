"""What the picture of the weights shows: where each began and where training left it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sweep.report.colours import colour_scale, marker_scale
from sweep.report.facts import Facts, Line, Point, read_artifact
from sweep.report.looks import chosen_panels, panel_title, spread
from sweep.report.words import grouped, plain, rate

__all__ = ["WeightPanel", "WeightSeries", "WeightsInfo", "flat_weights", "weights_info"]

MOST_NAMED = 64
"""Networks of up to this many scalars are drawn by name, larger ones as a cloud."""

MOST_SERIES = 7
MOST_DOTS = 3000

FloatArray = npt.NDArray[np.float64]


class WeightSeries(NamedTuple):
    """The final weights of one run, in the order of the panel's names; NaN where none."""

    label: str
    colour: str
    marker: str
    initial: FloatArray
    final: FloatArray


class WeightPanel(NamedTuple):
    """One combination of the other axes."""

    title: str
    series: tuple[WeightSeries, ...]


class WeightsInfo(NamedTuple):
    """Weights by name, or (`names` empty) as many dots as a cloud holds."""

    title: str
    names: tuple[str, ...]
    panels: tuple[WeightPanel, ...]
    left_out: str


def flat_weights(weights: Mapping[str, Any]) -> tuple[tuple[str, ...], FloatArray]:
    """Return the names and values of all scalars, arrays opened up row by row.

    A null (a weight that became NaN or infinite) is NaN.
    """
    names: list[str] = []
    values: list[FloatArray] = []
    for name, value in weights.items():
        array = np.atleast_1d(np.array(value, dtype=np.float64)).ravel()
        own = [name] if len(array) == 1 else [f"{name}[{i}]" for i in range(len(array))]
        names += own
        values.append(array)
    return tuple(names), np.concatenate(values) if values else np.empty(0)


def weights_info(facts: Facts) -> WeightsInfo | None:
    """Return the weights of the longest run of some trajectories, None without any.

    Of many learning rates the smallest, the largest, the best and some between are shown.
    """
    panels, left_out = chosen_panels(facts)
    colours, markers = colour_scale(facts.rates), marker_scale(facts.rates)
    shown: list[WeightPanel] = []
    names: tuple[str, ...] = ()
    for others in panels:
        lines = sorted((ln for ln in facts.lines if ln.others == others), key=lambda ln: ln.lr)
        series = []
        for line in _some(lines, facts.best):
            found = _series(line, colours[line.lr], markers[line.lr])
            if found is None or (names and found[0] != names):
                continue  # another shape of network has a panel's names of its own
            names = found[0]
            series.append(found[1])
        if series:
            shown.append(WeightPanel(panel_title(facts, others), tuple(series)))
    if not shown:
        return None
    count = len({line.lr for line in facts.lines})
    if count > MOST_SERIES:
        some = f"{MOST_SERIES} of {count} learning rates"
        left_out = f"{left_out}, {some}" if left_out else some
    named = tuple(plain(name, 12) for name in names) if len(names) <= MOST_NAMED else ()
    return WeightsInfo("Weights before and after training", named, tuple(shown), left_out)


def _some(lines: Sequence[Line], best: Point | None) -> list[Line]:
    if len(lines) <= MOST_SERIES:
        return list(lines)
    at = set(spread(len(lines), MOST_SERIES - 1))
    at |= {i for i, line in enumerate(lines) if best is not None and best in line.points}
    return [lines[i] for i in sorted(at)]


def _series(line: Line, colour: str, marker: str) -> tuple[tuple[str, ...], WeightSeries] | None:
    ended = [p for p in line.points if p.outcome not in ("diverged", "failed")]
    if not ended:
        return None
    point = ended[-1]
    stored = read_artifact(point.run.weights, "weights", [])
    if not stored:
        return None
    names, initial = flat_weights(stored.get("initial", {}))
    final_names, final = flat_weights(stored.get("final", {}))
    if names != final_names or not len(names):
        return None
    if len(names) > MOST_DOTS:
        step = -(-len(names) // MOST_DOTS)
        names, initial, final = names[::step], initial[::step], final[::step]
    label = f"{rate(line.lr)} · {grouped(point.iters)}"
    return names, WeightSeries(label, colour, marker, initial, final)
