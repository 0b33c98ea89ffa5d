"""Errors of this package, each with the exit code of the command.

Messages are one sentence: what is wrong, the value, and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class SweepError(Exception):
    """Base of errors that are printed as one sentence, without a traceback."""

    exit_code = 1


class RunFailed(SweepError):
    """A run raised an error, or a stored run differs from its retraining."""


class ConfigError(SweepError):
    """The configuration is invalid; nothing was created."""

    exit_code = 2

    @property
    def messages(self) -> tuple[str, ...]:
        """One sentence for each invalid value."""
        return (str(self),)


class ConfigErrors(ConfigError):
    """Several invalid values: one sentence each, in the order of the grid, without duplicates."""

    def __init__(self, messages: Iterable[str]) -> None:
        self._messages = tuple(dict.fromkeys(messages))
        super().__init__("\n".join(self._messages))

    @property
    def messages(self) -> tuple[str, ...]:
        return self._messages

    def __reduce__(self) -> tuple[type[ConfigErrors], tuple[tuple[str, ...]]]:
        return type(self), (self._messages,)


class MisfitError(ConfigError):
    """Valid options that cannot be combined; one line for each conflict."""

    @property
    def messages(self) -> tuple[str, ...]:
        return tuple(str(self).splitlines())


@contextmanager
def collect_errors(problems: list[str]) -> Iterator[None]:
    """Append the messages of a ConfigError to `problems`, so that all are reported at once."""
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
    """The run or its experiment was deleted while it was written."""


class UnreachableError(StoreError):
    """The server did not answer; unwritten results wait on disk."""


class StoreVersionError(StoreError):
    """The database was written by another version of MLflow."""


class StoreBusyError(StoreError):
    """Another process works on the sweep or the store."""


class StoreLost(BaseException):
    """The store failed while a job recorded its run.

    Not an Exception: a launcher would treat it as a failed job and start the next one, which
    cannot be recorded.
    """

    def __init__(self, error: StoreError) -> None:
        super().__init__(error)
        self.error = error
