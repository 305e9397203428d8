"""Lines checked from their bytes alone: the same answer as parsing gives, or none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whodid.entry import SCHEMA_VERSION, ZERO_HASH
from whodid.integrity import Draft, read_line
from whodid.journal import Damaged, Line
from whodid.journal.reader import LineParser

JOURNAL = "00ff00ff00ff00ff"
PERSONAL = ("user_agent", "principal_name", "client_ip")
ENTRY = {
    "@timestamp": "2026-11-23T08:00:00.000001Z",
    "client_ip": "203.0.113.9",
    "creation_date": "2026-11-23T08:00:00Z",
    "schema_version": SCHEMA_VERSION,
    "target": "6Yk2",
    "type": "credentials_created",
}

names = st.sampled_from(
    ["creation_date", "journal", "seq", "schema_version", "client_ip", "hash", "salt", "committed", "x"]
)
values = st.recursive(
    st.sampled_from([ENTRY["creation_date"], JOURNAL, 7, True, None, '","seq":9,"', ENTRY["client_ip"], "{"]),
    lambda inner: st.dictionaries(names, inner, max_size=3) | st.lists(inner, max_size=3),
    max_leaves=6,
)
fields = st.fixed_dictionaries(
    {},
    optional={
        **{name: st.dictionaries(names, values, max_size=3) for name in ("after", "before", "details")},
        **{name: st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])) for name in PERSONAL},
        "workspace_name": st.sampled_from(["a", '","journal":"', '"seq":1', "é\\"]),
        "schema_version": st.sampled_from(["2.7", SCHEMA_VERSION]),
        "creation_date": st.sampled_from(["2026-11-23T08:00:01Z", "never", ""]),
    },
)


def chained(*entries: dict[str, Any]) -> list[bytes]:
    """The entries sealed as numbers 1, 2, 3 … of one journal."""
    lines: list[bytes] = []
    last = ZERO_HASH
    for seq, entry in enumerate(entries, 1):
        last, line = Draft(dict(entry), PERSONAL).seal(JOURNAL, seq, last)
        lines.append(line)
    return lines


def parsed(*lines: bytes) -> list[Line | Damaged]:
    return LineParser().parse(Path(JOURNAL) / "1.ndjson", 0, b"".join(line + b"\n" for line in lines))


def expected(raw: bytes) -> Line:
    entry = read_line(raw)
    return Line(entry["journal"], entry["seq"], entry["hash"], entry["creation_date"], raw)


SHAPES: list[dict[str, Any]] = [
    ENTRY,
    {**ENTRY, "details": {"n": {"m": 1}}},
    {**ENTRY, "user_agent": "Zoë's phone"},
    {name: value for name, value in ENTRY.items() if name != "client_ip"},
]


def test_of_what_a_writer_writes_only_the_first_line_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = chained(*SHAPES * 5)
    read: list[bytes] = []

    def noted(raw: bytes) -> dict[str, Any]:
        read.append(raw)
        return read_line(raw)

    monkeypatch.setattr("whodid.journal.reader.read_line", noted)
    assert parsed(*lines) == [expected(line) for line in lines]
    assert read == [lines[0]]


@given(st.lists(fields, min_size=1, max_size=5))
def test_whatever_the_entries_hold_the_answer_is_that_of_parsing(more: list[dict[str, Any]]) -> None:
    lines = chained(*[{**ENTRY, **fields} for fields in more for _ in range(2)])
    found = parsed(*lines)
    assert found == [expected(line) for line in lines]
    assert [line.entry for line in found if isinstance(line, Line)] == [orjson.loads(line) for line in lines]


LENGTH = len(chained(*SHAPES[1:3] * 3)[3])


@pytest.mark.parametrize("position", range(LENGTH))
def test_any_byte_changed_is_damage_and_the_lines_after_it_are_read(position: int) -> None:
    lines = chained(*SHAPES[1:3] * 3)
    changed = bytearray(lines[3])
    changed[position] ^= 1
    if changed[position] == ord("\n"):
        changed[position] ^= 4
    lines[3] = bytes(changed)
    found = parsed(*lines)
    damage = found.pop(3)
    assert isinstance(damage, Damaged)
    assert (damage.offset, damage.raw) == (sum(len(line) + 1 for line in lines[:3]), lines[3])
    assert found == [expected(line) for line in lines if line != lines[3]]


def test_a_line_left_out_is_no_reason_to_number_the_next_one_wrongly() -> None:
    lines = chained(*SHAPES * 2)
    assert parsed(*lines[:3], *lines[5:]) == [expected(line) for line in [*lines[:3], *lines[5:]]]


def test_lines_of_another_journal_keep_its_name() -> None:
    other = Draft(dict(ENTRY), PERSONAL).seal("another", 3, ZERO_HASH)[1]
    lines = [*chained(ENTRY), other, *chained(ENTRY)]
    assert parsed(*lines) == [expected(line) for line in lines]


@pytest.mark.parametrize("version", ["2.7", "3.0", "1.0"])
def test_a_line_of_another_version_is_always_parsed(version: str) -> None:
    own, other = chained(ENTRY, {**ENTRY, "details": {"x": f',"schema_version":"{SCHEMA_VERSION}","seq":1'}})
    [*_, theirs] = chained(ENTRY, {**ENTRY, "schema_version": version})
    assert parsed(own, other)[1] == expected(other)
    found = parsed(own, theirs)[1]
    assert isinstance(found, Line if version == "2.7" else Damaged)
