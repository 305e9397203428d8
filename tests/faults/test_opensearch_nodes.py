"""Nodes of OpenSearch killed in the middle of shipping: nothing lost, nothing doubled, and at full speed again."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.shipping import all_stored_once, shipping
from tests.live.corner import Corner, corner, eventually
from whodid import devserver
from whodid.devserver import start_cluster

pytestmark = pytest.mark.live


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_node_killed_in_the_middle_of_a_bulk_and_started_again(tmp_path: Path) -> None:
    data = tmp_path / "node"
    node = devserver.start(port=0, data_dir=data, detached=False)
    try:
        with corner(node.url, tmp_path, bulk_entries=200, opensearch_timeout=20.0) as place:
            place.set_up()
            entries = place.record(20_000)
            with shipping(place.settings) as running:
                eventually(lambda: running.shipper.progress.shipped > 500, 120)
                os.kill(node.pid, signal.SIGKILL)
                eventually(lambda: "no_connection" in running.causes(), 120)
                assert running.shipper.progress.shipped < 20_000
                node.stop()
                entries += place.record(100)
                node = devserver.start(port=node.port, data_dir=data, detached=False)
                all_stored_once(place, entries, running, seconds=180)
    finally:
        node.stop()


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_of_three_nodes_one_is_killed(tmp_path: Path) -> None:
    with (
        start_cluster(3, tmp_path / "cluster") as nodes,
        corner("", tmp_path, opensearch_hosts=tuple(node.url for node in nodes), bulk_entries=100) as place,
    ):
        place.set_up()
        entries = place.record(500)
        place.ship()
        eventually(lambda: place.client.cluster.health()["status"] == "green", 60)
        entries += place.record(10_000)
        with shipping(replace(place.settings, opensearch_timeout=20.0)) as running:
            eventually(lambda: running.shipper.progress.shipped > 1000, 120)
            os.kill(primary(place), signal.SIGKILL)
            assert running.shipper.progress.shipped < 10_000
            all_stored_once(place, entries, running, already=500, seconds=240)
            assert running.causes() <= {"no_connection", "time_out", "unavailable"}


def primary(place: Corner) -> int:
    """The process that holds the primary shard."""
    shards = place.client.cat.shards(format="json", index=f"{place.settings.index_prefix}-*")
    [node] = [shard["node"] for shard in shards if shard["prirep"] == "p"]
    processes = {one["name"]: int(one["pid"]) for one in place.client.cat.nodes(format="json", h="name,pid")}
    return processes[node]
