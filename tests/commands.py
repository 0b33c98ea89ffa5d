"""Run commands in this process: the modules and MLflow are loaded once for many tests.

What is shown by real processes (signals, kills, start-up, several commands at once) is run by
`tests.processes.run_sweep`.
"""

from __future__ import annotations

import importlib
import io
import logging
import os
import runpy
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hydra import version
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

from tests.processes import Ended

UNTOUCHED = version.VersionBase.instance().version_base


@contextmanager
def isolation(folder: Path) -> Iterator[None]:
    """Work in `folder`; restore all globals that a command may change.

    These are the working folder, the environment, the import path, Hydra and logging.
    """
    environment, before = dict(os.environ), Path.cwd()
    root, path = logging.getLogger(), sys.path[:]
    level, handlers = root.level, root.handlers[:]
    _forget_hydra()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
        _forget_hydra()
        for handler in {*root.handlers} - {*handlers}:
            handler.close()
        for logger in root.manager.loggerDict.values():
            if isinstance(logger, logging.Logger):
                logger.disabled = False  # a command without a log disables those that exist
        root.setLevel(level)
        root.handlers[:], sys.path[:] = handlers, path
        os.environ.clear()
        os.environ.update(environment)


def _forget_hydra() -> None:
    GlobalHydra.instance().clear()
    HydraConfig.instance().cfg = None
    version.VersionBase.instance().version_base = UNTOUCHED


def run_here(
    args: Sequence[str],
    folder: Path,
    env: Mapping[str, str | None] | None = None,
    module: str = "sweep",
) -> Ended:
    """Run ``python -m sweep ARGS``, or another module, in `folder` and this process.

    The recorder is a thread, as in the jobs of other launchers. `env` are changes of the
    environment; None removes a variable.
    """
    from sweep.cli.app import command, run
    from sweep.engine.lifecycle import process
    from sweep.tracking import recorder

    out, err = io.StringIO(), io.StringIO()
    words, sys.argv = sys.argv, ["sweep", *args]
    vars(process).update(sweep=None, began=False, exit_code=0, trained=[])
    with isolation(folder), _modules_of(folder), patch.object(recorder, "_start", _in_thread):
        for name, value in {"HYDRA_FULL_ERROR": None, **(env or {})}.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        sys.path.insert(0, str(folder))
        try:
            with redirect_stdout(out), redirect_stderr(err):
                if module != "sweep":
                    with warnings.catch_warnings():
                        # Another test of this process may have imported the module.
                        warnings.filterwarnings("ignore", ".*found in sys.modules", RuntimeWarning)
                        runpy.run_module(module, run_name="__main__")
                code = command(run, "config")
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            sys.argv = words
    return Ended(code, out.getvalue(), err.getvalue())


def _in_thread() -> object:
    """Return a recorder whose worker is a thread of this process."""
    from sweep.tracking import recorder
    from sweep.tracking.session import Session

    made = recorder.Recorder(ThreadPoolExecutor(1, "sweep-recorder"))
    recorder._Worker.session = Session(lambda: made.stopping(), os.getpid())
    return made


@contextmanager
def _modules_of(folder: Path) -> Iterator[None]:
    """Unload the modules below `folder`, so that the next command imports them again."""
    importlib.invalidate_caches()
    try:
        yield
    finally:
        for name, module in [*sys.modules.items()]:
            file = getattr(module, "__file__", None)
            if file and Path(file).is_relative_to(folder):
                del sys.modules[name]


def assert_refused(args: Sequence[str], told: Sequence[str], folder: Path, **options: Any) -> None:
    """Assert that a command makes nothing and ends with 2 and a line for each text of `told`."""
    before = sorted(folder.rglob("*"))
    ended = run_here(args, folder, **options)
    assert (ended.code, ended.out) == (2, ""), ended
    lines = ended.err.splitlines()
    assert len(lines) == len(told) and "Traceback" not in ended.err, ended
    for text in told:
        assert text in ended.err, ended
    assert sorted(folder.rglob("*")) == before


def plan_of(args: Sequence[str], folder: Path) -> list[str]:
    """Return the grid points that ``dry_run=true`` lists; nothing is written."""
    before = sorted(folder.rglob("*"))
    ended = run_here([*args, "dry_run=true"], folder)
    assert ended.code == 0, ended
    assert sorted(folder.rglob("*")) == before
    return [line.strip() for line in ended.out.splitlines() if line.startswith("  ")]


def slow_after(count: int, cases: Sequence[Any]) -> list[Any]:
    """Return cases for `parametrize`, marked as slow but for the first ones: each is a command."""
    tuples = [case if isinstance(case, tuple) else (case,) for case in cases]
    more = [pytest.param(*case, marks=pytest.mark.slow) for case in tuples[count:]]
    return [*cases[:count], *more]
