"""The absence: what was lost on its host before it was shipped is named as that."""

from __future__ import annotations

from datetime import UTC, datetime

from whodid.verify.absence import Knowledge, explained
from whodid.verify.walk import Missing

JOURNAL = "8f14e45fceea167a"


def test_what_was_lost_before_it_was_shipped_is_a_gap_with_the_words_of_its_host() -> None:
    now = datetime(2026, 11, 23, tzinfo=UTC)
    lost = [(4, 6, "entries 4 to 6: put the file back")]
    known = Knowledge(JOURNAL, "whodid-audit", now, {"whodid-audit-2026.11"}, 365, shipped=9, recorded=9, lost=lost)
    found = explained([Missing(3, 8, "whodid-audit-2026.11", "whodid-audit-2026.11")], known).findings
    assert [(one.kind, one.seq, one.last) for one in found] == [("gap", 3, 3), ("gap", 4, 6), ("gap", 7, 8)]
    assert found[1].about == "lost before they were shipped: entries 4 to 6: put the file back"
