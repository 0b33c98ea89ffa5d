"""Errors of this package, each with the exit code of the command.

Messages are one sentence: what is wrong, the value, and what to do.
"""

from __future__ import annotations


class SweepError(Exception):
    """Base of errors that are printed as one sentence, without a traceback."""

    exit_code = 1


class RunFailed(SweepError):
    """A run raised an error, or a stored run differs from its retraining."""


class ConfigError(SweepError):
    """The configuration is invalid; nothing was created. One sentence for each invalid value."""

    exit_code = 2

    @property
    def messages(self) -> tuple[str, ...]:
        """The sentences, in the order of the grid, without duplicates."""
        return tuple(dict.fromkeys(map(str, self.args)))

    def __str__(self) -> str:
        return "\n".join(self.messages)


class MisfitError(ConfigError):
    """Valid options that cannot be combined; one sentence for each conflict."""


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
