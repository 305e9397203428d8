"""The query client against a real cluster, compared with looking at every entry."""

from __future__ import annotations

import ipaddress
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live.corner import Corner, corner
from whodid.entry import document_id
from whodid.errors import OpenSearchUnavailable, QueryError
from whodid.search import AuditClient

pytestmark = pytest.mark.live

_START = 1_795_000_000
Entry = dict[str, Any]


@pytest.fixture(scope="module")
def place(opensearch_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corner]:
    """300 entries of two months, several at each moment."""
    picks = random.Random(7)
    times = iter(
        [(_START + picks.randrange(60) * 86_400) * 1_000_000_000 + picks.randrange(3) * 1000 for _ in range(300)]
    )
    with corner(opensearch_url, tmp_path_factory.mktemp("client")) as made:
        made.set_up()
        recorder = made.recorder(clock_ns=lambda: next(times))
        for n in range(300):
            fields = {"target": f"{picks.choice('ab')}{n % 40}", "principal": str(n % 5), "organization_id": str(n % 3)}
            ip = picks.choice(["10.0.0.7", "10.200.0.1", "192.0.2.7", "2001:db8::7"])
            recorder.record(
                picks.choice(["team_created", "credentials_created", "credentials_deleted"]),
                {**fields, "client_ip": ip},
            )
        recorder.journal.close()
        made.ship()
        yield made


@pytest.fixture
def client(place: Corner, monkeypatch: pytest.MonkeyPatch) -> AuditClient:
    monkeypatch.setattr("whodid.search.requests.PAGE", 7)
    return AuditClient(place.settings, client=place.client)


def newest_first(place: Corner, wanted: Callable[[Entry], bool] = lambda entry: True) -> list[Entry]:
    entries = [entry for entry in place.journalled() if wanted(entry)]
    return sorted(entries, key=lambda entry: (entry["@timestamp"], entry["journal"], entry["seq"]), reverse=True)


def test_pages_skip_and_double_nothing_where_several_entries_share_a_moment(place: Corner, client: AuditClient) -> None:
    seen: list[Entry] = []
    page = client.page(size=2)
    while page.next:
        seen += page.entries
        page = client.page(size=2, cursor=page.next)
    assert seen + page.entries == newest_first(place)
    assert [len(client.page(size=size).entries) for size in (1, 7)] == [1, 7]
    for size in (0, 8):
        with pytest.raises(QueryError, match="size must be 1 to"):
            client.page(size=size)


def within(network: str) -> Callable[[Entry], bool]:
    return lambda entry: ipaddress.ip_address(entry["client_ip"]) in ipaddress.ip_network(network)


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        ({}, lambda entry: True),
        ({"principal": "3"}, lambda entry: entry["principal"] == "3"),
        ({"principal": ["1", "2"]}, lambda entry: entry["principal"] in "12"),
        ({"type": "credentials_*"}, lambda entry: entry["type"].startswith("credentials_")),
        ({"target": ["a1*", "b2"]}, lambda entry: entry["target"].startswith("a1") or entry["target"] == "b2"),
        ({"client_ip": "10.0.0.0/8"}, within("10.0.0.0/8")),
        ({"client_ip": "2001:db8::/32"}, within("2001:db8::/32")),
        ({"client_ip": "192.0.2.7"}, within("192.0.2.7/32")),
        (
            {"principal": "1", "organization_id": "2"},
            lambda entry: (entry["principal"], entry["organization_id"]) == ("1", "2"),
        ),
        ({"seq": 17}, lambda entry: entry["seq"] == 17),
        ({"target": "nobody's"}, lambda entry: False),
        ({"target": "a?"}, lambda entry: False),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_a_search_finds_what_looking_at_every_entry_finds(
    place: Corner, client: AuditClient, filters: dict[str, Any], wanted: Callable[[Entry], bool]
) -> None:
    expected = newest_first(place, wanted)
    assert list(client.search(**filters)) == expected
    assert client.count(**filters) == len(expected)


def test_since_is_included_and_until_is_not(place: Corner, client: AuditClient) -> None:
    times = sorted({entry["@timestamp"] for entry in place.journalled()})
    since, until = times[20], times[60]
    expected = newest_first(place, lambda entry: since <= entry["@timestamp"] < until)
    assert list(client.search(since=since, until=until)) == expected
    assert client.count(since=since, until=until) == len(expected) > 0


@pytest.mark.parametrize("limit", [1, 6, 7, 8, 14, 299, 300, 1000])
def test_a_limit_takes_the_newest(place: Corner, client: AuditClient, limit: int) -> None:
    assert list(client.search(limit=limit)) == newest_first(place)[:limit]


@pytest.mark.parametrize("field", ["type", "principal", "client_ip"])
def test_counts_by_a_field_are_those_of_counting(place: Corner, client: AuditClient, field: str) -> None:
    expected = Counter(entry[field] for entry in place.journalled() if entry["organization_id"] == "1")
    assert client.counts_by(field, organization_id="1") == dict(expected)


def test_an_entry_is_got_by_its_id(place: Corner, client: AuditClient) -> None:
    entry = place.journalled()[41]
    assert client.get(document_id(entry["journal"], entry["seq"], entry["hash"])) == entry
    assert client.get("nothing") is None
    assert client.get("") is None


def test_questions_that_can_not_be_asked_are_named(client: AuditClient) -> None:
    for ask in (
        lambda: client.search(limit=0),
        lambda: client.search(principle="1"),  # type: ignore[call-arg] # the fact under test
        lambda: client.counts_by("details"),
    ):
        with pytest.raises(QueryError):
            ask()


@pytest.mark.parametrize(
    ("query", "says"),
    [
        (
            f"seq:{','.join(str(2 * n) for n in range(1000))} or {' or '.join(f'status:{n}' for n in range(30))}",
            "more parts than OpenSearch allows",
        ),
        ("x" * 9900, "a word has 9,900 characters"),
    ],
)
def test_a_query_that_is_too_much_for_the_cluster_says_what_to_do(client: AuditClient, query: str, says: str) -> None:
    with pytest.raises(QueryError, match=says):
        client.count(query)


def test_where_nothing_was_shipped_nothing_is_found(opensearch_url: str, tmp_path: Path) -> None:
    with corner(opensearch_url, tmp_path) as empty:
        client = AuditClient(empty.settings, client=empty.client)
        assert (list(client.search()), client.count(), client.counts_by("type"), client.get("x")) == ([], 0, {}, None)


def test_a_cluster_that_is_away_is_said(tmp_path: Path) -> None:
    away = AuditClient(opensearch_hosts="http://127.0.0.1:1", journal_dir=str(tmp_path))
    with away as client, pytest.raises(OpenSearchUnavailable, match="can't be reached"):
        client.count()
