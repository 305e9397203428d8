"""Searches and charts on a real OpenSearch find and count what a loop over the journalled entries does."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.catalog.test_event_types import CATALOG, TYPES, valid
from tests.live.corner import Corner, corner
from tests.opensearch.dashboards_requests import INTERVAL_MS, Browser
from tests.opensearch.dql import dql_query
from whodid.cluster.template import index_pattern
from whodid.entry import document_id, entry_id
from whodid.search import AuditClient
from whodid.settings import Settings
from whodid.setup.dashboards import SavedObject, saved_objects
from whodid.setup.dashboards.saved_object import QUESTIONS

pytestmark = pytest.mark.live

Entry = dict[str, Any]

DAY_NS = 86_400_000_000_000
ORGANIZATIONS = [f'{name} "{n}" - x/y:*' for n, name in enumerate(["Acme", "Globex", "Ünïcode 株"] * 5)]
OUTCOMES = [None, "success", "failure", "unknown"]
ADDRESSES = [f"203.0.113.{n}" for n in range(8)] + [f"2001:db8::{n}" for n in range(1, 6)]


def varied(number: int, name: str) -> Mapping[str, Any]:
    """An entry of a type, as `number` has it: sometimes failed, of some organization or none, by and from someone."""
    rules = CATALOG.types[name].rules
    statuses = rules.status or ("failed", "Failure FAILED not", "done", None)
    change: dict[str, Any] = {
        "target": f"target-{number % 23}",
        "target_name": [f"<b>{number % 23}</b>", "renamed", None][number % 3],
        "status": statuses[number % len(statuses)],
        "outcome": OUTCOMES[number // len(TYPES) % len(OUTCOMES)],
        "organization_name": ([*ORGANIZATIONS, None, None])[number * 7 % 17],
        "details": {**(valid(name).get("details") or {}), "n": number} if "details" not in rules.forbids else None,
    }
    if rules.principal != "system":
        change |= {"principal": f"user-{number % 19 % 14}", "client_ip": ADDRESSES[number % 31 % len(ADDRESSES)]}
        change |= {"principal_name": [f"Ann {number % 2}", None][number % 5 // 4]}
        change |= {"on_behalf_of": f"user-{number % 3}" if number % 4 == 0 else None}
    return valid(name, **change)


@pytest.fixture(scope="module")
def place(opensearch_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corner]:
    with corner(opensearch_url, tmp_path_factory.mktemp("dashboards")) as made:
        made.set_up()
        yield made


@pytest.fixture(scope="module")
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


@pytest.fixture(scope="module")
def browser(place: Corner, shipped: list[Entry]) -> Browser:
    now = time.time_ns() // 1_000_000
    return Browser(place.client, index_pattern(place.settings), now - 30 * 86_400_000, now)


@pytest.fixture(scope="module")
def seen(browser: Browser, shipped: list[Entry]) -> list[Entry]:
    """The entries of the last 30 days."""
    found = [entry for entry in shipped if browser.since <= milliseconds(entry) <= browser.until]
    assert 0 < len(found) < len(shipped)
    return found


def milliseconds(entry: Entry) -> int:
    return int(datetime.fromisoformat(entry["@timestamp"]).timestamp() * 1000)


def of(place: Corner, name: str) -> SavedObject:
    [found] = [one for one in saved_objects(place.settings) if one.id.endswith(f".{name}")]
    return found


def failed(entry: Entry) -> bool:
    named = entry.get("status") in {"failed", "Failed", "FAILED"} or entry["type"] == "studio_session_build_failed"
    return named or entry.get("outcome") == "failure"


ANSWERS: Mapping[str, Callable[[Entry], bool]] = {
    "all-entries": lambda entry: True,
    "sign-ins": lambda entry: entry["type"] == "user_sign_in",
    "failed-sign-ins": lambda entry: entry["type"] == "user_sign_in" and entry.get("outcome") == "failure",
    "failures": failed,
    "rights": lambda entry: CATALOG.types[entry["type"]].resource in {"participant", "team", "access_token"},
    "deletions": lambda entry: CATALOG.types[entry["type"]].event in {"delete", "remove", "drop"},
    "credentials-access": lambda entry: entry["type"] == "credentials_accessed",
    "on-behalf": lambda entry: "on_behalf_of" in entry,
}


def answered(entries: list[Entry], query: str) -> list[Entry]:
    [name] = [name for name, question in QUESTIONS.items() if question.query == query]
    return [entry for entry in entries if ANSWERS[name](entry)]


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_saved_search_lists_exactly_what_it_is_about(
    place: Corner, browser: Browser, seen: list[Entry], name: str
) -> None:
    expected = [entry for entry in seen if ANSWERS[name](entry)]
    assert [hit["_id"] for hit in browser.hits(of(place, name))] == [
        document_id(entry["journal"], entry["seq"], entry["hash"])
        for entry in sorted(expected, key=lambda entry: str(entry["@timestamp"]), reverse=True)
    ]
    assert expected


# Charts


def asked(chart: SavedObject, entries: list[Entry]) -> list[Entry]:
    return answered(entries, chart.attributes["kibanaSavedObjectMeta"]["searchSourceJSON"]["query"]["query"])


def measured(metric: Mapping[str, Any], entries: list[Entry]) -> Any:
    """What a metric says of these entries."""
    field = metric["params"].get("field")
    match metric["type"]:
        case "count":
            return len(entries)
        case "cardinality":
            return len({entry[field] for entry in entries if field in entry})
    return max(entries, key=lambda entry: str(entry["@timestamp"])).get(field)


TABLES = [
    one.id.partition(".")[2]
    for one in saved_objects(Settings())
    if one.type == "visualization" and one.attributes["visState"]["type"] == "table"
]


@pytest.mark.parametrize("name", TABLES)
def test_a_table_shows_the_first_ten_with_their_counts_and_newest_names(
    place: Corner, browser: Browser, seen: list[Entry], name: str
) -> None:
    table = of(place, name)
    entries, rows = asked(table, seen), browser.rows(table)
    aggregations = table.attributes["visState"]["aggs"]
    buckets = [one for one in aggregations if one["schema"] == "bucket"]
    metrics = [one for one in aggregations if one["schema"] == "metric"]
    for row in rows:
        keys = {one["params"]["field"]: None if key == "__missing__" else key for one, key in zip(buckets, row)}  # noqa: B905 (the metrics follow)
        within = [entry for entry in entries if all(entry.get(field) == key for field, key in keys.items())]
        assert list(row[len(buckets) :]) == [measured(one, within) for one in metrics]
    first = buckets[0]["params"]
    [by] = [one for one in metrics if one["id"] == first["orderBy"]]
    values = {entry[first["field"]] for entry in entries if first["field"] in entry}
    each = {value: measured(by, [one for one in entries if one.get(first["field"]) == value]) for value in values}
    assert sorted(each[key] for key in {row[0] for row in rows}) == sorted(each.values())[-10:]
    assert rows


def test_each_number_counts_its_question(place: Corner, browser: Browser, seen: list[Entry]) -> None:
    chart = of(place, "numbers")
    filters = chart.attributes["visState"]["aggs"][1]["params"]["filters"]
    expected = [(one["label"], len(answered(seen, one["input"]["query"]))) for one in filters]
    assert browser.rows(chart) == expected
    assert len(expected) == 5


@pytest.mark.parametrize("name", ["over-time", "failures-over-time"])
def test_the_bars_over_time_count_each_entry_once_in_its_place_in_ten_colours_and_other(
    place: Corner, browser: Browser, seen: list[Entry], name: str
) -> None:
    entries, rows = asked(of(place, name), seen), browser.rows(of(place, name))
    drawn: Counter[int] = Counter()
    for _, slot, count in rows:
        drawn[slot] += count
    assert drawn == Counter(milliseconds(entry) // INTERVAL_MS * INTERVAL_MS for entry in entries)
    counted = Counter((entry["type"], milliseconds(entry) // INTERVAL_MS * INTERVAL_MS) for entry in entries)
    named = {(kind, slot): count for kind, slot, count in rows if kind != "__other__"}
    assert {key: counted[key] for key in named} == named
    assert len({kind for kind, _ in named}) == 10 < len({entry["type"] for entry in entries})


def test_the_pie_of_organizations_leaves_out_no_entry(place: Corner, browser: Browser, seen: list[Entry]) -> None:
    counted = Counter(entry.get("organization_name", "__missing__") for entry in seen)
    rows: dict[str, int] = dict(browser.rows(of(place, "organizations")))
    assert len(rows) == 11 < len(counted)
    other = rows.pop("__other__")
    assert {key: counted[key] for key in rows} == rows
    assert "__missing__" in rows
    assert sum(rows.values()) + other == len(seen)


# Fields, and the page


def test_the_index_pattern_says_of_each_field_what_opensearch_does(place: Corner, browser: Browser) -> None:
    answer = place.client.field_caps(index=browser.pattern, fields="*")["fields"]
    for field in of(place, "entries").attributes["fields"]:
        [(kind, about)] = answer[field["name"]].items()
        assert [kind] == field["esTypes"]
        assert (about["searchable"], about["aggregatable"]) == (field["searchable"], field["aggregatable"]), field


def test_the_page_s_questions_find_the_same_in_both_languages(place: Corner, shipped: list[Entry]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "dashboards.md").read_text()
    questions = re.findall(r"^\| `([^`|]+)` \| `([^`|]+)` \|$", page, re.M)
    assert len(questions) > 5
    for ours, dql in questions:
        body = {"size": 1000, "query": dql_query(dql)}
        theirs = place.client.search(index=index_pattern(place.settings), body=body)["hits"]["hits"]
        found = AuditClient(place.settings, client=place.client).search(ours)
        assert sorted(entry_id(entry) for entry in found) == sorted(hit["_id"] for hit in theirs), ours
        assert 0 < len(theirs) < len(shipped), ours


def test_what_lucene_asks_for_absence_finds_everything_in_dql(place: Corner, shipped: list[Entry]) -> None:
    body = {"query": dql_query("NOT _exists_:status")}
    assert place.client.count(index=index_pattern(place.settings), body=body)["count"] == len(shipped)
