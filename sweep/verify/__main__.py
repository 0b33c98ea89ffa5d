"""``python -m sweep.verify``: retrain stored runs and list the values that differ.

The exit code is 1 if any value differs, else 0. Runs that cannot be retrained here do not change
it; they are listed with the reason and counted.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.cli.app import tool

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from sweep.verify.check import Verdict

MOST = 40
"""Maximum number of differences shown per run."""


def verify(config: DictConfig) -> None:
    """Verify the configured sweep or run.

    Raises RunFailed if values differ, NotFoundError if there is no such store, sweep or run.
    """
    from sweep.cli.hydra_config import to_container
    from sweep.config.settings import settings
    from sweep.engine.signals import stop_on_signals
    from sweep.errors import RunFailed
    from sweep.tracking.entities import platform_tags
    from sweep.tracking.store import open_store
    from sweep.verify.check import named, prepared, totals
    from sweep.verify.retrain import foreign, trajectories, verdicts

    plain = to_container(config, ("sweep", "run", "outputs", "tracking"))
    store = open_store(settings(plain, Path.cwd()).tracking, mode="read")
    sweep, plan, runs = named(store, str(plain["sweep"]), plain["run"])
    base = store.tracking.outputs / str(plan.get("base") or Path.cwd())
    # The configuration's other keys may refer to keys that this command does not have.
    settled, cases = prepared(runs, plan, base, str(config.trainer.get("_target_")))
    complete = sweep if plain["run"] is None else None
    needed = trajectories(cases)
    _say(
        f"{f'Sweep {complete.sweep_id}' if complete else 'One run'} in {store.where}: "
        f"{len(cases)} runs to train again, {len(needed)} trajectories, "
        f"{sum(one.stops[-1] for one in needed)} iterations"
    )
    platform = platform_tags()["sweep.platform"]
    for other in sorted({foreign(run, platform) for run in runs} - {""}):
        _say(f"Trained on another kind of machine ({other}; this one: {platform}):")
        _say("  compared to the tolerance (1e-9 of the root of an error, 1e-9 of a weight).")
    count: Counter[str] = Counter(map(_shown, settled))
    with stop_on_signals() as stop:
        count.update(map(_shown, verdicts(cases, platform, store, stop)))
    if complete:
        count.update(map(_shown, totals(complete, runs)))
    left = ["not verified"] + ["not compared"] * bool(count["not compared"])
    words = [f"{count['equal']} runs verified", f"{count['differs']} differ"]
    _say(", ".join([*words, *(f"{count[word]} {word}" for word in left)]))
    if count["differs"]:
        raise RunFailed("Stored and retrained values differ; the differences are listed above.")


def _shown(verdict: Verdict) -> str:
    """Print the verdict on a run; return its word."""
    near = " within the tolerance" if verdict.near and verdict.word == "equal" else ""
    reason = f": {verdict.reason}" if verdict.reason else ""
    _say(f"  {verdict.word}{near}  {verdict.name}{reason}")
    for text in verdict.differences[:MOST]:
        _say(f"      {text}")
    if len(verdict.differences) > MOST:
        _say(f"      and {len(verdict.differences) - MOST} more differences")
    return verdict.word


def _say(text: str) -> None:
    from sweep import console
    from sweep.checks import plain_text

    console.echo(plain_text(text))


if __name__ == "__main__":
    sys.exit(tool(verify, "verify"))
