"""Group trajectories into batches that train in one vectorised kernel.

Trajectories are batched only if this saves time, including the compilation of one more kernel.
Results do not depend on batching.
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

WORTH = 2e8
"""Minimum scalar updates (iterations x samples x scalars) to batch: about 0.5 s of training.

Compiling the vectorised kernel takes as long.
"""

COST = 2
"""Duration of a batch, relative to one of its trajectories (measured: 1.8)."""


def batches(trajectories: Sequence[Trajectory], workers: int) -> list[tuple[Trajectory, ...]]:
    """Group `trajectories` into batches for a number of workers, in the order of the grid."""
    kinds: dict[Hashable, list[Trajectory]] = defaultdict(list)
    for trajectory in trajectories:
        kinds[_kind(trajectory.spec)].append(trajectory)
    found: list[tuple[Trajectory, ...]] = []
    for alike in kinds.values():
        if not _pays(alike, workers):
            found += [(trajectory,) for trajectory in alike]
            continue
        # Batch similar lengths, so that few lanes continue beyond the end of their trajectory.
        alike.sort(key=lambda trajectory: -trajectory.stops[-1])
        parts, count = math.ceil(len(alike) / LANES), len(alike)
        found += [
            tuple(alike[count * part // parts : count * (part + 1) // parts])
            for part in range(parts)
        ]
    order = {id(trajectory): number for number, trajectory in enumerate(trajectories)}
    return sorted(found, key=lambda batch: order[id(batch[0])])


def _kind(spec: RunSpec) -> Hashable:
    """Return a key; trajectories with equal keys can be batched."""
    if not spec.trainer.built_in or spec.trainer.options or spec.stop:
        return object()
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
    separate = math.ceil(len(alike) / workers)
    batched = COST * math.ceil(math.ceil(len(alike) / LANES) / workers)
    spec = alike[0].spec
    if separate <= batched or spec.rule is None:
        return False
    try:
        data = spec.data()
    except SweepError:  # each run reports this error
        return False
    iterations = sum(trajectory.stops[-1] for trajectory in alike)
    if data.validation_inputs is not None:
        return False
    if iterations * spec.network.size * len(data.inputs) < WORTH:
        return False
    return kernel_spec(spec.network, len(data.inputs), spec.rule).small
