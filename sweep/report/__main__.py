"""``python -m sweep.report``: build the report of a stored sweep, or compare two sweeps."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.cli.app import tool

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from sweep.config.settings import Settings
    from sweep.question import Question
    from sweep.tracking.read import StoredRun, StoredSweep


def report(config: DictConfig) -> None:
    """Build the report of ``sweep=ID|last``, or compare ``compare=[ID1,ID2]``; print the answer."""
    from sweep import console
    from sweep.cli.hydra_config import to_container
    from sweep.config.settings import settings
    from sweep.report.build import build_comparison, build_report
    from sweep.tracking import locks, read
    from sweep.tracking.store import open_store

    plain = to_container(config)
    options = settings(plain, Path.cwd())
    wanted = _compared(plain["compare"]) or [str(plain["sweep"])]
    open_store(options.tracking, mode="read")  # NotFoundError if there is no store
    store = open_store(options.tracking, mode="write")
    for sentence in locks.recover(store):
        console.echo(sentence)
    found = [read.find_sweep(store, sweep) for sweep in wanted]
    runs = [read.sweep_runs(store, sweep.sweep_id) for sweep in found]
    both = [(read.with_deleted(store, *one), one[1]) for one in zip(found, runs, strict=True)]
    question, *_ = [_question(options, *one) for one in both]
    folder = options.outputs / "reports" / "+".join(sweep.sweep_id for sweep in found)
    if len(both) > 1:
        built = build_comparison(both[0], both[1], folder, question)
        console.echo(built.headline)
        console.echo(f"Comparison:  {os.path.relpath(folder / 'index.html')}")
        return
    built = build_report(
        *both[0],
        folder,
        command_ui=console.ui_command(options),
        run_pages=console.run_pages(options, store.experiment_id),
        store_arguments=shlex.join(console.store_arguments(options)),
        question=question,
    )
    console.report_built(built, options, console.compare_line(options, found[0].sweep_id))


def _compared(value: Any) -> list[str]:
    from sweep.errors import ConfigError

    if value is None:
        return []
    if not isinstance(value, list) or len(value) != 2:
        raise ConfigError(f"compare={value}: name two sweeps as compare=[ID1,ID2].")
    return [str(sweep) for sweep in value]


def _question(options: Settings, sweep: StoredSweep, runs: Sequence[StoredRun]) -> Question:
    """Return the sweep's question with the command's overrides, validated (`ConfigError`)."""
    from sweep.errors import ConfigError
    from sweep.question import question_of, repeat_problems
    from sweep.report.curves import artifact

    plan = artifact(sweep.plan, "", []) or {}  # the report says if it cannot be read
    axes = plan.get("axes")
    question = question_of(plan, options.metric, options.mode, options.repeats)
    problems = repeat_problems(options.repeats or (), axes if isinstance(axes, list) else ())
    unanswered = question.unanswered(runs) if options.metric else ""
    if unanswered or problems:
        raise ConfigError(*filter(None, [unanswered]), *problems)
    return question


if __name__ == "__main__":
    sys.exit(tool(report, "report"))
