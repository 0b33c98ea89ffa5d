"""Hydra's application and its task function; exit codes and error messages."""

from __future__ import annotations

import functools
import gc
import io
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from omegaconf import DictConfig


def open_streams() -> None:
    """Replace closed standard streams; print characters outside an encoding as escapes."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # no other file, here or in a child, may get its number
            stream = open(os.devnull, mode)
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def main() -> None:
    """Run the sweep command and end the process with its exit code."""
    open_streams()
    words = sys.argv[1:]
    if "-m" in words and not any(
        word.startswith(("--help", "--cfg", "dry_run=")) for word in words
    ):
        from sweep.tracking.recorder import prepare

        prepare()
    code = command(run, "config")
    if recorder := sys.modules.get("sweep.tracking.recorder"):
        recorder.discard()  # left over if the configuration was invalid
    if code > 128:
        leave(code)
    sys.exit(code)


def leave(code: int) -> NoReturn:
    """End the process after a signal, without the teardown of MLflow and pandas (about 1 s)."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # the reader of a pipe may be gone
            stream.flush()
    os._exit(code)


def one_job(task: Callable[[DictConfig], Any]) -> Callable[[DictConfig], Any]:
    """Wrap a task: print a SweepError's message and raise SystemExit.

    Hydra passes SystemExit through; to any other exception it adds its own lines.
    """

    @functools.wraps(task)
    def checked(config: DictConfig) -> Any:
        from sweep.cli.arguments import print_error
        from sweep.errors import SweepError

        try:
            return task(config)
        except SweepError as error:
            raise SystemExit(print_error(error)) from error

    return checked


def tool(task: Callable[[DictConfig], Any], config_name: str) -> int:
    """Run another command than `sweep` and return its exit code.

    Keys that its configuration file does not have are invalid, even if added with ``+``.
    """

    @functools.wraps(task)
    def checked(config: DictConfig) -> Any:
        from hydra.core.hydra_config import HydraConfig

        from sweep.cli.arguments import mistaken
        from sweep.cli.hydra_config import file_keys
        from sweep.cli.messages import unread
        from sweep.errors import ConfigError

        known = file_keys(config_name)
        given = [str(text) for text in HydraConfig.get().overrides.task]
        added = {text.lstrip("+").partition("=")[0]: text for text in given if text[0] == "+"}
        new = {key: text for key, text in added.items() if key.split(".")[0] not in known}
        if new or mistaken():
            raise ConfigError(*(unread(key, text, known) for key, text in new.items()))
        return task(config)

    open_streams()
    return command(one_job(checked), config_name)


def command(task: Callable[[DictConfig], Any], config_name: str) -> int:
    """Run a command with the primary configuration file `config_name`; return its exit code."""
    # Objects made while libraries load are never garbage; scanning them takes a fifth of the time.
    gc.set_threshold(50_000, 20, 100)
    import hydra

    from sweep.cli import arguments
    from sweep.cli.hydra_config import config_folder, file_keys, main_options, register
    from sweep.cli.messages import HYDRA_ERRORS, raised_by_hydra
    from sweep.engine.signals import Interrupted
    from sweep.errors import NotFoundError, StoreError, SweepError

    register()
    full_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"
    # Hydra then raises the original exception.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    folder = config_folder()
    main = hydra.main(config_path=folder, config_name=config_name, **main_options())
    arguments.read(sys.argv[1:], file_keys(config_name))
    try:
        while True:
            sys.argv[1:] = arguments.hydra_arguments(folder, grid=config_name == "config")
            try:
                main(task)()
                break
            except (SweepError, ValueError, *HYDRA_ERRORS) as error:
                life = sys.modules.get("sweep.engine.lifecycle")
                began = life is not None and life.process.began
                of_hydra = raised_by_hydra(error) and not began
                if full_traceback or not (of_hydra or isinstance(error, SweepError)):
                    raise
                if of_hydra and arguments.leave_out(error):
                    continue
                code = arguments.print_error(error)
                deleted = isinstance(error, NotFoundError) and began  # while the sweep ran
                return StoreError.exit_code if deleted else code
    except Interrupted as interruption:
        return 128 + interruption.signum
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    finally:
        gc.freeze()  # no collection at exit
    life = sys.modules.get("sweep.engine.lifecycle")  # loaded with the first sweep
    return int(life.process.exit_code) if life is not None else 0


def run(config: DictConfig) -> float | None:
    """Train and record the run of a configuration; return its final error.

    A job of a sweep finds its sweep in this process, or in the store by the key ``parent``;
    without ``parent`` the configuration is a single run.
    """
    life = sys.modules.get("sweep.engine.lifecycle")  # loaded with the first sweep
    if life is not None and life.process.trained:
        from sweep.engine.jobs import record

        return record(life.process.sweep, *life.process.trained.pop())
    from sweep.cli.validate import checked_run
    from sweep.config.spec import remarks

    spec, options = checked_run(config)
    if options.parent is not None:
        from sweep.engine.jobs import joined_sweep, run_job

        with joined_sweep(options, spec) as sweep:
            return run_job(sweep, spec)
    from hydra.core.hydra_config import HydraConfig

    from sweep import console
    from sweep.cli.arguments import command_line
    from sweep.engine.single import run_single

    for sentence in remarks([spec], ()):
        console.echo(sentence)
    run_id = Path(HydraConfig.get().runtime.output_dir).name
    command = command_line()
    single: float | None = one_job(lambda _: run_single(spec, options, run_id, command))(config)
    return single
