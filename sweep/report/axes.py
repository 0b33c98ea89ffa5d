"""The swept keys as axes: their values in order, and the effect of each key."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sweep.report.formats import plain, short

if TYPE_CHECKING:
    from sweep.report.data import SweepData

LARGEST = 1e300
"""Larger numbers are drawn as this one; integers may exceed the range of a float."""

LABELS = {"lr": "learning rate", "iters": "iterations"}


@dataclass(frozen=True)
class Axis:
    """A swept key with its values as text.

    Values ascend if all are numbers, else they are in plan order. `numbers` is empty for a
    category; `scale` is log, linear or category.
    """

    name: str
    values: tuple[str, ...]
    numbers: tuple[float, ...]
    scale: str

    @property
    def label(self) -> str:
        """The display name: layers for network.layers."""
        return LABELS.get(self.name, plain(self.name.rpartition(".")[2], 24))

    @property
    def labels(self) -> tuple[str, ...]:
        """The values as shown in pictures."""
        return tuple(short(value) for value in self.values)

    @property
    def extent(self) -> str:
        """The values as text; of more than five, the first and the last."""
        labels = self.labels
        return ", ".join(labels) if len(labels) <= 5 else f"{labels[0]} to {labels[-1]}"

    @property
    def positions(self) -> tuple[float, ...]:
        """Coordinates of the values on the axis: their numbers, or 0, 1, 2, …"""
        return self.numbers or tuple(map(float, range(len(self.values))))


def axis_of(name: str, texts: Any) -> Axis:
    """Return the axis of a swept key, given its values as text."""
    values = list(dict.fromkeys(texts))
    try:
        numbers = [_number(value) for value in values]
    except ValueError:
        return Axis(name, tuple(values), (), "category")
    order = sorted(range(len(values)), key=lambda at: numbers[at])
    ascending = tuple(numbers[at] for at in order)
    wide = bool(ascending) and ascending[0] > 0 and ascending[-1] / ascending[0] >= 8
    logarithmic = name in ("lr", "iters") or wide
    scale = "log" if logarithmic and min(ascending, default=1.0) > 0 else "linear"
    return Axis(name, tuple(values[at] for at in order), ascending, scale)


def _number(text: str) -> float:
    value = float(text)
    if math.isnan(value):
        raise ValueError(text)
    return float(np.clip(value, -LARGEST, LARGEST))


def scores(data: SweepData) -> Any:
    """Return log10 of the deciding metric if values are compared by logarithm, else the metric."""
    return np.log10(data.grid.decisive) if data.logarithmic else data.grid.value


def effects(data: SweepData) -> Any:
    """Return mean and range of the deciding metric for each value of each varying key.

    Columns: ``axis``, ``value``, ``runs``, ``mean``, ``low``, ``high``, ``diverged`` (without any
    value), ``influence``. The mean is geometric if values are compared by logarithm. Rows are
    sorted by influence, the range of the means of a key's values (in decades if compared by
    logarithm), after the keys of which a value diverged.
    """
    numbers = ["mean", "low", "high"]
    columns = ["axis", "value", "runs", *numbers, "diverged", "influence", "decides"]
    frames = [pd.DataFrame(columns=columns)]
    score = scores(data)
    for axis in data.varying:
        texts = data.values[axis.name].loc[score.index]
        found = score.groupby(texts).agg(runs="count", mean="mean", low="min", high="max")
        found["diverged"] = (data.grid.diverged.groupby(texts).sum() > 0) & (found.runs == 0)
        found = found.reindex(list(axis.values)).rename_axis("value").reset_index()
        spread = found["mean"].max() - found["mean"].min()
        found["influence"] = 0.0 if np.isnan(spread) else spread
        frames.append(found.assign(axis=axis.name, decides=found.diverged.any()))
    every = pd.concat(frames[1:] or frames, ignore_index=True)
    if data.logarithmic:
        every[numbers] = 10.0 ** every[numbers]
    order = ["decides", "influence"]
    return every.sort_values(order, ascending=False, kind="stable", ignore_index=True)


def by_influence(data: SweepData) -> list[Axis]:
    """Return the varying keys, the most influential first."""
    return [data.axes[name] for name in effects(data)["axis"].drop_duplicates()]


def remaining(data: SweepData, *used: Axis) -> list[Axis]:
    """Return the varying keys other than `used`."""
    return [axis for axis in data.varying if axis not in used]


def main_axis(data: SweepData) -> Axis:
    """Return the key whose values colour the lines: lr if it varies, else the most influential."""
    lr = data.axes["lr"]
    others = [axis for axis in by_influence(data) if axis.name not in ("iters", "lr")]
    return lr if lr in data.varying or not others else others[0]


def sparse(points: int, rows: int, columns: int) -> bool:
    """Return whether points fill less than a fifth of a table: their values were drawn."""
    return 5 * points < rows * columns
