"""A pytest plugin with two fixtures: a real OpenSearch, and one with accounts; each started once when first needed.

Load it with `pytest_plugins = ["tests.opensearch_node"]`. The nodes have free ports and their own data directories, and
end with the test run, Ctrl-C and `kill -9` included. To save their start, name nodes that run already: the URL of one
in `WHODID_TEST_DEV_URL`, the data directory of the other in `WHODID_TEST_SECURED_DIR`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

__all__ = ["SecuredNode", "opensearch_url", "secured", "secured_node"]

RUNNING_NODE_VARIABLE = "WHODID_TEST_DEV_URL"
RUNNING_SECURED_VARIABLE = "WHODID_TEST_SECURED_DIR"


@dataclass(frozen=True)
class SecuredNode:
    """A node with the Security plugin, and how its administrator enters."""

    url: str
    ca_file: Path
    password_file: Path

    def settings(self, **more: Any) -> dict[str, Any]:
        """Keywords for `Settings`: the administrator's, unless `opensearch_user` and another password are given."""
        given = {"opensearch_hosts": (self.url,), "opensearch_ca": str(self.ca_file), **more}
        if "opensearch_user" in more or "opensearch_client_cert" in more:
            return given
        return {**given, "opensearch_user": "admin", "opensearch_password_file": str(self.password_file)}


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


@pytest.fixture(scope="session")
def secured_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredNode]:
    """An OpenSearch 3.4.0 with the Security plugin: TLS and accounts."""
    from whodid import devserver

    running = os.environ.get(RUNNING_SECURED_VARIABLE)
    if running:
        yield secured(Path(running))
        return
    folder = tmp_path_factory.mktemp("secured")
    immutable = {"plugins.security.compliance.immutable_indices": ["immutable-*"]}
    with devserver.start(port=0, data_dir=folder, detached=False, security=True, settings=immutable):
        yield secured(folder)


def secured(folder: Path) -> SecuredNode:
    from whodid import devserver

    now = devserver.status(folder)
    if not (now.url and now.ca_file and now.password_file):
        raise RuntimeError(f"no secured node runs on {folder}")
    return SecuredNode(now.url, now.ca_file, now.password_file)
