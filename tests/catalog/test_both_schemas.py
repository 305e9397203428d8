"""The schema: the JSON Schema that others validate with says what `check` says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whodid.catalog import Catalog
from whodid.entry import FIELDS, ZERO_HASH
from whodid.errors import InvalidEntry

CATALOG = Catalog.load()
SCHEMA = CATALOG.json_schema()
WHOLE = jsonschema_rs.Draft202012Validator(SCHEMA, validate_formats=True)

CHAIN = {"journal": "8f14e45fceea167a", "seq": 1, "prev": ZERO_HASH, "hash": "f" * 64}
OF_PERSONAL_FIELDS: dict[str, Any] = {
    "committed": ["client_ip"],
    "salt": "0" * 32,
    "salts": {"client_ip": "0" * 32},
    "erased": {"client_ip": "sha256:" + "0" * 64},
}
FILLED_BY_THE_JOURNAL = {*CHAIN, *OF_PERSONAL_FIELDS}
CALLER_FIELDS = sorted(name for name, field in FIELDS.items() if field.source == "call" and name != "type")
TEXT_FIELDS = [name for name in CALLER_FIELDS if FIELDS[name].kind == "keyword" and not FIELDS[name].values]


def entry_of(name: str = "user_updated", **fields: Any) -> dict[str, Any]:
    return {
        "type": name,
        "target": "42",
        "principal": "42",
        "target_type": CATALOG.types[name].resource,
        "creation_date": "2026-11-23T08:15:30Z",
        "@timestamp": "2026-11-23T08:15:30.000001Z",
        "schema_version": "2.0",
        **fields,
    }


def accepted(entry: dict[str, Any]) -> bool:
    """Whether both accept the entry; they must not differ."""
    try:
        CATALOG.check(entry)
        checked = True
    except InvalidEntry:
        checked = False
    assert WHOLE.is_valid({**entry, **CHAIN}) is checked
    return checked


def test_it_is_a_schema_of_the_2020_12_dialect() -> None:
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema_rs.meta.validate(SCHEMA)


def test_the_committed_schema_is_the_default_catalog_s() -> None:
    committed = Path(__file__).parents[2] / "config" / "audit-entry.schema.json"
    assert json.loads(committed.read_text(encoding="utf-8")) == SCHEMA, (
        "run `whodid events schema > config/audit-entry.schema.json`"
    )


def test_it_describes_every_field_and_type() -> None:
    properties = SCHEMA["$defs"]["entry"]["properties"]
    assert {name: field.about for name, field in FIELDS.items()} == {
        name: part["description"] for name, part in properties.items()
    }
    for name, known in CATALOG.types.items():
        assert SCHEMA["$defs"][name]["description"].startswith(known.about)


@pytest.mark.parametrize("name", sorted(CHAIN))
def test_a_stored_entry_has_its_place_in_the_chain(name: str) -> None:
    stored = {**entry_of(), **CHAIN}
    WHOLE.validate(stored)
    del stored[name]
    assert not WHOLE.is_valid(stored)


@pytest.mark.parametrize("name", sorted(FILLED_BY_THE_JOURNAL))
def test_an_entry_to_be_recorded_has_no_place_in_the_chain_yet(name: str) -> None:
    filled: dict[str, Any] = {**CHAIN, **OF_PERSONAL_FIELDS}
    with pytest.raises(InvalidEntry):
        CATALOG.check(entry_of(**{name: filled[name]}))


@pytest.mark.parametrize(
    ("field", "right", "wrong"),
    [
        ("committed", ["client_ip", "user_agent"], ["client_ip", "client_ip"]),
        ("salt", "0" * 32, "0" * 31),
        ("salts", {"client_ip": "0" * 32}, {"client_ip": "0" * 31}),
        ("erased", {"client_ip": "sha256:" + "0" * 64}, {"client_ip": "0" * 64}),
        ("seq", 2**53 - 1, 0),
        ("prev", "a" * 64, "A" * 64),
        ("hash", "0" * 64, "0" * 63),
        ("journal", "0" * 16, "journal"),
        ("shortened", {"details.log": {"bytes": 70000}}, "details.log"),
    ],
)
def test_the_form_of_what_the_journal_fills(field: str, right: object, wrong: object) -> None:
    entry = {**entry_of(), **CHAIN, **OF_PERSONAL_FIELDS}
    assert WHOLE.is_valid({**entry, field: right})
    assert not WHOLE.is_valid({**entry, field: wrong})


@pytest.mark.parametrize("name", TEXT_FIELDS)
def test_a_text_is_as_long_as_its_field_allows(name: str) -> None:
    limit = FIELDS[name].max_length
    assert accepted(entry_of(**{name: "é" * limit}))
    assert not accepted(entry_of(**{name: "é" * (limit + 1)}))
    assert not accepted(entry_of(**{name: ""}))


@pytest.mark.parametrize("address", ["203.0.113.9", "0.0.0.0", "2001:db8::7", "::", "::ffff:203.0.113.9"])  # noqa: S104 an address as data
def test_an_address_is_ipv4_or_ipv6(address: str) -> None:
    assert accepted(entry_of(client_ip=address))


@pytest.mark.parametrize(
    "address",
    ["", "256.0.0.1", "01.2.3.4", "1.2.3", "1.2.3.4:80", "1.2.3.4/32", " 1.2.3.4", "::1%lo", "[::1]", "1::2::3"],
)
def test_an_address_has_no_port_zone_prefix_or_brackets(address: str) -> None:
    assert not accepted(entry_of(client_ip=address))


@given(st.ip_addresses())
def test_every_address_that_python_prints_is_one(address: object) -> None:
    assert accepted(entry_of(client_ip=str(address)))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("creation_date", "2026-11-23 08:15:30"),
        ("creation_date", "2026-11-23T08:15:30+01:00"),
        ("creation_date", "2026-11-23T08:15:30Z\n"),
        ("@timestamp", "2026-11-23T08:15:30Z"),
        ("@timestamp", "2026-11-23T08:15:30.000Z"),
        ("schema_version", "3.0"),
        ("target_type", "team"),
    ],
)
def test_the_form_of_what_the_recorder_fills(field: str, value: str) -> None:
    assert not accepted(entry_of(**{field: value}))


def test_a_reader_of_this_version_accepts_higher_minor_versions() -> None:
    assert accepted(entry_of(schema_version="2.7"))


_TEXTS = st.sampled_from(
    ["system", "anonymous", "42", "RUNNING", "SUCCEEDED", "starting", "github", "intent", "success"]
)
_VALUES: st.SearchStrategy[Any] = st.one_of(
    _TEXTS,
    st.sampled_from(["", "203.0.113.9", 7, 7.5, None, True, [], {}, "x" * 600, {"visibility": "public"}]),
    st.fixed_dictionaries({"wave_enabled": st.booleans(), "run_id": _TEXTS, "visibility": _TEXTS}),
)


@given(
    st.sampled_from(sorted(CATALOG.types)),
    st.dictionaries(st.sampled_from([*CALLER_FIELDS, "colour"]), _VALUES, max_size=5),
    st.sets(st.sampled_from(["target", "principal"]), max_size=1),
)
def test_check_and_schema_agree_and_every_refusal_has_words(name: str, fields: dict[str, Any], gone: set[str]) -> None:
    entry = {key: value for key, value in entry_of(name, **fields).items() if key not in gone}
    given = {key: value for key, value in {"target": "42", "principal": "42", **fields}.items() if key not in gone}
    assert CATALOG.fits(name)(given) is accepted(entry)
    if not accepted(entry):
        with pytest.raises(InvalidEntry) as refused:
            CATALOG.check(entry)
        assert "does not fit" not in str(refused.value)


@pytest.mark.parametrize("value", [object(), {1}, b"x", 1j, float("nan"), 2**70, "\ud800", ("a",)])
def test_a_value_that_json_does_not_have_is_refused_and_never_crashes(value: object) -> None:
    with pytest.raises(InvalidEntry):
        CATALOG.check(entry_of(before=value))
