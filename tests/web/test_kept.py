"""What a page says of how long an entry is kept."""

from __future__ import annotations

from datetime import UTC, datetime

from whodid.retention.schedule import Partition, RetentionView
from whodid.web import pages

PARTITION = "whodid-audit-2026.11"
HELD = Partition(PARTITION, datetime(2026, 11, 1, tzinfo=UTC), None, None, holds=("case-of-another-organization",))
ENTRY = {"creation_date": "2026-11-23T08:00:00Z"}


def until(*, of_all: bool) -> str:
    return pages.kept_until(RetentionView(365, 365, 398, "ism", (HELD,)), ENTRY, PARTITION, of_all=of_all)


def test_a_hold_is_shown_to_who_sees_the_entries_of_all_organizations() -> None:
    assert until(of_all=True) == "until its hold is released (case-of-another-organization)"


def test_an_administrator_of_an_organization_is_not_told_of_a_hold() -> None:
    assert until(of_all=False) == "at least 2027-11-23"
