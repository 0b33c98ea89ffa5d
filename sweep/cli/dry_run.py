"""Print what a command would train (``dry_run``); nothing is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sweep import console
from sweep.checks import plain_text
from sweep.engine.estimate import Estimate, estimate
from sweep.engine.plan import Cell, Plan, counted
from sweep.engine.stored import stored_cells

if TYPE_CHECKING:
    from sweep.config.settings import Settings
    from sweep.config.spec import RunSpec
    from sweep.engine.lifecycle import Opening

SHOWN_POINTS = 5  # at the start and at the end of a printed plan


def print_sweep(opening: Opening) -> None:
    """Print the plan of a sweep; runs that the store has are excluded from the iterations."""
    options, plan = opening.options, opening.plan
    stored = {cell.index for cell in stored_cells(plan, options, opening.sweep_id)}
    new = [cell for cell in plan.cells if cell.index not in stored]
    first, *left_out = plan.lines(new)
    points = []
    for cell in plan.cells:
        times = plan.doubled.get(cell.name, 1)
        twice = f"  (asked for {times} times, runs once)" if times > 1 else ""
        known = "  (stored already)" if cell.index in stored else ""
        points.append(f"  {cell.name}{twice}{known}")
    if len(points) > 2 * SHOWN_POINTS:
        points[SHOWN_POINTS:-SHOWN_POINTS] = [f"  ... {len(points) - 2 * SHOWN_POINTS} more ..."]
    console.echo("\n".join(map(plain_text, [f"Plan: {first}", *left_out, *points])))
    console.echo(f"New: {len(new)}, stored already: {len(plan.cells) - len(new)}")
    _print_estimate(opening.estimate(new))


def print_run(spec: RunSpec, options: Settings) -> None:
    """Print the plan of a single run."""
    console.echo(f"Plan: {counted(1, 1, spec.iters)}")
    console.echo("New: 1, stored already: 0")
    plan = Plan((Cell(0, (), {}, spec),), (), 1, "", spec.base)
    _print_estimate(estimate(plan, plan.cells, 1, report=False, max_seconds=options.max_seconds))


def _print_estimate(found: Estimate | None) -> None:
    if found is None:
        console.echo("No estimate: a trainer of your own is not tried.")
    else:
        seconds = f"{found.seconds:.1f}" if found.seconds < 1e9 else f"{found.seconds:.2g}"
        console.echo(f"Estimate: {seconds} s, {found.bytes / 1e6:.1f} MB")
    console.echo("Nothing was written.")
