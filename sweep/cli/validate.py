"""Validate single runs, grid points and settings."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, read_write

from sweep.checks import did_you_mean, invalid_value
from sweep.cli.arguments import (
    command_overrides,
    mistaken,
    print_error,
    wrong_groups,
    wrong_overrides,
)
from sweep.cli.compose import INTERPOLATION
from sweep.cli.hydra_config import to_container
from sweep.cli.messages import HYDRA_ERRORS, added_keys, collect_errors, unread_keys
from sweep.cli.overrides import run_keys
from sweep.config.run import run_spec
from sweep.config.settings import Settings, settings
from sweep.config.spec import CONTROL_KEYS, RunSpec
from sweep.engine.executors import check
from sweep.errors import ConfigError, StoreError, SweepError

SWEEPER = "hydra_plugins.sweep_grid.GridSweeper"
CALLBACK = "sweep.cli.validate.Validate"
LAUNCHER = "hydra_plugins.sweep_trajectory.TrajectoryLauncher"

SINGLE = {
    "resume": "say it as it is on the command line; a sweep is resumed by "
    "python -m sweep -m resume=ID",
    "parent": str(Settings.model_fields["parent"].description),
    "reuse": "a single run is always trained; reuse results with python -m sweep -m, "
    "or leave it out",
}
"""Key -> advice if a single run sets it."""

NO_GRID = "a single run has no {}; sweep with -m, or leave it out"


def checked_settings(config: DictConfig, base: Path, problems: list[str]) -> Settings | None:
    """Return the command's settings, None if invalid; append messages to `problems`.

    The launcher is validated too, also for a single run, which does not use it.
    """
    options = None
    with collect_errors(problems):
        options = settings(to_container(config, CONTROL_KEYS), base)
    launcher = config.hydra.launcher
    with collect_errors(problems):
        if launcher.get("_target_") == LAUNCHER:
            check(launcher.backend, launcher.workers)
    return options


def question_problems(
    options: Settings, specs: Sequence[RunSpec], axes: Sequence[str]
) -> Iterator[str]:
    """Yield messages if `metric`, `mode`, `repeats` or `model` do not fit the runs.

    The metrics of a user's trainer are not validated: they are known only after training.
    """
    from sweep.question import repeat_problems
    from sweep.tracking.entities import BUILT_IN

    metric = options.metric
    if options.mode == "max" and metric is None:
        yield invalid_value("mode", "max", "name the metric too, as metric=accuracy")
    yield from repeat_problems(options.repeats or (), axes)
    built_in = all(spec.trainer.built_in for spec in specs)
    if options.model is not None and not built_in:
        advice = "only a network of the built-in trainer can be logged as a model; leave model out"
        yield invalid_value("model", options.model, advice)
    if metric is None or not built_in:
        return
    data = [spec.config["data"] for spec in specs]
    if metric not in BUILT_IN and not metric.startswith("weights/"):
        known = did_you_mean(metric, BUILT_IN) or f"; it has {', '.join(BUILT_IN)}"
        advice = f"the built-in trainer has no such metric{known}"
    elif "validation" in metric and not any(
        one.get("validation") or one.get("folds") for one in data
    ):
        advice = "no samples are kept back; set data.validation=0.2"
    elif "accuracy" in metric and not any(
        spec.config["data"].get("one_hot") or spec.network.classifies(spec.data().targets)
        for spec in specs
    ):
        advice = "the targets are no classes; set data.one_hot=true, or network.loss=cross_entropy"
    else:
        return
    yield invalid_value("metric", metric, advice)


CHECKED: list[tuple[RunSpec, Settings]] = []
"""The validated single run of this process, until it starts."""


def checked_run(config: DictConfig) -> tuple[RunSpec, Settings]:
    """Return the run and the settings of a job's configuration; a single run is validated once.

    Raises ConfigError with one message for each mistake.
    """
    if CHECKED:
        return CHECKED.pop()
    if mistaken():
        raise ConfigError()
    from hydra.core.hydra_config import HydraConfig

    values, runtime = to_container(config), HydraConfig.get().runtime
    base, keys = Path(runtime.cwd), run_keys(map(str, HydraConfig.get().overrides.task))
    return run_spec(values, dict(runtime.choices), base, keys), settings(values, base)


def _check_single(config: DictConfig) -> tuple[RunSpec, Settings]:
    raw: Any = OmegaConf.to_container(config, resolve=False)
    overrides = raw["hydra"].pop("overrides")["task"]
    base = Path(config.hydra.runtime.cwd)
    problems: list[str] = []
    spec = None
    with collect_errors(problems):
        values, choices = to_container(config), dict(config.hydra.runtime.choices)
        read = [*INTERPOLATION.findall(str(raw)), *wrong_overrides()]
        problems += unread_keys(added_keys(values, choices, overrides), read)
        spec = run_spec(values, choices, base, run_keys(overrides), wrong_groups())
    options = checked_settings(config, base, problems)
    if spec is not None and options is not None and not problems:
        given = {
            "resume": options.resume,
            "parent": options.parent,
            "reuse": options.reuse or None,
            **options.about,
            **{f"budget.{name}": value for name, value in options.budget},
            **{
                one.key_or_group: one.get_value_element_as_str()
                for one in command_overrides()
                if one.key_or_group.startswith("hydra.sweeper.")
            },
        }
        problems += [
            invalid_value(key, value, SINGLE.get(key, NO_GRID.format(key)))
            for key, value in given.items()
            if value is not None
        ]
        problems += question_problems(options, [spec], ())
    if spec is None or options is None or problems or mistaken():
        raise ConfigError(*problems)
    return spec, options


class Validate(Callback):
    """Hydra callback that validates a configuration before its folder is created."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Validate a single run and create its folder, or raise SystemExit.

        Hydra turns any other exception of a callback into a warning and continues.
        """
        try:
            _prepare(config)
        except (SweepError, *HYDRA_ERRORS) as error:
            raise SystemExit(print_error(error)) from error
        except Exception:
            # a bug in sweep
            traceback.print_exc()
            raise SystemExit(1) from None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Raise SystemExit for another sweeper, or axes of a preset that read Hydra's node."""
        sweeper: Any = OmegaConf.to_container(config.hydra.sweeper, resolve=False)
        problems = [
            f"{key}={value}: an axis of a preset cannot read Hydra's settings; write "
            f"`{key}: {value}` as a key of the preset, or {key}='{value}' on the command line."
            for key, value in (sweeper.get("params") or {}).items()
            if re.search(r"\$\{\s*hydra\b", str(value))
        ]
        if sweeper.get("_target_") != SWEEPER:
            name = config.hydra.runtime.choices.get("hydra/sweeper")
            problems.append(f"hydra/sweeper={name} is not supported; use grid.")
        if problems:
            raise SystemExit(print_error(ConfigError(*problems)))


def _prepare(config: DictConfig) -> None:
    from hydra.core.hydra_config import HydraConfig

    HydraConfig.instance().set_config(config)
    spec, options = _check_single(config)
    if options.dry_run:
        from sweep.cli.dry_run import print_run

        print_run(spec, options)
        raise SystemExit(0)
    if options.tracking.kind == "server":
        from sweep.tracking.settings import probe_server

        probe_server(options.tracking)
    hydra = config.hydra
    folder = Path(hydra.run.dir)
    named = any(str(text).startswith("hydra.run.dir=") for text in hydra.overrides.hydra)
    try:
        folder.mkdir(parents=True, exist_ok=named)
    except OSError as error:
        raise StoreError(
            f"outputs={config.outputs}: the folder {folder} cannot be made "
            f"({error.strerror}); choose a folder that you can write with outputs=..."
        ) from error
    with read_write(hydra.run):
        hydra.run.dir = str(folder)  # resolved once, so that the id does not change
    CHECKED[:] = [(spec, options)]
