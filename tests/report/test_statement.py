"""The statement: its digest is that of the formats, and any byte that changed shows."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from whodid.errors import ReportError
from whodid.report.statement import digest_of, made_plain, read_statement, statement

CONTENT: dict[str, Any] = {
    "format": 1,
    "period": {"since": "2026-10-01T00:00:00Z", "until": "2026-11-01T00:00:00Z"},
    "made": {"at": "2026-11-02T08:00:00Z", "signed_by": ""},
    "summary": {"findings": 0},
    "holds": [{"reason": "Zoë\u2028\u202e😀"}],
}

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters()), inner, max_size=3),
    max_leaves=12,
)


@given(anything)
def test_whatever_was_stored_becomes_json_that_has_one_form(value: Any) -> None:
    plain = made_plain(value)
    assert json.loads(rfc8785.dumps(plain)) == plain


def test_what_is_nested_without_end_is_cut() -> None:
    value: list[Any] = []
    value.append(value)
    assert json.dumps(made_plain(value)).count("[") == 21


def test_the_digest_is_that_of_the_rest_in_rfc_8785_form() -> None:
    whole = json.loads(statement(CONTENT, b"<p>", "october.html"))
    assert whole.pop("html") == {"file": "october.html", "sha256": sha256(b"<p>").hexdigest(), "bytes": 3}
    digest = whole.pop("digest")
    assert whole == CONTENT
    assert digest == sha256(rfc8785.dumps(whole)).hexdigest() == digest_of(CONTENT)


def test_characters_that_can_t_be_printed_are_escaped() -> None:
    text = statement(CONTENT, b"", "x.html").decode()
    assert 'Zoë\\u2028\\u202e😀"' in text


def test_what_was_written_is_read() -> None:
    data = statement(CONTENT, b"", "x.html")
    content, findings = read_statement(data, "x.json")
    assert findings == []
    assert {name: content[name] for name in CONTENT} == CONTENT


def test_every_byte_counts() -> None:
    data = statement(CONTENT, b"", "x.html")
    unseen = []
    for place in range(len(data)):
        changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        try:
            _, findings = read_statement(changed, "x.json")
        except ReportError:
            continue
        # The three that tie the HTML to it are compared with the HTML itself, or say nothing.
        if not findings and b'"html"' in data[:place]:
            continue
        if not findings:
            unseen.append(place)
    assert unseen == []


@pytest.mark.parametrize("change", [b" ", b"\n", b"{}"], ids=repr)
def test_anything_added_is_another(change: bytes) -> None:
    data = statement(CONTENT, b"", "x.html")
    if change == b"{}":
        with pytest.raises(ReportError, match="not a report of whodid"):
            read_statement(data + change, "x.json")
    else:
        assert read_statement(data + change, "x.json")[1] == ["its JSON differs from what was written"]


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{", b"\xff", b"null", b'{"format": 1}', b"[" * 200_000, b'{"format": 1, "period": 5, "made": []}'],
    ids=lambda data: repr(data[:20]),
)
def test_what_is_no_report_is_refused(data: bytes) -> None:
    with pytest.raises(ReportError, match=r"x\.json is not a report of whodid, or is damaged"):
        read_statement(data, "x.json")


def test_a_later_format_is_refused_with_advice() -> None:
    data = statement({**CONTENT, "format": 2}, b"", "x.html")
    with pytest.raises(ReportError, match="has format 2, but this whodid reads format 1; upgrade whodid"):
        read_statement(data, "x.json")
