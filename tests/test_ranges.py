"""The ranges: what was written is read again, and what is no range is nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whodid.entry import places, ranges


@given(st.sets(st.integers(1, 200)))
def test_what_was_written_is_read_again(numbers: set[int]) -> None:
    ids = [f"8f14e45fceea167a-{number:012d}-0123456789abcdef" for number in numbers]
    written = places(ids).get("8f14e45fceea167a", "")
    assert [number for first, last in ranges(written) for number in range(first, last + 1)] == sorted(numbers)


def test_places_are_ranges_by_journal() -> None:
    ids = [f"00ff00ff00ff00ff-{number:012d}-0123456789abcdef" for number in (5, 3, 4, 9)]
    assert places([*ids, "abc-000000000001-x"]) == {"00ff00ff00ff00ff": "3-5,9", "abc": "1"}


@pytest.mark.parametrize("text", ["", "x", "3-", "-3", "²", "3-²", "1.5", "3-5-7", "0x3", " 3", "1" * 5000])
def test_what_is_no_range_is_left_out(text: str) -> None:
    assert list(ranges(f"{text},9")) == ([(3, 3), (9, 9)] if text == "3-" else [(9, 9)])
