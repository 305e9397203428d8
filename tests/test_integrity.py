"""Hashes and commitments: test vectors, the independent check, and what changes them."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from tests import independent
from tests.test_canonical import values
from whodid.administration.erase_journal import erased_entry
from whodid.entry import ZERO_HASH
from whodid.errors import InvalidEntry
from whodid.integrity import Draft, commitments, entry_hash, field_salts, line_hash, line_of, plain, read_line, salts_of
from whodid.verify.inclusion import as_recorded

VECTORS = json.loads((Path(__file__).parent / "vectors.json").read_text())


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["about"] for vector in VECTORS])
def test_the_published_vectors_hold_here_and_independently(vector: dict[str, Any]) -> None:
    entry = json.loads(vector["line"])
    assert entry == vector["entry"]
    assert entry_hash(entry) == vector["hash"] == independent.entry_hash(entry)
    assert read_line(vector["line"].encode()) == entry


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["about"] for vector in VECTORS])
def test_every_way_to_a_hash_gives_the_same_one(vector: dict[str, Any]) -> None:
    """From the fields, from the bytes of the line, and from those of a line that is made anew."""
    line = line_of(vector["entry"])
    assert read_line(line) == vector["entry"]
    assert {entry_hash(vector["entry"]), line_hash(line) or vector["hash"]} == {vector["hash"]}


def test_the_vectors_stand_in_the_format_page() -> None:
    page = (Path(__file__).parents[1] / "docs" / "reference" / "format.md").read_text()
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
    assert entry.keys().isdisjoint({"committed", "salt", "salts", "erased"})
    assert independent.problems([entry]) == []


def test_an_erased_value_leaves_the_hash_as_it_was() -> None:
    entry = _sealed({"type": "t", "client_ip": "203.0.113.9", "target": "x"}, ("client_ip",))
    entry["erased"] = commitments(entry)
    del entry["client_ip"], entry["salt"]
    assert entry_hash(entry) == entry["hash"] == independent.entry_hash(entry)


PLAIN = _sealed({"type": "t", "target": "x"})
PERSONAL = _sealed({"type": "t", "client_ip": "::1", "principal_name": "Ann"}, ("client_ip", "principal_name"))
HALF = erased_entry(PERSONAL, ["client_ip"]) or {}
ERASED = erased_entry(PERSONAL) or {}


NOTHING: tuple[Any, ...] = (None, {}, [], "")
ODD: list[tuple[dict[str, Any], dict[str, Any]]] = [
    *((PLAIN, {name: value}) for name in ("committed", "salt", "salts", "erased") for value in NOTHING),
    (PLAIN, {"committed": [], "erased": {}}),
    (PLAIN, {"salts": {}, "erased": {}}),
    *((PERSONAL, {name: value}) for name in ("salts", "erased") for value in NOTHING),
    *((PERSONAL, {"salt": salt}) for salt in (PERSONAL["salt"].upper(), f" {PERSONAL['salt']}", "", None, [1])),
    (PERSONAL, {"committed": [*PERSONAL["committed"], 1]}),
    (PERSONAL, {"committed": dict.fromkeys(PERSONAL["committed"])}),
    (HALF, {"salts": {name: salt.upper() for name, salt in HALF["salts"].items()}}),
    (HALF, {"salts": HALF["salts"] | {"target": "00" * 16}}),
    (HALF, {"client_ip": None}),
    (HALF, {"salt": PERSONAL["salt"]}),
    *((ERASED, {"salts": value}) for value in NOTHING),
]


@pytest.mark.parametrize(("entry", "odd"), ODD)
def test_what_is_added_beside_the_hash_is_refused_here_and_independently(
    entry: dict[str, Any], odd: dict[str, Any]
) -> None:
    assert as_recorded(entry)
    assert independent.hash_matches(entry)
    assert not as_recorded(entry | odd)
    assert not independent.hash_matches(entry | odd)


@pytest.mark.parametrize("version", ["2.", "02.0", "2", "2.999", 2, None, "1.1", "3.0", "x", "9" * 16])
def test_both_read_the_same_versions(version: object) -> None:
    entry = json.loads(Draft({"type": "t", "schema_version": version}).seal("00ff00ff00ff00ff", 1, ZERO_HASH)[1])
    assert as_recorded(entry) == independent.hash_matches(entry) == (version not in ("1.1", "3.0"))


def test_equal_personal_values_have_different_commitments() -> None:
    first, second = (_sealed({"client_ip": "203.0.113.9"}, ("client_ip",)) for _ in range(2))
    assert first["hash"] != second["hash"]


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_child_uses_no_salt_of_its_parent() -> None:
    def salts() -> set[str]:
        return {_sealed({"client_ip": "::1"}, ("client_ip",))["salt"] for _ in range(200)}

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
    entry = _sealed({"type": "t", "schema_version": "2.7", "device": "a phone"})
    assert entry["device"] == "a phone"
    assert entry_hash(entry) == entry["hash"] == independent.entry_hash(entry)


@pytest.mark.parametrize("version", ["3.0", "3", "10.3"])
def test_a_line_of_a_higher_major_format_is_refused_with_what_to_do(version: str) -> None:
    said = f"its format is {version.partition('.')[0]}.x, and this whodid reads 2.x; upgrade whodid here"
    with pytest.raises(ValueError, match=re.escape(said)):
        _sealed({"type": "t", "schema_version": version})


def test_a_line_of_a_lower_major_format_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^its format is 1\.x, and this whodid reads 2\.x$"):
        _sealed({"type": "t", "schema_version": "1.1"})


@pytest.mark.parametrize("version", ["2.9", "2", "x", "", "²", "9" * 5000, 5, None])
def test_whatever_else_a_version_says_the_hash_decides(version: object) -> None:
    assert _sealed({"type": "t", "schema_version": version})["schema_version"] == version


PERSON = {"client_ip": "203.0.113.9", "principal_name": "Ada", "target": "x"}
COMMITMENT = "sha256:" + "0" * 64


def _person() -> dict[str, Any]:
    return _sealed(dict(PERSON), ("client_ip", "principal_name"))


def _malformed() -> dict[str, dict[str, Any]]:
    """What is not one of the forms that docs/reference/format.md allows, though each commitment in it is right."""
    entry = _person()
    hidden, salts = commitments(entry), salts_of(entry)
    bare = {name: value for name, value in entry.items() if name not in {"salt", *hidden}}
    rest = {"committed": entry["committed"], **PERSON}
    return {
        "a commitment as a text": {**bare, **hidden},
        "a commitment as a text, and the list gone": {**bare, **hidden, "committed": None},
        "one commitment as a text": {**entry, "principal_name": hidden["principal_name"]},
        "no salt": {**bare, **rest},
        "salts without an erasure": {**bare, **rest, "salts": salts},
        "a salt beside an erasure": {**bare, "salt": entry["salt"], "erased": hidden},
        "a salt beside salts": {**entry, "salts": salts},
        "an erasure of what is there": {**entry, "salt": None, "erased": hidden},
        "an erasure of one, and the other without a salt": {
            **bare,
            "principal_name": "Ada",
            "erased": {"client_ip": hidden["client_ip"]},
        },
        "an erasure of nothing": {**bare, **rest, "salts": salts, "erased": {}},
        "an erasure of one more": {**bare, "erased": {**hidden, "status": COMMITMENT}},
        "a list in another order": {**entry, "committed": ["principal_name", "client_ip"]},
        "a list with a name twice": {**entry, "committed": ["client_ip", "client_ip", "principal_name"]},
        "a list that names less": {**entry, "committed": ["client_ip"]},
        "a list that is a text": {**entry, "committed": "client_ip"},
        "a salt in capitals": {**entry, "salt": "AB" * 16},
        "a salt that is too long": {**entry, "salt": entry["salt"] + "00"},
        "a salt of nothing": {**bare, **hidden, "committed": None, "salt": entry["salt"]},
    }


@pytest.mark.parametrize("what", list(_malformed()))
def test_what_opens_the_commitments_has_one_form_only(what: str) -> None:
    entry = {name: value for name, value in _malformed()[what].items() if value is not None}
    assert not as_recorded(entry)
    assert not independent.hash_matches(entry)
    first = {name: entry[name] for name in ("hash", "salt") if name in entry}
    rest = {name: entry[name] for name in sorted(entry) if name not in first}
    for line in (json.dumps(entry), json.dumps(first | rest, separators=(",", ":"))):  # the second as a writer has it
        with pytest.raises(ValueError):  # noqa: PT011 (as above)
            read_line(line.encode())


@pytest.mark.parametrize("name", ["type", "seq", "prev", "journal", "details", "committed", "salt", "schema_version"])
def test_only_what_can_be_personal_is_committed(name: str) -> None:
    entry: dict[str, Any] = {"type": "t", "target": "x", name: "y", "committed": [name], "salt": "00" * 16}
    for hash_of in (entry_hash, independent.entry_hash):
        with pytest.raises(ValueError, match="committed"):
            hash_of(entry)


def test_a_field_that_a_higher_minor_format_adds_may_be_personal() -> None:
    entry = _sealed({"type": "t", "schema_version": "2.7", "device": "a phone"}, ("device",))
    assert entry_hash(entry) == entry["hash"] == independent.entry_hash(entry)


def test_a_personal_value_that_looks_like_a_commitment_is_refused_and_another_text_is_a_text() -> None:
    with pytest.raises(InvalidEntry, match="principal_name has the form of a commitment"):
        Draft({"principal_name": COMMITMENT}, ("principal_name",))
    for text in (COMMITMENT + "0", COMMITMENT.upper(), COMMITMENT[:-1] + "g"):
        assert _sealed({"principal_name": text}, ("principal_name",))["principal_name"] == text
    entry = _sealed({"target": COMMITMENT, "client_ip": "::1"}, ("client_ip",))  # such as a container image
    assert entry_hash(entry) == entry["hash"] == independent.entry_hash(entry)


def test_one_salt_opens_an_entry_and_the_salt_of_one_field_opens_no_other() -> None:
    entry = _person()
    one, two = salts_of(entry).values()
    assert one + two == hashlib.shake_256(bytes.fromhex(entry["salt"])).hexdigest(32)
    assert field_salts(bytes.fromhex(entry["salt"]), 2).hex() == one + two
    assert field_salts(bytes.fromhex(one), 1).hex() != two


def test_a_name_that_is_there_twice_is_damage_even_if_one_of_the_two_is_right() -> None:
    """Of two, one reader takes the first and another the last."""
    line = Draft({"type": "t", "target": "x", "details": {"a": 1}}).seal("00ff00ff00ff00ff", 1, ZERO_HASH)[1]
    read_line(line)
    for old, new in ((b'"target":', b'"target":"y","target":'), (b'{"a":', b'{"a":2,"a":')):
        with pytest.raises(ValueError, match="a name is there twice"):
            read_line(line.replace(old, new))


NESTED = {"committed": ["client_ip"], "client_ip": COMMITMENT, "principal_name": COMMITMENT, "prev": "x", "}": "{"}


@pytest.mark.parametrize("where", ["details", "before", "after", "shortened"])
def test_a_line_is_hashed_from_its_bytes_as_its_content_is(where: str) -> None:
    entry: dict[str, Any] = {**PERSON, where: NESTED, "organization_name": "Acme", "status": "}{"}
    draft = Draft(entry, ("client_ip", "organization_name", "principal_name"))
    hash_, line = draft.seal("00ff00ff00ff00ff", 1, ZERO_HASH)
    assert line_hash(line) in ({hash_, None} if where in {"before", "after"} else {hash_})
    for old, new in ((b"Ada", b"Eve"), (COMMITMENT.encode(), b"x"), (b'"committed":["client_ip"]', b'"committed":[]')):
        assert old in line
        assert line_hash(line.replace(old, new, 1)) != hash_


def test_a_nested_value_is_never_taken_for_the_personal_field_of_its_name() -> None:
    """Somebody had their own text journalled, and knows a salt and a value that give it."""
    salt, name, value = "ab" * 16, "principal_name", "Eve"
    forged = "sha256:" + hashlib.sha256(field_salts(bytes.fromhex(salt), 1) + json.dumps(value).encode()).hexdigest()
    draft = Draft({"details": {name: forged}, name: "Ada", "type": "t"}, (name,))
    hash_, line = draft.seal("00ff00ff00ff00ff", 1, ZERO_HASH)
    entry = json.loads(line)
    made = line.replace(forged.encode(), value.encode()).replace(
        b'"Ada"', json.dumps(commitments(entry)[name]).encode()
    )
    made = made.replace(entry["salt"].encode(), salt.encode())
    assert line_hash(made) != hash_
    with pytest.raises(ValueError, match="the hash does not match"):
        read_line(made)
