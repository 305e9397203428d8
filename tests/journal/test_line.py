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
from whodid.journal.line import _glance, parse_lines

JOURNAL = "00ff00ff00ff00ff"
PERSONAL = ("client_ip", "user_agent", "principal_name")
ENTRY = {
    "@timestamp": "2026-11-23T08:00:00.000001Z",
    "client_ip": "203.0.113.9",
    "creation_date": "2026-11-23T08:00:00Z",
    "schema_version": SCHEMA_VERSION,
    "target": "6Yk2",
    "type": "credentials_created",
}

names = st.sampled_from(["creation_date", "journal", "seq", "schema_version", "client_ip", "hash", "salts", "x"])
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
        "schema_version": st.sampled_from(["1.0", "1.7", SCHEMA_VERSION]),
        "creation_date": st.sampled_from(["2026-11-23T08:00:01Z", "never", ""]),
    },
)


def sealed(entry: dict[str, Any], seq: int = 12) -> bytes:
    return Draft(dict(entry), PERSONAL).seal(JOURNAL, seq, ZERO_HASH)[1]


@pytest.mark.parametrize("agent", [None, "curl/8", "Zoë's phone"])
def test_what_writers_write_needs_no_parsing(agent: str | None) -> None:
    raw = sealed({**ENTRY, "user_agent": agent, "details": {"n": 1}} if agent else {**ENTRY, "details": {"n": 1}})
    entry = read_line(raw)
    assert _glance(raw, JOURNAL) == Line(JOURNAL, 12, entry["hash"], entry["creation_date"], raw)


@given(fields)
def test_a_glance_says_what_parsing_says_or_nothing(more: dict[str, Any]) -> None:
    raw = sealed({**ENTRY, **more})
    glanced, entry = _glance(raw, JOURNAL), read_line(raw)
    if glanced is not None:
        assert glanced[:4] == (entry["journal"], entry["seq"], entry["hash"], entry["creation_date"])
    [line] = parse_lines(Path(JOURNAL) / "1.ndjson", 0, raw + b"\n")
    assert line == Line(entry["journal"], entry["seq"], entry["hash"], entry["creation_date"], raw)
    assert isinstance(line, Line)
    assert line.entry == orjson.loads(raw)


@pytest.mark.parametrize("position", range(len(sealed(ENTRY))))
def test_any_byte_changed_is_damage(position: int) -> None:
    changed = bytearray(sealed(ENTRY))
    changed[position] ^= 1
    if changed[position] == ord("\n"):
        changed[position] ^= 4
    assert _glance(bytes(changed), JOURNAL) is None
    [line] = parse_lines(Path(JOURNAL) / "1.ndjson", 100, bytes(changed) + b"\n")
    assert isinstance(line, Damaged)
    assert (line.offset, line.raw) == (100, bytes(changed))


def test_the_line_of_another_journal_keeps_its_own_name() -> None:
    [line] = parse_lines(Path("another") / "1.ndjson", 0, sealed(ENTRY) + b"\n")
    assert isinstance(line, Line)
    assert line.journal == JOURNAL
