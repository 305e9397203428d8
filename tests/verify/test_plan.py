"""The plan: which checkpoints belong to a period."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.verify.test_absence import checkpoint
from whodid.search import Window
from whodid.verify.plan import _within

HOURS = [
    replace(
        checkpoint(10 * n - 9, 10 * n), number=n, time=f"2026-11-23T{n:02d}:00:00Z", why="size" if n == 4 else "time"
    )
    for n in range(1, 8)
]


def at(hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 11, 23, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("window", "numbers"),
    [
        (Window(None, None), [1, 2, 3, 4, 5, 6, 7]),
        (Window(at(2), at(3)), [2, 3]),
        (Window(at(2, 1), at(2, 59)), [3]),
        (Window(at(1), at(3, 30)), [1, 2, 3, 4, 5]),  # the fourth was full
        (Window(at(6, 30), at(9)), [7]),
        (Window(None, at(1)), [1]),
    ],
)
def test_the_first_checkpoint_at_the_end_or_later_belongs_to_a_period(window: Window, numbers: list[int]) -> None:
    assert [one.number for one in _within(window, HOURS)] == numbers
