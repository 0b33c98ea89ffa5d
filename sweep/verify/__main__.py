"""``python -m sweep.verify``: train stored runs again, compare every number, say what differs.

The exit code is 1 where anything differs, else 0: also where runs were not verified, because
they cannot be trained again here, which the last line counts and the lines before it explain.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from sweep.cli.app import tool

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from sweep.verify.check import Check, Verdict
    from sweep.verify.sources import Stored

MOST = 40
"""So many differences of one run are shown."""


def verify(config: DictConfig) -> None:
    """Verify the sweep or run that the configuration names.

    Raises
    ------
    RunFailed
        Something differs.
    NotFoundError
        There is no such sweep, run or folder.
    """
    from sweep.cli.plain import plain_values
    from sweep.engine.signals import stop_on_signals
    from sweep.engine.sweep import platform_tags
    from sweep.errors import RunFailed
    from sweep.verify.check import prepared, totals
    from sweep.verify.sources import from_folder, from_store

    plain = plain_values(config, ("sweep", "run", "from", "outputs", "tracking"))
    # Its other keys may lean on keys that this command does not have.
    trainer = str(config.trainer.get("_target_"))
    stored = from_folder(plain, trainer) if plain["from"] else from_store(plain, trainer)
    platform = platform_tags()["sweep.platform"]
    check = prepared(stored.runs, stored.plan, stored.origin, platform)
    _begin(stored, check)
    with stop_on_signals() as stop:
        verdicts = list(_told(check.verdicts(stored.history, stop)))
    if stored.whole and stored.sweep is not None:
        verdicts += _told(totals(stored.sweep, stored.runs))
    counted = _summary(verdicts)
    for sentence in stored.damaged:
        _say(f"  differs  {sentence}")
    if counted["differs"] or stored.damaged:
        raise RunFailed(
            "What is stored is not what training gives; the differences are listed above."
        )


def _begin(stored: Stored, check: Check) -> None:
    title = f"Sweep {stored.sweep.sweep_id}" if stored.sweep and stored.whole else "One run"
    iterations = sum(one.stops[-1] for one in check.needed)
    _say(
        f"{title} in {stored.where}: {len(check.cases)} runs to train again, "
        f"{len(check.needed)} trajectories, {iterations} iterations"
    )
    others = {run.tags["sweep.platform"] for run in stored.runs if check.is_foreign(run)}
    for other in sorted(others):
        _say(f"Trained on another kind of machine ({other}; this one: {check.platform}):")
        _say("  compared to the tolerance (1e-9 of the root of an error, 1e-9 of a weight).")


def _told(verdicts: Iterable[Verdict]) -> Iterable[Verdict]:
    for verdict in verdicts:
        word = "equal within the tolerance" if verdict.near and verdict.word == "equal" else None
        reason = f": {verdict.reason}" if verdict.reason else ""
        _say(f"  {word or verdict.word}  {verdict.name}{reason}")
        for difference in verdict.differences[:MOST]:
            _say(f"      {difference}")
        if len(verdict.differences) > MOST:
            _say(f"      and {len(verdict.differences) - MOST} more differences")
        yield verdict


def _summary(verdicts: Sequence[Verdict]) -> Counter[str]:
    count = Counter(verdict.word for verdict in verdicts)
    text = (
        f"{count['equal']} runs verified, {count['differs']} differ, "
        f"{count['not verified']} not verified"
    )
    if count["not compared"]:
        text += f", {count['not compared']} not compared (they did not finish)"
    _say(text)
    return count


def _say(text: str) -> None:
    from sweep import console
    from sweep.checks import plain_text

    console.say(plain_text(text))


if __name__ == "__main__":
    sys.exit(tool(verify, "verify"))
