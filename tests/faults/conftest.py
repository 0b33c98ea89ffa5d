"""No process outlives the test that began it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from tests.processes import start, start_sweep

Begin = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def begin() -> Iterator[Begin]:
    """Return `start_sweep`, whose processes are gone with all they started after the test."""
    yield from tied(start_sweep)


@pytest.fixture
def begin_command() -> Iterator[Begin]:
    """Return `start` in the same way, for other commands."""
    yield from tied(start)


def tied(function: Begin) -> Iterator[Begin]:
    begun: list[subprocess.Popen[str]] = []

    def remembered(*arguments: object, **settings: object) -> subprocess.Popen[str]:
        begun.append(function(*arguments, **settings))
        return begun[-1]

    yield remembered
    for process in begun:
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
