"""What ``dry_run=true`` prints: the grid points, what is new of them, and what it will take."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sweep.checks import plain_text
from sweep.config.settings import Settings
from sweep.config.spec import RunSpec
from sweep.console import say
from sweep.engine.estimate import Estimate, estimate, single_estimate
from sweep.engine.life import Opening
from sweep.engine.plan import Cell, Plan, counted
from sweep.engine.stored import stored_cells

__all__ = ["print_run", "print_sweep"]

SHOWN_POINTS = 5
"""So many points are named first and last."""


def print_sweep(opening: Opening) -> None:
    """Print the plan of a sweep; the iterations told are those that the store does not have."""
    options, plan = opening.options, opening.plan
    stored = stored_cells(plan, options, opening.sweep_id)
    new = [cell for cell in plan.cells if cell not in stored]
    first, *left_out = plan.lines(new)
    lines = [f"Plan: {first}", *left_out, *_points(plan, new)]
    say("\n".join(map(plain_text, lines)))
    say(f"New: {len(new)}, stored already: {len(plan.cells) - len(new)}")
    _estimated(
        [cell.spec for cell in new],
        lambda: estimate(
            plan,
            new,
            opening.workers,
            server=options.tracking_kind == "server",
            elsewhere=opening.elsewhere,
            max_seconds=options.max_seconds,
        ),
    )


def print_run(spec: RunSpec, options: Settings) -> None:
    """Print the plan of a single run."""
    say(f"Plan: {counted(1, 1, spec.iters)}")
    say("New: 1, stored already: 0")
    _estimated([spec], lambda: single_estimate(spec, options.max_seconds))


def _points(plan: Plan, new: Sequence[Cell]) -> list[str]:
    """Return the grid points by name, those that are stored and those asked for twice."""
    missing = {cell.index for cell in new}
    lines = []
    for cell in plan.cells:
        times = plan.doubled.get(cell.name, 1)
        twice = f"  (asked for {times} times, runs once)" if times > 1 else ""
        stored = "" if cell.index in missing else "  (stored already)"
        lines.append(f"  {cell.name}{twice}{stored}")
    if len(lines) > 2 * SHOWN_POINTS:
        lines[SHOWN_POINTS:-SHOWN_POINTS] = [f"  ... {len(lines) - 2 * SHOWN_POINTS} more ..."]
    return lines


def _estimated(specs: Sequence[RunSpec], estimate: Callable[[], Estimate]) -> None:
    if all(spec.trainer.built_in for spec in specs):
        found = estimate()
        say(f"Estimate: {found.seconds:.1f} s, {found.bytes / 1e6:.1f} MB")
    else:  # it would have to run for one, and may write anything
        say("No estimate: a trainer of your own is not tried.")
    say("Nothing was written.")
