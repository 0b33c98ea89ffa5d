"""Validate what was typed: one way for a single run and for each point of a grid."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, read_write

from sweep import console
from sweep.cli.arguments import describes_run, key_of
from sweep.cli.messages import REFUSALS, is_read, listed, one_sentence, strange_keys, unread
from sweep.cli.plain import plain_values
from sweep.config.run import run_spec
from sweep.config.settings import Settings, settings
from sweep.config.spec import RunSpec
from sweep.engine.executors import check
from sweep.errors import ConfigError, ConfigErrors, StoreError, SweepError

__all__ = ["Validate", "Validation", "check_launcher", "set_keys"]

SWEEPER = "hydra_plugins.sweep_grid.GridSweeper"
LAUNCHER = "hydra_plugins.sweep_trajectory.TrajectoryLauncher"


def set_keys(overrides: Sequence[str]) -> list[str]:
    """Return the keys that describe a run and are set by overrides; a preset's name is none."""
    keys = [key_of(text) for text in overrides if describes_run(text)]
    return [key for key in keys if key != "experiment"]


class Validation:
    """Everything that is wrong with the runs of one command, gathered.

    Parameters
    ----------
    base
        The folder that a relative data file is relative to.
    hydra
        Hydra's own node, unresolved: it may read a key that nothing else reads.
    """

    def __init__(self, base: Path, hydra: Mapping[str, Any]) -> None:
        self.problems: list[str] = []
        self._base = base
        self._hydra = {"hydra": hydra}
        self._strange: dict[str, str] = {}
        self._read: set[str] = set()

    def run(
        self,
        values: Mapping[str, Any],
        choices: Mapping[str, Any],
        overrides: Sequence[str],
        unresolved: Callable[[], Mapping[str, Any]],
    ) -> RunSpec:
        """Return the run that resolved values describe.

        Parameters
        ----------
        overrides
            What the values were composed from, as it was typed.
        unresolved
            Gives the values with their interpolations.

        Raises
        ------
        ConfigErrors
            Everything that is wrong with it, one sentence each.
        """
        strange = strange_keys(values, choices, overrides)
        if strange.keys() - self._read:
            config = {**unresolved(), **self._hydra}
            self._read |= {key for key in strange if is_read(key, config)}
            self._strange = {**strange, **self._strange}
        spec = run_spec(values, choices, self._base, set_keys(overrides))
        if values.get("model") is not None and not spec.trainer.built_in:
            raise ConfigError(
                f"model={values['model']}: only a network of the built-in trainer can be logged as "
                "a model; leave model out."
            )
        return spec

    def end(self, lost: Sequence[str] = ()) -> None:
        """Raise what was gathered.

        Parameters
        ----------
        lost
            Refusals of numbers that a float cannot hold; what was said of the infinity in their
            place is left out.

        Raises
        ------
        ConfigErrors
            Every problem, one sentence each.
        """
        left = {key: text for key, text in self._strange.items() if key not in self._read}
        self.problems += [unread(key, text) for key, text in left.items()]
        keys = [re.escape(text.partition("=")[0]) for text in lost]
        seen = re.compile(rf"({'|'.join(keys)})\b") if keys else None
        problems = [*lost, *(text for text in self.problems if not (seen and seen.match(text)))]
        if problems:
            raise ConfigErrors(problems)


class Validate(Callback):
    """Hydra's callback: refuse a configuration before its folder exists."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check a single run and make its folder, or end the command.

        Raises
        ------
        SystemExit
            With the error's exit code: Hydra turns every other exception of a callback into
            a warning and goes on.
        """
        try:
            _prepare(config)
        except SweepError as error:
            console.error(str(error))
            raise SystemExit(error.exit_code) from error
        except REFUSALS as error:
            console.error(one_sentence(error))
            raise SystemExit(2) from error
        except Exception:
            # A mistake of ours; Hydra would make a warning of it and train all the same.
            traceback.print_exc()
            raise SystemExit(1) from None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Refuse another sweeper, and axes of a preset that read Hydra's own node.

        Raises
        ------
        SystemExit
            With code 2.
        """
        sweeper = config.hydra.sweeper
        problems = []
        if str(sweeper.get("_target_")) != SWEEPER:
            name = config.hydra.runtime.choices.get("hydra/sweeper")
            problems.append(f"hydra/sweeper={name} is not supported; use grid.")
        raw = OmegaConf.to_container(sweeper, resolve=False)
        assert isinstance(raw, dict)
        for key, value in (raw.get("params") or {}).items():
            if re.search(r"\$\{\s*hydra\b", str(value)):
                problems.append(
                    f"{key}={value}: an axis of a preset cannot read Hydra's settings; write "
                    f"`{key}: {value}` as a key of the preset, or {key}='{value}' on the command "
                    "line."
                )
        if problems:
            console.error("\n".join(problems))
            raise SystemExit(2)


def _prepare(config: DictConfig) -> None:
    from hydra.core.hydra_config import HydraConfig

    HydraConfig.instance().set_config(config)
    hydra = config.hydra
    spec, options = _checked(config)
    if options.resume is not None:
        raise ConfigError(
            f"resume={options.resume}: say it as it is on the command line; a sweep is resumed "
            "by python -m sweep -m resume=..."
        )
    if options.parent is not None:
        raise ConfigError(
            f"parent={options.parent}: the sweep gives this key to its jobs; leave it out."
        )
    budget = {"budget.seconds": options.budget_seconds, "budget.runs": options.budget_runs}
    for key, value in {**options.about, **budget}.items():
        if value is not None:
            raise ConfigError(
                f"{key}={value}: a single run has no {key}; sweep with -m, or leave it out."
            )
    if options.reuse:
        raise ConfigError(
            "reuse=true: a single run is always trained; take over results with "
            "python -m sweep -m, or leave it out."
        )
    if options.dry_run:
        from sweep.cli.command import print_run

        print_run(spec, options)
        raise SystemExit(0)
    if options.tracking_kind == "server":
        from sweep.tracking.settings import from_options, probe_server

        probe_server(from_options(options))
    folder = Path(hydra.run.dir)
    named = any(str(text).startswith("hydra.run.dir=") for text in hydra.overrides.hydra)
    try:
        folder.mkdir(parents=True, exist_ok=named)
    except OSError as error:
        raise StoreError(
            f"outputs={config.outputs}: the folder {folder} cannot be made "
            f"({error.strerror}); choose a folder that you can write with outputs=..."
        ) from error
    with read_write(config.hydra.run):
        config.hydra.run.dir = str(folder)  # one id, resolved once


def check_launcher(launcher: DictConfig) -> None:
    """Refuse a backend or a number of workers that our launcher does not know.

    Raises
    ------
    ConfigError
        No such backend, or a number of workers below 1.
    """
    if launcher.get("_target_") == LAUNCHER:
        check(launcher.backend, launcher.workers)


def _checked(config: DictConfig) -> tuple[RunSpec, Settings]:
    """Return what a single run's configuration describes, or raise all that is wrong with it."""
    from sweep.cli.axes import doubled_keys, lost_numbers, parse

    hydra = config.hydra
    raw: Any = OmegaConf.to_container(config, resolve=False)
    typed = raw["hydra"]["overrides"]["task"]
    lines = parse(None, [*typed, *raw["hydra"]["overrides"]["hydra"]])
    values, base = plain_values(config), Path(hydra.runtime.cwd)
    validation = Validation(base, raw["hydra"])
    spec = options = None
    with listed(validation.problems):
        spec = validation.run(values, dict(hydra.runtime.choices), typed, lambda: raw)
    with listed(validation.problems):
        options = settings(values, base)
    with listed(validation.problems):  # it is not used here, and a mistake all the same
        check_launcher(hydra.launcher)
    validation.problems += doubled_keys(lines)
    validation.end(lost_numbers(lines))
    assert spec is not None and options is not None
    return spec, options
