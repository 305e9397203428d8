"""A local OpenSearch for development and tests, without Docker or a Java installation.

    from whodid import devserver

    with devserver.start(port=0, data_dir=tmp, detached=False) as node:
        print(node.url)

Needs the extra: pip install "whodid[dev-server]". See `whodid help dev-server`.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from whodid.devserver.folder import default_data_dir
from whodid.devserver.node import NodeStatus, RunningNode, reset, start, status, stop

from .folder import Progress, logs
from .home import OPENSEARCH_VERSION

__all__ = [
    "OPENSEARCH_VERSION",
    "NodeStatus",
    "Progress",
    "RunningNode",
    "default_data_dir",
    "logs",
    "reset",
    "start",
    "start_cluster",
    "status",
    "stop",
]


@contextmanager
def start_cluster(
    number: int, data_dir: Path, *, heap_mb: int = 512, timeout: float = 180.0
) -> Iterator[list[RunningNode]]:
    """Start a cluster of `number` nodes, with their data below `data_dir`, and stop it at the end of the block.

    Raises DevServerError.
    """
    names = [f"node-{n}" for n in range(number)]
    ports = _free_ports(number)
    together = {
        "discovery.type": None,
        "discovery.seed_hosts": [f"127.0.0.1:{port}" for port in ports],
        "cluster.initial_cluster_manager_nodes": names,
        # The failure of a node is detected after seconds instead of half a minute.
        "cluster.fault_detection.follower_check.timeout": "2s",
        "cluster.fault_detection.leader_check.timeout": "2s",
    }

    def start_one(place: int) -> RunningNode:
        own = {"node.name": names[place], "transport.port": ports[place]}
        folder = data_dir / names[place]
        return start(
            port=0, data_dir=folder, heap_mb=heap_mb, detached=False, timeout=timeout, settings={**together, **own}
        )

    with ExitStack() as running, ThreadPoolExecutor(number) as pool:
        futures = [pool.submit(start_one, place) for place in range(number)]  # a node is ready once most nodes are
        nodes = [running.enter_context(each.result()) for each in futures]
        yield nodes


def _free_ports(number: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(number)]
        return [each.getsockname()[1] for each in sockets]
