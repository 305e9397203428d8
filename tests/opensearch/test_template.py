"""The index template: as committed, and what a real cluster makes of it."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from opensearchpy import AuthorizationException, OpenSearch

from tests.live.corner import Corner
from whodid.cluster.bulk import Document
from whodid.cluster.connection import restores_sorted
from whodid.cluster.template import index_pattern, index_template
from whodid.entry import FIELDS, Stamp
from whodid.resources import resource_text
from whodid.retention.ism import policy_body
from whodid.settings import Settings


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("opensearch/index-template.json", index_template(Settings())),
        ("opensearch/ism-policy.json", policy_body(Settings())),
    ],
)
def test_the_committed_file_is_what_the_code_makes_of_default_settings(name: str, made: dict[str, Any]) -> None:
    assert json.loads(resource_text(name)) == made


def test_every_field_of_an_entry_is_mapped_and_nothing_else_is_let_in() -> None:
    mappings = index_template(Settings())["template"]["mappings"]
    assert set(mappings["properties"]) == set(FIELDS)
    assert mappings["dynamic"] == "strict"


def found(place: Corner, query: dict[str, Any], **more: Any) -> list[str]:
    answer = place.client.search(index=index_pattern(place.settings), body={"query": query, "size": 100, **more})
    return [hit["_source"]["target"] for hit in answer["hits"]["hits"]]


def store(place: Corner, entries: list[dict[str, Any]]) -> None:
    index = f"{place.settings.index_prefix}-2026.11"
    verdicts = place.send([Document(str(n), index, json.dumps(entry).encode()) for n, entry in enumerate(entries)])
    assert [verdict.kind for verdict in verdicts] == ["stored"] * len(entries)
    place.refresh()


@pytest.mark.live
def test_a_partition_is_made_from_the_template_and_marked_as_ours(place: Corner) -> None:
    store(place, [{"target": "x", "@timestamp": "2026-11-23T08:00:00.000001Z"}])
    index = f"{place.settings.index_prefix}-2026.11"
    about = place.client.indices.get(index=index)[index]
    assert about["settings"]["index"].get("sort") == (
        {"field": ["@timestamp"], "order": ["desc"]} if restores_sorted(place.client) else None
    )
    assert about["settings"]["index"]["auto_expand_replicas"] == "0-1"
    assert about["mappings"]["_meta"]["managed_by"] == "whodid"
    assert about["mappings"]["dynamic"] == "strict"


@pytest.mark.live
def test_addresses_are_found_by_network(place: Corner) -> None:
    store(place, [{"target": ip, "client_ip": ip} for ip in ("10.1.2.3", "10.200.0.1", "192.0.2.7", "2001:db8::7")])
    assert sorted(found(place, {"term": {"client_ip": "10.0.0.0/8"}})) == ["10.1.2.3", "10.200.0.1"]
    assert found(place, {"term": {"client_ip": "2001:db8::/32"}}) == ["2001:db8::7"]


@pytest.mark.live
def test_details_are_found_by_a_key_within_and_their_types_never_clash(place: Corner) -> None:
    store(
        place,
        [
            {"target": "text", "details": {"bucket": {"name": "raw"}, "size": "big"}},
            {"target": "number", "details": {"bucket": {"name": "clean"}, "size": 7}},
            {"target": "object", "details": {"bucket": "raw", "size": {"is": [1, {"now": "an object"}]}}},
        ],
    )
    assert found(place, {"term": {"details.bucket.name": "raw"}}) == ["text"]
    assert found(place, {"term": {"details.size": "7"}}) == ["number"]
    assert found(place, {"term": {"details": "raw"}}, sort=["_doc"]) == ["text", "object"]


@pytest.mark.live
def test_times_a_microsecond_apart_stand_in_order(place: Corner) -> None:
    times = [1_795_419_999_000_000_000 + n * 1000 for n in (3, 1, 2, 0, 999_999, 500)]
    store(place, [{"target": str(ns), "@timestamp": Stamp.from_ns(ns).timestamp} for ns in times])
    newest_first = [str(ns) for ns in sorted(times, reverse=True)]
    assert found(place, {"match_all": {}}, sort=[{"@timestamp": "desc"}]) == newest_first


@pytest.mark.parametrize(
    ("nodes", "cluster", "sorted_"),
    [
        (["2.19.4"], "2.19.4", True),
        (["3.2.0"], "3.2.0", True),
        (["3.3.2"], "3.3.2", False),
        (["3.4.0"], "3.4.0", False),
        (["3.5.0"], "3.5.0", True),
        (["3.40.0"], "3.40.0", True),
        (["3.5.0", "3.4.0"], "3.5.0", False),
        (["3.5.0"], None, True),
        (["3.4.0"], None, False),
        (None, "3.5.0", True),
        (None, "3.4.0", False),
        (None, None, False),
        ([], "", False),
    ],
)
def test_partitions_are_sorted_only_where_every_node_is_known_to_restore_them(
    nodes: list[str] | None, cluster: str | None, sorted_: bool
) -> None:
    """`None`: this user may not ask."""

    class Transport:
        def perform_request(self, method: str, path: str) -> Any:
            found = nodes if path.startswith("/_nodes") else cluster
            if found is None:
                raise AuthorizationException(403, "security_exception", {})
            return {"nodes": {str(n): {"version": each} for n, each in enumerate(nodes or ())}} if found is nodes else {
                "version": {"number": found} if found else {}
            }  # fmt: skip

    class Cluster:
        transport = Transport()

    assert restores_sorted(cast(OpenSearch, Cluster())) is sorted_
    assert ("sort" in index_template(Settings(), sort=sorted_)["template"]["settings"]["index"]) is sorted_
