"""A Ray cluster of several nodes on this machine, each of one core, that come and go: what a training makes of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pipelines.cluster.session as session

LOOPBACK = "127.0.0.1"
NOTICED_SOON = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 10}
"""A machine that is gone is known to be so after 5 seconds."""


class Nodes:
    """The nodes beside the head, which has no core for workers."""

    def __init__(self, cluster: Any):
        self._cluster, self.address = cluster, str(cluster.address)

    def add(self, **variables: str) -> Any:
        """One more node, of one core, with these in its environment."""
        return self._cluster.add_node(num_cpus=1, node_ip_address=LOOPBACK, env_vars=variables)

    def ids(self) -> list[str]:
        """Of the nodes that are alive, by Ray's names; the head is not among them."""
        return [node.node_id for node in self._cluster.worker_nodes if node.all_processes]

    def kill(self, node: Any) -> None:
        """SIGKILL on all its processes: a machine that is gone."""
        self._cluster.remove_node(node, allow_graceful=False)


@contextmanager
def started(monkeypatch: Any) -> Iterator[Nodes]:
    """A cluster without any node beside its head."""
    for name, value in (session._SETTINGS | session._EMBEDDED).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER")
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "node_ip_address": LOOPBACK, "include_dashboard": False, "_system_config": NOTICED_SOON}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        yield Nodes(cluster)
    finally:
        cluster.shutdown()
