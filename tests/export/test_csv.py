"""CSV exports, read back as a spreadsheet would."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whodid.entry import FIELDS, PLATFORM_FIELDS
from whodid.export import FORMS, pieces
from whodid.export.forms import COLUMNS, unguarded

ENTRY = {
    "type": "credentials_accessed",
    "target": "6Yk2",
    "principal": "42",
    "creation_date": "2026-11-23T08:00:00Z",
    "details": {"b": [1, None], "ä": "ß"},
    "seq": 7,
    "journal": "5d0c21f3a9b84e67",
    "hash": "ab" * 32,
}


def read(*entries: dict[str, Any]) -> list[dict[str, str]]:
    text = b"".join(pieces(FORMS["csv"], entries))
    return list(csv.DictReader(io.StringIO(text.decode("utf-8-sig"), newline="")))


def test_the_platform_s_fields_come_first_and_every_other_searchable_one_follows() -> None:
    assert COLUMNS[:10] == PLATFORM_FIELDS
    assert set(COLUMNS) == {name for name, field in FIELDS.items() if field.kind != "stored"} | {"entry_id"}


def test_values_are_read_back_as_they_were_and_objects_as_json() -> None:
    [row] = read(ENTRY)
    assert (row["target"], row["status"], row["seq"]) == ("6Yk2", "", "7")
    assert row["details"] == '{"b": [1, null], "ä": "ß"}'
    assert row["entry_id"] == "5d0c21f3a9b84e67-000000000007-abababababababab"


@pytest.mark.parametrize(
    "start",
    [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "\tx",
        "\rx",
        "\nx",
        "  =1",
        "＝1",
        "＠x",
        "－1",
        "＋1",
        "﹦1",
        "\N{MINUS SIGN}1",
        "\xa0=1",
        "\N{ZERO WIDTH SPACE}=1",
        '"=1',
        ' "=1',
        "'=1",
        "''-1",
        "\x01=1",
        "\ufeff=1",
    ],
)
def test_no_value_is_run_as_a_formula(start: str) -> None:
    [row] = read({**ENTRY, "status": start})
    assert row["status"] == "'" + start


@pytest.mark.parametrize(
    "value", ['a"b', "a,b;c", "two\r\nlines", "a'=b", "1=1", '",=cmd|', "'x", "a; b", "a;b=1", "a\n\nb", "x;'", "it's"]
)
def test_other_values_stay_as_they_are_in_their_own_cell(value: str) -> None:
    [row] = read({**ENTRY, "status": value})
    assert (row["status"], row["target"]) == (value, "6Yk2")


def test_an_entry_that_whodid_did_not_write_has_no_id() -> None:
    [row] = read({"type": "x"})
    assert (row["type"], row["entry_id"]) == ("x", "")


def test_many_entries_come_in_pieces_with_one_header() -> None:
    chunks = list(pieces(FORMS["csv"], (dict(ENTRY, seq=n) for n in range(1201))))
    assert len(chunks) == 4
    assert [row["seq"] for row in read(*(dict(ENTRY, seq=n) for n in range(1201)))] == [str(n) for n in range(1201)]


@pytest.mark.parametrize("separator", [";", "\t", "\n", "\r\n", "\r", "\f", "\N{LINE SEPARATOR}", "\x85"])
@pytest.mark.parametrize("formula", ["=1+1", "-1", "＠x", ' "=1"', "'=1", "\xa0+1"])
def test_nothing_behind_a_separator_of_any_locale_is_run_as_a_formula(separator: str, formula: str) -> None:
    """In half of Europe a semicolon parts cells, and quotes in the middle of a line do not count then."""
    [row] = read({**ENTRY, "status": f"a{separator}{formula}", "details": {"a": ";=1"}})
    assert row["status"] == f"a{separator}'{formula}"
    assert row["details"] == """{"a": ";'=1"}"""


@given(st.text(st.sampled_from("=+-@＝;\t\r\n '\"a,\x85\u2028\xa0\ufeff"), max_size=12))
def test_each_value_can_be_read_back(value: str) -> None:
    [row] = read({**ENTRY, "status": value})
    assert unguarded(row["status"]) == value
    for cell in re.split("[;\t\r\n\x85\u2028]", row["status"]):
        assert not re.match('[ "\xa0\ufeff]*[=+@＝-]', cell)


def test_the_id_of_an_entry_that_something_else_wrote_is_no_formula() -> None:
    [row] = read({**ENTRY, "journal": "=cmd|' /C calc'!A0"})
    assert row["entry_id"].startswith("'=")
