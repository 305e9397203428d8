"""A cluster with entries in it is upgraded from OpenSearch 2.19 to 3: they stay, they verify, and more come."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.doctor.examined import examined
from tests.live.corner import Corner
from whodid import devserver
from whodid.cluster.connection import connect
from whodid.search import AuditClient
from whodid.settings import Settings
from whodid.setup.setup import plan
from whodid.verify import verify_stored

from .conftest import JAVA

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]


def recorded_and_shipped(url: str, tmp_path: Path) -> Corner:
    settings = Settings(opensearch_hosts=(url,), journal_dir=str(tmp_path / "journal"), service="shop")
    place = Corner(settings, connect(settings))
    place.set_up()
    place.record(50, client_ip="203.0.113.9", details={"rows": 1.5})
    assert place.ship().dead_letters == 0
    return place


def test_partitions_of_2_19_live_on_under_3(tmp_path: Path) -> None:
    folder = tmp_path / "node"
    with devserver.start(port=0, data_dir=folder, detached=False, version="2.19", java=JAVA) as node:
        recorded_and_shipped(node.url, tmp_path)
    with devserver.start(port=0, data_dir=folder, detached=False) as node:
        place = recorded_and_shipped(node.url, tmp_path)
        assert place.client.info()["version"]["number"] == devserver.OPENSEARCH_VERSION
        assert not [
            change for change in plan(place.client, place.settings) if change.kind not in {"unchanged", "unavailable"}
        ]
        with AuditClient(place.settings) as client:
            found = {entry["hash"] for entry in client.search(client_ip="203.0.113.0/24")}
            assert found == {entry["hash"] for entry in place.journalled()}
            assert len(found) == 100
            verified = verify_stored(client)
            assert (verified.entries, verified.intact) == (100, True)
        told = examined(place.settings, "template", "retention")
        assert not [finding for finding in told if finding.severity == "problem"]
