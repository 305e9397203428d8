"""CSV, for spreadsheets.

UTF-8 with a byte order mark, so that Excel reads names right; RFC 4180 lines; a header line; the seed's ten fields
first, then every other field of an entry and its ID; objects as JSON. A value that a spreadsheet would run as a formula
gets an apostrophe in front (OWASP, "CSV injection"), the only change ever made to a value.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..display import json_text
from ..entry import FIELDS, SEED_FIELDS, entry_id

__all__ = ["COLUMNS", "HEAD", "lines"]

COLUMNS = (
    *SEED_FIELDS,
    *(name for name, field in FIELDS.items() if name not in SEED_FIELDS and field.kind != "stored"),
    "entry_id",
)
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")
_SUSPECT = frozenset((*_FORMULA, " "))
_FIELDS = COLUMNS[:-1]
_BYTE_ORDER_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"


def lines(entries: Sequence[Mapping[str, Any]]) -> bytes:
    """A line for each entry."""
    return _written(_row(entry) for entry in entries)


def _row(entry: Mapping[str, Any]) -> list[str]:
    get = entry.get
    cells = [
        # Most are text that no spreadsheet would run; a call for each would cost more than all the rest.
        ("" if value is None else value if type(value) is str and value[:1] not in _SUSPECT else _cell(value))
        for name in _FIELDS
        for value in (get(name),)
    ]
    cells.append(entry_id(entry))
    return cells


def _written(rows: Iterable[Iterable[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _cell(value: object) -> str:
    if type(value) is int:
        return str(value)
    text = value if isinstance(value, str) else json_text(value)
    return "'" + text if text.lstrip(" ").startswith(_FORMULA) else text


HEAD = _BYTE_ORDER_MARK.encode() + _written([COLUMNS])
"""What a file begins with."""
