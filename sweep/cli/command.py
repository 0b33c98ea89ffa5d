"""What ``python -m sweep -m`` does: plan the grid, open the sweep, train its runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf, open_dict, read_write

from sweep import console
from sweep.checks import did_you_mean, invalid_value, plain_text
from sweep.cli.arguments import config_flags, describes_run, kept, key_of
from sweep.cli.axes import parse, typed_text
from sweep.cli.compose import Composer
from sweep.cli.grid import expand
from sweep.cli.launch import launch, runs_alone, workers_of
from sweep.cli.messages import listed
from sweep.cli.plain import plain_values, typed_overrides
from sweep.cli.resume import resumed_plan, settings_of, stored_sweep
from sweep.cli.validate import check_launcher
from sweep.config.settings import CONTROL_KEYS, Settings, settings, sweeper_settings
from sweep.config.spec import RunSpec
from sweep.engine.estimate import Estimate, estimate
from sweep.engine.executors import create
from sweep.engine.life import Opening, sweep_life
from sweep.engine.plan import Cell, Plan, counted, new_id
from sweep.engine.single import resume_single
from sweep.engine.stored import stored_cells
from sweep.errors import ConfigError, ConfigErrors
from sweep.tracking.entities import BUILT_IN
from sweep.tracking.question import repeat_problems

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader
    from hydra.core.utils import JobReturn
    from hydra.plugins.launcher import Launcher
    from omegaconf import DictConfig

__all__ = ["print_run", "run_sweep"]

SHOWN_POINTS = 5
"""So many points are named first and last."""


def run_sweep(
    loader: ConfigLoader,
    master: DictConfig,
    make_launcher: Callable[[], Launcher],
    arguments: Sequence[str],
) -> list[Sequence[JobReturn]]:
    """Run one sweep from the command line to its report.

    Parameters
    ----------
    make_launcher
        Called once the sweep has its id: folders of other people's launchers are below that of
        the sweep.
    arguments
        The overrides of the command line.

    Returns
    -------
    list
        The returns of each batch's jobs, as Hydra's own sweeper gives them; of our launcher none.

    Raises
    ------
    ConfigErrors
        The configuration was refused; nothing was created.
    StoreError
        The store cannot be used; no run was started.
    """
    if master.resume is not None:
        if resume_single(settings(plain_values(master, CONTROL_KEYS), Path.cwd())):
            return []
    composer = Composer(loader, master)
    sweeper: Any = OmegaConf.to_container(master.hydra.sweeper, resolve=True)
    opening, controls = _checked(composer, loader, master, sweeper, arguments)
    launcher = make_launcher()
    ours = getattr(launcher, "settings", None)  # None: somebody else's launcher
    if ours is not None:  # refused before anything exists; nothing is started yet
        create(ours["backend"], ours["workers"], ours["options"]).close()
    elif opening.options.budget_seconds is not None:
        raise ConfigError(
            f"budget.seconds={opening.options.budget_seconds}: jobs of another launcher end by "
            "themselves; use budget.runs, or hydra/launcher=trajectory."
        )
    alone = ours is not None and runs_alone(composer, opening.plan.cells)
    opening = replace(
        opening,
        plan=replace(opening.plan, shared=ours is not None and not alone),
        workers=workers_of(master, ours, alone=alone),
        elsewhere=ours is not None and "address" in ours["options"],
    )
    _say_unused_seed(opening.plan)
    if opening.options.dry_run:
        _print_sweep(opening)
        return []
    with sweep_life(opening) as sweep:
        return launch(sweep, launcher, composer, master, controls, sweeper["max_batch_size"])


def _say_unused_seed(plan: Plan) -> None:
    """Say where `seed` is an axis and changes nothing: equal numbers are trained again."""
    if "seed" in plan.axes and not any(cell.spec.uses_seed for cell in plan.cells):
        console.say(
            "seed: it changes nothing here, for the weights are given and no samples are drawn; "
            "leave the axis out, or draw weights with network.init.scheme=xavier."
        )


def _checked(
    composer: Composer,
    loader: ConfigLoader,
    master: DictConfig,
    said: Mapping[str, Any],
    arguments: Sequence[str],
) -> tuple[Opening, list[str]]:
    """Return the sweep that the command line describes, and the overrides that every job has.

    Raises
    ------
    ConfigErrors
        Everything that is wrong with it.
    """
    problems: list[str] = []
    options = plan = sweeper = parent_run_id = None
    sweep_id, files = new_id(), {}
    typed = parse(loader, arguments)
    shown = [typed_text(override) for override in typed]
    hydras = typed_overrides(master)["hydra"]
    kept_words = {"flags": config_flags(sys.argv[1:]), "overrides": kept([*shown, *hydras])}
    with listed(problems):
        options = settings(plain_values(master, CONTROL_KEYS), Path.cwd())
    with listed(problems):
        check_launcher(master.hydra.launcher)
    with listed(problems):
        sweeper = sweeper_settings(said)
    if sweeper is None:
        raise ConfigErrors(problems)
    if master.resume is None:
        _set_parent(master, sweep_id)
        with listed(problems):
            plan = expand(composer, master, sweeper, typed, loader, sweep_id)
            plan = replace(plan, kept=kept_words)
        files = {
            "multirun.yaml": OmegaConf.to_yaml(master),
            "overrides.yaml": OmegaConf.to_yaml(OmegaConf.create(shown)),
        }
    elif options is not None:
        stored, document = stored_sweep(options)
        sweep_id, parent_run_id = stored.sweep_id, stored.run_id
        _set_parent(master, sweep_id)
        with listed(problems):
            added = settings_of(document, master, kept_words["overrides"])
            options = settings(plain_values(master, CONTROL_KEYS), Path.cwd())
            arguments = [*(text for text in added if key_of(text)[:6] != "hydra."), *arguments]
            plan = resumed_plan(composer, master, sweeper, typed, options, document)
    if options is not None and plan is not None:
        plan = replace(plan, repeats=options.repeats or ())
        problems += _question_problems(options, plan)
    if options is None or plan is None or problems:
        raise ConfigErrors(problems)
    plan = replace(plan, about={**plan.about, **options.about})
    folder = Path(str(master.hydra.sweep.dir))
    opening = Opening(sweep_id, plan, options, folder, files, parent_run_id)
    return opening, [text for text in arguments if not describes_run(text)]


def _question_problems(options: Settings, plan: Plan) -> Iterator[str]:
    """Yield why the plan's runs cannot be compared by what the options ask."""
    if options.mode == "max" and options.metric is None:
        yield invalid_value("mode", "max", "name the metric too, as metric=accuracy")
    yield from repeat_problems(plan.repeats, plan.axes)
    configs = [cell.spec.config for cell in plan.cells]
    if options.metric is None or not all(cell.spec.trainer.built_in for cell in plan.cells):
        return
    if options.metric not in BUILT_IN and not options.metric.startswith("weights/"):
        known = did_you_mean(options.metric, BUILT_IN) or f"; it has {', '.join(BUILT_IN)}"
        yield invalid_value(
            "metric", options.metric, f"the built-in trainer has no such metric{known}"
        )
    elif "validation" in options.metric and not any(
        config["data"].get("validation") or config["data"].get("folds") for config in configs
    ):
        yield invalid_value(
            "metric", options.metric, "no samples are kept back; set data.validation=0.2"
        )
    elif "accuracy" in options.metric and not any(
        config["data"].get("one_hot") or config["network"].get("loss") == "cross_entropy"
        for config in configs
    ):
        yield invalid_value(
            "metric",
            options.metric,
            "the targets are no classes; set data.one_hot=true, or network.loss=cross_entropy",
        )


def _set_parent(master: DictConfig, sweep_id: str) -> None:
    """Let Hydra's own settings, the sweep's folder among them, know the sweep."""
    with read_write(master), open_dict(master):
        master.parent = sweep_id


# --- what dry_run=true prints -------------------------------------------------------------


def _print_sweep(opening: Opening) -> None:
    """Print the plan of a sweep; the iterations shown are those that the store does not have."""
    options, plan = opening.options, opening.plan
    stored = stored_cells(plan, options, opening.sweep_id)
    new = [cell for cell in plan.cells if cell not in stored]
    first, *left_out = plan.lines(new)
    lines = [f"Plan: {first}", *left_out, *_points(plan, new)]
    console.say("\n".join(map(plain_text, lines)))
    console.say(f"New: {len(new)}, stored already: {len(plan.cells) - len(new)}")
    _print_estimate(opening.estimate(new))


def print_run(spec: RunSpec, options: Settings) -> None:
    """Print the plan of a single run."""
    console.say(f"Plan: {counted(1, 1, spec.iters)}")
    console.say("New: 1, stored already: 0")
    cell = Cell(0, (), {}, spec)
    plan = Plan((cell,), (), 1, "", spec.base)
    limit = options.max_seconds
    built_in = spec.trainer.built_in
    _print_estimate(
        estimate(plan, plan.cells, 1, report=False, max_seconds=limit) if built_in else None
    )


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


def _print_estimate(found: Estimate | None) -> None:
    if found is None:
        console.say("No estimate: a trainer of your own is not tried.")
    else:
        console.say(f"Estimate: {found.seconds:.1f} s, {found.bytes / 1e6:.1f} MB")
    console.say("Nothing was written.")
