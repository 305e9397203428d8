"""The query: what can be asked, and how what can't is named."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from whodid.errors import QueryError
from whodid.query import Query, moment

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-90m", NOW - timedelta(minutes=90)),
        ("-4w", NOW - timedelta(weeks=4)),
        ("2026-11-23", datetime(2026, 11, 23, tzinfo=UTC)),
        ("2026-11-23T09:00:00+01:00", NOW),
        (datetime(2026, 11, 23, 9, tzinfo=timezone(timedelta(hours=1))), NOW),
        (None, None),
    ],
)
def test_a_time_is_a_span_back_or_iso_8601(text: object, expected: datetime | None) -> None:
    assert moment(text, "since", NOW) == expected


@pytest.mark.parametrize("text", ["yesterday", "-24", "24h", "-999999w", 7, datetime(2026, 1, 1)])  # noqa: DTZ001 (the fault under test)
def test_what_is_no_time_is_named(text: object) -> None:
    with pytest.raises(QueryError, match="since"):
        moment(text, "since", NOW)


@pytest.mark.parametrize(
    ("filters", "says"),
    [
        ({"principle": "1"}, "did you mean principal"),
        ({"details": "x"}, "can't be searched by"),
        ({"client_ip": "10.0.0.1/8"}, "client_ip must be an address or a network"),
        ({"seq": "x"}, "seq must be a whole number"),
        ({"type": 7}, "type must be a string, not int"),
    ],
)
def test_a_filter_that_can_not_be_is_named(filters: dict[str, object], says: str) -> None:
    with pytest.raises(QueryError, match=says):
        Query.of(filters)


def test_no_filter_matches_all() -> None:
    assert Query.of({"type": None}).body == {"match_all": {}}
