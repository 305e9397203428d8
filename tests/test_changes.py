"""Differences of states: nothing that differs is missing, nothing else is there."""

from __future__ import annotations

import enum
import functools
import operator
import signal
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import whodid
from whodid.integrity import MAX_DEPTH, canonical, plain
from whodid.recording.changes import _DEPTH


class Switch(str, enum.Enum):  # noqa: UP042 (what applications have)
    ON = "on"


class Level(enum.IntEnum):
    HIGH = 3


SAME = object()
"""What no entry can hold: the call refuses it."""

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=2)
values = st.none() | st.booleans() | st.integers(-3, 3) | texts | st.lists(st.integers(0, 2), max_size=2)
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


class Failing(Mapping[str, Any]):
    """Calls `fail` when it is read, and else is empty."""

    def __init__(self, fail: Callable[[], object]) -> None:
        self._fail = fail

    def __getitem__(self, key: str) -> Any:
        raise KeyError(key)

    def __len__(self) -> int:
        return 0

    def __iter__(self) -> Iterator[str]:
        self._fail()
        return iter(())


@pytest.mark.parametrize("where", ["a state", "inside a state"])
def test_a_state_that_can_not_be_read_is_an_error_of_ours(where: str) -> None:
    state: Any = Failing(functools.partial(operator.truediv, 1, 0))
    states: tuple[Any, Any] = (state, {}) if where == "a state" else ({"a": state}, {"a": {}})
    with pytest.raises(whodid.InvalidEntry, match=r"can't be read \(ZeroDivisionError\)"):
        whodid.changes(*states)
    with pytest.raises(whodid.InvalidEntry, match="mappings"):
        whodid.changes(None, {})  # type: ignore[arg-type] # what a caller may do


def test_values_that_raise_when_they_are_compared_differ() -> None:
    unordered = Decimal("sNaN")
    before, after = {"a": unordered}, {"a": Decimal(1)}
    assert whodid.changes(before, after) == {"before": before, "after": after}


class Limit(Exception):
    pass


def test_what_a_signal_handler_raises_meanwhile_is_raised() -> None:
    def handler(_number: int, _frame: object) -> None:
        raise Limit

    before = signal.signal(signal.SIGUSR2, handler)
    try:
        with pytest.raises(Limit):
            whodid.changes(Failing(functools.partial(signal.raise_signal, signal.SIGUSR2)), {})
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_a_state_that_contains_itself_is_left_to_the_call_that_records_it() -> None:
    one: dict[str, Any] = {"name": "Ada"}
    other: dict[str, Any] = {"name": "Ada"}
    one["self"], other["self"] = one, other
    assert _DEPTH == MAX_DEPTH
    assert whodid.changes(one, one) == {}
    assert set(whodid.changes(one, other)) == {"before", "after"}
    with pytest.raises(whodid.InvalidEntry, match="contains itself"):
        plain(whodid.changes(one, other)["before"], "before")
