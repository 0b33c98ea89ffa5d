"""The swept keys as axes: their values in order, and how much each of them matters."""

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
"""Numbers beyond are drawn as this one: a whole number may exceed what a float can hold."""

LABELS = {"lr": "learning rate", "iters": "iterations"}


@dataclass(frozen=True)
class Axis:
    """A swept key with its values as text.

    Values are in ascending order where all are numbers, else in the order of the plan.
    `scale` is log, linear or category; `numbers` is empty for a category.
    """

    name: str
    values: tuple[str, ...]
    numbers: tuple[float, ...]
    scale: str

    @property
    def label(self) -> str:
        """Return the name to show: layers for network.layers."""
        return LABELS.get(self.name, plain(self.name.rpartition(".")[2], 24))

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the values to show in a picture."""
        return tuple(short(value) for value in self.values)

    @property
    def positions(self) -> tuple[float, ...]:
        """Return where the values lie on the axis: their numbers, or 0, 1, 2, …"""
        return self.numbers or tuple(map(float, range(len(self.values))))


def axis_of(name: str, texts: Any) -> Axis:
    """Return the axis of a swept key from the texts of its values."""
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
    """Return what compares values: their log10 where they are compared so, else themselves."""
    return np.log10(data.grid.decisive) if data.logarithmic else data.grid.value


def effects(data: SweepData) -> Any:
    """Return mean, lowest and highest deciding metric by each value of each varying key.

    Columns: ``axis``, ``value``, ``runs``, ``mean``, ``low``, ``high``, ``influence``; the mean
    is the geometric one where values are compared by their logarithms. The influence of a key,
    by which rows are sorted, is the spread of its values' means (in decades).
    """
    numbers = ["mean", "low", "high"]
    frames = [pd.DataFrame(columns=["axis", "value", "runs", *numbers, "influence"])]
    score = scores(data)
    for axis in data.varying:
        found = score.groupby(data.values[axis.name].loc[score.index]).agg(
            runs="count", mean="mean", low="min", high="max"
        )
        found = found.reindex(list(axis.values)).rename_axis("value").reset_index()
        spread = found["mean"].max() - found["mean"].min()
        frames.append(found.assign(axis=axis.name, influence=0.0 if np.isnan(spread) else spread))
    every = pd.concat(frames[1:] or frames, ignore_index=True)
    if data.logarithmic:
        every[numbers] = 10.0 ** every[numbers]
    return every.sort_values("influence", ascending=False, kind="stable", ignore_index=True)


def by_influence(data: SweepData) -> list[Axis]:
    """Return the varying keys, the one with the largest influence first."""
    return [data.axes[name] for name in effects(data)["axis"].drop_duplicates()]


def remaining(data: SweepData, *used: Axis) -> list[Axis]:
    """Return the varying keys beside those used."""
    return [axis for axis in data.varying if axis not in used]
