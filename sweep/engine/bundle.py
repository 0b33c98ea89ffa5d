"""Bundles: trajectories that train side by side in one work.

Side by side, up to LANES trajectories take about as long as one or two alone. A bundle is
made only where that is sure to be won: there are enough of them, and they are long enough to
pay for compiling one more kernel. What each trajectory gives is the same to the bit.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sweep.config.spec import canonical
from sweep.engine.checkpoint import Checkpoint
from sweep.engine.work import Progress, TrajectoryWork
from sweep.errors import SweepError
from sweep.training.kernels.spec import LANES, kernel_spec
from sweep.training.training import State

if TYPE_CHECKING:
    from sweep.config.spec import RunSpec
    from sweep.engine.plan import Trajectory

__all__ = ["BundleWork", "Member", "bundles"]

WORTH = 2e8
"""Scalars to update (iterations x samples x scalars, together) from which on bundles are made.

About half a second alone, as the kernel for several takes to compile, once, and a tenth of
that to load from the cache.
"""

COST = 2
"""A bundle is held to take as long as so many of its trajectories alone (measured: 1.8)."""


@dataclass(frozen=True)
class Member:
    """What a bundle emits: a value of the trajectory at this position of it."""

    position: int
    value: Any


@dataclass(frozen=True)
class BundleWork:
    """Train trajectories side by side; plain values that any worker can be sent."""

    works: tuple[TrajectoryWork, ...]

    def __call__(self, emit: Callable[[Member], None], stop: Callable[[], bool]) -> None:
        """Train on; emit what TrajectoryWork would, each with its position."""
        for position in range(len(self.works)):
            emit(Member(position, Progress(0, restarted=True)))
        kept = [Checkpoint(work.checkpoint) if work.checkpoint else None for work in self.works]
        places: dict[int, dict[int, State | None]] = defaultdict(dict)
        for position, (work, one) in enumerate(zip(self.works, kept, strict=True)):
            start = one.load(work.stops[0]) if one else None
            places[int(start["step"]) if start else 0][position] = start
        for step, starts in places.items():  # side by side are those at the same step
            self._train(step, starts, kept, emit, stop)

    def _train(
        self,
        step: int,
        starts: Mapping[int, State | None],
        kept: Sequence[Checkpoint | None],
        emit: Callable[[Member], None],
        stop: Callable[[], bool],
    ) -> None:
        from sweep.training.backprop import Backprop
        from sweep.training.together import train_together

        positions = list(starts)
        works = [self.works[position] for position in positions]
        first = works[0].spec
        assert first.rule is not None
        trainer = Backprop(
            [work.spec.network for work in works],
            first.data(),
            lrs=[work.spec.lr for work in works],
            rule=first.rule,
        )
        if step:
            for position in positions:
                emit(Member(position, Progress(step)))

        def keep(at: int, state: State) -> None:
            if one := kept[positions[at]]:
                one.save(state)

        interrupted = set()
        for at, result in train_together(
            trainer,
            [work.stops for work in works],
            stop=stop,
            progress=lambda at, iterations: emit(Member(positions[at], Progress(iterations))),
            watch=lambda at, part: emit(Member(positions[at], part)),
            max_seconds=works[0].max_seconds,
            keep=keep,
            starts=[start for start in starts.values() if start] if step else None,
        ):
            if result.outcome == "interrupted":
                interrupted.add(at)
            emit(Member(positions[at], result))
        for at, position in enumerate(positions):
            if at not in interrupted and (one := kept[position]):
                one.remove()


def bundles(trajectories: Sequence[Trajectory], workers: int) -> list[tuple[Trajectory, ...]]:
    """Return the trajectories, those that shall train side by side together.

    Parameters
    ----------
    workers
        How many works run at once.
    """
    kinds: dict[Hashable, list[Trajectory]] = defaultdict(list)
    for trajectory in trajectories:
        kinds[_kind(trajectory.spec)].append(trajectory)
    alone = set(map(id, kinds.pop(None, [])))
    bundled: dict[int, tuple[Trajectory, ...]] = {}
    for alike in kinds.values():
        if _pays(alike, workers):
            # Of about one length, so that few lanes run on behind their trajectory's end.
            alike.sort(key=lambda trajectory: -trajectory.stops[-1])
            parts = math.ceil(len(alike) / LANES)
            for part in range(parts):
                first, end = (len(alike) * at // parts for at in (part, part + 1))
                bundled[id(alike[first])] = tuple(alike[first:end])
        else:
            alone |= set(map(id, alike))
    return [
        (trajectory,) if id(trajectory) in alone else bundled[id(trajectory)]
        for trajectory in trajectories
        if id(trajectory) in alone or id(trajectory) in bundled
    ]


def _kind(spec: RunSpec) -> Hashable:
    """Return what is equal for trajectories that can train side by side; None for none."""
    if not spec.trainer.built_in or spec.trainer.options or spec.rule is None:
        return None
    network = spec.network
    return (
        network.layers,
        network.activations,
        network.bias,
        network.loss,
        spec.rule,
        spec.data_digest,
        canonical(spec.config["data"]),
    )


def _pays(alike: Sequence[Trajectory], workers: int) -> bool:
    """Return whether these trajectories are done sooner side by side."""
    alone = math.ceil(len(alike) / workers)
    together = COST * math.ceil(math.ceil(len(alike) / LANES) / workers)
    spec = alike[0].spec
    most = sum(trajectory.stops[-1] for trajectory in alike) * spec.network.size
    if alone <= together or spec.rule is None:
        return False
    try:
        data = spec.data()
    except SweepError:  # each run will tell it
        return False
    if data.validation_inputs is not None or most * len(data.inputs) < WORTH:
        return False
    return kernel_spec(spec.network, len(data.inputs), spec.rule).small
