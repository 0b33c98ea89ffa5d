"""Terminal output: plain lines and tables."""

from __future__ import annotations

import errno
import os
import re
import shlex
import signal
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from sweep.checks import plain_text, without_password

if TYPE_CHECKING:
    from sweep.config.settings import Settings
    from sweep.config.spec import RunSpec
    from sweep.engine.sweep import Sweep
    from sweep.report.build import Report
    from sweep.training.history import RunResult


RESUMED = re.compile(r"\+*(hydra([/.]launcher|\.searchpath)\b|trainer(\._target_|=.*[{$]))")
"""What to repeat, beside the store's keys, when a sweep is resumed; its plan keeps the others.

The store is not trusted with a trainer's ``_target_``, which names code.
"""

MANY_SCALARS = 64

ADDRESS = "http://127.0.0.1:5000/"
"""Default address of ``python -m sweep.ui``."""


def echo(text: str = "") -> None:
    """Print a line to standard output and flush it."""
    _print(text, sys.stdout)


def notice(text: str) -> None:
    """Print a status message to standard error."""
    _print(text, sys.stderr)


def error(text: str) -> None:
    """Print an error to standard error, with a prefix on each line."""
    for line in text.splitlines():
        _print(f"sweep: {line}", sys.stderr)


def _print(text: str, stream: TextIO) -> None:
    """Print and flush; a closed pipe or terminal (`| head`) does not end the sweep."""
    try:
        print(text, file=stream, flush=True)
    except OSError as error:
        if error.errno in (errno.EPIPE, errno.EIO, errno.EBADF):  # permanent
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def resume_command(sweep: Sweep) -> str:
    """Return the command that resumes a sweep with its store, launcher and configuration."""
    words = [*sweep.plan.kept.get("flags", ()), *filter(RESUMED.match, sys.argv[1:])]
    words += [*store_arguments(sweep.options), f"resume={sweep.id}"]
    return shlex.join(["python", "-m", "sweep", "-m", *words])


def ui_command(options: Settings) -> str:
    """Return the command that opens the MLflow UI on this store."""
    if options.tracking.kind != "local":
        return f"open {page_address(options)} in a browser"
    path = os.path.relpath(options.outputs / "mlflow.db")
    if path.startswith(".."):
        path = str(options.outputs / "mlflow.db")
    return f"mlflow ui --backend-store-uri {shlex.quote(f'sqlite:///{path}')}"


def show_command(options: Settings, sweep_id: str) -> str:
    """Return the command that shows a sweep in the MLflow UI, without default values."""
    return shlex.join(["python", "-m", "sweep.ui", f"sweep={sweep_id}", *store_arguments(options)])


def store_arguments(options: Settings) -> list[str]:
    """Return the overrides that select the store in another command, without default values."""
    words = []
    if options.outputs != Path("outputs").resolve():
        path = os.path.relpath(options.outputs)
        words.append(_override("outputs", str(options.outputs) if path[:2] == ".." else path))
    if options.tracking.experiment != "sweep":
        words.append(_override("tracking.experiment", options.tracking.experiment))
    if options.tracking.kind != "local":
        words.append(f"tracking={options.tracking.kind}")
        if options.tracking.uri not in (None, os.environ.get("MLFLOW_TRACKING_URI")):
            words.append(_override("tracking.uri", without_password(options.tracking.address)))
    return words


def compare_line(options: Settings, sweep_id: str, link: str = "") -> str:
    """Return the line with the command that serves a sweep's page, or its link on a server."""
    served = link and options.tracking.kind != "local"
    where = f"{page_address(options)}{link}" if served else show_command(options, sweep_id)
    return f"Compare:     {where}"


def run_pages(options: Settings, experiment_id: str) -> str:
    """Return the address of run pages in the MLflow UI, to which a run id is appended."""
    return f"{page_address(options)}#/experiments/{experiment_id}/runs/"


def page_address(options: Settings) -> str:
    """Return the address of MLflow's pages, without a password."""
    if options.tracking.kind == "local":
        return ADDRESS
    return options.tracking.location.rstrip("/") + "/"


def _override(key: str, value: str) -> str:
    """Return an override whose value Hydra and OmegaConf parse as exactly this text."""
    if re.fullmatch(r"[A-Za-z_/][\w./-]*", value, re.ASCII):
        return f"{key}={value}"
    # In a quoted value Hydra keeps backslashes, except before a quote.
    quoted = re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + m[2].replace("'", "\\'"), value)
    quoted = quoted.replace("${", "\\${")
    return f"{key}='{quoted}'"


def single_run(spec: RunSpec, result: RunResult) -> None:
    """Print neurons, errors and weights of a run as the notebook does, as plain numbers."""
    data, final = spec.data(), result.final_weights
    scalars = {name: value for name, value in final.items() if not getattr(value, "ndim", 0)}
    whole = result.outcome == "completed" and result.stopped_at is None
    done = spec.iters if whole else int(result.steps.max(initial=0))
    after = f"After {done} iteration{'' if done == 1 else 's'} (lr={spec.lr!r}"
    if spec.trainer.built_in and len(data.inputs) == 1 and 0 < len(scalars) <= MANY_SCALARS:
        trained = spec.network.replace(np.array(list(scalars.values())))
        echo("Before training:")
        _neurons(spec.network.forward(data.inputs))
        _numbers("targets", "t", data.targets[0])
        echo(f"  total error: {result.initial_error!r}")
        echo(f"{after}, rule={spec.rule}):")
        _neurons(trained.forward(data.inputs))
    else:
        echo(f"Error before training: {result.initial_error!r}")
        echo(f"{after}):")
    if result.final_error is not None:
        echo(f"  total error: {result.final_error!r}")
    if remark := _remark(result):
        echo(f"  {remark}")
    if 0 < len(scalars) <= MANY_SCALARS:
        echo("Network weights and biases:")
        width = max(map(len, scalars))
        for name, value in scalars.items():
            echo(f"  {name:<{width}} = {value!r}")


def _remark(result: RunResult) -> str:
    if result.diverged_at is not None:
        return f"the run diverged: a value is not finite at step {result.diverged_at}"
    if result.failure is not None:
        return f"the run failed: {plain_text(result.failure.sentence)}"
    if result.outcome != "completed":
        return f"the run was {result.outcome}: training ended after step {int(result.steps[-1])}"
    if result.stopped_at is not None:
        return f"stopped after step {result.stopped_at}"
    at = result.stalled_at
    return "" if at is None else f"stalled: no weight changes from step {at} on"


def _neurons(layers: Sequence[Any]) -> None:
    """Print the values of the neurons; each layer has shape (1, n)."""
    _numbers("hidden", "h", [value for layer in layers[:-1] for value in layer[0]])
    _numbers("outputs", "o", layers[-1][0])


def _numbers(label: str, letter: str, values: Sequence[float]) -> None:
    shown = "  ".join(f"{letter}{at}: {float(value)!r}" for at, value in enumerate(values, 1))
    if shown:
        echo(f"  {label + ':':<9}{shown}")


def stored(run_id: str, options: Settings) -> None:
    """Print where a single run was stored and how to open it."""
    echo(f"Stored as run {run_id} of experiment '{options.tracking.experiment}'.")
    echo(f"Look at it:  {ui_command(options)}")


def sweep_started(sweep: Sweep) -> None:
    """Print a sweep's plan and how many of its runs are stored already."""
    first, *left_out = sweep.plan.lines(sweep.plan.cells)
    if finished := sweep.count("FINISHED"):
        first += f"; {finished} of them stored already, {len(sweep.pending)} to do"
    for line in (f"Sweep {sweep.id}: {first}", *left_out):
        echo(plain_text(line))


def reused(name: str, run_id: str, sweep_id: str | None) -> None:
    """Print that a result was taken from an earlier run."""
    where = f"run {run_id} of sweep {sweep_id}" if sweep_id else f"single run {run_id}"
    echo(f"  {plain_text(name)}  reused from {where}")


def interrupted(sweep: Sweep, signum: int) -> None:
    """Print how many runs of an interrupted sweep are finished, and how to resume it."""
    done = f"{sweep.count('FINISHED')} of {len(sweep.plan.cells)} runs are done"
    command = resume_command(sweep)
    error(f"Ended by {signal.Signals(signum).name}: {done}; finish it with: {command}")


def single_interrupted(signum: int, how: str) -> None:
    """Print that a signal ended a single run; `how` is the phrase on what was kept of it."""
    name = signal.Signals(signum).name
    error(f"Ended by {name}: the run had not finished and {how}; a sweep (-m) can be resumed.")


def sweep_ended(report: Report, sweep: Sweep, seconds: float, link: str | None) -> None:
    """Print the table of final errors, failures, the best run and the next commands."""
    echo()
    if (found := report.final_error) is not None:
        echo(found.title.partition(" by ")[0].removesuffix(" E").rstrip(","))
        table(found.columns, found.rows, right=range(1, len(found.columns)))
    echo()
    for failed in sweep.failed.values():
        run, why = plain_text(failed.name), plain_text(failed.sentence)
        echo(f"Failed: {run}: {why}  (whole traceback: {failed.traceback})")
    if sweep.left_over:
        started = f" ({sweep.cut_off} started)" if sweep.cut_off else ""
        runs = f"{sweep.left_over} of {len(sweep.plan.cells)} runs not finished{started}"
        echo(f"Budget used up: {runs}; continue with: {resume_command(sweep)}")
    report_built(report, sweep.options, compare_line(sweep.options, sweep.id, link) if link else "")
    estimated = f" (estimated {sweep.estimate.seconds:.1f} s)" if sweep.estimate else ""
    echo(f"Done in {seconds:.1f} s{estimated}.")


def report_built(report: Report, options: Settings, compare: str = "") -> None:
    """Print a report's headline and path, and what shows the runs in MLflow."""
    echo(report.headline)
    echo(f"Report:      {os.path.relpath(report.folder / 'index.html')}")
    if compare:
        echo(compare)
    echo(f"MLflow UI:   {ui_command(options)}")


def table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[int] = ()
) -> None:
    """Print a table, never cut; the columns with an index in `right` are right-aligned."""
    from rich.cells import cell_len

    lines = [list(map(plain_text, row)) for row in (columns, *rows)]
    for at, column in enumerate(zip(*lines, strict=True)):
        width = max(map(cell_len, column))
        for line in lines:
            blank = " " * (width - cell_len(line[at]))
            line[at] = blank + line[at] if at in right else line[at] + blank
    echo("\n".join("  ".join(line).rstrip() for line in lines))
