"""The query: what each filter matches, and what can't be asked."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.live.corner import Corner, corner
from whodid.client import AuditClient
from whodid.entry import FIELDS, SEED_FIELDS, Stamp, document_id, partition_name
from whodid.errors import QueryError
from whodid.opensearch.bulk import Document
from whodid.query import FILTERS, Query, moment

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


def test_every_seed_field_can_be_searched_by() -> None:
    assert set(SEED_FIELDS) - {"creation_date"} <= set(FILTERS)


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ({"principle": "42"}, "principle can't be searched by; did you mean principal"),
        ({"organisation_id": "7"}, "did you mean organization_id"),
        ({"zzzzzzzz": "7"}, "fields are type, target, principal"),
        ({"details": "x"}, "details can't be searched by"),
        ({"principal": 42}, "principal must be a string, not int"),
        ({"principal": ["42", None]}, "principal must be a string, not NoneType"),
        ({"principal": "\ud800"}, "lone surrogate"),
        ({"client_ip": "10.0.0"}, "client_ip must be an address or a network such as 10.0.0.0/8"),
        ({"client_ip": "10.0.0.1/8"}, "has host bits set"),
        ({"client_ip": "10.*"}, "client_ip must be an address or a network"),
        ({"client_ip": ""}, "client_ip must be an address or a network"),
        ({"seq": "many"}, "seq must be a whole number"),
        ({"seq": -1}, "seq must be a whole number"),
        ({"seq": True}, "seq must be a whole number"),
        ({"seq": 2**63}, "seq must be a whole number"),
        ({"seq": "9" * 4400}, "seq must be a whole number"),
    ],
    ids=repr,
)
def test_what_can_t_be_asked_says_why(filters: dict[str, object], said: str) -> None:
    with pytest.raises(QueryError, match=said):
        Query.of(filters)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-11-23", datetime(2026, 11, 23, tzinfo=UTC)),
        ("2026-11-23T08:00:00", NOW),
        ("2026-11-23T08:00:00Z", NOW),
        ("2026-11-23T10:00:00+02:00", NOW),
        ("2026-11-23T08:00:00.000001Z", NOW + timedelta(microseconds=1)),
        (NOW.astimezone(timezone(timedelta(hours=-5))), NOW),
        ("-30m", NOW - timedelta(minutes=30)),
        ("-24h", NOW - timedelta(hours=24)),
        ("-7d", NOW - timedelta(days=7)),
        ("-4w", NOW - timedelta(weeks=4)),
        (None, None),
    ],
)
def test_a_moment_is_understood_in_utc(value: object, expected: datetime | None) -> None:
    assert moment(value, "since", NOW) == expected


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (datetime(2026, 11, 23), "since is a datetime without a zone"),  # noqa: DTZ001 (the fact under test)
        ("yesterday", "since 'yesterday' is no time; write 2026-11-23"),
        ("-24", "is no time"),
        ("-999999w", "is no time"),
        ("2026-13-01", "is no time"),
        ("", "is no time"),
        (20261123, "since must be a datetime or a string, not int"),
    ],
)
def test_a_moment_that_is_none_says_how_to_write_one(value: object, said: str) -> None:
    with pytest.raises(QueryError, match=said):
        moment(value, "since", NOW)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "1900-01-01", "2500-01-01"])
def test_a_moment_beyond_what_opensearch_holds_is_cut_to_it(text: str) -> None:
    [clause] = Query.of({}, since=text).body["bool"]["filter"]
    assert clause["range"]["@timestamp"]["gte"] in {"1970-01-01T00:00:00.000000Z", "2262-01-01T00:00:00.000000Z"}


def test_no_filter_matches_everything() -> None:
    assert Query.of({"type": None}).body == {"match_all": {}}


# What is found is compared with the same entries filtered in Python.

WORDS = [
    "",
    "a",
    "A",
    "ab",
    "a*",
    "*",
    "**",
    "a*b",
    "?",
    "a?",
    "a b",
    "a.b",
    "é",
    "𝄞",
    "AND",
    '"',
    "\\",
    "\\*",
    "~1",
    "[a",
]
ADDRESSES = ["10.0.0.1", "10.1.2.3", "203.0.113.9", "::1", "2001:db8::1", "2001:db8:0:1::7", "::ffff:10.0.0.1"]
NETWORKS = ["10.0.0.0/8", "10.0.0.0/31", "203.0.113.9/32", "2001:db8::/32", "2001:db8::/63", "0.0.0.0/0", "::1/128"]
STARTED = 1_795_420_800_000_000_000
KEYWORDS = ("type", "target", "principal", "status", "organization_id", "workspace_name")


def _entries() -> list[dict[str, Any]]:
    """Each word in each keyword field at some time, in another order for each; some fields absent, some times equal."""
    made: list[dict[str, Any]] = []
    for n in range(120):
        stamp = Stamp.from_ns(STARTED + (n // 3) * 86_400_000_000_000 // 4 + (n % 2) * 1000)
        words = {name: WORDS[(n * (k + 3) + k) % len(WORDS)] for k, name in enumerate(KEYWORDS) if (n + k) % 7}
        made.append(
            {
                **words,
                **({"client_ip": ADDRESSES[n % len(ADDRESSES)]} if n % 5 else {}),
                "creation_date": stamp.creation_date,
                "@timestamp": stamp.timestamp,
                "journal": f"{n % 2:016x}",
                "seq": n + 1,
                "hash": f"{n:064x}",
            }
        )
    return made


ENTRIES = _entries()


@pytest.fixture(scope="module")
def client(opensearch_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditClient]:
    with corner(opensearch_url, tmp_path_factory.mktemp("query"), number_of_shards=2) as place:
        place.set_up()
        verdicts = place.send([_document(place, entry) for entry in ENTRIES])
        assert {verdict.kind for verdict in verdicts} == {"stored"}
        place.refresh()
        yield AuditClient(place.settings, client=place.client)


def _document(place: Corner, entry: dict[str, Any]) -> Document:
    index = partition_name(place.settings.index_prefix, place.settings.partition, entry["creation_date"])
    return Document(document_id(entry["journal"], entry["seq"], entry["hash"]), index, json.dumps(entry).encode())


def expected(filters: dict[str, Any], since: datetime | None, until: datetime | None) -> list[dict[str, Any]]:
    """Newest first, by the letter of docs/search.md."""
    found = [entry for entry in ENTRIES if all(_any(entry, name, value) for name, value in filters.items())]
    low = since.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if since else ""
    high = until.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if until else "9"
    found = [entry for entry in found if low <= entry["@timestamp"] < high]
    return sorted(found, key=lambda entry: (entry["@timestamp"], entry["journal"], entry["seq"]), reverse=True)


def _any(entry: dict[str, Any], name: str, value: Any) -> bool:
    values = value if isinstance(value, list) else [value]
    return name in entry and any(_matches(FIELDS[name].kind, entry[name], one) for one in values)


def _matches(kind: str, has: Any, wanted: Any) -> bool:
    if kind == "ip":
        address = ipaddress.ip_address(has)
        mapped = getattr(address, "ipv4_mapped", None)
        return (mapped or address) in ipaddress.ip_network(wanted)
    if kind == "keyword" and wanted.endswith("*"):
        return bool(has.startswith(wanted[:-1]))
    return bool(has == wanted)


def _one_or_several(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return values | st.lists(values, max_size=4)


KEYWORD_FILTERS = {name: _one_or_several(st.sampled_from([*WORDS, "none"])) for name in KEYWORDS}
OTHER_FILTERS = {
    "client_ip": _one_or_several(st.sampled_from([*ADDRESSES[:-1], *NETWORKS])),
    "journal": _one_or_several(st.sampled_from(["0" * 16, "0" * 15 + "*", "f" * 16])),
    "seq": _one_or_several(st.integers(0, 130)),
}
MOMENTS = st.none() | st.sampled_from([entry["@timestamp"] for entry in ENTRIES]).map(datetime.fromisoformat)


@pytest.mark.live
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    filters=st.fixed_dictionaries({}, optional=KEYWORD_FILTERS | OTHER_FILTERS),
    since=MOMENTS,
    until=MOMENTS,
    page=st.sampled_from([1, 7, 1000]),
)
def test_what_is_found_is_what_a_filter_over_the_same_entries_keeps(
    client: AuditClient, filters: dict[str, Any], since: datetime | None, until: datetime | None, page: int
) -> None:
    wanted = expected(filters, since, until)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("whodid.client._PAGE", max(page, len(wanted) // 10))
        found = list(client.search(since=since, until=until, **filters))
    assert found == wanted
    assert client.count(since=since, until=until, **filters) == len(wanted)


@pytest.mark.live
@pytest.mark.parametrize("word", WORDS)
def test_each_word_finds_itself_and_what_it_begins(client: AuditClient, word: str) -> None:
    assert list(client.search(target=word)) == expected({"target": word}, None, None)


@pytest.mark.live
@pytest.mark.parametrize(
    ("since", "until", "number"),
    [("1900-01-01", None, 120), (None, "2500-01-01", 120), (None, "1900-01-01", 0), ("9999-12-31", None, 0)],
)
def test_times_far_away_are_no_error(client: AuditClient, since: str | None, until: str | None, number: int) -> None:
    assert client.count(since=since, until=until) == number


@pytest.mark.live
def test_an_empty_list_matches_nothing(client: AuditClient) -> None:
    assert client.count(organization_id=[]) == 0
