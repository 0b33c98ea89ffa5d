"""Run ``python -m sweep -m``: plan the grid, open the sweep, train and record its runs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf, open_dict, read_write

from sweep import console
from sweep.checks import without_password
from sweep.cli.arguments import command_overrides, config_flags, mistaken
from sweep.cli.compose import Composer
from sweep.cli.dry_run import print_sweep
from sweep.cli.grid import Planner
from sweep.cli.hydra_config import configure_log, to_container
from sweep.cli.messages import collect_errors
from sweep.cli.overrides import describes_run, keys_set
from sweep.cli.resume import kept_settings, resumed_plan, settings_of, stored_sweep
from sweep.cli.validate import CALLBACK, SINGLE, checked_settings, question_problems
from sweep.config.models import Sweeper
from sweep.config.settings import settings
from sweep.config.spec import CONTROL_KEYS, remarks
from sweep.config.validation import validated
from sweep.engine.executors import available_cpus, create
from sweep.engine.lifecycle import Opening, process, sweep_lifecycle
from sweep.engine.plan import Cell, new_id
from sweep.engine.single import resume_single
from sweep.engine.sweep import Sweep, execute
from sweep.errors import ConfigError

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader
    from hydra.core.utils import JobReturn
    from hydra.plugins.launcher import Launcher
    from omegaconf import DictConfig

    from sweep.engine.driver import Ended


def run_sweep(
    loader: ConfigLoader, master: DictConfig, make_launcher: Callable[[], Launcher]
) -> list[Sequence[JobReturn]]:
    """Run a sweep and write its report, or print its plan (``dry_run``).

    Returns the JobReturns of each batch, as Hydra's sweeper does; empty if all train without jobs.
    `make_launcher` is called after the sweep's id is set, because a launcher's folders may be
    below the sweep's. Raises ConfigError if the configuration is invalid (nothing was created),
    StoreError if the store cannot be used.
    """
    if master.resume is not None:
        if mistaken():  # what is resumed is not looked at
            raise ConfigError()
        if resume_single(settings(to_container(master, CONTROL_KEYS), Path.cwd())):
            return []
    composer = Composer(loader, master)
    opening, controls = _opening(composer)
    launcher = make_launcher()
    ours: Mapping[str, Any] | None = getattr(launcher, "settings", None)
    plan, options = opening.plan, opening.options
    in_jobs = False
    if ours is not None:
        create(ours["backend"], ours["workers"], ours["options"]).close()  # validates the options
        # a user's trainer may depend on the job's environment or working folder
        own = not all(cell.spec.trainer.built_in for cell in plan.cells)
        in_jobs = composer.sets_surroundings and own
    elif options.budget.seconds is not None and master.hydra.sweeper.max_batch_size is None:
        raise ConfigError(
            f"budget.seconds={options.budget.seconds}: another launcher ends each batch of jobs "
            "first; set hydra.sweeper.max_batch_size, or use hydra/launcher=trajectory."
        )
    one = in_jobs or master.hydra.runtime.choices.get("hydra/launcher") == "basic"
    one = one or (ours is not None and ours["backend"] == "serial")
    opening = replace(
        opening,
        plan=replace(plan, shared=ours is not None and not in_jobs),
        workers=1 if one else (ours or {}).get("workers") or available_cpus(),
        elsewhere=ours is not None and "address" in ours["options"],
    )
    for sentence in remarks([cell.spec for cell in plan.cells], plan.axes):
        console.echo(sentence)
    if options.dry_run:
        print_sweep(opening)
        return []
    with sweep_lifecycle(opening) as sweep:

        def launch(cells: Sequence[Cell]) -> Sequence[JobReturn]:
            jobs = [[*controls, *cell.overrides, f"parent={sweep.id}"] for cell in cells]
            return launcher.launch(jobs, cells[0].job)

        if ours is None or in_jobs:
            size = 1 if in_jobs else master.hydra.sweeper.max_batch_size
            parts = batches(sweep.pending, size, consecutive=composer.numbered)
            return [launch(part) for part in sweep.within_budget(parts)]
        if composer.needs_jobs or _has_callbacks(master):
            for cell, outcome in execute(sweep, ours):
                process.trained.append((cell, outcome))
                launch([cell])
        else:
            _without_jobs(sweep, master, execute(sweep, ours))
    return []


def _opening(composer: Composer) -> tuple[Opening, list[str]]:
    """Return the sweep of the command line, and the overrides common to all jobs.

    Raises ConfigError with one message for each mistake.
    """
    master = composer.master
    problems: list[str] = []
    plan = sweeper = parent_run_id = None
    sweep_id, files = new_id(), {}
    overrides = command_overrides(composer.loader)
    lines = [str(one.input_line) for one in overrides]
    task = [str(one.input_line) for one in overrides if not one.is_hydra_override()]
    options = checked_settings(master, Path.cwd(), problems)
    problems += [
        f"{one.input_line}: {SINGLE['parent']}."
        for one in overrides
        if one.key_or_group == "parent"
    ]
    with collect_errors(problems):
        node = OmegaConf.to_container(master.hydra.sweeper, resolve=True)
        sweeper = validated(Sweeper, node, "hydra.sweeper")
    if sweeper is None:
        raise ConfigError(*problems)
    if master.resume is None:
        _set_parent(master, sweep_id)
        with read_write(master.hydra.overrides):
            master.hydra.overrides.task = task  # `arguments.hydra_arguments` removed some
        with collect_errors(problems):
            plan = Planner(composer, sweeper, overrides, problems).plan()
        files = {
            "multirun.yaml": without_password(OmegaConf.to_yaml(master)),
            "overrides.yaml": without_password(OmegaConf.to_yaml(OmegaConf.create(task))),
        }
    elif options is not None:
        stored, document = stored_sweep(options)
        sweep_id, parent_run_id = stored.sweep_id, stored.run_id
        _set_parent(master, sweep_id)
        with collect_errors(problems):
            named = {key for one in overrides for key in keys_set(one.key_or_group, one.value())}
            added = settings_of(document, master, options, named)
            lines = [*added, *lines]
            options = settings(to_container(master, CONTROL_KEYS), Path.cwd())
            task = [*(text for text in added if not text.lstrip("+~").startswith("hydra.")), *task]
            planner = Planner(composer, sweeper, overrides, problems)
            plan = resumed_plan(planner, options, document)
    if options is not None and plan is not None:
        specs = [cell.spec for cell in plan.cells]
        problems += question_problems(options, specs, plan.axes)
    if options is None or plan is None or problems or mistaken():
        raise ConfigError(*problems)
    about = {**plan.about, **options.about}
    kept = {"skip": sweeper.skip, **plan.kept, "overrides": kept_settings(options, master, lines)}
    kept["flags"] = config_flags() or plan.kept.get("flags", [])
    plan = replace(plan, repeats=options.repeats or (), about=about, kept=kept)
    folder = Path(str(master.hydra.sweep.dir))
    opening = Opening(sweep_id, plan, options, folder, files, parent_run_id)
    return opening, [text for text in task if not describes_run(text)]


def _set_parent(master: DictConfig, sweep_id: str) -> None:
    """Set ``parent``, which Hydra's settings refer to, e.g. for the sweep's folder."""
    with read_write(master), open_dict(master):
        master.parent = sweep_id


def _without_jobs(sweep: Sweep, master: DictConfig, outcomes: Iterator[Ended]) -> None:
    hydra = master.hydra
    with read_write(hydra.runtime), open_dict(hydra.runtime):
        hydra.runtime.output_dir = str(hydra.sweep.dir)
    configure_log(hydra.job_logging, hydra.verbose)
    logging.getLogger(__name__).info("%d runs without jobs", len(sweep.pending))
    for cell, outcome in outcomes:
        sweep.record(cell, outcome)
    configure_log(hydra.hydra_logging, hydra.verbose)


def _has_callbacks(master: DictConfig) -> bool:
    """Whether the configuration has other callbacks than ours; they may handle job events."""
    callbacks = master.hydra.callbacks or {}
    return any(str(one.get("_target_")) != CALLBACK for one in callbacks.values() if one)


def batches(
    cells: Sequence[Cell], size: int | None, *, consecutive: bool
) -> Iterator[Sequence[Cell]]:
    """Yield batches of at most `size` grid points (None: no limit) to launch together.

    Other launchers number the jobs of a batch consecutively. If `consecutive`, a batch ends where
    the points' job numbers have a gap, so that each job gets the number it was composed with.
    """
    batch: list[Cell] = []
    for cell in cells:
        gap = consecutive and batch and cell.job != batch[-1].job + 1
        if batch and (gap or len(batch) == size):
            yield batch
            batch = []
        batch.append(cell)
    if batch:
        yield batch
