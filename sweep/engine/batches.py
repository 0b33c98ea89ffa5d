"""Batches: trajectories that one task trains.

Side by side, up to LANES trajectories take about as long as one or two alone. They share a batch
only where that is sure to be won: there are enough of them, and they are long enough to pay for
compiling one more kernel. What each trajectory gives is the same to the bit.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

from sweep.config.spec import canonical
from sweep.errors import SweepError
from sweep.training.kernels.spec import LANES, kernel_spec

if TYPE_CHECKING:
    from sweep.config.spec import RunSpec
    from sweep.engine.plan import Trajectory

__all__ = ["COST", "batches"]

WORTH = 2e8
"""Scalars to update (iterations x samples x scalars, together) from which on a batch pays.

About half a second alone, as the kernel for several takes to compile, once, and a tenth of
that to load from the cache.
"""

COST = 2
"""A batch of several is taken to last as long as so many of them alone (measured: 1.8)."""


def batches(trajectories: Sequence[Trajectory], workers: int) -> list[tuple[Trajectory, ...]]:
    """Return the trajectories, those that train side by side in one tuple.

    Parameters
    ----------
    workers
        How many tasks run at once.
    """
    kinds: dict[Hashable, list[Trajectory]] = defaultdict(list)
    for trajectory in trajectories:
        kinds[_kind(trajectory.spec)].append(trajectory)
    alone = set(map(id, kinds.pop(None, [])))
    together: dict[int, tuple[Trajectory, ...]] = {}
    for alike in kinds.values():
        if _pays(alike, workers):
            # Of about one length, so that few lanes run on behind their trajectory's end.
            alike.sort(key=lambda trajectory: -trajectory.stops[-1])
            parts = math.ceil(len(alike) / LANES)
            for part in range(parts):
                first, end = (len(alike) * at // parts for at in (part, part + 1))
                together[id(alike[first])] = tuple(alike[first:end])
        else:
            alone |= set(map(id, alike))
    return [
        (trajectory,) if id(trajectory) in alone else together[id(trajectory)]
        for trajectory in trajectories
        if id(trajectory) in alone or id(trajectory) in together
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
    except SweepError:  # each run fails with it
        return False
    if data.validation_inputs is not None or most * len(data.inputs) < WORTH:
        return False
    return kernel_spec(spec.network, len(data.inputs), spec.rule).small
