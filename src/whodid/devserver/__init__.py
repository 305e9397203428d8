"""A real one-node OpenSearch for development and tests, without Docker or a Java installation.

    from whodid import devserver

    with devserver.start(port=0, data_dir=tmp, detached=False) as node:
        print(node.url)

Needs the extra: pip install "whodid[dev-server]". See `whodid help dev-server`.
"""

from whodid.devserver.folder import default_data_dir
from whodid.devserver.log import logs
from whodid.devserver.node import NodeStatus, RunningNode, reset, start, status, stop
from whodid.devserver.progress import Progress
from whodid.devserver.release import OPENSEARCH_VERSION

__all__ = [
    "OPENSEARCH_VERSION",
    "NodeStatus",
    "Progress",
    "RunningNode",
    "default_data_dir",
    "logs",
    "reset",
    "start",
    "status",
    "stop",
]
