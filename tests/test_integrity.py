"""Hashes and commitments: test vectors, the independent check, and what changes them."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from tests import independent
from tests.test_canonical import values
from whodid.canonical import plain
from whodid.entry import ZERO_HASH
from whodid.errors import InvalidEntry
from whodid.integrity import Draft, commitment, entry_hash, read_line

VECTORS = json.loads((Path(__file__).parent / "vectors.json").read_text())


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["about"] for vector in VECTORS])
def test_the_published_vectors_hold_here_and_independently(vector: dict[str, Any]) -> None:
    entry = json.loads(vector["line"])
    assert entry == vector["entry"]
    assert entry_hash(entry) == vector["hash"] == independent.entry_hash(entry)
    assert read_line(vector["line"].encode()) == entry


def test_the_vectors_stand_in_the_format_page() -> None:
    page = (Path(__file__).parents[1] / "docs" / "format.md").read_text()
    for vector in VECTORS:
        assert vector["line"] in page
        assert vector["hash"] in page


def _sealed(entry: dict[str, Any], personal: tuple[str, ...] = ()) -> dict[str, Any]:
    return read_line(Draft(entry, frozenset(personal)).seal("00ff00ff00ff00ff", 1, ZERO_HASH)[1])


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["about"] for vector in VECTORS])
def test_a_line_is_read_however_its_fields_are_ordered_and_spaced(vector: dict[str, Any]) -> None:
    entry = vector["entry"]
    for line in (
        json.dumps(entry),
        json.dumps({"hash": entry["hash"], **entry}, separators=(",", ":"), sort_keys=True),
    ):
        assert read_line(line.encode()) == entry
    hash_first = dict(sorted(entry.items(), key=lambda item: (item[0] != "hash", item[0])))
    assert read_line(json.dumps(hash_first, separators=(",", ":"), ensure_ascii=False).encode()) == entry


def test_an_entry_without_personal_fields_is_hashed_as_it_is() -> None:
    entry = _sealed({"type": "t", "target": "x"})
    assert "salts" not in entry
    assert independent.problems([entry]) == []


def test_an_erased_value_leaves_the_hash_as_it_was() -> None:
    entry = _sealed({"type": "t", "client_ip": "203.0.113.9", "target": "x"}, ("client_ip",))
    salt = bytes.fromhex(entry["salts"].pop("client_ip"))
    entry["erased"] = {"client_ip": commitment(salt, entry.pop("client_ip"))}
    assert entry_hash(entry) == entry["hash"] == independent.entry_hash(entry)


def test_equal_personal_values_have_different_commitments() -> None:
    first, second = (_sealed({"client_ip": "203.0.113.9"}, ("client_ip",)) for _ in range(2))
    assert first["hash"] != second["hash"]


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_child_uses_no_salt_of_its_parent() -> None:
    def salts() -> set[str]:
        return {_sealed({"client_ip": "::1"}, ("client_ip",))["salts"]["client_ip"] for _ in range(200)}

    salts()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, json.dumps(sorted(salts())).encode())
        os._exit(0)
    own = salts()
    assert os.waitpid(child, 0)[1] == 0
    theirs = json.loads(os.read(read, 100_000))
    assert (len(own), len(theirs), own & set(theirs)) == (200, 200, set())
    os.close(read)
    os.close(write)


@pytest.mark.parametrize("field", ["type", "target", "seq", "prev", "journal", "client_ip"])
def test_a_change_of_any_field_changes_the_hash(field: str) -> None:
    entry = _sealed({"type": "t", "client_ip": "203.0.113.9", "target": "x"}, ("client_ip",))
    entry[field] = 7 if field == "seq" else "f" * 64
    assert entry_hash(entry) != entry["hash"]


@pytest.mark.parametrize("position", range(0, 300, 7))
def test_a_line_with_any_byte_changed_is_not_read(position: int) -> None:
    line = Draft({"type": "t", "target": "x" * 60}).seal("00ff00ff00ff00ff", 1, ZERO_HASH)[1]
    changed = bytearray(line)
    changed[position % len(line)] ^= 1
    with pytest.raises(ValueError):  # noqa: PT011 (JSON's own error or ours, as the byte falls)
        read_line(bytes(changed))


@given(details=values)
def test_any_accepted_value_gives_a_line_that_both_checks_accept(details: object) -> None:
    try:
        held = plain({"d": details}, "details")
    except InvalidEntry:
        return
    entry = _sealed({"type": "t", "details": held, "client_ip": "::1"}, ("client_ip",))
    assert independent.entry_hash(entry) == entry["hash"]
    assert entry["details"] == {"d": details}


@pytest.mark.parametrize("text", ["\\u0000", "a\\\\u0000", '"\\u0000"', "\\\\u0000\\u0000", "\\"])
def test_text_that_only_looks_like_nul_is_text(text: str) -> None:
    entry = _sealed({"type": "t", "target": text, "details": {text: [text]}, "client_ip": text}, ("client_ip",))
    assert (entry["target"], entry["details"], entry["client_ip"]) == (text, {text: [text]}, text)
    assert independent.entry_hash(entry) == entry["hash"]


@pytest.mark.parametrize("text", ["\0", "a\0", "\\\0", "\0\0", "\\u0000\0"])
def test_nul_is_refused_wherever_it_stands(text: str) -> None:
    for fields in ({"target": text}, {"client_ip": text}, {"details": {"a": text}}):
        with pytest.raises(ValueError, match="contains NUL"):
            Draft({"type": "t", **fields}, ("client_ip",))


def test_a_line_of_a_higher_minor_format_is_read_with_the_fields_it_adds() -> None:
    entry = _sealed({"type": "t", "schema_version": "1.7", "device": "a phone"})
    assert entry["device"] == "a phone"
    assert entry_hash(entry) == entry["hash"] == independent.entry_hash(entry)


@pytest.mark.parametrize("version", ["2.0", "2", "10.3"])
def test_a_line_of_a_higher_major_format_is_refused_with_what_to_do(version: str) -> None:
    said = f"its format is {version.partition('.')[0]}.x, and this whodid reads up to 1.x; upgrade whodid here"
    with pytest.raises(ValueError, match=re.escape(said)):
        _sealed({"type": "t", "schema_version": version})


@pytest.mark.parametrize("version", ["0.9", "x", "", "²", "9" * 5000, 5, None])
def test_whatever_else_a_version_says_the_hash_decides(version: object) -> None:
    assert _sealed({"type": "t", "schema_version": version})["schema_version"] == version
