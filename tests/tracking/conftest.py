"""A store for each test: made once by the real code, then copied, which is a move to it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sweep.config.settings import Tracking
from sweep.tracking.store import Store, open_store


@pytest.fixture(scope="session")
def first_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the outputs folder of a new, empty store; nobody writes to it."""
    outputs = tmp_path_factory.mktemp("first") / "outputs"
    open_store(Tracking(kind="local", outputs=outputs), mode="write")
    return outputs


@pytest.fixture
def messages() -> list[str]:
    """Return the messages of a store to the user."""
    return []


@pytest.fixture
def make_store(first_store: Path, messages: list[str]) -> Callable[[Path], Store]:
    """Return a function that makes a store in a folder."""

    def make(outputs: Path) -> Store:
        outputs.mkdir(parents=True)
        shutil.copy(first_store / "mlflow.db", outputs)
        store = open_store(
            Tracking(kind="local", outputs=outputs), mode="write", echo=messages.append
        )
        messages.clear()
        return store

    return make


@pytest.fixture
def store(make_store: Callable[[Path], Store], weird_path: Path) -> Store:
    """Return a new store in a folder with a space and a `=` in its path."""
    return make_store(weird_path / "outputs")
