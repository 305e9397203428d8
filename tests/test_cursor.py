"""Cursors: what comes back is what was put in, and nothing else is taken."""

from __future__ import annotations

import base64

import pytest

from whodid.cursor import cursor_of, sort_values
from whodid.errors import QueryError


@pytest.mark.parametrize("values", [[1795409079642000000, "5d0c21f3a9b84e67", 7], [-(2**63), None, 2**63 - 1]])
def test_a_cursor_gives_back_the_sort_values_and_fits_into_a_url(values: list[object]) -> None:
    cursor = cursor_of(values)
    assert sort_values(cursor) == values
    assert cursor.replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "ä",
        "AAAA",
        *(base64.urlsafe_b64encode(raw).decode() for raw in (b"[1]", b"{}", b'["a","b",1]', b"[" * 9999)),
    ],
)
def test_anything_else_is_refused_with_what_to_do(text: str) -> None:
    with pytest.raises(QueryError, match="start at the first page"):
        sort_values(text)
