"""The retention: which holds, destructions and erasures belong to a period, whatever the ledger says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

import pytest

from whodid.cluster.ledger import Erasure
from whodid.report import period_of
from whodid.report.parts import Erased, _destroyed, _held
from whodid.retention.destruction import Contents, Destruction
from whodid.retention.holds import Hold
from whodid.retention.schedule import Partition, RetentionView

from .conftest import TODAY

OCTOBER = period_of("2026-10", "2026-11", TODAY)


def view(**holds: tuple[str, ...]) -> RetentionView:
    made = datetime(2026, 10, 1, tzinfo=UTC)
    return RetentionView(
        365, 365, 398, "ism", tuple(Partition(name, made, None, None, holds=ids) for name, ids in holds.items())
    )


@pytest.mark.parametrize(
    ("set_", "released", "told"),
    [
        ("2026-09-01T00:00:00Z", "", (False, False)),
        ("2026-09-01T00:00:00Z", "2026-09-30T00:00:00Z", None),
        ("2026-09-01T00:00:00Z", "2026-10-02T00:00:00Z", (False, True)),
        ("2026-10-31T23:59:59Z", "2026-11-02T00:00:00Z", (True, False)),
        ("2026-11-01T00:00:00Z", "", None),
        ("made up", "made up", (False, False)),
        ("made up", "", (False, False)),
    ],
)
def test_a_hold_is_told_if_it_was_in_force_in_the_period(
    set_: str, released: str, told: tuple[bool, bool] | None
) -> None:
    found = _held([Hold("h-1", "case", "ada", set_, released=released)], OCTOBER, view())
    assert [(one.set_in_period, one.released_in_period) for one in found] == ([told] if told else [])


def test_a_mark_whose_hold_is_not_in_the_ledger_is_told() -> None:
    known = Hold("h-1", "case", "ada", "2026-10-01T00:00:00Z")
    found = _held([known], OCTOBER, view(p1=("h-1", "h-lost"), p2=("h-lost",)))
    assert [(one.hold.id, one.covers) for one in found] == [("h-1", ("p1",)), ("h-lost", ("p1", "p2"))]
    assert "it is not in the ledger" in found[1].hold.reason


@pytest.mark.parametrize(
    ("state", "due", "deleted", "present", "told"),
    [
        ("deleted", "2026-09-20T00:00:00Z", "2026-10-02T00:00:00Z", False, "deleted"),
        ("deleted", "2026-10-20T00:00:00Z", "2026-11-02T00:00:00Z", False, None),
        ("ahead", "2026-10-20T00:00:00Z", "", False, "gone"),
        ("ahead", "2026-10-20T00:00:00Z", "", True, "due"),
        ("ahead", "2026-11-20T00:00:00Z", "", True, None),
    ],
)
def test_a_partition_is_told_if_its_time_ended_in_the_period(
    state: Literal["ahead", "deleted"], due: str, deleted: str, present: bool, told: str | None
) -> None:
    record = Destruction("p", "u", state, due, {}, Contents(0), deleted=deleted)
    found = _destroyed([record], OCTOBER, {"p"} if present else set())
    assert [one.state for one in found] == ([told] if told else [])


@pytest.mark.parametrize(("missing", "told"), [("2026-10-20T00:00:00Z", "missing"), ("2026-09-20T00:00:00Z", None)])
def test_a_partition_that_disappeared_in_the_period_is_told_whenever_it_was_due(missing: str, told: str | None) -> None:
    for due in ("2026-10-25T00:00:00Z", "2026-11-20T00:00:00Z"):
        record = Destruction("p", "u", "ahead", due, {}, Contents(0), missing=missing)
        found = _destroyed([record], OCTOBER, {"p"})  # perhaps one of that name that was restored
        assert [(one.state, one.at) for one in found] == ([(told, missing)] if told else [])


@pytest.mark.parametrize(("ranges", "entries"), [("3-5,9", 4), ("1", 1), ("x-y,,-,7-8", 2), ("", 0)])
def test_the_entries_of_an_erasure_are_counted(ranges: str, entries: int) -> None:
    page = Erasure("e-1", "42", "request", "ada", "2026-10-02T00:00:00Z", ("client_ip",), {"j1": ranges, "j2": "1"})
    assert (Erased.of(page).entries, Erased.of(page).journals) == (entries + 1, 2)
