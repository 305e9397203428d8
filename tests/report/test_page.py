"""The page: what a person reads for each state that a log can be in."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from whodid.report import Report
from whodid.report.page import page
from whodid.report.parts import AdminAction, AdminActions, Destroyed, Held, Reader
from whodid.retention.destruction import Contents, Destruction
from whodid.retention.holds import Hold
from whodid.retention.schedule import RetentionView
from whodid.verify import Completeness, Finding, JournalVerdict, Stretch, Verification


def text(report: Report, part: str = "") -> str:
    """What is read, without tags; of one section, or of all."""
    html = page(report, "october", "0" * 64)
    found = re.search(rf'<section id="{part}".*?</section>', html) if part else re.search(r"<body>.*", html)
    assert found
    return " ".join(re.sub(r"<[^>]*>", " ", found[0]).split())


def retention(report: Report, **changes: Any) -> Report:
    return replace(report, retention=replace(report.retention, **changes))


def verified(report: Report, *findings: Finding, keys: tuple[str, ...] = ("k",), checkpoints: int = 1) -> Report:
    from whodid.report.parts import parts_of

    verdict = JournalVerdict(
        "8f14e45fceea167a", "web-1", (Stretch("intact", 1, 9, 9),), Completeness(9, 9), checkpoints, 9, "2026-10-31"
    )
    verification = Verification([verdict], list(findings), keys=keys, sources=("the cluster", "/mnt/worm"))
    return replace(report, verification=verification, journals=parts_of([verdict]), outside=("/mnt/worm",))


def test_whole_days_are_shown_as_days(report: Report) -> None:
    assert "<title>Audit log report, 2026-10-01 to 2026-11-01 UTC</title>" in page(report, "october", "")


@pytest.mark.parametrize(
    ("view", "words"),
    [
        (
            RetentionView(365, 365, 398, "ism"),
            "at least 365 and at most 398 days, unless a hold keeps it longer; then it is",
        ),
        (RetentionView(365, 365, 398, "ism"), "deleted by Index State Management of OpenSearch, under whodid's policy"),
        (RetentionView(365, 365, 398, "whodid"), "by whodid itself, as this cluster has no Index State Management"),
        (RetentionView(None, None, None, "whodid"), "Retention is off"),
        (RetentionView(365, None, None, "nothing"), "no retention policy of whodid, and nothing deletes old entries"),
    ],
)
def test_who_sees_to_retention_is_said(report: Report, view: RetentionView, words: str) -> None:
    assert words.replace("'", "&#x27;") in text(retention(report, view=view), "retention")


def test_a_policy_that_is_not_what_was_asked_for_is_a_finding(report: Report) -> None:
    changed = retention(report, view=RetentionView(365, 30, 63, "ism"))
    assert "retention the setting asks for 365 days, the policy keeps 30 days" in text(changed, "findings")
    assert changed.verdict == "1 finding"


def test_what_nobody_may_know_is_never_taken_for_none(report: Report) -> None:
    blind = retention(report, holds=None, destroyed=None, erased=None, notes=("holds were not checked",))
    for part in ("holds", "destructions", "erasures"):
        assert "Unknown: this user may not read the ledger." in text(blind, part)
    assert text(blind, "summary").count("unknown") == 3
    assert "holds were not checked" in text(blind, "findings")
    assert "No hold was in force in this period." in text(report, "holds")


def test_the_verdict_says_what_vouches_for_it(report: Report) -> None:
    assert report.verdict == "nothing was recorded"
    assert verified(report).verdict == "intact and complete"
    assert verified(report, keys=()).verdict == "intact and complete, but signatures were not checked"
    assert verified(report, checkpoints=0).verdict == "consistent, but no checkpoint vouches for it"
    assert verified(report, Finding("gap", "8f", 3, "missing")).verdict == "1 finding"
    assert [verified(report, keys=keys).proven for keys in (("k",), ())] == [True, False]


def test_a_witness_is_named_as_one(report: Report) -> None:
    assert "the cluster; /mnt/worm (an outside witness)" in text(verified(report), "basis")
    assert "none: an administrator of both could have replaced everything" in text(report, "basis")


def test_a_finding_is_told_with_its_place_its_entries_and_its_proof(report: Report) -> None:
    finding = Finding(
        "altered", "8f", 3, "hash a was recorded, the content has b", 4, ("8f-3",), "2026-10-31T00:00:00Z"
    )
    told = text(verified(report, finding), "findings")
    assert "altered journal 8f, entries 3 to 4 hash a was recorded, the content has b 8f-3 2026-10-31T00:00:00Z" in told


def test_a_thousand_findings_are_cut_and_counted(report: Report) -> None:
    many = [Finding("gap", "8f", seq, "the entry is missing") for seq in range(1, 2002, 2)]
    told = text(verified(report, *many), "findings")
    assert told.count("the entry is missing") == 500
    assert "… and 501 more; the JSON has them all." in told


def test_a_partition_that_should_be_gone_stands_out(report: Report) -> None:
    record = Destruction("p-2025.09", "u", "ahead", "2026-10-05T00:00:00Z", {"retention": 365}, Contents(7, "a", "b"))
    for state, words in (
        ("due", "due, and still exists"),
        ("gone", "no longer exists, as it was due"),
        ("missing", "disappeared before it was due"),
    ):
        told = text(retention(report, destroyed=(Destroyed(record, state, record.due),)), "destructions")  # type: ignore[arg-type]
        assert f"p-2025.09 2026-10-05T00:00:00Z {words} 7 a to b 2026-10-05T00:00:00Z retention: 365 none" in told


def test_a_hold_is_told_with_why_and_by_whom(report: Report) -> None:
    hold = Hold("h-1", "case 1", "ada", "2026-10-02", since="2026-09-01", released="2026-10-09", released_by="lin")
    told = text(retention(report, holds=(Held(replace(hold, why_released="done"), ("p",), True, True),)), "holds")
    assert "h-1 case 1 since 2026-09-01 2026-10-02 by ada 2026-10-09 by lin: done p" in told


def test_long_details_are_cut_and_short_ones_are_not(report: Report) -> None:
    actions = [
        AdminAction(str(number), "2026-10-02T00:00:00Z", "audit_log_hold_set", "ada", "h-1", {"reason": "x" * length})
        for number, length in enumerate((20, 2000))
    ]
    told = text(
        replace(report, actions=AdminActions({"audit_log_hold_set": 5}, tuple(actions), (Reader("lin", 1, 2, 3),))),
        "done",
    )
    assert f"reason: {'x' * 20} " in told
    assert "x" * 301 not in told
    assert "… and 3 more in the log." in told


def test_an_administrative_action_is_a_sentence(report: Report) -> None:
    action = AdminAction("1", "2026-10-02T00:00:00Z", "audit_log_hold_set", "ada<b>", "h-1", {"reason": "case 4711"})
    told = text(replace(report, actions=AdminActions({"audit_log_hold_set": 1}, (action,), ())), "done")
    assert "ada&lt;b&gt; placed the hold h-1: case 4711" in told


def test_who_read_is_told_with_how_often(report: Report) -> None:
    told = text(replace(report, actions=AdminActions({}, (), (Reader("lin", 1, 2, 3),))), "readers")
    assert told.endswith("lin 1 2 3")
    assert "It was off when this report was made" in told


def test_a_log_of_many_stretches_makes_no_picture(report: Report) -> None:
    made = verified(report)
    [part] = made.journals
    stretches = tuple(Stretch("intact" if seq % 2 else "gap", seq, seq, 1) for seq in range(1, 400))
    assert "<svg" not in str(page(replace(made, journals=(replace(part, stretches=stretches),)), "o", ""))
