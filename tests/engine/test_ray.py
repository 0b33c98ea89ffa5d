"""Ray: a real cluster of several nodes on this machine that loses one."""

from __future__ import annotations

from typing import Any

import cloudpickle
import pytest

from sweep.engine.backends import Done, Emitted, create
from tests.engine import clusters
from tests.engine.clusters import ray_cluster, told_pid

cloudpickle.register_pickle_by_value(clusters)


@pytest.mark.ray
def test_works_of_a_node_that_is_lost_run_again_elsewhere() -> None:
    starts: list[Any] = []
    with ray_cluster() as cluster:
        doomed = cluster.add_node(num_cpus=1)
        with create("ray", 3, {"address": cluster.address}) as backend:
            for key in range(3):
                backend.submit(key, told_pid)
            done = []
            for event in backend.events():
                if isinstance(event, Emitted):
                    starts.append(event.value)
                    if len(starts) == 3:
                        cluster.remove_node(doomed, allow_graceful=False)
                        cluster.add_node(num_cpus=1)
                    if len(starts) == 4:
                        backend.stop()
                elif event is not None:
                    done.append(event)
    assert len(set(starts)) == 4
    assert sorted(done, key=lambda end: end.key) == [Done(key) for key in range(3)]
