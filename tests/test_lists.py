"""Lists and times in an entry: what is refused, before anything is written, and that whatever passes can be stored."""

from __future__ import annotations

import enum
import json
import logging
from collections import UserDict, UserList, deque
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

import whodid
from tests import independent
from tests.live.corner import Corner
from tests.recording import configured, recorded
from whodid.administration.erase_journal import erased_entry
from whodid.catalog import Catalog
from whodid.entry import FIELDS, ZERO_HASH, Entry
from whodid.errors import EntryTooLarge, InvalidEntry
from whodid.integrations import celery
from whodid.integrity import Draft, entry_hash, line_hash, read_line
from whodid.journal import read_entries
from whodid.recording.context import CALLER_FIELDS
from whodid.recording.recorder import Recorder
from whodid.settings import Settings

CANARY = "hunter2-canary"
CALL = {"target": "6Yk2", "principal": "42"}
COMMITMENT = "sha256:" + "ab" * 32
NAIVE = datetime(2026, 11, 23, tzinfo=UTC).replace(tzinfo=None)


class Role(enum.StrEnum):
    ADMIN = "admin"


class Markup(str):
    """A text of a template engine."""


class Untouched(list[Any]):
    """A list in which nobody may look."""

    def __iter__(self) -> Iterator[Any]:
        raise AssertionError("somebody looked")


class Raising(UserDict[str, str]):
    def __getitem__(self, key: str) -> str:
        raise RuntimeError(CANARY)


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    return Recorder(Settings(journal_dir=str(tmp_path / "journal")))


def taken(recorder: Recorder, **fields: object) -> Entry:
    receipt, line = recorder.record("credentials_created", {**CALL, **fields})
    assert receipt.recorded
    entry = read_line(line)
    assert independent.hash_matches(entry)
    return entry


def refused(recorder: Recorder, **fields: object) -> str:
    with pytest.raises(InvalidEntry) as caught:
        recorder.record("credentials_created", {**CALL, **fields})
    assert list(read_entries(recorder.settings.journal_dir)) == []
    assert CANARY not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["on_behalf_of", "roles"])
@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("admin", "admin"),
        (["admin"], ["admin"]),
        (("admin", "auditor"), ["admin", "auditor"]),
        (["b", "a", "b"], ["b", "a", "b"]),
        ([Role.ADMIN, Markup("<b>")], ["admin", "<b>"]),
        (Role.ADMIN, "admin"),
        (Markup("<b>"), "<b>"),
        ([COMMITMENT], [COMMITMENT]),
        (None, None),
    ],
)
def test_a_list_is_kept_in_its_order_as_plain_texts(recorder: Recorder, name: str, value: object, kept: object) -> None:
    entry = taken(recorder, **{name: value})
    assert entry.get(name) == kept
    assert {type(one) for one in entry.get(name, ())} <= {str}


@pytest.mark.parametrize("name", ["on_behalf_of", "roles", "targets"])
def test_a_list_has_its_limits(recorder: Recorder, name: str) -> None:
    most, longest = FIELDS[name].many, 512 if name == "targets" else FIELDS[name].max_length

    def made(count: int, length: int) -> list[Any]:
        text = "é" * length
        return [{"id": text} if name == "targets" else text] * count

    assert f"{name} has {most + 1} values; pass 1 to {most}" in refused(recorder, **{name: made(most + 1, 1)})
    assert f"{name} has 1,000,000 values" in refused(recorder, **{name: made(1, 1) * 1_000_000})
    for wrong in (made(0, 1), made(1, longest + 1), made(1, 0)):
        assert f"{longest} characters" in (said := refused(recorder, **{name: wrong})) or "must be a list" in said
        assert name in said
    assert len(taken(recorder, **{name: made(most, 1)})[name]) == most
    assert taken(recorder, **{name: made(1, longest)})[name] == made(1, longest)


@pytest.mark.parametrize("name", ["on_behalf_of", "roles", "targets"])
@pytest.mark.parametrize("kind", [Untouched, tuple])
def test_of_a_list_that_is_too_long_nothing_is_looked_at(recorder: Recorder, name: str, kind: Any) -> None:
    assert "1,000 values" in refused(recorder, **{name: kind([object()] * 1000)})


WRONG: list[Any] = [
    [CANARY, 7],
    [CANARY, None],
    [CANARY, True],
    [CANARY, ""],
    [CANARY, [CANARY]],
    [[CANARY]],
    [CANARY, {"id": CANARY}],
    [CANARY, b"admin"],
    [CANARY, f"{CANARY}\0"],
    [CANARY, "\0"],
    [CANARY, f"{CANARY}\ud800"],
    [CANARY, float("nan")],
    [CANARY, object()],
    {CANARY},
    frozenset({CANARY}),
    (one for one in [CANARY]),
    {CANARY: CANARY}.keys(),
    deque([CANARY]),
    UserList([CANARY]),
    {CANARY: CANARY},
    CANARY.encode(),
    bytearray(CANARY.encode()),
    range(3),
    datetime(2026, 11, 23, tzinfo=UTC),
    0,
    1.5,
    True,
]


@pytest.mark.parametrize("name", ["on_behalf_of", "roles"])
@pytest.mark.parametrize("value", WRONG, ids=[f"{number}" for number, _ in enumerate(WRONG)])
def test_what_is_no_list_of_texts_is_refused_by_its_name(recorder: Recorder, name: str, value: Any) -> None:
    assert name in refused(recorder, **{name: value})


def itself() -> list[Any]:
    found: list[Any] = [CANARY]
    found.append(found)
    return found


@pytest.mark.parametrize("name", ["on_behalf_of", "roles", "targets", "occurred_at"])
def test_a_list_that_contains_itself_is_refused(recorder: Recorder, name: str) -> None:
    assert name in refused(recorder, **{name: itself()})


WRONG_TARGETS: list[Any] = [
    CANARY,
    {"id": CANARY},
    MappingProxyType({"id": CANARY}),
    [CANARY],
    [{}],
    [{"name": CANARY}],
    [{"id": CANARY}, {"type": CANARY}],
    [{"id": ""}],
    [{"id": 7}],
    [{"id": None}],
    [{"id": [CANARY]}],
    [{"id": {"id": CANARY}}],
    [{"id": CANARY, "name": None}],
    [{"id": CANARY, "type": "t" * 129}],
    [{"id": CANARY, "colour": "red"}],
    [{"id": CANARY, "": "red"}],
    [{"id": CANARY, 7: "red"}],
    [{"id": CANARY, "ID": CANARY}],
    [{"id": f"{CANARY}\0"}],
    [{"id": f"{CANARY}\udfff"}],
    [[["id", CANARY]]],
    [None],
    [Raising({"id": CANARY})],
    ({"id": one} for one in [CANARY]),
    *WRONG,
]


@pytest.mark.parametrize("value", WRONG_TARGETS, ids=[f"{number}" for number, _ in enumerate(WRONG_TARGETS)])
def test_what_is_no_list_of_targets_is_refused(recorder: Recorder, value: Any) -> None:
    said = refused(recorder, targets=value)
    assert "targets" in said or "can't be read" in said


def test_a_target_may_be_any_mapping_and_its_keys_may_stand_in_any_order(recorder: Recorder) -> None:
    given = ({"name": "b", "id": "a"}, MappingProxyType({"id": "c"}), UserDict({"type": Markup("t"), "id": Role.ADMIN}))
    assert taken(recorder, targets=given)["targets"] == [
        {"id": "a", "name": "b"},
        {"id": "c"},
        {"id": "admin", "type": "t"},
    ]


def test_targets_of_more_than_an_entry_holds_are_named_in_the_refusal(recorder: Recorder) -> None:
    one = {"id": "i" * 512, "name": "n" * 512}
    with pytest.raises(EntryTooLarge, match="the largest field is targets"):
        recorder.record("credentials_created", {**CALL, "targets": [one] * 100})
    assert list(read_entries(recorder.settings.journal_dir)) == []
    assert len(taken(recorder, targets=[one] * 55)["targets"]) == 55  # above 32 KiB: nothing of it is cut


def test_a_value_that_looks_like_a_commitment_is_committed_to_like_any_other(tmp_path: Path) -> None:
    catalog = Catalog.parse('extends = "platform"\npersonal = ["roles", "targets"]')
    recorder = Recorder(Settings(journal_dir=str(tmp_path / "journal")), catalog=catalog)
    assert "form of a commitment" in refused(recorder, roles=COMMITMENT)
    entry = taken(recorder, roles=[COMMITMENT], targets=[{"id": COMMITMENT}])
    erased = erased_entry(entry)
    assert erased
    assert independent.hash_matches(erased)
    assert COMMITMENT not in json.dumps(erased)
    for name in ("roles", "targets"):  # nor does the commitment pass for the value
        assert not independent.hash_matches({**entry, name: erased["erased"][name]})
        assert not independent.hash_matches({**entry, name: [erased["erased"][name]]})


@given(
    texts=st.lists(st.text(max_size=8).filter(lambda text: "\0" not in text and text.isprintable()), max_size=3),
    personal=st.sets(st.sampled_from(["roles", "targets", "on_behalf_of", "user_agent", "workspace_name"])),
)
def test_every_way_to_a_hash_gives_the_same_one_whatever_a_list_holds(texts: list[str], personal: set[str]) -> None:
    tricks = [*texts, 'user_agent":"x', '"workspace_name":"y"', "}", "]", '\\"roles\\":\\"', "roles", ":"]
    entry: dict[str, Any] = {
        "type": "t",
        "principal": "42",
        "user_agent": "curl",
        "workspace_name": "Lab",
        "roles": tricks,
        "on_behalf_of": tricks,
        "targets": [{"id": text, "name": text} for text in tricks],
        "details": {"user_agent": "x", "workspace_name": "y", "roles": tricks},
    }
    hash_, line = Draft(dict(entry), personal).seal("00ff00ff00ff00ff", 1, ZERO_HASH)
    found = read_line(line)
    assert {name: found[name] for name in entry} == entry
    assert hash_ == entry_hash(found) == independent.entry_hash(found)
    assert line_hash(line) in {None, hash_}


# Where values come from


def test_what_the_caller_does_to_a_list_afterwards_changes_nothing(tmp_path: Path) -> None:
    journal_dir = configured(tmp_path, echo=False)
    roles = ["admin"]
    target: Any = {"id": "acc-1"}
    targets = [target]
    with whodid.context(principal="42", roles=roles):
        whodid.get_logger().audit("credentials_created", target="6Yk2", targets=targets)
    roles.append("root")
    target["id"] = "acc-2"
    targets.clear()
    [entry] = recorded(journal_dir)
    assert (entry["roles"], entry["targets"]) == (["admin"], [{"id": "acc-1"}])


def test_lists_come_from_the_context_from_bound_keys_and_from_the_call(tmp_path: Path) -> None:
    journal_dir = configured(tmp_path, echo=False)
    with whodid.context(principal="42", roles=("member",), on_behalf_of=["43", "44"]):
        whodid.bind(targets=[{"id": "acc-1"}])
        log = structlog.get_logger().bind(roles=["bound"])
        log.audit("credentials_created", target="1")
        logging.getLogger("app").audit(  # type: ignore[attr-defined]
            "credentials_created", target="2", roles=["given"], on_behalf_of="45"
        )
        whodid.get_logger().audit("credentials_created", target="3", principal="7")
    one, two, three = recorded(journal_dir)
    assert (one["roles"], one["on_behalf_of"], one["targets"]) == (["bound"], ["43", "44"], [{"id": "acc-1"}])
    assert (two["roles"], two["on_behalf_of"], two["targets"]) == (["given"], "45", [{"id": "acc-1"}])
    assert {"roles", "on_behalf_of"}.isdisjoint(three)  # of another principal
    assert three["targets"] == [{"id": "acc-1"}]


def test_both_entries_of_a_pair_have_them(tmp_path: Path) -> None:
    journal_dir = configured(tmp_path, echo=False)
    at = datetime(2026, 11, 23, 9, tzinfo=timezone(timedelta(hours=1)))
    given: Any = {"roles": ("admin",), "targets": [{"id": "acc-1"}], "occurred_at": at}
    with (
        whodid.context(principal="42"),
        whodid.get_logger().auditing("credentials_created", target="1", **given) as pair,
    ):
        pair.add(targets=[{"id": "acc-2"}])
    intent, done = recorded(journal_dir)
    assert (intent["targets"], done["targets"]) == ([{"id": "acc-1"}], [{"id": "acc-2"}])
    assert intent["roles"] == done["roles"] == ["admin"]
    assert intent["occurred_at"] == done["occurred_at"] == "2026-11-23T08:00:00Z"


def test_an_invalid_list_can_be_quarantined(tmp_path: Path) -> None:
    configured(tmp_path, echo=False, on_invalid="quarantine")
    log: Any = whodid.get_logger()
    for roles in (["a"] * 100_000, {"a"}, itself()):
        receipt = log.audit("credentials_created", target="1", principal="42", roles=roles)
        assert (receipt.recorded, "roles" in receipt.error) == (False, True)
    kept = (tmp_path / "journal" / "rejected.ndjson").read_bytes().splitlines()
    assert [orjson.loads(line)["type"] for line in kept] == ["credentials_created"] * 3


@pytest.mark.parametrize(
    ("roles", "sent"),
    [
        (["a", Role.ADMIN], ["a", "admin"]),
        (("a",), ["a"]),
        ("a", "a"),
        ([], []),
        ([7], None),
        ([["a"]], None),
        ({"a"}, None),
        ({"a": "b"}, None),
        (7, None),
    ],
)
def test_a_task_carries_a_list_of_texts_and_nothing_else(roles: Any, sent: Any, turned_into_errors: list[str]) -> None:
    with whodid.context(principal="42", roles=roles):
        header = celery._carried()
    if sent is None:
        assert header == {"principal": None}
        assert "roles of the context must be strings" in turned_into_errors.pop()
    else:
        assert json.loads(json.dumps(header))["roles"] == sent
    forged = {"principal": "42", "correlation_id": "c", "roles": roles}
    assert (celery._read(forged) is None) == (sent is None)
    assert celery._read({**forged, "roles": "a", "principal": ["42"]}) is None  # no list is meant there


# Times


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (datetime(2026, 11, 23, 8, tzinfo=UTC), "2026-11-23T08:00:00Z"),
        (datetime(2026, 11, 23, 8, 0, 0, 5, tzinfo=UTC), "2026-11-23T08:00:00.000005Z"),
        (datetime(2026, 11, 23, 0, 30, tzinfo=timezone(timedelta(hours=5, minutes=30))), "2026-11-22T19:00:00Z"),
        (datetime(1970, 1, 1, tzinfo=UTC), "1970-01-01T00:00:00Z"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
        ("2259-12-31T23:59:59.999999999Z", "2259-12-31T23:59:59.999999999Z"),
        ("2024-02-29T00:00:00.5Z", "2024-02-29T00:00:00.5Z"),
        (Markup("2026-11-23T08:00:00Z"), "2026-11-23T08:00:00Z"),
    ],
)
def test_a_time_is_kept_in_one_form(recorder: Recorder, given: Any, kept: str) -> None:
    entry = taken(recorder, occurred_at=given)
    assert entry["occurred_at"] == kept
    assert entry["creation_date"] != kept


@pytest.mark.parametrize(
    "value",
    [
        "1969-12-31T23:59:59Z",
        "2260-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "2026-02-29T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-10T00:00:00Z",
        "2026-11-23T24:00:00Z",
        "2026-11-23T08:60:00Z",
        "2016-12-31T23:59:60Z",
        "2026-11-23t08:00:00Z",
        "2026-11-23T08:00:00z",
        "2026-11-23 08:00:00Z",
        "2026-11-23T08:00:00",
        "2026-11-23T08:00:00+00:00",
        "2026-11-23T09:00:00+01:00",
        "2026-11-23T08:00Z",
        "2026-11-23",
        "2026-11-23T08:00:00.Z",
        "2026-11-23T08:00:00,5Z",
        "2026-11-23T08:00:00.1234567890Z",
        "２０２６-11-23T08:00:00Z",
        "2026-11-23T08:00:00Z\n",
        " 2026-11-23T08:00:00Z",
        "2026-W48-1T08:00:00Z",
        "20261123T080000Z",
        "1795424400",
        "now",
        NAIVE,
        datetime(1969, 12, 31, tzinfo=UTC),
        datetime.max.replace(tzinfo=UTC),
        datetime(1970, 1, 1, tzinfo=timezone(timedelta(hours=1))),
        date(2026, 11, 23),
        1_795_424_400,
        1.5,
        [datetime(2026, 11, 23, tzinfo=UTC)],
        {"at": "2026-11-23T08:00:00Z"},
    ],
)
def test_any_other_time_is_refused(recorder: Recorder, value: Any) -> None:
    assert "occurred_at" in refused(recorder, occurred_at=value)


def test_a_datetime_without_a_zone_or_beyond_the_calendar_is_told_what_to_pass(recorder: Recorder) -> None:
    assert "pass one with it, as of datetime.now(UTC)" in refused(recorder, occurred_at=NAIVE)
    assert "a datetime with a time zone, or UTC as 2026-" in refused(recorder, occurred_at="2026-11-23T08:00:00+01:00")
    early = datetime.min.replace(tzinfo=timezone(timedelta(hours=5)))
    assert "pass plain values" in refused(recorder, occurred_at=early)


# The cluster


EXTREME = ["\U0001f600" * 128, "\ufffe\uffff", "\x01\x1f\x7f", "\u202e", " ", "*", '"\\', "a,b;c", "sha256:", "null"]


def odd_times() -> Iterator[str]:
    for day in ("1970-01-01", "1972-06-30", "2000-02-29", "2026-03-29", "2100-02-28", "2259-12-31"):
        for hour in ("00:00:00", "01:59:59", "12:30:00", "23:59:59"):
            for digits in range(10):
                yield f"{day}T{hour}{'.' * (digits > 0)}{'987654321'[:digits]}Z"


@pytest.mark.live
def test_whatever_passes_is_stored(place: Corner) -> None:
    recorder = place.recorder()
    calls: list[dict[str, Any]] = [{"occurred_at": time} for time in odd_times()]
    for name in ("on_behalf_of", "roles"):
        calls += [{name: [text]} for text in EXTREME]
        calls += [{name: EXTREME[:8]}, {name: ["\U0001f600" * FIELDS[name].max_length] * FIELDS[name].many}]
    calls += [{"targets": [{"id": text, "name": text, "type": text[:128]} for text in EXTREME]}]
    calls += [{"targets": [{"id": f"{n}", "name": "n" * 500} for n in range(100)]}]
    for name in sorted(CALLER_FIELDS - {"type"}):
        if FIELDS[name].kind == "keyword" and not FIELDS[name].values:
            calls += [{name: text[: FIELDS[name].max_length]} for text in EXTREME]
    for call in calls:
        assert recorder.record("credentials_created", {**CALL, **call})[0].recorded
    recorder.journal.close()
    assert place.ship().dead_letters == 0
    assert len(place.stored()) == len(calls)
    entries = {hit["_source"]["seq"]: hit["_source"] for hit in place.stored().values()}
    for seq, call in enumerate(calls, 1):
        assert {name: entries[seq][name] for name in call} == call
    assert all(independent.hash_matches(entry) for entry in entries.values())


@pytest.mark.live
def test_no_time_that_the_check_takes_is_refused_by_the_cluster(place: Corner) -> None:
    """Every change of one character of a time, and some of its length."""
    time, changed = "2026-11-23T08:15:30.123456789Z", set()
    for at in range(len(time)):
        changed |= {time[:at] + one + time[at + 1 :] for one in "0123456789-:.TZ+ ez"} | {time[:at] + time[at + 1 :]}
    recorder, taken = place.recorder(), 0
    for one in sorted(changed):
        try:
            recorder.record("credentials_created", {**CALL, "occurred_at": one})
        except InvalidEntry:
            continue
        taken += 1
    recorder.journal.close()
    assert 100 < taken < len(changed)
    progress = place.ship()
    assert (progress.shipped, progress.dead_letters) == (taken, 0)
