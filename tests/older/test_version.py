"""That the others here are tried on what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.opensearch_node import SecuredNode
from whodid.cluster.connection import connect
from whodid.settings import Settings

pytestmark = pytest.mark.live


def test_both_nodes_are_of_the_older_release(opensearch_url: str, secured_node: SecuredNode, tmp_path: Path) -> None:
    for settings in (Settings(opensearch_hosts=(opensearch_url,)), Settings(**secured_node.settings())):
        assert connect(settings).info()["version"]["number"] == "2.19.4"
