"""The picture over the table: bars that lead to their time, and the most frequent values."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import parse_qsl

import pytest

from whodid.search import Bar, Stats
from whodid.web.pages import HEIGHT, bars_of, facets_of, span_of
from whodid.web.request import Question

DAY = datetime(2026, 11, 23, tzinfo=UTC)


def stats(interval: str, *counts: int, top: dict[str, dict[str, int]] | None = None) -> Stats:
    bars = tuple(Bar(DAY.replace(month=number + 1, day=1), count) for number, count in enumerate(counts))
    return Stats(sum(counts), DAY, DAY, 1, interval, bars, top or {})


def test_the_largest_bar_fills_the_height_and_the_smallest_still_shows() -> None:
    found = bars_of(stats("month", 1000, 0, 1, 500), Question())
    assert [bar.height for bar in found] == [HEIGHT, 0, 3, HEIGHT / 2]
    assert [bar.place for bar in found] == [0, 1, 2, 3]
    assert (found[0].label, found[2].label) == ("2026-01: 1,000 entries", "2026-03: 1 entry")
    assert bars_of(stats("day"), Question()) == []


@pytest.mark.parametrize(
    ("interval", "end"),
    [
        ("second", "2026-01-01T00:00:01Z"),
        ("minute", "2026-01-01T00:01:00Z"),
        ("hour", "2026-01-01T01:00:00Z"),
        ("day", "2026-01-02T00:00:00Z"),
        ("week", "2026-01-08T00:00:00Z"),
        ("month", "2026-02-01T00:00:00Z"),
    ],
)
def test_a_bar_leads_to_its_own_time_and_keeps_the_rest_of_the_question(interval: str, end: str) -> None:
    [bar] = bars_of(stats(interval, 5), Question({"type": ("a",)}, since="-365d", text="x"))
    found = dict(parse_qsl(bar.url.lstrip("?")))
    assert found == {"q": "x", "type": "a", "since": "2026-01-01T00:00:00Z", "until": end}


def test_values_are_shown_where_there_is_a_choice() -> None:
    top = {"type": {"a": 8, "b": 2}, "outcome": {"failure": 10}, "principal": {}}
    [facet] = facets_of(stats("day", 10, top=top), Question(since="-7d"))
    assert (facet.field, facet.label) == ("type", "type")
    assert facet.values == [("a", 8, 100, "?type=a&since=-7d"), ("b", 2, 25, "?type=b&since=-7d")]


def test_a_field_with_too_many_values_to_be_sure_says_so() -> None:
    many = replace(stats("day", 10, top={"type": {"a": 8, "b": 2}}), approximate=("type",))
    assert [facet.approximate for facet in facets_of(many, Question())] == [True]


def test_the_span_is_in_words_or_nothing() -> None:
    assert span_of(stats("day", 1)) == "2026-11-23 00:00 to 2026-11-23 00:00 UTC, by day"
    assert span_of(Stats(0, None, None, 0, "day", (), {})) == ""
