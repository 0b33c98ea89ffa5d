"""Who keeps a sweep's ledger: the command itself, or a process beside it (see `apart`).

with apart(say, hurried) as recorder:
    recorder.ask(Ledger.open, ...)          # waits for the answer, raises what it raised
    recorder.tell(Ledger.record, ...)       # goes on; the answer is among the news
    for recorded in recorder.news(): ...
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Concatenate, ParamSpec, Protocol, Self, TypeVar

from sweep.tracking.ledger import Ledger

__all__ = ["Here", "Recorder"]

P = ParamSpec("P")
T = TypeVar("T")


class Recorder(Protocol):
    """Carries out a ledger's methods, in the order of the calls.

    Attributes
    ----------
    watches
        Whether runs that begin are created by themselves after a while.
    """

    watches: bool

    def ask(
        self, method: Callable[Concatenate[Ledger, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Return what a method of the ledger returns, or raise what it raises."""
        ...

    def begin(
        self, method: Callable[Concatenate[Ledger, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Callable[[], T]:
        """Have a method carried out, and return how to wait for what it returns or raises."""
        ...

    def tell(
        self, method: Callable[Concatenate[Ledger, P], object], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Have a method carried out; an error of an earlier one is raised here or later."""
        ...

    def news(self, seconds: float = 0.0) -> Iterator[Any]:
        """Yield what methods that were told returned, but None; wait for the first one."""
        ...


class Here:
    """Keeps the ledger in this process."""

    watches = False

    def __init__(self, say: Callable[[str], None], hurried: Callable[[], bool]) -> None:
        self.ledger = Ledger(say, hurried)
        self._news: deque[Any] = deque()

    def ask(
        self, method: Callable[Concatenate[Ledger, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call the method."""
        return method(self.ledger, *args, **kwargs)

    def begin(
        self, method: Callable[Concatenate[Ledger, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> Callable[[], T]:
        """Return how to call the method."""
        return partial(method, self.ledger, *args, **kwargs)

    def tell(
        self, method: Callable[Concatenate[Ledger, P], object], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Call the method and keep what it returns."""
        value = method(self.ledger, *args, **kwargs)
        if value is not None:
            self._news.append(value)

    def news(self, seconds: float = 0.0) -> Iterator[Any]:
        """Yield what was kept."""
        while self._news:
            yield self._news.popleft()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.ledger.close()
