"""What belongs to an entry: what else happened to its target, what its principal did, what it is correlated with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.corner import corner
from whodid.errors import QueryError
from whodid.search import AuditClient

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def client(opensearch_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditClient]:
    with corner(opensearch_url, tmp_path_factory.mktemp("around")) as place:
        place.set_up()
        recorder = place.recorder()
        for target, principal, more in [
            ("a", "1", {"correlation_id": "c1", "request_id": "r1"}),
            ("b", "2", {"correlation_id": "c1"}),
            ("a", "3", {"on_behalf_of": "1", "request_id": "r1"}),
            ("a*", "1*", {"trace_id": "t1"}),
            ("c", "4", {"trace_id": "t1", "correlation_id": "other"}),
        ]:
            recorder.record("team_created", {"target": target, "principal": principal, **more})
        recorder.journal.close()
        place.ship()
        yield AuditClient(place.settings, client=place.client)


def seqs(found: Iterator[dict[str, object]]) -> list[object]:
    return [entry["seq"] for entry in found]


def test_about_is_what_happened_to_that_target(client: AuditClient) -> None:
    assert seqs(client.search(about="a", sort="oldest")) == seqs(client.search("about:a", sort="oldest")) == [1, 3]
    assert seqs(client.search('about:"a*"')) == [4]
    assert seqs(client.search(about="a", limit=1)) == [3]
    assert seqs(client.search(about=["a", "b"], until="2020")) == []


def test_by_has_what_was_done_on_their_behalf_too(client: AuditClient) -> None:
    assert seqs(client.search(by="1", sort="oldest")) == seqs(client.search("by:1", sort="oldest")) == [1, 3]
    assert seqs(client.search('by:"1*"')) == [4]
    assert seqs(client.search(by="1", sort="oldest", since="-1h", type="team_*")) == [1, 3]
    assert seqs(client.search("by:1 -about:a")) == seqs(client.search("about:a", by="2")) == []


def test_what_is_correlated_shares_an_id_and_is_another_entry(client: AuditClient) -> None:
    first, second, third, fourth, fifth = client.search(sort="oldest")
    assert seqs(client.correlated(first)) == [2, 3]
    assert seqs(client.correlated(second)) == [1]
    assert seqs(client.correlated(third)) == [1]
    assert seqs(client.correlated(fourth)) == [5]
    assert seqs(client.correlated(fifth)) == [4]
    assert seqs(client.correlated({"journal": "x", "seq": 1})) == []


def test_the_neighbours_of_an_entry_are_of_the_same_target(client: AuditClient) -> None:
    first, _, third, fourth, _ = client.search(sort="oldest")
    assert client.around(first) == (None, third)
    assert client.around(third) == (first, None)
    assert client.around(fourth) == (None, None)
    assert client.around({"target": "a"}) == (None, None)
    assert client.around({**first, "@timestamp": "2026"}) == client.around({**first, "target": ["a"]}) == (None, None)


def test_an_intent_whose_operation_is_gone_is_an_orphan(opensearch_url: str, tmp_path: Path) -> None:
    with corner(opensearch_url, tmp_path) as place:
        place.set_up()
        altered = {"phase": "intent", "target": "altered", "@timestamp": "2026-11-01T00:00:00Z"}
        place.client.index(index=f"{place.settings.index_prefix}-2026.11", body=altered, params={"refresh": "true"})
        assert list(AuditClient(place.settings, client=place.client).orphans()) == [altered]


@pytest.mark.parametrize("where", [7, ["type:a"], {"type": "a"}])
def test_what_is_no_query_is_named(client: AuditClient, where: object) -> None:
    with pytest.raises(QueryError, match="where must be a query in the search language or a Filter"):
        client.count(where)  # type: ignore[arg-type]


def test_filters_and_texts_and_keywords_all_must_match(client: AuditClient) -> None:
    assert seqs(client.search("principal:1 or principal:2", target="b")) == [2]
    assert seqs(client.search("principal:1", principal="2")) == []
