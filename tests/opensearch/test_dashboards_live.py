"""Searches and visualizations on a real OpenSearch find and count what a loop over the journalled entries does."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.catalog.test_event_types import CATALOG, TYPES, valid
from tests.live.corner import Corner
from tests.opensearch.dashboards_requests import INTERVAL_MS, Browser
from whodid.client import AuditClient
from whodid.entry import SEED_FIELDS, document_id, entry_id
from whodid.opensearch.dashboards import SavedObject, saved_objects
from whodid.opensearch.template import index_pattern

pytestmark = pytest.mark.live

Entry = dict[str, Any]

DAY_NS = 86_400_000_000_000
ORGANIZATIONS = [f'{name} "{n}" - x/y:*' for n, name in enumerate(["Acme", "Globex", "Ünïcode 株"] * 5)]
OUTCOMES = [None, "success", "failure", "unknown"]


def varied(number: int, name: str) -> Mapping[str, Any]:
    """An entry of a type, as `number` has it: sometimes failed, of some organization or none, by and from someone."""
    rules = CATALOG.types[name].rules
    statuses = rules.status or ("failed", "Failure FAILED not", "done", None)
    change: dict[str, Any] = {
        "target": f"target-{number % 23}",
        "status": statuses[number % len(statuses)],
        "outcome": OUTCOMES[number % 7 % len(OUTCOMES)],
        "organization_name": ([*ORGANIZATIONS, None, None])[number * 7 % 17],
        "details": {**(valid(name).get("details") or {}), "n": number} if "details" not in rules.forbids else None,
    }
    if rules.principal != "system":
        change |= {"principal": f"user-{number % 19 % 14}", "client_ip": ADDRESSES[number % 31 % len(ADDRESSES)]}
    return valid(name, **change)


ADDRESSES = [f"203.0.113.{n}" for n in range(8)] + [f"2001:db8::{n}" for n in range(1, 6)]


@pytest.fixture
def shipped(place: Corner) -> list[Entry]:
    """Five entries of each type, over 40 days."""
    now = time.time_ns()
    moments = iter([now - number * 40 * DAY_NS // (5 * len(TYPES)) for number in range(5 * len(TYPES))])
    recorder = place.recorder(clock_ns=lambda: next(moments))
    try:
        for number, (_, name) in enumerate(product(range(5), TYPES)):
            recorder.record(name, varied(number, name))
    finally:
        recorder.journal.close()
    assert place.ship().shipped == 5 * len(TYPES)
    return place.journalled()


@pytest.fixture
def browser(place: Corner, shipped: list[Entry]) -> Browser:
    now = time.time_ns() // 1_000_000
    return Browser(place.client, index_pattern(place.settings), now - 30 * 86_400_000, now)


def milliseconds(entry: Entry) -> int:
    return int(datetime.fromisoformat(entry["@timestamp"]).timestamp() * 1000)


def within(browser: Browser, entries: list[Entry]) -> list[Entry]:
    return [entry for entry in entries if browser.since <= milliseconds(entry) <= browser.until]


def of(place: Corner, name: str) -> SavedObject:
    [found] = [one for one in saved_objects(place.settings, CATALOG) if one.id.endswith(f".{name}")]
    return found


SEARCHES: Mapping[str, Callable[[Entry], bool]] = {
    "all-entries": lambda entry: True,
    "sign-ins": lambda entry: entry["type"] == "user_sign_in",
    "credentials-access": lambda entry: entry["type"] == "credentials_accessed",
    "deletions": lambda entry: CATALOG.types[entry["type"]].event in {"delete", "remove", "drop"},
    "failures": lambda entry: (
        entry.get("outcome") == "failure"
        or entry.get("status") in {"failed", "FAILED"}
        or CATALOG.types[entry["type"]].event == "build fail"
    ),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_a_saved_search_lists_exactly_what_it_is_about(
    place: Corner, browser: Browser, shipped: list[Entry], name: str
) -> None:
    expected = [entry for entry in within(browser, shipped) if SEARCHES[name](entry)]
    hits = browser.hits(of(place, name))
    assert [hit["_id"] for hit in hits] == [
        document_id(entry["journal"], entry["seq"], entry["hash"])
        for entry in sorted(expected, key=lambda entry: str(entry["@timestamp"]), reverse=True)
    ]
    assert expected
    assert len(within(browser, shipped)) < len(shipped)


@pytest.mark.parametrize(("name", "field"), [("top-principals", "principal"), ("client-ips", "client_ip")])
def test_a_table_shows_the_ten_most_frequent_values(
    place: Corner, browser: Browser, shipped: list[Entry], name: str, field: str
) -> None:
    counted = Counter(entry[field] for entry in within(browser, shipped) if field in entry)
    rows = {key: count for (key,), count in browser.rows(of(place, name)).items()}
    assert len(rows) == 10 < len(counted)
    assert {key: counted[key] for key in rows} == rows
    assert sorted(rows.values()) == sorted(counted.values())[-10:]


def test_the_table_of_targets_shows_which_kind_of_thing_each_is(
    place: Corner, browser: Browser, shipped: list[Entry]
) -> None:
    entries = within(browser, shipped)
    counted = Counter((entry["target"], entry["target_type"]) for entry in entries)
    targets = Counter(entry["target"] for entry in entries)
    rows = browser.rows(of(place, "top-targets"))
    assert {key: counted[key] for key in rows} == rows
    shown = Counter({target: targets[target] for target, _ in rows})
    assert sorted(shown.values()) == sorted(targets.values())[-10:]


def test_the_pie_of_organizations_leaves_out_no_entry(place: Corner, browser: Browser, shipped: list[Entry]) -> None:
    entries = within(browser, shipped)
    counted = Counter(entry.get("organization_name", "__missing__") for entry in entries)
    rows = {key: count for (key,), count in browser.rows(of(place, "organizations")).items()}
    assert len(rows) == 11 < len(counted)
    other = rows.pop("__other__")
    assert {key: counted[key] for key in rows} == rows
    assert "__missing__" in rows
    assert sum(rows.values()) + other == len(entries)


def test_the_bars_over_time_count_each_entry_once_in_its_place(
    place: Corner, browser: Browser, shipped: list[Entry]
) -> None:
    entries = within(browser, shipped)
    rows = browser.rows(of(place, "over-time"))
    slots = Counter(milliseconds(entry) // INTERVAL_MS * INTERVAL_MS for entry in entries)
    drawn: Counter[int] = Counter()
    for (slot, _), count in rows.items():
        drawn[slot] += count
    assert drawn == slots
    counted = Counter((milliseconds(entry) // INTERVAL_MS * INTERVAL_MS, entry["type"]) for entry in entries)
    named = {key: count for key, count in rows.items() if key[1] != "__other__"}
    assert {key: counted[key] for key in named} == named


def test_other_holds_what_is_beyond_the_ten_most_frequent_types(place: Corner) -> None:
    recorder = place.recorder()
    for name in list(TYPES)[:13]:
        recorder.record(name, valid(name))
    recorder.journal.close()
    place.ship()
    now = time.time_ns() // 1_000_000
    rows = Browser(place.client, index_pattern(place.settings), now - 60_000, now).rows(of(place, "over-time"))
    assert sum(rows.values()) == 13
    if len({slot for slot, _ in rows}) == 1:  # unless noon or midnight has just passed
        assert [count for (_, key), count in rows.items() if key == "__other__"] == [3]


def test_every_query_is_one_that_opensearch_finds_well_formed(place: Corner, browser: Browser) -> None:
    for one in saved_objects(place.settings, CATALOG):
        if (
            one.type == "search"
            and (query := one.attributes["kibanaSavedObjectMeta"]["searchSourceJSON"]["query"])["query"]
        ):
            body = {"query": {"query_string": {"query": query["query"]}}}
            answer = place.client.indices.validate_query(index=browser.pattern, body=body, params={"explain": "true"})
            assert answer["valid"]
            assert "MatchNoDocs" not in answer["explanations"][0]["explanation"]


def test_each_column_is_a_field_that_opensearch_can_show_and_count(place: Corner, browser: Browser) -> None:
    columns = of(place, "all-entries").attributes["columns"]
    assert set(columns) < set(SEED_FIELDS)
    answer = place.client.field_caps(index=browser.pattern, fields=",".join([*columns, "@timestamp", "target_type"]))
    for field in answer["fields"].values():
        assert all(about["searchable"] and about["aggregatable"] for about in field.values())
    assert answer["fields"]["@timestamp"].keys() == {"date_nanos"}


def test_the_page_s_questions_find_the_same_in_both_languages(place: Corner, shipped: list[Entry]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "dashboards.md").read_text()
    questions = re.findall(r"^\| `([^`|]+)` \| `([^`|]+)` \|$", page, re.M)
    assert len(questions) > 5
    for ours, lucene in questions:
        asked = {"size": 1000, "query": {"query_string": {"query": lucene}}}
        theirs = place.client.search(index=index_pattern(place.settings), body=asked)["hits"]["hits"]
        found = AuditClient(place.settings, client=place.client).search(ours)
        assert sorted(entry_id(entry) for entry in found) == sorted(hit["_id"] for hit in theirs), ours
        assert 0 < len(theirs) < len(shipped), ours
