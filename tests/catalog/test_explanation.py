"""The explanation of a refused call: what it names, what it never shows, and that it is never another exception."""

from __future__ import annotations

import datetime
import decimal
import enum
import ipaddress
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whodid.catalog import Catalog
from whodid.entry import FIELDS, LISTS
from whodid.errors import InvalidEntry
from whodid.journal import read_entries
from whodid.recording.context import CALLER_FIELDS
from whodid.recording.recorder import Recorder
from whodid.settings import Settings

CANARY = "hunter2-canary"
CATALOG = Catalog.load()
SIGN_IN = {"target": "42", "principal": "42", "client_ip": "203.0.113.9", "status": "github"}
FILLABLE = sorted(CALLER_FIELDS - {"type"})
STRINGS = sorted(name for name in FILLABLE if FIELDS[name].kind in {"keyword", "ip"})
OBJECTS = sorted(name for name in FILLABLE if FIELDS[name].kind == "flat_object")


class Method(enum.StrEnum):
    GITHUB = "github"


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    return Recorder(Settings(journal_dir=str(tmp_path / "journal")), catalog=CATALOG)


def refusal(recorder: Recorder, **fields: object) -> str:
    with pytest.raises(InvalidEntry) as caught:
        recorder.record("user_sign_in", {**SIGN_IN, **fields})
    assert list(read_entries(recorder.settings.journal_dir)) == []
    assert CANARY not in str(caught.value)
    assert "does not fit" not in str(caught.value)
    return str(caught.value)


def beyond_a_list(field: str, value: object) -> object:
    """The value, but in a list if the field may hold a list of texts."""
    return [value] if field in LISTS and isinstance(value, list | tuple) else value


@pytest.mark.parametrize("field", FILLABLE)
@pytest.mark.parametrize(
    "value",
    [
        [CANARY],
        (CANARY,),
        {CANARY},
        CANARY.encode(),
        f"{CANARY}\ud800",
        f"{CANARY}\0",
        {"password": {CANARY}},
        {"password": f"{CANARY}\ud800"},
        {"a": [[CANARY], float("nan")]},
        ValueError(CANARY),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_refusal_names_the_field_and_never_its_value(recorder: Recorder, field: str, value: object) -> None:
    assert field in refusal(recorder, **{field: beyond_a_list(field, value)})


@pytest.mark.parametrize("field", FILLABLE)
def test_a_value_too_long_is_not_repeated(recorder: Recorder, field: str) -> None:
    long = CANARY * 6000
    assert field in refusal(recorder, **{field: {"log": long} if field in OBJECTS else long})


@pytest.mark.parametrize("field", STRINGS)
@pytest.mark.parametrize(
    "value",
    [
        7,
        7.5,
        float("nan"),
        2**70,
        True,
        b"42",
        {"42"},
        [None],
        ["42"],
        {"id": "42"},
        {1: 2},
        object(),
        uuid.UUID(int=42),
        datetime.date(2026, 11, 23),
        datetime.datetime(2026, 11, 23, tzinfo=datetime.UTC),
        decimal.Decimal(42),
        ipaddress.ip_address("203.0.113.9"),
        print,
        str,
    ],
    ids=lambda value: f"{type(value).__name__}",
)
def test_what_is_no_string_is_an_invalid_entry_whatever_it_is(recorder: Recorder, field: str, value: object) -> None:
    assert field in refusal(recorder, **{field: beyond_a_list(field, value)})


@pytest.mark.parametrize("field", OBJECTS)
@pytest.mark.parametrize("value", [7, True, "text", b"x", [None], [{"a": 1}], {"x"}, object(), {"a": {1}}, {1: 2}])
def test_what_is_no_json_object_is_an_invalid_entry_whatever_it_is(
    recorder: Recorder, field: str, value: object
) -> None:
    assert field in refusal(recorder, **{field: value})


def test_a_value_that_contains_itself_is_refused(recorder: Recorder) -> None:
    circle: list[object] = [CANARY]
    circle.append(circle)
    assert "target" in refusal(recorder, target=circle)
    assert "details" in refusal(recorder, details={"circle": circle})


def test_an_enumeration_of_strings_is_a_string(recorder: Recorder) -> None:
    recorder.record("user_sign_in", {**SIGN_IN, "status": Method.GITHUB})
    [entry] = read_entries(recorder.settings.journal_dir)
    assert entry["status"] == "github"


def test_every_rule_that_is_broken_is_named_at_once(recorder: Recorder) -> None:
    said = refusal(recorder, target=None, client_ip="localhost", status=CANARY, outcome="fine", phase="intent")
    for field in ("target is missing", "client_ip is no", "status must", "outcome must", "phase needs operation"):
        assert field in said


@given(st.from_regex(r"[a-z][a-z0-9_]{0,30}", fullmatch=True).filter(lambda name: name != "entry"))
def test_the_toml_for_an_unknown_type_adds_it(name: str) -> None:
    if name in CATALOG.types:
        return
    with pytest.raises(InvalidEntry) as caught:
        CATALOG.event_type(name)
    stanza = str(caught.value).partition("\n\n")[2]
    known = Catalog.parse(stanza)
    assert name in known.types
    assert known.types[name].event


@pytest.mark.parametrize("name", ["renamed", "team_renamed", "invoice_line_added", "x_", "a__b"])
def test_the_toml_for_an_unknown_type_is_a_catalog(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidEntry) as caught:
        CATALOG.event_type(name)
    path = tmp_path / "events.toml"
    path.write_text(str(caught.value).partition("\n\n")[2], encoding="utf-8")
    own = Catalog.load(path)
    recording = Recorder(Settings(journal_dir=str(tmp_path / "journal")), catalog=own)
    assert recording.record(name, {"target": "1", "principal": "42"})[0].recorded


@pytest.mark.parametrize("name", ["Team_created", "größe_changed", "_x", "x" * 200, "team-created", "", "a\nb"])
def test_no_toml_is_printed_for_what_can_be_no_name(name: str) -> None:
    with pytest.raises(InvalidEntry, match="must be a name such as") as caught:
        CATALOG.event_type(name)
    assert "[types" not in str(caught.value)


def test_a_name_in_the_wrong_case_is_told_what_is_near() -> None:
    with pytest.raises(InvalidEntry, match="Did you mean team_created"):
        CATALOG.event_type("Team_Created")
