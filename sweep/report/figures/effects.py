"""Effect of each axis: mean and range of the deciding metric for each value of each key."""

from __future__ import annotations

from sweep.report.axes import effects
from sweep.report.colours import QUIET, ramp
from sweep.report.data import SweepData
from sweep.report.figures.final_errors import RATES_FROM
from sweep.report.figures.lines import mark_style
from sweep.report.figures.panels import ceiling_of, error_axis, floor_band, inside, key_axis
from sweep.report.figures.sheet import Picture, Sheet, styled
from sweep.report.formats import figure, joined

MOST_AXES = 6


@styled
def effects_picture(data: SweepData) -> Picture | None:
    """Return the picture; None if nothing varies or other pictures show the same."""
    names = {axis.name for axis in data.varying}
    by_rate = names == {"lr"} and len(data.axes["lr"].values) >= RATES_FROM
    if data.ranked.empty or not names or by_rate or (len(names) < 3 and "iters" in names):
        return None
    every = effects(data)  # sorted by influence
    shown = every[every["axis"].isin(every["axis"].drop_duplicates()[:MOST_AXES])]
    tables = [(data.axes[str(name)], rows) for name, rows in shown.groupby("axis", sort=False)]
    mean = "geometric mean" if data.logarithmic else "mean"
    titles = []
    for _, rows in tables:
        influence = rows.influence.iloc[0]
        times = f"×{figure(10.0 ** min(influence, 300.0), 3)}"
        spread = times if data.logarithmic else figure(influence, 3)
        titles.append(f"spread of the means: {spread}")
    page = Sheet(
        "Effect of each axis",
        data.subtitle,
        ("", data.label),
        titles,
        note=f"{len(tables)} of {len(names)} axes" if len(names) > len(tables) else "",
        gap=1.25 if any(axis.scale == "category" for axis, _ in tables) else 0.95,
        right=2.1,
        share="y",
    )
    ends = shown[["low", "high"]]
    error_axis(page.panels[0], "y", ends, ceiling_of(data), log=data.logarithmic)
    dot = mark_style(ramp(0.0), "o", 7)
    for axes, (axis, rows) in zip(page.panels, tables, strict=True):
        axes.set_xlabel(axis.label)
        key_axis(axes, axis)
        floor_band(axes, named=False)
        low, high, middle = (inside(axes, rows[name]) for name in ("low", "high", "mean"))
        axes.vlines(axis.positions, low, high, color=QUIET, linewidth=1.4, alpha=0.7)
        if axis.scale != "category":
            axes.plot(axis.positions, middle, color=ramp(0.0), linewidth=1.7)
        size = 7 if len(rows) < 30 else 3
        axes.plot(axis.positions, middle, **dot | {"markersize": size}, clip_on=False, zorder=3)
    entries = [(mean, dot)]
    if (shown.low < shown.high).any():
        entries.append(("lowest to highest", {"color": QUIET, "linewidth": 1.4}))
    page.legend("", entries)
    means = shown.groupby("axis", sort=False)["mean"]
    best = shown.loc[means.idxmax() if data.question.mode == "max" else means.idxmin()]
    order = joined([data.axes[name].label for name in best["axis"]], best.value)
    alt = (
        f"{data.heading} by the values of each axis, {mean} and range, the axis that matters "
        f"most first. The best {mean} is at {order}."
    )
    what = "grid points" if data.repeats else "runs"
    caption = f"Dots: {mean} of all {what} with that value. Lines: lowest to highest."
    return page.picture("effect_of_each_axis", alt, caption)
