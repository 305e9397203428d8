"""Canonical bytes equal those of the rfc8785 library, and what an entry can't hold is named."""

from __future__ import annotations

import math

import orjson
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from whodid.errors import InvalidEntry
from whodid.integrity import MAX_DEPTH, canonical, plain

keys = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=12)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=30)
_SAFE = 2**53 - 1
numbers = st.integers(-_SAFE, _SAFE) | st.floats(allow_nan=False, allow_infinity=False).filter(
    lambda number: not _SAFE < abs(number) < 1e21
)
values = st.recursive(
    st.none() | st.booleans() | texts | numbers,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=20,
)


@given(values)
def test_canonical_bytes_are_those_of_rfc_8785(value: object) -> None:
    held = plain(value, "details")
    assert canonical(held) == rfc8785.dumps(held)


@given(values)
def test_what_is_accepted_is_read_back_equal(value: object) -> None:
    assert orjson.loads(canonical(plain(value, "details"))) == value


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"a": math.nan}, "details.a is NaN"),
        ({"a": [math.inf]}, r"details.a\[0\] is NaN or infinite"),
        ({"a": "\ud800"}, "details.a contains a lone surrogate"),
        ({"a": "x\x00"}, "details.a contains a NUL"),
        ({"a": 2**53}, r"details.a is an integer beyond ±\(2\^53 - 1\)"),
        ({"a": 1e20}, r"details.a is a number beyond ±\(2\^53 - 1\)"),
        ({"é": 1}, "a key in details is not a string of printable ASCII"),
        ({"": 1}, "a key in details"),
        ({1: 1}, "a key in details"),
        ({"k" * 513: 1}, "a key in details is longer than 512 characters"),
        ({"a": {1, 2}}, "details.a is of type set, which is not JSON"),
        ({"a": b"secret"}, "details.a is of type bytes"),
    ],
)
def test_what_an_entry_cannot_hold_is_named_by_path_and_type(value: object, says: str) -> None:
    with pytest.raises(InvalidEntry, match=says):
        plain(value, "details")


def test_a_value_that_contains_itself_is_refused() -> None:
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(InvalidEntry, match=f"nested more than {MAX_DEPTH} levels"):
        plain(loop, "details")


def test_a_string_enum_is_taken_as_its_value() -> None:
    from enum import StrEnum

    class Colour(StrEnum):
        RED = "red"

    held = plain({"c": Colour.RED}, "details")
    assert type(held["c"]) is str
    assert held == {"c": "red"}


def test_the_copy_does_not_follow_later_changes() -> None:
    original = {"a": [1]}
    held = plain(original, "details")
    original["a"].append(2)
    assert held == {"a": [1]}


def test_a_list_that_stands_in_itself_many_times_over_is_refused_before_it_unfolds() -> None:
    value: list[object] = [1] * 10
    for _ in range(9):
        value = [value] * 10
    with pytest.raises(InvalidEntry, match="details holds more than 100,000 values"):
        plain({"a": value}, "details")
    plain({"a": [1] * 99_000}, "details")
