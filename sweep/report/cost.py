"""What a sweep took: runs, iterations and time, as far as it trained by itself."""

from __future__ import annotations

from sweep.report.facts import Facts
from sweep.report.words import duration, figure, grouped

__all__ = ["cost", "trained"]


def cost(facts: Facts) -> dict[str, str]:
    """Return what the sweep took."""
    cost = {"runs": grouped(len(facts.points)), "trajectories": grouped(len(facts.lines))}
    iterations, seconds = trained(facts)
    cost["iterations trained"] = grouped(iterations)
    asked = sum(point.iters for point in facts.points)
    if asked > iterations > 0:
        cost["iterations asked for"] = f"{grouped(asked)} ({figure(asked / iterations, 3)} times)"
    cost["training"] = duration(seconds)
    ends = [facts.sweep.end_time, *(p.run.end_time for p in facts.points)]
    end = max((each for each in ends if each is not None), default=None)
    start = facts.sweep.start_time
    if start is not None and end is not None and end >= start:
        cost["from start to end"] = duration((end - start) / 1000)
    return cost


def trained(facts: Facts) -> tuple[int, float]:
    """Return the iterations that this sweep trained itself, and the seconds they took.

    Runs that were taken over from another sweep cost nothing. The runs of a trajectory share
    its training, unless the sweep's launcher or trainer cannot.
    """
    iterations, seconds = 0, 0.0
    for line in facts.lines:
        own = [point for point in line.points if "sweep.reused_from" not in point.run.tags]
        each = [
            (min(point.iters, line.reach or 0), point.metric("train_seconds") or 0.0)
            for point in own
        ]
        if facts.plan.get("shared", True):
            each = [(max(n for n, _ in each), max(s for _, s in each))] if each else []
        iterations += sum(n for n, _ in each)
        seconds += sum(s for _, s in each)
    return iterations, seconds
