"""Curves during training: errors of all trajectories, and metrics yielded by trainers."""

from __future__ import annotations

from functools import partial

from sweep.report.axes import LARGEST, Axis, main_axis
from sweep.report.curves import Trajectory, artifact, best_of_all
from sweep.report.data import SweepData
from sweep.report.figures.lines import Line, draw_lines
from sweep.report.figures.panels import MOST, MOST_LINES, Panels, ceiling_of, panels_of, step_axis
from sweep.report.figures.sheet import MANY, Picture, spread, styled
from sweep.report.formats import counted, figure, grouped, natural, plain

MOST_MARKS = 40


@styled
def curves_picture(data: SweepData) -> Picture | None:
    """Return the picture of the error curves; None if there are none."""
    key = main_axis(data)
    panels = panels_of(data, key, data.axes["iters"])
    lines, note = curves_data(data, key, panels)
    if not lines:
        return None
    last = max((line.reach or 0 for line in data.trajectories), default=0)
    counts = data.axes["iters"].numbers
    page = draw_lines(
        "Error while training",
        data,
        ("iteration (0 is before training)", "error E"),
        lines,
        key,
        panels,
        partial(step_axis, last=last),
        ceiling=ceiling_of(data),
        counts=[counts[at] for at in spread(len(counts), MOST_MARKS)],
        note=note,
    )
    caption = "A line for each training; every iteration count of the grid is marked on it."
    if data.repeats:
        over = ", ".join(data.repeats)
        caption = f"Lines: means over {over}. Bands: from the lowest to the highest."
    if any(line.kind == "dashed" for line in lines):
        caption += " Dashed: the error on the samples that were kept back for validation."
    number = sum(line.kind == "line" for line in lines)
    alt = f"{counted(number, 'error curve')} from before training to iteration {grouped(last)}"
    alt += f", coloured by {key.label} ({key.extent}).{_ends(data)}"
    return page.picture("error_curves", alt, caption)


def curves_data(data: SweepData, key: Axis, panels: Panels) -> tuple[list[Line], str]:
    """Return the curves with the last step of each run marked, and a note on omissions."""
    texts = data.values[key.name]
    known = [line for line in data.curves if len(line.curve[0])]
    known.sort(key=lambda line: key.values.index(texts[line.rows[0]]))
    lines: list[Line] = []
    drawn = 0
    for title in panels.titles:
        own = [line for line in known if panels.of[line.rows[0]] == title]
        kept = [own[at] for at in spread(len(own), panels.most_lines)]
        drawn += len(kept)
        for line in kept:
            lines += _lines(data, line, title, texts[line.rows[0]])
        if len(own) >= MANY:
            lines.append(Line("lowest", title, None, *best_of_all([one.curve for one in own])))
        if own and data.best is not None and panels.of[data.best.name] == title:
            lines.append(Line("best", title, None, [_step(data.best.iters)], [data.best.error]))
    return lines, panels.noted(drawn, len(known), "curve")


def _lines(data: SweepData, line: Trajectory, panel: str, value: str) -> list[Line]:
    steps, errors = line.curve
    found = [Line("line", panel, value, steps, errors)]
    if len(line.validation[0]):
        found.append(Line("dashed", panel, value, *line.validation))
    done = data.grid.loc[data.grid.index.intersection(line.rows)].dropna(subset="error")
    found.append(Line("run", panel, value, [_step(n) for n in done.iters], list(done.error)))
    if line.band is not None:
        return [Line("band", panel, value, steps, *line.band), *found]
    if (data.runs.outcome[list(line.rows)] == "diverged").any():
        found.append(Line("diverged", panel, value, steps[-1:], errors[-1:]))
    return found


def _step(iters: int) -> float:
    return float(min(iters, int(LARGEST)))


def _ends(data: SweepData) -> str:
    """Describe where the lowest and highest curves end, and how many runs diverged."""
    longest = data.grid.sort_values("iters", kind="stable")
    ends = longest.drop_duplicates(["combination", "lr"], keep="last").error.dropna()
    words = ""
    if len(ends) > 1:
        low, high = (data.words(data.grid.loc[at]) for at in (ends.idxmin(), ends.idxmax()))
        words = f" The lowest ends at {figure(ends.min(), 2)} ({low}), "
        words += f"the highest at {figure(ends.max(), 2)} ({high})."
    elif len(ends):
        words = f" It ends at {figure(ends.iloc[0], 2)}."
    bad = int((data.runs.outcome == "diverged").sum())
    return f"{words} {counted(bad, 'run')} diverged." if bad else words


@styled
def metrics_picture(data: SweepData) -> Picture | None:
    """Return the metrics that trainers yield, a panel each; None if there are none."""
    key = main_axis(data)
    texts = data.values[key.name]
    known = sorted(data.trajectories, key=lambda line: key.values.index(texts[line.rows[0]]))
    kept = [known[at] for at in spread(len(known), MOST_LINES)]
    lines = []
    for line in kept:
        run = data.runs.run[line.rows[-1]]
        named = artifact(run.named_curves, "curve", []) or {}
        for name, (steps, values) in named.items():
            if len(steps):
                lines.append(Line("line", plain(name, 40), texts[line.rows[0]], steps, values))
    if not lines:
        return None
    names = sorted({line.panel for line in lines}, key=natural)
    notes = [f"{MOST} of {len(names)} metrics"] if len(names) > MOST else []
    notes += [f"{len(kept)} of {counted(len(known), 'curve')}"] if len(kept) < len(known) else []
    panels = Panels(tuple(names[:MOST]))
    page = draw_lines(
        "Metrics while training",
        data,
        ("iteration", ""),
        [line for line in lines if line.panel in panels.titles],
        key,
        panels,
        partial(step_axis, last=max(line.x[-1] for line in lines)),
        note=", ".join(notes),
        share="x",
    )
    alt = f"{', '.join(panels.titles)} while training, coloured by {key.label} ({key.extent})."
    caption = "The metrics that the trainer yields; a line for each training."
    return page.picture("metric_curves", alt, caption)
