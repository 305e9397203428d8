"""The absence: what explains that entries are not stored, and what doesn't."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.checkpoint import EXAMPLE
from whodid.entry import ZERO_HASH
from whodid.proof.checkpoint import Checkpoint
from whodid.retention.destruction import Contents, Destruction
from whodid.retention.holds import Hold
from whodid.verify.absence import Absence, Knowledge, Rule, explained
from whodid.verify.walk import Missing

JOURNAL = EXAMPLE.journal
NOW = datetime(2026, 11, 23, tzinfo=UTC)
HERE = "whodid-audit-2026.11"


def checkpoint(first: int, last: int, **about: Any) -> Checkpoint:
    count = last - first + 1
    whole = replace(EXAMPLE, first_seq=first, last_seq=last, entries=count, partitions={HERE: count})
    return replace(whole, **about)


def absent(first: int, last: int, **known: Any) -> Absence:
    given: dict[str, Any] = {"present": {HERE: "uuid"}, "held": (), "rules": [Rule(365, None)], **known}
    return explained([Missing(first, last, HERE, HERE)], Knowledge(JOURNAL, "whodid-audit", NOW, **given))


def told(found: Absence) -> list[tuple[str, int, int]]:
    stretches = [(one.verdict, one.first, one.last) for one in found.stretches]
    return sorted([*stretches, *((one.kind, one.seq, one.last) for one in found.findings)], key=lambda one: one[1])


def test_what_was_lost_before_it_was_shipped_is_a_gap_with_the_words_of_its_host() -> None:
    lost = [(4, 6, "entries 4 to 6: put the file back")]
    found = absent(3, 8, shipped=9, recorded=9, lost=lost).findings
    assert [(one.kind, one.seq, one.last) for one in found] == [("gap", 3, 3), ("gap", 4, 6), ("gap", 7, 8)]
    assert found[1].about == "lost before they were shipped: entries 4 to 6: put the file back"


def test_dropped_letters_are_those_that_the_checkpoint_names_or_counts() -> None:
    sealed = [checkpoint(1, 20, dead_letters=3, letters=((4, ZERO_HASH),))]
    named = absent(4, 4, checkpoints=sealed, letters={4}, checkpointed=True)
    assert told(named) == [("dead letter", 4, 4)]
    counted = absent(3, 9, checkpoints=sealed, letters={4}, dropped=[(3, 9)], checkpointed=True)
    assert told(counted) == [("dead letter", 3, 5), ("gap", 6, 9)]
    none = absent(3, 9, checkpoints=[checkpoint(1, 20)], dropped=[(3, 9)], checkpointed=True)
    assert told(none) == [("gap", 3, 9)]


def test_a_claim_that_is_made_twice_counts_once() -> None:
    sealed = [checkpoint(1, 20, dead_letters=2)]
    found = absent(3, 9, checkpoints=sealed, dropped=[(3, 4), (3, 4), (4, 9)], here={3, 4}, checkpointed=True)
    assert told(found) == [("dead letter", 3, 4), ("gap", 5, 9)]


@pytest.mark.parametrize("sealing", [True, False])
def test_what_no_checkpoint_covers_is_dropped_only_where_there_are_none_at_all(sealing: bool) -> None:
    found = absent(21, 22, checkpoints=[checkpoint(1, 20)] if sealing else [], dropped=[(21, 22)], checkpointed=sealing)
    assert told(found) == [("gap" if sealing else "dead letter", 21, 22)]
    here = absent(21, 22, checkpoints=[checkpoint(1, 20)] if sealing else [], here={21, 22}, checkpointed=sealing)
    assert told(here) == [("dead letter", 21, 22)]


def test_what_a_checkpoint_covers_is_no_dead_letter_because_a_file_on_the_host_says_so() -> None:
    found = absent(12, 13, checkpoints=[checkpoint(1, 20)], here={12, 13}, checkpointed=True)
    assert told(found) == [("gap", 12, 13)]


def ended(days: int, since: int = 0) -> datetime:
    return NOW - timedelta(days=days + since)


@pytest.mark.parametrize(
    ("rules", "days_ago", "past"),
    [
        ([Rule(365, None)], 364, False),
        ([Rule(365, None)], 365, True),
        ([Rule(None, None)], 9999, False),
        ([Rule(365, None), Rule(1, ended(50)), Rule(365, None)], 49, False),
        ([Rule(365, None), Rule(1, ended(50)), Rule(365, None)], 50, False),
        ([Rule(365, None), Rule(1, ended(50)), Rule(365, None)], 51, True),
        ([Rule(365, None), Rule(90, None)], 90, True),
        ([Rule(730, None), Rule(365, ended(10)), Rule(730, None)], 374, False),
        ([Rule(730, None), Rule(365, ended(10)), Rule(730, None)], 375, True),
    ],
)
def test_a_retention_explains_what_it_could_delete_while_it_was_in_force(
    rules: list[Rule], days_ago: int, past: bool
) -> None:
    known = Knowledge(JOURNAL, "whodid-audit", NOW, present={}, held=(), rules=rules)
    assert known.past(ended(days_ago)) is past


def test_a_partition_that_a_hold_keeps_is_not_gone_whatever_a_record_of_destruction_says() -> None:
    old = "whodid-audit-2024.11"
    record = Destruction(old, "AbCdEfGhIjKlMnOpQrStUv", "deleted", "2026-01-01T00:00:00Z", {}, Contents(10, "", "", ()))
    sealed = [checkpoint(1, 20, partitions={old: 20})]
    for held, expected in (((), "expired by policy"), ((old,), "gap")):
        present = {HERE: "uuid", old: "another"}
        found = absent(3, 9, present=present, held=held, checkpoints=sealed, destructions=[record], checkpointed=True)
        assert told(found) == [(expected, 3, 9)]


def hold(time: str, **covers: Any) -> Hold:
    return Hold("h-1", "case 4711", "root", time, **covers)


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        (hold("2025-11-30T00:00:00Z", since="2024-11-10T00:00:00Z", until="2024-11-11T00:00:00Z"), "gap"),
        (hold("2025-12-01T00:00:00Z", since="2024-11-10T00:00:00Z"), "expired by policy"),  # gone by then
        (hold("2025-11-30T00:00:00Z", since="2024-12-01T00:00:00Z"), "expired by policy"),
        (hold("2025-12-01T00:00:00Z", partitions=("whodid-audit-2024.11",)), "gap"),  # it was there: holds check that
    ],
)
def test_what_retention_could_delete_before_a_hold_was_set_may_be_gone(held: Hold, expected: str) -> None:
    sealed = [checkpoint(1, 20, partitions={"whodid-audit-2024.11": 20})]
    assert told(absent(3, 9, checkpoints=sealed, holds=[held], checkpointed=True)) == [(expected, 3, 9)]


def test_a_dead_letter_that_was_sent_again_may_expire_with_the_entries_around_it() -> None:
    old = "whodid-audit-2024.11"
    sealed = [checkpoint(1, 20, entries=20, dead_letters=1, letters=((5, ZERO_HASH),), partitions={old: 9, HERE: 10})]
    known: dict[str, Any] = {"checkpoints": sealed, "resent": {5}, "checkpointed": True}
    for first, last, before, after, expected in (
        (1, 10, "", HERE, "expired by policy"),
        (5, 5, HERE, HERE, "gap"),
        (5, 5, old, HERE, "expired by policy"),
        (1, 11, "", HERE, "gap"),
    ):
        missing = [Missing(first, last, before, after)]
        given: dict[str, Any] = {"present": {HERE: "uuid"}, "held": (), "rules": [Rule(365, None)], **known}
        found = explained(missing, Knowledge(JOURNAL, "whodid-audit", NOW, **given))
        assert told(found) == [(expected, first, last)]
