"""The recorder: what fills an entry, what refuses it, and what a receipt says."""

from __future__ import annotations

import errno
import functools
import json
import math
import os
import sqlite3
import warnings
from pathlib import Path
from typing import Any

import pytest

import whodid
from tests.recording import WHO, configured, recorded
from whodid.entry import HARD_LIMIT, SOFT_LIMIT
from whodid.recording.context import scope
from whodid.shipping.status import directory_status


@pytest.fixture
def journal_dir(tmp_path: Path) -> Path:
    return configured(tmp_path, service="tests", host="h1")


def audit(event_type: str = "credentials_created", **fields: Any) -> whodid.Receipt:
    with whodid.context(**WHO):
        return whodid.get_logger().audit(event_type, **{"target": "6Yk2", **fields})


def test_a_receipt_names_the_entry_as_it_was_recorded(journal_dir: Path) -> None:
    receipt = audit(status="aws")
    [entry] = recorded(journal_dir)
    assert receipt.recorded
    assert receipt.durability == "disk"
    assert receipt.entry_id == f"{entry['journal']}-000000000001-{entry['hash'][:16]}"
    assert (receipt.journal, receipt.seq, receipt.hash) == (entry["journal"], entry["seq"], entry["hash"])


def test_an_entry_is_completed_from_call_context_catalog_and_settings(journal_dir: Path) -> None:
    audit(status="aws")
    [entry] = recorded(journal_dir)
    kept = {name: entry[name] for name in ("type", "target", "status", *WHO, "target_type", "service", "host")}
    assert kept == {
        "type": "credentials_created",
        "target": "6Yk2",
        "status": "aws",
        **WHO,
        "target_type": "credentials",
        "service": "tests",
        "host": "h1",
    }
    assert entry["@timestamp"].startswith(entry["creation_date"][:-1])


def test_arguments_win_over_the_context_and_none_means_not_given(journal_dir: Path) -> None:
    audit(organization_id="8", workspace_id=None, client_ip=None)
    [entry] = recorded(journal_dir)
    assert entry["organization_id"] == "8"
    assert "workspace_id" not in entry
    assert "client_ip" not in entry


def test_personal_fields_are_committed_to(journal_dir: Path) -> None:
    audit(principal_name="Ada", user_agent="curl")
    [entry] = recorded(journal_dir)
    assert set(entry["committed"]) == {"client_ip", "principal_name", "user_agent"}


def test_what_the_system_does_inside_a_request_carries_nothing_of_the_user(journal_dir: Path) -> None:
    audit("credentials_accessed", principal="system")
    [entry] = recorded(journal_dir)
    assert entry["principal"] == "system"
    assert "client_ip" not in entry
    assert entry["organization_id"] == "7"


CHAIN = "203.0.113.9, 10.0.0.1"


def test_the_chain_of_proxies_is_personal_and_kept_where_details_are_forbidden(journal_dir: Path) -> None:
    with whodid.context(**WHO, forwarded_for=CHAIN):
        audit("compute_environment_updated")
        audit(details={"forwarded_for": "mine"})
    first, second = recorded(journal_dir)
    assert (first["forwarded_for"], "details" in first) == (CHAIN, False)
    assert (second["forwarded_for"], second["details"]) == (CHAIN, {"forwarded_for": "mine"})
    assert set(first["committed"]) == {"client_ip", "forwarded_for"}


def test_an_entry_of_the_system_and_one_whose_address_is_left_out_have_no_chain(journal_dir: Path) -> None:
    with whodid.context(**WHO, forwarded_for=CHAIN):
        whodid.get_logger().audit("credentials_accessed", target="6Yk2", principal="system")
        whodid.get_logger().audit("credentials_accessed", target="6Yk2", client_ip=None)
    assert [entry.get("forwarded_for") for entry in recorded(journal_dir)] == [None, None]
    with pytest.raises(whodid.InvalidEntry, match="forwarded_for must be absent when principal is 'system'"):
        audit(principal="system", forwarded_for=CHAIN)


def test_a_type_that_forbids_the_chain_is_recorded_without(tmp_path: Path) -> None:
    catalog = tmp_path / "events.toml"
    catalog.write_text(
        'extends = "platform"\n'
        '[types.team_seen]\nresource = "team"\nevent = "see"\nabout = "x"\nforbids = ["forwarded_for"]\n'
    )
    journal_dir = configured(tmp_path, catalog=str(catalog))
    with whodid.context(**WHO, forwarded_for=CHAIN):
        whodid.get_logger().audit("team_seen", target="9")
        with pytest.raises(whodid.InvalidEntry, match="forwarded_for is not allowed"):
            whodid.get_logger().audit("team_seen", target="9", forwarded_for=CHAIN)
    [entry] = recorded(journal_dir)
    assert (entry["client_ip"], "forwarded_for" in entry) == (WHO["client_ip"], False)


def test_the_catalog_fills_in_an_outcome_that_the_call_leaves_out(journal_dir: Path) -> None:
    audit("studio_session_build_failed", details={"wave_enabled": True})
    assert recorded(journal_dir)[0]["outcome"] == "failure"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"type": "credentials_creatd"}, "no event type 'credentials_creatd'.*Did you mean credentials_created"),
        ({"type": None}, "the event type must be a name"),
        ({"type": ["x"]}, "the event type must be a name"),
        ({"target": None}, "target is missing"),
        ({"principal": None}, r"principal is missing; bind the user's ID with whodid.context\(principal="),
        ({"type": "compute_environment_updated", "after": {}}, "after is not allowed"),
        ({"client_ip": "203.0.113"}, "client_ip is not an IPv4 or IPv6 address"),
        ({"client_ip": "203.0.113.9:80"}, "client_ip is not an IPv4 or IPv6 address"),
        ({"client_ip": "fe80::1%eth0"}, "client_ip is not an IPv4 or IPv6 address"),
        ({"target": 42}, "target must be a string, not int"),
        ({"target": ""}, "target is empty"),
        ({"target": "x" * 513}, "target has 513 characters, the limit is 512"),
        ({"target": "\ud800"}, "target contains a lone surrogate"),
        ({"target": "a\0b"}, "target contains a NUL"),
        ({"principal_name": "a\0b"}, "principal_name contains a NUL"),
        ({"details": {"ratio": math.nan}}, r"details\.ratio is NaN"),
        ({"details": {"deep": ["\ud800"]}}, r"details\.deep\[0\] contains a lone surrogate"),
        ({"details": "text"}, "details must be a dict, not str"),
        ({"details": {"x": "y" * 70 * 1024}}, f"the limit is {HARD_LIMIT}; the largest field is details"),
        ({"tarket_name": "x"}, "tarket_name is not a field of an entry; did you mean target_name"),
        ({"ticket": "x"}, "ticket is not a field of an entry; pass details={'ticket'"),
        ({"seq": 7}, "seq is filled by whodid"),
        ({"phase": "intent"}, "phase needs operation"),
        ({"outcome": "fine"}, "outcome must be one of success, failure, unknown"),
        ({"principal": "system", "client_ip": "203.0.113.9"}, "client_ip must be absent"),
    ],
)
def test_an_invalid_entry_says_what_to_change_and_never_reaches_the_journal(
    journal_dir: Path, fields: dict[str, Any], says: str
) -> None:
    with pytest.raises(whodid.InvalidEntry, match=f"(?s){says}"):
        audit(fields.pop("type", "credentials_created"), **fields)
    assert recorded(journal_dir) == []


def test_an_error_shows_the_length_and_type_of_a_value_but_never_the_value(journal_dir: Path) -> None:
    for fields in ({"target": "hunter2" * 100}, {"client_ip": "hunter2"}, {"details": {"a": {"hunter2"}}}):
        with pytest.raises(whodid.InvalidEntry) as caught:
            audit(**fields)
        assert "hunter2" not in str(caught.value)


def test_large_details_give_way_and_the_entry_says_so(journal_dir: Path) -> None:
    audit(details={"log": "x" * 40_000, "exit": 1}, user_agent="u" * 3000)
    [entry] = recorded(journal_dir)
    assert entry["details"] == {"log": "x" * 256 + "…", "exit": 1}
    assert entry["shortened"]["details.log"]["bytes"] == 40_002
    assert entry["shortened"]["user_agent"] == {"bytes": 3000}
    assert len(json.dumps(entry)) < SOFT_LIMIT


def test_an_entry_whose_details_are_many_small_values_is_brought_below_the_soft_limit(journal_dir: Path) -> None:
    audit(details={f"key{n}": "value " * 8 for n in range(600)}, outcome="success")
    [entry] = recorded(journal_dir)
    assert len(json.dumps(entry)) < SOFT_LIMIT
    assert entry["shortened"]["details"]["bytes"] > SOFT_LIMIT
    assert 300 < len(entry["details"]) < 600


def test_keys_that_many_values_repeat_are_refused_before_opensearch_has_to_index_them(journal_dir: Path) -> None:
    for many in ({f"{n:x}": 0 for n in range(2300)}, [0] * 10_000):
        nested: Any = many
        for level in range(11):
            nested = {chr(97 + level) + "k" * 500: nested}
        with pytest.raises(whodid.InvalidEntry, match="the paths of all values in details have"):
            audit(details=nested)
    audit(details={"users": list(range(5000)), "a" * 500: {"b": 1}})
    assert len(recorded(journal_dir)) == 1


def test_a_detail_that_the_type_requires_is_kept_however_many_others_give_way(journal_dir: Path) -> None:
    details = {"run_id": "r" * 120, **{f"key{n}": "value " * 6 for n in range(700)}}
    audit("workflow_resumed", details=details)
    [entry] = recorded(journal_dir)
    assert entry["details"]["run_id"] == "r" * 120
    assert len(entry["details"]) < 701


def test_a_subclass_of_str_is_recorded_as_its_text(journal_dir: Path) -> None:
    class Markup(str):
        __slots__ = ()

    audit(target=Markup("6Yk2"), details={"by": Markup("x")})
    assert recorded(journal_dir)[0]["target"] == "6Yk2"


def test_under_quarantine_a_rejected_call_is_kept_with_secrets_masked(tmp_path: Path) -> None:
    journal_dir = configured(tmp_path, on_invalid="quarantine")
    receipt = audit(details={"api_key": "hunter2", "n": math.nan, "s": "\ud800"}, password="hunter2")
    assert not receipt.recorded
    assert "password is not a field" in receipt.error
    rejected = (journal_dir / "rejected.ndjson").read_text()
    assert json.loads(rejected)["fields"]["details"]["api_key"] == "[masked]"
    assert "hunter2" not in rejected
    assert directory_status(str(journal_dir)).rejected == 1
    assert recorded(journal_dir) == []


def _full_disk(*_: object) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_under_raise_an_action_that_cannot_be_recorded_fails(
    journal_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit()
    with monkeypatch.context() as patched:
        patched.setattr("whodid.journal.segment.os.write", _full_disk)
        with pytest.raises(whodid.JournalFull, match="Free space"):
            audit()
    audit()
    assert len(recorded(journal_dir)) == 2


def test_under_warn_the_application_goes_on_and_the_loss_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal_dir = configured(tmp_path, on_failure="warn")
    audit()
    with monkeypatch.context() as patched:
        patched.setattr("whodid.journal.segment.os.write", _full_disk)
        with pytest.warns(UserWarning, match="was not recorded: no space"):
            receipt = audit()
    assert (receipt.recorded, bool(receipt)) == (False, False)
    assert "no space" in receipt.error
    assert directory_status(str(journal_dir)).not_recorded == 1


def test_a_directory_that_cannot_be_made_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    configured(tmp_path / "file")
    with pytest.raises(whodid.WhodidError, match="journal"):
        audit()


def test_process_durability_is_what_the_receipt_says(tmp_path: Path) -> None:
    configured(tmp_path, durability="process")
    assert audit().durability == "process"


class NoText:
    __hash__ = object.__hash__

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class NoLook(dict[str, Any]):
    def items(self) -> Any:
        raise RuntimeError("hunter2")

    keys = __iter__ = __len__ = items


def _fails(*_: Any) -> Any:
    raise RuntimeError


NoClass: Any = type("NoClass", (), {"__class__": property(_fails), "__eq__": _fails, "__hash__": None})
"""An object that `isinstance` can't ask, nor anybody compare."""


def _cycle() -> Any:
    found: dict[str, Any] = {}
    found["a"] = [found]
    return found


def _deep() -> Any:
    found: Any = 1
    for _ in range(100_000):
        found = [found]
    return found


UNREADABLE: dict[str, tuple[Any, dict[str, Any]]] = {
    "an integer beyond JSON": ("credentials_created", {"details": {"n": 2**70}}),
    "an integer without decimal digits": ("credentials_created", {"details": {"n": 10**5000}}),
    "an integer as target": ("credentials_created", {"target": 2**70}),
    "a type with a surrogate": ("user_\ud800", {}),
    "a type that is an object": (object(), {}),
    "a type without text": (NoText(), {}),
    "a type of 3 MB": ("x" * 3_000_000, {}),
    "a key without text": ("credentials_created", {"details": {NoText(): 1}}),
    "a key of 3 MB": ("credentials_created", {"details": {"x" * 3_000_000: 1}}),
    "a name of 3 MB": ("credentials_created", {"x" * 3_000_000: 1}),
    "a text of 3 MB": ("credentials_created", {"details": {"a": "x" * 3_000_000, "é": 1}}),
    "a target of 3 MB": ("credentials_created", {"target": "x" * 3_000_000}),
    "a target without text": ("credentials_created", {"target": NoText()}),
    "100,000 keys": ("credentials_created", {"details": {str(n): n for n in range(100_000)}}),
    "a mapping that can't be looked at": ("credentials_created", {"details": NoLook(a=1)}),
    "a mapping in a list": ("credentials_created", {"details": {"a": [NoLook(a=1)]}}),
    "an object that has no class": ("credentials_created", {"details": {"a": NoClass()}, "status": NoClass()}),
    "a cycle": ("credentials_created", {"details": _cycle()}),
    "a list of 100,000 levels": ("credentials_created", {"details": {"a": _deep()}}),
    "a generator": ("credentials_created", {"details": {"a": (n for n in range(3))}}),
    "bytes": ("credentials_created", {"details": {"a": b"\xff", "b": bytearray(3), "c": {1, 2}}}),
    "not a number": ("credentials_created", {"details": {"a": math.nan, "b": math.inf}}),
    "surrogates": ("credentials_created", {"details": {"\udcff": "\ud800"}, "status": "\udfff"}),
}


@pytest.mark.parametrize("echo", [True, False])
@pytest.mark.parametrize("case", UNREADABLE)
def test_under_quarantine_every_call_gets_a_receipt_and_little_of_it_is_kept(
    tmp_path: Path, case: str, echo: bool
) -> None:
    journal_dir = configured(tmp_path, on_invalid="quarantine", echo=echo)
    event_type, fields = UNREADABLE[case]
    receipt = audit(event_type, **{"password": "hunter2", **fields} if case == "a cycle" else fields)
    assert not receipt.recorded
    assert 0 < len(receipt.error) < 1100
    kept = (journal_dir / "rejected.ndjson").read_bytes()
    assert len(kept) < HARD_LIMIT
    assert json.loads(kept).keys() == {"error", "type", "fields"}
    assert b"hunter2" not in kept


@pytest.mark.parametrize("case", UNREADABLE)
def test_under_raise_what_can_not_be_read_is_an_error_of_ours(journal_dir: Path, case: str) -> None:
    event_type, fields = UNREADABLE[case]
    with pytest.raises(whodid.InvalidEntry) as raised:
        audit(event_type, **fields)
    assert "hunter2" not in str(raised.value)
    assert recorded(journal_dir) == []


def test_an_intent_that_is_quarantined_lets_the_action_happen(tmp_path: Path) -> None:
    configured(tmp_path, on_invalid="quarantine")
    with whodid.context(**WHO), whodid.get_logger().auditing("user_\ud800", target="1"):
        pass
    assert directory_status(str(tmp_path / "journal")).rejected == 2


@pytest.mark.parametrize(
    "resolver",
    [functools.partial(os.readlink, "/nowhere"), functools.partial(sqlite3.connect(":memory:").execute, "nonsense")],
    ids=["system", "database"],
)
def test_what_a_resolver_in_c_raises_is_its_own_error(tmp_path: Path, resolver: Any) -> None:
    configured(tmp_path, on_invalid="quarantine")
    with scope({}, resolver):
        receipt = whodid.get_logger().audit("credentials_created", target="6Yk2")
    assert not receipt.recorded
    assert "can't be read" in receipt.error


def test_a_rejected_call_that_can_not_be_kept_fails_as_on_failure_says(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    whodid.configure(journal_dir=tmp_path / "file", on_invalid="quarantine")
    with pytest.raises(whodid.WhodidError, match="file"):
        audit("no_such_type")
    whodid.configure(journal_dir=tmp_path / "file", on_invalid="quarantine", on_failure="warn")
    with pytest.warns(UserWarning, match="nor was the call kept"):
        assert not audit("no_such_type").recorded


def test_rejected_calls_count_towards_max_bytes_and_keep_no_entry_out(tmp_path: Path) -> None:
    most = 200_000
    journal_dir = configured(tmp_path, on_invalid="quarantine", max_bytes=most)
    receipts = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        receipts = [audit("no_such_type", status="x" * 1000) for _ in range(50)]
    kept = (journal_dir / "rejected.ndjson").stat().st_size
    assert most / 10 < kept <= most / 8
    assert {receipt.recorded for receipt in receipts} == {False}
    assert "no more room" in receipts[-1].error
    assert directory_status(str(journal_dir)).not_recorded == sum("no more room" in one.error for one in receipts)
    assert audit().recorded
    with pytest.raises(whodid.JournalFull, match="max_bytes"):
        for _ in range(most):
            audit(details={"a": "x" * 20_000})
    used = sum(path.stat().st_size for path in journal_dir.rglob("*.ndjson"))
    assert most - 30_000 < used <= most


def test_without_max_bytes_rejected_calls_are_bounded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whodid.journal.directory.MOST_REJECTED", 1000)
    journal_dir = configured(tmp_path, on_invalid="quarantine")
    with pytest.warns(UserWarning, match="no more room for such calls"):
        [audit("no_such_type") for _ in range(20)]
    assert 500 < (journal_dir / "rejected.ndjson").stat().st_size <= 1000
    (journal_dir / "rejected.ndjson").unlink()
    assert "room" not in audit("no_such_type").error
