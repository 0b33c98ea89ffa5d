"""Train several trajectories at once, side by side, and say what came of each.

As `training` does it for one, with the same results but for the time that they took.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from sweep.training.backprop import Backprop
from sweep.training.training import (
    KEEP_SECONDS,
    SLICE_SECONDS,
    Course,
    CurvePart,
    RunResult,
    State,
    next_size,
)

__all__ = ["train_together"]

MOST_ERRORS = 2**20
"""Errors of one slice over all trajectories: 8 MB, however long they are."""


def train_together(
    trainer: Backprop,
    stops: Sequence[Sequence[int]],
    *,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int], None] = lambda at, iterations: None,
    watch: Callable[[int, CurvePart], None] = lambda at, part: None,
    max_seconds: float | None = None,
    keep: Callable[[int, State], None] | None = None,
    starts: Sequence[State] | None = None,
) -> Iterator[tuple[int, RunResult]]:
    """Train all trajectories of `trainer`; yield the position of each with a result at each stop.

    Parameters
    ----------
    trainer
        A fresh trainer at step 0.
    stops
        For each trajectory the iteration counts of the runs that end on it, ascending, distinct.
    stop
        Asked between slices; once true, the runs that are left end as ``interrupted``.
    progress
        Told a trajectory's position and its iterations since the last word.
    watch
        Told a trajectory's position and a part of its curve now and then, each point once.
    max_seconds
        Training time of all together, by the clock, after which the runs that are left end as
        ``interrupted``. (Side by side takes about as long as one alone.)
    keep
        Told a trajectory's position and what a later training, also one alone, needs to go on
        from here: every KEEP_SECONDS, and where it ends before its last stop.
    starts
        What earlier trainings of each trajectory told `keep`, all at one step.
    """
    courses = [Course(lane, counts) for lane, counts in zip(trainer.items, stops, strict=True)]
    for course, start in zip(courses, starts or (), strict=starts is not None):
        course.restore(start)
    if starts:
        trainer.resume()
    before = [course.seconds for course in courses]
    done = _Count(progress)
    seconds = kept_at = 0.0
    size = 1
    while True:
        for at, course in enumerate(courses):
            for result in course.passed():
                done.tell(at)
                yield at, result
        under_way = [(at, course) for at, course in enumerate(courses) if course.left]
        if not under_way:
            return
        ends = stop() or (max_seconds is not None and seconds >= max_seconds)
        if keep is not None and (ends or seconds - kept_at >= KEEP_SECONDS):
            for at, course in under_way:
                keep(at, course.state())
            kept_at = seconds
        if ends:
            for at, course in under_way:
                done.tell(at)
                yield from ((at, result) for result in course.interrupted())
            return
        count = min(size, *(course.to_next for _, course in under_way))
        started = time.perf_counter()
        errors = trainer.advance(count)
        elapsed = time.perf_counter() - started
        seconds += elapsed
        for at, course in under_way:
            course.take(errors[at], None, elapsed / len(under_way))
            done.add(at, count)
            course.tell(partial(watch, at), before[at] + seconds)
            if not course.to_next and len(course.left) == 1:
                trainer.leave(at)
        done.tell_all_in_time()
        if count == size:
            size = next_size(size, elapsed, MOST_ERRORS // len(courses))


class _Count:
    """Iterations that are not told yet; slices are too short to tell each of them."""

    def __init__(self, progress: Callable[[int, int], None]) -> None:
        self._progress = progress
        self._untold: dict[int, int] = {}
        self._told_at = time.perf_counter()

    def add(self, at: int, iterations: int) -> None:
        self._untold[at] = self._untold.get(at, 0) + iterations

    def tell(self, at: int) -> None:
        if iterations := self._untold.pop(at, 0):
            self._progress(at, iterations)

    def tell_all_in_time(self) -> None:
        now = time.perf_counter()
        if now - self._told_at >= SLICE_SECONDS:
            self._told_at = now
            for at in list(self._untold):
                self.tell(at)
