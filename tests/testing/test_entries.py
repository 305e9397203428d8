"""The entries of a test: what is found, and what a failing assertion says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest.mock import ANY

import pytest

import whodid
from whodid.recording import runtime
from whodid.testing import AuditEntries, audit_entries


@pytest.fixture
def entries(monkeypatch: pytest.MonkeyPatch) -> Iterator[AuditEntries]:
    monkeypatch.setattr(runtime, "_recorder", None)
    with audit_entries() as made:
        yield made


def audit(event_type: str = "credentials_created", **fields: Any) -> None:
    whodid.get_logger().audit(event_type, **{"target": "6Yk2", "principal": "42", **fields})


def failure(assertion: Any, **arguments: object) -> str:
    with pytest.raises(AssertionError) as caught:
        assertion(**arguments)
    return str(caught.value)


def test_the_one_entry_with_these_fields_is_returned(entries: AuditEntries) -> None:
    audit(target="a")
    audit(target="b", status="aws")
    entry = entries.assert_recorded(type="credentials_created", target="b", principal="42")
    assert entry == entries[1]
    assert entry["status"] == "aws"


def test_none_expects_that_a_field_is_absent(entries: AuditEntries) -> None:
    audit(client_ip="203.0.113.9")
    audit()
    assert entries.assert_recorded(client_ip=None) == entries[1]


def test_whatever_compares_equal_can_be_expected(entries: AuditEntries) -> None:
    audit(details={"amount": 30, "id": "x7"})
    entries.assert_recorded(details={"amount": pytest.approx(30.0), "id": ANY})


def test_the_nearest_entries_are_shown_with_what_differs(entries: AuditEntries) -> None:
    audit("credentials_deleted", target="9")
    audit(principal="43", details={"amount": 31, "to": {"account": "a"}})
    audit(target="7", principal="43")
    expected = {
        "type": "credentials_created",
        "target": "6Yk2",
        "principal": "42",
        "details": {"amount": 30, "to": {"account": "b"}},
    }
    assert failure(entries.assert_recorded, **expected).splitlines() == [
        "no entry was recorded with type='credentials_created', target='6Yk2', principal='42', "
        "details={'amount': 30, 'to': {'account': 'b'}}.",
        "Nearest of 3:",
        "  [1] credentials_created of 6Yk2",
        "    principal: expected '42', was '43'",
        "    details.amount: expected 30, was 31",
        "    details.to.account: expected 'b', was 'a'",
        "  [2] credentials_created of 7",
        "    target: expected '6Yk2', was '7'",
        "    principal: expected '42', was '43'",
        "    details: expected {'amount': 30, 'to': {'account': 'b'}}, was absent",
        "  [0] credentials_deleted of 9",
        "    type: expected 'credentials_created', was 'credentials_deleted'",
        "    target: expected '6Yk2', was '9'",
        "    details: expected {'amount': 30, 'to': {'account': 'b'}}, was absent",
    ]


def test_what_is_there_and_was_not_expected_is_a_difference(entries: AuditEntries) -> None:
    audit(details={"amount": 30, "note": "x"}, client_ip="203.0.113.9")
    assert failure(entries.assert_recorded, details={"amount": 30}, client_ip=None).splitlines()[2:] == [
        "  [0] credentials_created of 6Yk2",
        "    details.note: expected absent, was 'x'",
        "    client_ip: expected absent, was '203.0.113.9'",
    ]


def test_a_key_that_holds_none_is_told_from_no_key(entries: AuditEntries) -> None:
    audit(details={"note": None})
    assert failure(entries.assert_recorded, details={}).splitlines()[3:] == [
        "    details: expected {}, was {'note': None}"
    ]


def test_at_most_three_of_the_nearest_are_shown(entries: AuditEntries) -> None:
    for n in range(5):
        audit(target=str(n))
    lines = failure(entries.assert_recorded, target="9").splitlines()
    assert [line for line in lines if not line.startswith("    ")][1:] == [
        "Nearest of 5:",
        "  [0] credentials_created of 0",
        "  [1] credentials_created of 1",
        "  [2] credentials_created of 2",
        "  and 2 more",
    ]


def test_nothing_recorded_is_said(entries: AuditEntries) -> None:
    assert failure(entries.assert_recorded, target="9") == (
        "no entry was recorded with target='9'. No entries were recorded."
    )


def test_a_rejected_call_is_said(entries: AuditEntries) -> None:
    whodid.configure(on_invalid="quarantine")
    audit(nope=1)
    message = failure(entries.assert_recorded, type="credentials_created")
    assert "\nRejected: nope is not a field of an entry" in message
    entries.clear()
    assert "rejected" not in failure(entries.assert_recorded, type="credentials_created")


def test_more_than_one_is_a_failure_that_says_what_tells_them_apart(entries: AuditEntries) -> None:
    audit(status="aws")
    audit("credentials_deleted")
    audit(client_ip="203.0.113.9")
    assert failure(entries.assert_recorded, type="credentials_created", target="6Yk2").splitlines() == [
        "2 entries were recorded with type='credentials_created', target='6Yk2'; "
        "expect more fields to select one, or times=2:",
        "  [0] credentials_created of 6Yk2",
        "    status: 'aws'",
        "    client_ip: absent",
        "  [2] credentials_created of 6Yk2",
        "    status: absent",
        "    client_ip: '203.0.113.9'",
    ]


def test_with_times_so_many_are_expected_and_returned(entries: AuditEntries) -> None:
    audit(target="a")
    audit(target="b")
    assert entries.assert_recorded(type="credentials_created", times=2) == entries[:]
    assert [entry["target"] for entry in entries.assert_recorded(target="a", times=1)] == ["a"]
    assert entries.assert_recorded(target="c", times=0) == []


@pytest.mark.parametrize(("times", "target", "count"), [(3, "a", "1 entry was"), (1, "c", "no entry was")])
def test_another_number_than_times_is_a_failure(entries: AuditEntries, times: int, target: str, count: str) -> None:
    audit(target="a")
    audit(target="b")
    message = failure(entries.assert_recorded, target=target, times=times)
    assert message.startswith(f"{count} recorded with target='{target}', not {times}.\nNearest of ")
    assert "[1] credentials_created of b\n    target: expected" in message


def test_not_recorded_is_asserted_and_what_was_is_shown(entries: AuditEntries) -> None:
    entries.assert_not_recorded()
    audit(target="a")
    entries.assert_not_recorded(target="b")
    assert failure(entries.assert_not_recorded, target="a") == (
        "1 entry was recorded with target='a', not none:\n  [0] credentials_created of a"
    )
    assert failure(entries.assert_not_recorded).startswith("1 entry was recorded, not none:")


@pytest.mark.parametrize("assertion", ["assert_recorded", "assert_not_recorded"])
def test_an_assertion_about_what_there_is_not_is_refused(entries: AuditEntries, assertion: str) -> None:
    with pytest.raises(whodid.InvalidEntry, match=r"principl is not a field of an entry \(did you mean 'principal'\?"):
        getattr(entries, assertion)(principl="42")
    with pytest.raises(whodid.InvalidEntry, match="Did you mean credentials_created"):
        getattr(entries, assertion)(type="credential_created")


def test_entries_of_one_type(entries: AuditEntries) -> None:
    audit("credentials_deleted")
    audit(target="b")
    assert [entry["target"] for entry in entries.of_type("credentials_created")] == ["b"]
    assert entries.of_type("credentials_updated") == []
    with pytest.raises(whodid.InvalidEntry):
        entries.of_type("credential_created")


def test_clear_forgets_what_was_recorded_until_now(entries: AuditEntries) -> None:
    audit(target="a")
    entries.clear()
    assert entries == []
    audit(target="b")
    assert [(entry["target"], entry["seq"]) for entry in entries] == [("b", 2)]


def test_entries_are_a_sequence(entries: AuditEntries) -> None:
    assert not entries
    assert repr(entries) == "<AuditEntries: none>"
    for target in "abc":
        audit(target=target)
    assert len(entries) == 3
    assert [entry["target"] for entry in entries] == ["a", "b", "c"]
    assert (entries[0]["target"], entries[-1]["target"]) == ("a", "c")
    assert [entry["target"] for entry in entries[1:]] == ["b", "c"]
    assert entries == entries[:]
    assert entries[1] in entries
    assert repr(entries) == "<AuditEntries: credentials_created, credentials_created, credentials_created>"
    with pytest.raises(IndexError):
        entries[3]
