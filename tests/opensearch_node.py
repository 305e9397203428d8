"""A pytest plugin with one fixture: the URL of a real OpenSearch, started once for the whole test run.

Load it with `pytest_plugins = ["tests.opensearch_node"]`. The node has a free port and its own data
directory, and ends with the test run, Ctrl-C and `kill -9` included. Set `WHODID_TEST_DEV_URL` to the URL of
a node that runs already to save its start.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

__all__ = ["opensearch_url"]

RUNNING_NODE_VARIABLE = "WHODID_TEST_DEV_URL"


@pytest.fixture(scope="session")
def opensearch_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`http://127.0.0.1:PORT` of an OpenSearch 3.4.0 without the Security plugin."""
    running = os.environ.get(RUNNING_NODE_VARIABLE)
    if running:
        yield running
        return
    from whodid import devserver

    with devserver.start(port=0, data_dir=tmp_path_factory.mktemp("opensearch"), detached=False) as node:
        yield node.url
