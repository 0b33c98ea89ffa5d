"""The errors of this package, with the exit codes of the command.

    SweepError                  1
    ├── RunFailed               1    a run raised, or verify found a difference
    ├── ConfigError             2    the configuration was refused; nothing was created
    │   ├── ConfigErrors        2    several invalid values, one line each
    │   └── MisfitError         2    valid options that do not fit each other
    ├── StoreError              3    the store cannot be used
    │   ├── RunGoneError        3    a run was deleted while it trained
    │   ├── UnreachableError    3    a server did not answer
    │   ├── StoreVersionError   3    the database belongs to another MLflow version
    │   └── StoreBusyError      3    another process works on the sweep or the store
    └── NotFoundError           2    no such sweep or run in the store

Messages are one sentence: what is wrong, the value, and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class SweepError(Exception):
    """Base of errors that are printed as one sentence, without a traceback."""

    exit_code = 1


class RunFailed(SweepError):
    """A run raised, or a stored run differs from its retraining."""


class ConfigError(SweepError):
    """The configuration was refused before anything was created."""

    exit_code = 2

    @property
    def messages(self) -> tuple[str, ...]:
        """Return one sentence for each invalid value."""
        return (str(self),)


class ConfigErrors(ConfigError):
    """Several invalid values of one command.

    Parameters
    ----------
    messages
        One sentence for each invalid value, in the order of the grid; duplicates are dropped.
    """

    def __init__(self, messages: Iterable[str]) -> None:
        self._messages = tuple(dict.fromkeys(messages))
        super().__init__("\n".join(self._messages))

    @property
    def messages(self) -> tuple[str, ...]:
        """Return one sentence for each invalid value."""
        return self._messages

    def __reduce__(self) -> tuple[type[ConfigErrors], tuple[tuple[str, ...]]]:
        return type(self), (self._messages,)


class MisfitError(ConfigError):
    """Valid options that do not fit each other; a line for each misfit."""

    @property
    def messages(self) -> tuple[str, ...]:
        """Return one sentence for each misfit."""
        return tuple(str(self).splitlines())


@contextmanager
def collect_errors(problems: list[str]) -> Iterator[None]:
    """Add the messages of a ConfigError to `problems`, so that a command reports all at once."""
    try:
        yield
    except ConfigError as error:
        problems.extend(error.messages)


class NotFoundError(SweepError):
    """The store holds no such sweep or run."""

    exit_code = 2


class StoreError(SweepError):
    """The store cannot be used: unreachable, damaged, unwritable or full."""

    exit_code = 3


class RunGoneError(StoreError):
    """The run or its experiment was deleted while it was being written."""


class UnreachableError(StoreError):
    """The server did not answer; what was to be written waits on disk."""


class StoreVersionError(StoreError):
    """The database was written by another version of MLflow."""


class StoreBusyError(StoreError):
    """Another process works on the sweep or the store."""


class StoreLost(BaseException):
    """The store failed while a job recorded its run.

    No subclass of Exception: a launcher would take it for a failed job and start the next one,
    which cannot be recorded.
    """

    def __init__(self, error: StoreError) -> None:
        super().__init__(error)
        self.error = error
