"""Run commands that train nothing in this process: a plan, a refusal, a list."""

from __future__ import annotations

import io
import os
import runpy
import sys
import warnings
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from hydra.core.global_hydra import GlobalHydra

from tests.processes import Ended

__all__ = ["plan", "plan_of"]


def plan(
    args: Sequence[str],
    folder: Path,
    env: Mapping[str, str] | None = None,
    module: str = "sweep",
) -> Ended:
    """Run ``python -m sweep ARGS``, or another module, in `folder`; it must train nothing.

    The fixture `isolated` puts folder and environment back.
    """
    from sweep.cli.app import command, run

    out, err = io.StringIO(), io.StringIO()
    GlobalHydra.instance().clear()
    os.environ.pop("HYDRA_FULL_ERROR", None)
    os.environ.update(env or {})
    os.chdir(folder)
    words, sys.argv = sys.argv, ["sweep", *args]
    try:
        with redirect_stdout(out), redirect_stderr(err):
            try:
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


def plan_of(args: Sequence[str], folder: Path) -> list[str]:
    """Return the grid points that ``dry_run=true`` lists; nothing is written."""
    before = sorted(folder.rglob("*"))
    ended = plan([*args, "dry_run=true"], folder)
    assert ended.code == 0, ended
    assert sorted(folder.rglob("*")) == before
    return [line.strip() for line in ended.out.splitlines() if line.startswith("  ")]
