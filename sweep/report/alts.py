"""Say in words what each picture shows, for those who do not see it."""

from __future__ import annotations

from collections.abc import Sequence

from sweep.report.curves import CurvesInfo
from sweep.report.facts import Facts, Point
from sweep.report.rules import Pair
from sweep.report.weights import WeightsInfo
from sweep.report.words import figure, grouped, point_words, rate

__all__ = ["curves_alt", "heat_alt", "lines_alt", "rates_alt", "rules_alt", "weights_alt"]


def curves_alt(facts: Facts, info: CurvesInfo) -> str:
    """Describe the error curves."""
    lines = sum(len(panel.lines) for panel in info.panels)
    last = max((line.reach or 0 for line in facts.lines), default=0)
    noun = "curve" if lines == 1 else "curves"
    words = [
        f"{lines} error {noun} on logarithmic axes from before training to iteration "
        f"{grouped(last)}, coloured by learning rate ({_span(facts.rates)})."
    ]
    words += _ends(facts)
    diverged = sum(p.outcome == "diverged" for p in facts.points)
    if diverged:
        words.append(f"{diverged} of the runs diverged.")
    return " ".join(words)


def heat_alt(facts: Facts) -> str:
    """Describe the heat map."""
    return " ".join(
        [
            f"Heat map of the final error for {len(facts.rates)} learning rates "
            f"({_span(facts.rates)}) and {len(facts.counts)} iteration counts "
            f"({_counts(facts.counts)}).",
            *_best(facts),
        ]
    )


def lines_alt(facts: Facts) -> str:
    """Describe the picture of final errors by iterations."""
    words = [
        "Final error against iterations on logarithmic axes, a line for each learning rate "
        f"({_span(facts.rates)})."
    ]
    for count in (facts.counts[:1] + facts.counts[-1:]) if len(facts.counts) > 1 else ():
        inside = [p for p in facts.completed if p.iters == count]
        if len(inside) > 1:
            words.append(
                f"After {grouped(count)} iterations from {figure(inside[0].final_error, 2)} "
                f"(lr={rate(inside[0].lr)}) to {figure(inside[-1].final_error, 2)} "
                f"(lr={rate(inside[-1].lr)})."
            )
    return " ".join(words + _best(facts))


def rates_alt(facts: Facts) -> str:
    """Describe the picture of final errors by learning rate."""
    words = [
        "Final error against learning rate on logarithmic axes, a line for each of "
        f"{len(facts.counts)} iteration counts ({_counts(facts.counts)})."
    ]
    for count in dict.fromkeys(facts.counts[:1] + facts.counts[-1:]):
        best = next((p for p in facts.completed if p.iters == count), None)
        if best is not None:
            words.append(
                f"After {grouped(count)} iterations lr={rate(best.lr)} is best with "
                f"{figure(best.final_error, 2)}."
            )
    return " ".join(words)


def rules_alt(pairs: Sequence[Pair]) -> str:
    """Describe the picture of both rules."""
    words = [
        "Two panels for the rules notebook and gradient: error curves, and the largest "
        "difference of a weight by iterations."
    ]
    apart = [pair for pair in pairs if pair.furthest is not None]
    if apart:
        most = max(apart, key=_apart)
        name, a, b = most.furthest or ("", 0.0, 0.0)
        words.append(
            f"Furthest apart: {name} after {grouped(most.notebook.iters)} iterations with "
            f"lr={rate(most.notebook.lr)}, {figure(a, 3)} under notebook and {figure(b, 3)} "
            "under gradient."
        )
    return " ".join(words)


def _apart(pair: Pair) -> float:
    return 0.0 if pair.furthest is None else abs(pair.furthest[1] - pair.furthest[2])


def weights_alt(facts: Facts, info: WeightsInfo) -> str:
    """Describe the picture of the weights."""
    series = [s for panel in info.panels for s in panel.series]
    count = len(series[0].initial)
    words = [
        f"The {count} weights and biases before training and after it, for "
        f"{len(series)} {'run' if len(series) == 1 else 'runs'}."
    ]
    best: tuple[float, str] = (-1.0, "")
    for item in series:
        for i, (a, b) in enumerate(zip(item.initial, item.final, strict=True)):
            if abs(b - a) > best[0]:
                name = info.names[i] if info.names else f"number {i + 1}"
                best = (
                    abs(b - a),
                    f"{name} moves most: from {figure(float(a), 3)} to {figure(float(b), 3)} "
                    f"(learning rate {item.label.split(' ')[0]}).",
                )
    return " ".join(words + [best[1]] if best[1] else words)


def _best(facts: Facts) -> list[str]:
    best = facts.best
    if best is None:
        return ["No run has a final error."]
    return [f"Smallest: {figure(best.final_error)} at {point_words(facts, best)}."]


def _ends(facts: Facts) -> list[str]:
    longest = [line.longest for line in facts.lines]
    done = [p for p in longest if p.final_error is not None]
    if len(done) < 2:
        return _best(facts)
    low = min(done, key=_final)
    high = max(done, key=_final)
    return [
        f"The lowest ends at {figure(low.final_error, 2)} (lr={rate(low.lr)}), "
        f"the highest at {figure(high.final_error, 2)} (lr={rate(high.lr)})."
    ]


def _final(point: Point) -> float:
    return 0.0 if point.final_error is None else point.final_error


def _span(rates: Sequence[float]) -> str:
    if len(rates) <= 5:
        return ", ".join(map(rate, rates))
    return f"{rate(rates[0])} to {rate(rates[-1])}"


def _counts(counts: Sequence[int]) -> str:
    if len(counts) <= 6:
        return ", ".join(map(grouped, counts))
    return f"{grouped(counts[0])} to {grouped(counts[-1])}"
