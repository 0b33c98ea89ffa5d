"""The check before a single run: Hydra calls it before it makes a folder."""

from __future__ import annotations

import re
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, read_write

from sweep import console
from sweep.cli.plain import plain_values
from sweep.cli.refusal import REFUSALS, one_sentence
from sweep.cli.typed import added_keys, is_read, lost_numbers, misspelt_keys, unread
from sweep.config.run import run_spec
from sweep.config.settings import Settings, settings
from sweep.config.spec import RunSpec
from sweep.engine.executors import check
from sweep.errors import ConfigError, ConfigErrors, StoreError, SweepError, gathered

if TYPE_CHECKING:
    from sweep.engine.estimate import Estimate

__all__ = ["Guard", "check_launcher"]

SWEEPER = "hydra_plugins.sweep_grid.GridSweeper"
LAUNCHER = "hydra_plugins.sweep_trajectory.TrajectoryLauncher"


class Guard(Callback):
    """Refuse a single run's configuration before its folder exists."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Check the run, claim its folder, or end the command.

        Raises
        ------
        SystemExit
            With the error's exit code: Hydra turns every other exception of a callback into
            a warning and goes on.
        """
        try:
            self._check(config)
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
        """Refuse a sweeper that would pass over the sweep's checks and its parent run.

        Raises
        ------
        SystemExit
            With code 2.
        """
        target = str(config.hydra.sweeper.get("_target_"))
        if target != SWEEPER:
            console.error(f"hydra/sweeper: {target} knows nothing of sweeps; leave it at grid.")
            raise SystemExit(2)

    def _check(self, config: DictConfig) -> None:
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
        if options.reuse:
            raise ConfigError(
                "reuse=true: a single run is always trained; take over results with "
                "python -m sweep -m, or leave it out."
            )
        if options.dry_run:
            console.single_plan(spec.iters, _foreseen(spec, options))
            raise SystemExit(0)
        if options.tracking_kind == "server":
            from sweep.tracking.probe import probe_server
            from sweep.tracking.settings import from_options

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


def _foreseen(spec: RunSpec, options: Settings) -> Estimate | None:
    from sweep.engine.estimate import single_estimate

    try:
        return single_estimate(spec, options.max_seconds)
    except Exception as error:  # a user's trainer may raise anything
        console.no_estimate(error)
        return None


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
    hydra = config.hydra
    typed = [str(text) for text in hydra.overrides.task]
    lost = lost_numbers(OverridesParser.create().parse_overrides(typed))
    plain = plain_values(config)
    base = Path(hydra.runtime.cwd)
    choices = dict(hydra.runtime.choices)
    problems: list[str] = []
    spec = options = None
    with gathered(problems):
        spec = run_spec(plain, choices, base)
    with gathered(problems):
        options = settings(plain, base)
    with gathered(problems):  # it is not used here, and a mistake all the same
        check_launcher(hydra.launcher)
    added = {**misspelt_keys(plain, choices), **added_keys(typed, choices)}
    if added:
        whole = cast(dict[str, Any], OmegaConf.to_container(config, resolve=False))
        problems += [unread(key, text) for key, text in added.items() if not is_read(key, whole)]
    # Where a number was lost, the checks above have seen infinity or 0 in its place.
    keys = [re.escape(text.partition("=")[0]) for text in lost]
    seen = re.compile(rf"({'|'.join(keys)})\b") if keys else None
    problems = [*lost, *(text for text in problems if not (seen and seen.match(text)))]
    if spec is None or options is None or problems:
        raise ConfigErrors(problems)
    return spec, options
