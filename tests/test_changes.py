"""Differences of states: nothing that differs is missing, nothing else is there."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import whodid

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
        ({"a": [1]}, {"a": [1.0]}, {"before": {"a": [1]}, "after": {"a": [1.0]}}),
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
    found = whodid.changes({"inner": before}, {"inner": after})
    gone, come = (found.get(side, {"inner": {}})["inner"] for side in ("before", "after"))
    kept = {key: value for key, value in before.items() if key not in gone}
    assert repr(sorted({**kept, **come}.items())) == repr(sorted(after.items()))
    for key, value in gone.items():
        assert repr(before[key]) == repr(value)
        assert key not in after or repr(after[key]) != repr(value)
    assert whodid.changes(after, after) == {}
