"""Differences of states: nothing that differs is missing, nothing else is there."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import whodid
from whodid.errors import InvalidEntry
from whodid.integrity import MAX_DEPTH, canonical, plain
from whodid.recording.changes import _MOST_LEVELS


class Switch(str, enum.Enum):  # noqa: UP042 (what applications have)
    ON = "on"


class Level(enum.IntEnum):
    HIGH = 3


SAME = object()
"""What no entry can hold: the call refuses it."""

values = st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=2) | st.lists(st.integers(0, 2), max_size=2)
states = st.dictionaries(st.sampled_from("abcd"), values)


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ({"role": "member"}, {"role": "owner"}, {"before": {"role": "member"}, "after": {"role": "owner"}}),
        ({"a": 1, "b": 2}, {"a": 1}, {"before": {"b": 2}}),
        ({}, {"a": None}, {"after": {"a": None}}),
        ({"a": {"x": 1, "y": 2}}, {"a": {"x": 1, "y": 3}}, {"before": {"a": {"y": 2}}, "after": {"a": {"y": 3}}}),
        ({"a": [1, 2]}, {"a": [1, 3]}, {"before": {"a": [1, 2]}, "after": {"a": [1, 3]}}),
        ({"a": True}, {"a": 1}, {"before": {"a": True}, "after": {"a": 1}}),
        ({"a": [1, (2,)]}, {"a": (1.0, [2])}, {}),
        ({"a": "on", "b": 3}, {"a": Switch.ON, "b": Level.HIGH}, {}),
        ({"a": 0.0}, {"a": -0.0}, {}),
        ({"a": [True]}, {"a": [1]}, {"before": {"a": [True]}, "after": {"a": [1]}}),
        ({"a": {"x": (1,)}}, {"a": MappingProxyType({"x": [1]})}, {}),
        ({"a": [{"x": 1, "y": 2}]}, {"a": [{"y": 2, "x": 1.0}]}, {}),
        ({"a": None}, {}, {"before": {"a": None}}),
        ({"a": SAME}, {"a": SAME}, {}),
        ({"a": Decimal(1)}, {"a": Decimal(2)}, {"before": {"a": Decimal(1)}, "after": {"a": Decimal(2)}}),
        ({"a": {"x": 1}}, {"a": 1}, {"before": {"a": {"x": 1}}, "after": {"a": 1}}),
        ({"a": 1, "b": {"c": [1]}}, {"a": 1, "b": {"c": [1]}}, {}),
    ],
)
def test_only_what_differs_is_told(before: dict[str, Any], after: dict[str, Any], found: dict[str, Any]) -> None:
    assert whodid.changes(before, after) == found


@given(states, states)
def test_with_what_is_told_one_state_becomes_the_other_and_nothing_is_told_in_vain(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    found: Mapping[str, Any] = whodid.changes({"inner": before}, {"inner": after})
    gone, come = (found.get(side, {"inner": {}})["inner"] for side in ("before", "after"))
    kept = {key: value for key, value in before.items() if key not in gone}
    assert repr(sorted({**kept, **come}.items())) == repr(sorted(after.items()))
    for key, value in gone.items():
        assert repr(before[key]) == repr(value)
        assert key not in after or repr(after[key]) != repr(value)
    assert whodid.changes(after, after) == {}


@given(states, states)
def test_what_is_told_is_stored_differently(before: dict[str, Any], after: dict[str, Any]) -> None:
    found: Mapping[str, Any] = whodid.changes(before, after)
    gone, come = (
        {key: plain(value, key) for key, value in found.get(side, {}).items()} for side in ("before", "after")
    )
    assert all(canonical(gone[key]) != canonical(come[key]) for key in gone.keys() & come.keys())


def test_two_objects_that_can_not_be_compared_are_a_change() -> None:
    class Broken:
        def __eq__(self, other: object) -> bool:
            raise RuntimeError

        __hash__ = None  # type: ignore[assignment]

    assert whodid.changes({"a": Broken()}, {"a": Broken()}).keys() == {"before", "after"}


def test_an_object_that_contains_itself_is_left_to_the_check_of_the_call() -> None:
    def endless() -> dict[str, Any]:
        found: dict[str, Any] = {"a": 1}
        found["self"] = found
        return found

    before, after = endless(), endless()
    assert whodid.changes(before, before) == {}
    found = whodid.changes(before, after)
    for name in ("before", "after"):
        with pytest.raises(InvalidEntry, match="contains itself"):
            plain(found[name], name)


def test_objects_are_compared_on_as_many_levels_as_an_entry_may_have() -> None:
    assert _MOST_LEVELS == MAX_DEPTH
