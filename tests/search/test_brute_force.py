"""Each filter against a brute-force answer over the same entries of two years; Hypothesis makes the queries."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.live.corner import Corner, corner
from tests.search.two_years import END, START, BruteForce, entries_of_two_years, store, values_of
from whodid.entry import Entry, document_id, partition_name
from whodid.errors import QueryError
from whodid.search import AuditClient, Filter, query_body
from whodid.search.body import OtherNames
from whodid.search.filter import NOTHING, both, either, ordered, time, words
from whodid.settings import Settings

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

T = TypeVar("T")
SOAK = bool(os.environ.get("WHODID_TEST_SOAK"))
COUNT = 200_000 if SOAK else 30_000
NAMES = OtherNames.of(Settings())


@dataclass(frozen=True)
class Stored:
    place: Corner
    client: AuditClient
    truth: BruteForce


@pytest.fixture(scope="module")
def stored(opensearch_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stored]:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    entries = entries_of_two_years(COUNT, seed)
    with corner(opensearch_url, tmp_path_factory.mktemp("two-years"), retention="off") as place:
        place.set_up()
        store(place.client, place.settings.index_prefix, entries)
        yield Stored(place, AuditClient(place.settings, client=place.client), BruteForce(entries))


def matches(values: dict[str, list[Any]]) -> st.SearchStrategy[Filter]:
    names = st.sampled_from(sorted(values))
    chosen = names.flatmap(
        lambda name: st.tuples(st.just(name), st.lists(st.sampled_from(values[name]), min_size=1, max_size=3))
    )
    return chosen.map(lambda one: Filter.of(**{one[0]: one[1]}))


_TEXTS = ["ada", "RACE", "naïve", "NAÏVE", "o'h", "σας", "100%", "a*b", "c:\\t", "x,y", "(z)", "eu-", "5", "words", "?"]
_TEXTS += ["a17", "39", "system", "team_created", "192.0.2.7", "2001:db8::7", "0" * 15 + "2"]
_BEGINNINGS = ["a1*", "team_*", "sys*", "3*", "0000*"]
_MOMENTS = st.datetimes(START.replace(tzinfo=None), END.replace(tzinfo=None)).map(lambda at: f"{at.isoformat()}Z")
_PERIODS = st.sampled_from(["2025", "2026-02", "2025-W01", "2026-11-22", "2025-12-31..2026-01", "..2025-03", "-90d"])
_VALUES: dict[str, list[Any]] = {
    "type": ["team_created", "credentials_*", "member_added", "member_*", "nothing"],
    "target": ["a1*", "b2", "c499", "x"],
    "principal": ["system", "7", "1*"],
    "by": ["system", "7", "1*", "39"],
    "about": ["a1*", "b2", "x", "t17", "t2*"],
    "targets.id": ["t17", "t9*"],
    "targets.name": ["Ada", "naï*"],
    "status": ["ok", "two words", "OK*", "o*"],
    "client_ip": ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "::/0", "0.0.0.0/0"],
    "organization_id": ["3", "4"],
    "organization_name": ["Ada", "naïve", "x,y", "a*b", "C:*"],
    "seq": [1, 77, 49_000],
    "details.rows": [1, 2.5, True, "5"],
    "details.deep.region": ["EU-*", "us", "EU-West"],
    "details": ["z", "eu*", "EU-EAST"],
}
_SIGNS = st.sampled_from([">{}", ">={}", "<{}", "<={}", "{}..", "..{}", "{}..{}"])
_BOUNDS = st.one_of(
    st.integers(-600, 600), st.decimals(-3, 3, places=3), st.decimals(-(10**15) + 1, 10**15 - 1, places=6)
)
_DAYS = st.dates(date(2026, 5, 1), date(2027, 2, 1))


def compared(key: str, bounds: st.SearchStrategy[Any]) -> st.SearchStrategy[Filter]:
    texts = bounds.map(lambda bound: f"{bound:f}" if isinstance(bound, Decimal) else str(bound))
    return st.builds(lambda sign, low, high: f"details.{key}:{sign.format(low, high)}", _SIGNS, texts, texts).map(
        Filter.parse
    )


_PRESENT = [
    "target_name",
    "status",
    "details.list",
    "on_behalf_of",
    "before",
    "client_ip",
    "details",
    "by",
    "about",
    "targets",
    "targets.name",
]
_SINGLE = st.one_of(
    matches(_VALUES),
    st.sampled_from(_PRESENT).map(lambda name: Filter.parse(f"{name}:*")),
    st.tuples(st.integers(0, 50_000), st.integers(0, 60_000)).map(lambda two: Filter.parse(f"seq:{two[0]}..{two[1]}")),
    compared("amount", _BOUNDS),
    compared("due", _DAYS),
    st.sampled_from(_TEXTS).map(words),
    st.sampled_from(_BEGINNINGS).map(Filter.parse),
    st.builds(time, st.sampled_from(["since", "until"]), _MOMENTS),
    st.builds(time, st.just("time"), _PERIODS | st.tuples(_MOMENTS, _MOMENTS).map("..".join)),
)


def combined(inner: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter]:
    several = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(inner.map(lambda one: ~one), several.map(both), several.map(either))


def in_order(asked: Filter) -> bool:
    """Not `since` after `until`, which is an error."""
    with suppress(QueryError):
        return ordered(asked) is asked
    return False


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch


QUERIES = st.recursive(_SINGLE, combined, max_leaves=6).filter(in_order)


@pytest.mark.longer
@settings(deadline=None, max_examples=500 if SOAK else 30, suppress_health_check=[HealthCheck.too_slow])
@given(asked=QUERIES, oldest=st.booleans())
def test_a_query_finds_what_looking_at_every_entry_finds(stored: Stored, asked: Filter, oldest: bool) -> None:
    now = datetime.now(UTC)
    expected = stored.truth.count(asked, now, NAMES)
    # The text means the same as the filter that it was made from.
    assert stored.client.count(str(asked)) == expected
    wanted = stored.truth.find(asked, now, NAMES) if expected <= 3000 else None
    found = list(stored.client.search(asked, sort="oldest" if oldest else "newest", limit=3000))
    if wanted is None:
        assert len(found) == 3000
    else:
        assert found == (wanted[::-1] if oldest else wanted)


IDENTIFYING = (
    *("target", "targets.id", "principal", "on_behalf_of", "organization_id", "access_token_id", "session_id"),
    *("correlation_id", "request_id", "trace_id", "type", "journal", "hash", "client_ip"),
)


@pytest.mark.longer
@pytest.mark.timeout(3600)
def test_each_identifying_value_finds_its_entry_when_it_is_pasted(stored: Stored) -> None:
    """Each value once, with one of the entries that have it; of those that nearly all entries have, some."""
    pasted: dict[str, Entry] = {}
    for number, entry in enumerate(stored.truth.entries):
        ids = [document_id(entry["journal"], entry["seq"], entry["hash"])]
        ids += [str(value) for name in IDENTIFYING for value in values_of(entry, name)]
        pasted |= {value: entry for value in ids if SOAK or number % 30 == 0 or len(value) < 6}
    assert len(pasted) > COUNT // 10
    for batch in batched(pasted.items(), 200):
        lines: list[dict[str, Any]] = []
        for text, entry in batch:
            asked = Filter.parse(text) & Filter.of(hash=entry["hash"])
            index = partition_name(stored.place.settings.index_prefix, "month", entry["creation_date"])
            lines += [{"index": index}, {"size": 0, "query": query_body(asked)}]
        answers = stored.place.client.msearch(body=lines, params={"filter_path": "responses.hits.total.value"})
        counts = [answer["hits"]["total"]["value"] for answer in answers["responses"]]
        assert [text for (text, _), count in zip(batch, counts, strict=True) if count != 1] == []


def test_iterating_over_all_of_them_skips_and_doubles_none(stored: Stored) -> None:
    seen = [(entry["@timestamp"], entry["journal"], entry["seq"]) for entry in stored.client.search()]
    assert len(seen) == COUNT
    assert seen == sorted({(e["@timestamp"], e["journal"], e["seq"]) for e in stored.truth.entries}, reverse=True)


@pytest.mark.parametrize("order", ["principal", "-status", "client_ip", "-seq", "oldest"])
def test_pages_in_any_order_skip_and_double_none_where_values_are_the_same_or_missing(
    stored: Stored, order: str
) -> None:
    asked = "time:2026-02-05..2026-02-14"
    expected = {entry["hash"]: entry for entry in stored.truth.find(Filter.parse(asked), datetime.now(UTC), NAMES)}
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        page = stored.client.page(asked, size=97, sort=order, cursor=cursor)
        found += page.entries
        cursor = page.next
        if cursor is None:
            break
    assert len(found) == len(expected) > 3 * 97
    assert {entry["hash"] for entry in found} == set(expected)
    field = {"oldest": "@timestamp"}.get(order, order.removeprefix("-"))
    values = [entry[field] for entry in found if field in entry]
    if field != "client_ip":  # whose order is that of the addresses
        assert values == sorted(values, reverse=order.startswith("-"))
    with_value = [field in entry for entry in found]
    assert with_value == sorted(with_value, reverse=True)  # what lacks the field comes last


@pytest.mark.longer
@settings(deadline=None, max_examples=50 if SOAK else 4, suppress_health_check=[HealthCheck.too_slow])
@given(asked=QUERIES)
def test_stats_are_those_of_counting(stored: Stored, asked: Filter) -> None:
    found = stored.truth.find(asked, datetime.now(UTC), NAMES)
    stats = stored.client.stats(asked, group_by=("type", "organization_id"), top=5)
    assert stats.total == len(found) == sum(bar.count for bar in stats.histogram)
    assert stats.principals == len({entry["principal"] for entry in found})
    if found:
        first, last = (datetime.fromisoformat(found[index]["@timestamp"]) for index in (-1, 0))
        assert stats.first
        assert stats.last
        assert abs(stats.first - first) < timedelta(seconds=0.01)
        assert abs(stats.last - last) < timedelta(seconds=0.01)
        assert len(stats.histogram) <= 62
    for field in ("type", "organization_id"):
        counts = Counter(entry[field] for entry in found if field in entry)
        assert sorted(stats.top[field].values(), reverse=True) == [number for _, number in counts.most_common(5)]
        assert all(counts[value] == number for value, number in stats.top[field].items())


@pytest.mark.parametrize("field", ["target", "principal", "client_ip"])
def test_the_most_frequent_values_are_those_of_all_partitions_together(stored: Stored, field: str) -> None:
    """1,500 targets, each as frequent as the others: none is among the most frequent of every month."""
    counts = Counter(entry[field] for entry in stored.truth.entries if field in entry)
    stats = stored.client.stats(group_by=[field], top=6)
    assert stats.approximate == ()
    assert list(stats.top[field].values()) == [number for _, number in counts.most_common(6)]
    assert stats.top[field].items() <= counts.items()
    assert stored.client.counts_by(field, limit=2000) == counts


def test_where_partitions_have_too_many_values_that_is_told_and_counts_are_right_all_the_same(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("whodid.search.stats._MANY", 20)
    monkeypatch.setattr("whodid.search.requests._VALUES", 100)
    stats = stored.client.stats(group_by=["type", "target"], top=6)
    assert stats.approximate == ("target",)
    assert stats.as_json()["approximate"] == ("target",)
    counts = Counter(entry["target"] for entry in stored.truth.entries)
    found = stored.client.counts_by("target", limit=10)
    assert list(found.values()) == [number for _, number in counts.most_common(10)]
    assert found.items() <= counts.items()
    inside = "time:2026-02 principal:7"
    few = Counter(entry["target"] for entry in stored.truth.find(Filter.parse(inside), datetime.now(UTC), NAMES))
    assert stored.client.counts_by("target", inside, limit=1500) == few
    searches = stored.place.client.indices.stats(index=f"{stored.place.settings.index_prefix}-*", metric="search")
    assert searches["_all"]["total"]["search"]["point_in_time_current"] == 0


@pytest.mark.parametrize("interval", ["hour", "day", "week", "month"])
def test_each_bar_of_a_histogram_is_counted_right(stored: Stored, interval: str) -> None:
    stats = stored.client.stats("time:2026-02", interval=interval)
    starts = [bar.start for bar in stats.histogram] + [datetime(2026, 3, 10, tzinfo=UTC)]
    for bar, end in zip(stats.histogram, starts[1:], strict=True):
        inside = Filter.of(since=bar.start, until=min(end, datetime(2026, 3, 1, tzinfo=UTC)))
        assert bar.count == stored.truth.count(inside & Filter.parse("time:2026-02"), END, NAMES)


def test_a_search_touches_no_more_partitions_than_its_times_allow(stored: Stored) -> None:
    def partitions(asked: str) -> int:
        question = stored.client._question(asked, {"expired": True})
        return int(stored.client._searcher.search({"size": 0}, question.indices)["_shards"]["total"])

    assert partitions("") == 25
    assert partitions("time:2026-02") == partitions("time:2026-02-03T08:00:00Z..2026-02-28") == 1
    assert partitions("since:2026-10-30") == 2
    assert partitions("until:2025-01-01") == 2
    assert partitions("time:2025") == 12
    assert partitions("time:2026-01 or time:2026-04") == 4  # what holds both
    assert partitions("-time:2026-01") == 25
    assert partitions("time:2019") == 0


def test_nothing_is_found_by_a_query_that_nothing_can_match(stored: Stored) -> None:
    assert (stored.client.count(NOTHING), list(stored.client.search(NOTHING))) == (0, [])
    empty = stored.client.stats(NOTHING)
    assert (empty.total, empty.first, empty.histogram, empty.top) == (0, None, (), {"type": {}, "principal": {}})
