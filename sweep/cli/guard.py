"""The check before a single run: Hydra calls it before it makes a folder."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, read_write

from sweep import console
from sweep.cli.plain import plain_values
from sweep.cli.refusal import REFUSALS, one_sentence
from sweep.config import run_spec
from sweep.errors import ConfigError, StoreError, SweepError
from sweep.settings import settings

__all__ = ["Guard"]

SWEEPER = "hydra_plugins.sweep_grid.GridSweeper"


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
        plain = plain_values(config)
        base = Path(hydra.runtime.cwd)
        spec = run_spec(plain, dict(hydra.runtime.choices), base)
        options = settings(plain, base)
        if options.resume is not None:
            raise ConfigError(
                f"resume={options.resume}: say it as it is on the command line; a sweep is resumed "
                "by python -m sweep -m resume=..."
            )
        if options.parent is not None:
            raise ConfigError(
                f"parent={options.parent}: the sweep gives this key to its jobs; leave it out."
            )
        if options.dry_run:
            console.single_plan(spec.iters)
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
                f"outputs={plain['outputs']}: the folder {folder} cannot be made "
                f"({error.strerror}); choose a folder that you can write with outputs=..."
            ) from error
        with read_write(config.hydra.run):
            config.hydra.run.dir = str(folder)  # one id, resolved once
