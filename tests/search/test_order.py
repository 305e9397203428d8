"""Orders and cursors: what comes back is what was put in, and nothing else is taken."""

from __future__ import annotations

import base64

import pytest

from whodid.errors import QueryError
from whodid.search.requests import NEWEST, OLDEST, cursor_of, sort_of, sort_values

TIME = 1795409079642000000


@pytest.mark.parametrize(
    ("order", "values"),
    [
        (NEWEST, [TIME, "5d0c21f3a9b84e67", 7]),
        (OLDEST, [-(2**63), None, 2**63 - 1]),
        ("principal", ["Ä", TIME, "a", 1]),
        ("-status", [None, TIME, "a", 1]),
        ("-seq", [3, TIME, "a", 3]),
    ],
)
def test_a_cursor_gives_back_the_sort_values_and_fits_into_a_url(order: str, values: list[object]) -> None:
    cursor = cursor_of(values, "type:a")
    assert sort_values(cursor, "type:a", order) == values
    assert cursor.replace("-", "").replace("_", "").isalnum()


def test_a_cursor_is_of_one_question_in_one_order() -> None:
    cursor = cursor_of([TIME, "a", 1], "type:a")
    with pytest.raises(QueryError, match="this cursor belongs to another search"):
        sort_values(cursor, "type:b", NEWEST)
    with pytest.raises(QueryError, match="invalid cursor"):
        sort_values(cursor, "type:a", "principal")
    with pytest.raises(QueryError, match="invalid cursor"):
        sort_values(cursor_of([2**63, TIME, "a", 1], "type:a"), "type:a", "-seq")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "ä",
        "AAAA",
        *(base64.urlsafe_b64encode(raw).decode() for raw in (b"[1]", b"{}", b'["q","a","b",1]', b"[" * 9999)),
        *(cursor_of(values, "q") for values in ([True, "a", 1], [TIME, "a", True], [2**63, "a", 1], [TIME, "a", 1.0])),
    ],
)
def test_anything_else_is_refused_with_what_to_do(text: str) -> None:
    with pytest.raises(QueryError, match="start at the first page"):
        sort_values(text, "q", NEWEST)


@pytest.mark.parametrize("order", ["details", "time", "", "--seq", "principle"])
def test_what_can_not_be_sorted_by_is_named(order: str) -> None:
    with pytest.raises(QueryError, match=r"can't sort by .* use newest, oldest or a field"):
        sort_of(order)
