"""The lock file: one holder at a time, released with the last descriptor."""

from __future__ import annotations

import os
from pathlib import Path

from whodid.locks import hold_lock, is_locked, take_lock


def test_second_taker_gets_nothing_until_the_first_lets_go(tmp_path: Path) -> None:
    first = take_lock(tmp_path / "lock")
    assert first is not None
    assert take_lock(tmp_path / "lock") is None
    os.close(first)
    assert not is_locked(tmp_path / "lock")


def test_duplicate_descriptor_goes_on_holding_the_lock(tmp_path: Path) -> None:
    with hold_lock(tmp_path / "lock", 1, lambda: None) as held:
        assert held is not None
        inherited = os.dup(held)
    assert is_locked(tmp_path / "lock")
    os.close(inherited)
    assert not is_locked(tmp_path / "lock")


def test_waiting_is_told_once_and_ends_at_the_deadline(tmp_path: Path) -> None:
    told: list[str] = []
    with (
        hold_lock(tmp_path / "lock", 1, lambda: None),
        hold_lock(tmp_path / "lock", 0.3, lambda: told.append("waiting")) as held,
    ):
        assert (held, told) == (None, ["waiting"])


def test_lock_that_was_never_taken_is_not_held(tmp_path: Path) -> None:
    assert not is_locked(tmp_path / "lock")
    assert list(tmp_path.iterdir()) == []
