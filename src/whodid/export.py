"""The export: entries as CSV for spreadsheets.

UTF-8 with a byte order mark, so that Excel reads names right; RFC 4180 lines; a header line; the seed's ten fields
first, then every other field of an entry and its ID; objects as JSON. A value that a spreadsheet would run as a formula
gets an apostrophe in front (OWASP, "CSV injection"), the only change ever made to a value.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from .display import json_text
from .entry import FIELDS, SEED_FIELDS, entry_id

__all__ = ["CSV_COLUMNS", "csv_chunks"]

CSV_COLUMNS = (
    *SEED_FIELDS,
    *(name for name, field in FIELDS.items() if name not in SEED_FIELDS and field.kind != "stored"),
    "entry_id",
)
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")
_ROWS = 500
_BYTE_ORDER_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"


def csv_chunks(entries: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The file, in pieces of some hundred lines, as the entries come."""
    remaining = iter(entries)
    yield _BYTE_ORDER_MARK + _lines([CSV_COLUMNS])
    while rows := [_row(entry) for entry in islice(remaining, _ROWS)]:
        yield _lines(rows)


def _lines(rows: Iterable[Iterable[str]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _row(entry: Mapping[str, Any]) -> list[str]:
    row = [_cell(entry.get(name)) for name in CSV_COLUMNS[:-1]]
    return [*row, entry_id(entry)]


def _cell(value: object) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json_text(value)
    return "'" + text if text.lstrip(" ").startswith(_FORMULA) else text
