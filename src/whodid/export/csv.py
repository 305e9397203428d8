"""CSV, for spreadsheets.

UTF-8 with a byte order mark, so that Excel reads names right; RFC 4180 lines; a header line; the seed's ten fields
first, then every other field of an entry and its ID; objects as JSON.

What a spreadsheet would run as a formula gets an apostrophe in front (OWASP, "CSV injection"): at the beginning of a
value, and behind what may begin a cell of its own. That is a semicolon, which is the separator in half of Europe, where
quotes around a value in the middle of a line do not count either; a tab; and a line break. It is the only change ever
made to a value, and `unguarded` takes it back: what had an apostrophe there before has two.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..entry import FIELDS, SEED_FIELDS, entry_id
from ..text import json_text

__all__ = ["COLUMNS", "HEAD", "lines", "unguarded"]

COLUMNS = (
    *SEED_FIELDS,
    *(name for name, field in FIELDS.items() if name not in SEED_FIELDS and field.kind != "stored"),
    "entry_id",
)
_BREAKS = "\t\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029"
_SEPARATORS = ";" + _BREAKS
_FILLING = rf"(?:[^\S{_SEPARATORS}]|[\"\x01-\x08\x0e-\x1b\x7f\u200b-\u200d\u2060\ufeff])*"
"""What may stand between the beginning of a cell and a formula."""
_RUN = r"\-=+@" + "＝＋－＠﹢﹣﹦﹫\N{MINUS SIGN}"
_FIRST = rf"(?='*{_FILLING}[{_RUN}\t\r\n])"
_INNER = rf"(?='*{_FILLING}[{_RUN}])"
_RUN_AT_FIRST = re.compile(_FIRST)
_BEFORE_A_FORMULA = re.compile(rf"([{_SEPARATORS}]){_INNER}")
_GUARD = re.compile(rf"\A'{_FIRST}|(?<=[{_SEPARATORS}])'{_INNER}")
_FIELDS = COLUMNS[:-1]
_BYTE_ORDER_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"


def lines(entries: Sequence[Mapping[str, Any]]) -> bytes:
    """A line for each entry."""
    return _written(_row(entry) for entry in entries)


def _row(entry: Mapping[str, Any]) -> list[str]:
    get = entry.get
    cells = [
        # Most are text that no spreadsheet would run; a call for each would cost more than all the rest.
        ("" if value is None else value if type(value) is str and value[:1].isalnum() else _cell(value))
        for name in _FIELDS
        for value in (get(name),)
    ]
    cells.append(_cell(entry_id(entry)))
    whole = "".join(cells)
    if any(map(whole.__contains__, _BREAKS)):
        return [_inside(cell) for cell in cells]
    return [_inside(cell) if ";" in cell else cell for cell in cells] if ";" in whole else cells


def _inside(cell: str) -> str:
    return _BEFORE_A_FORMULA.sub(r"\1'", cell) if _BEFORE_A_FORMULA.search(cell) else cell


def unguarded(cell: str) -> str:
    """The value that a cell was made of."""
    return _GUARD.sub("", cell)


def _written(rows: Iterable[Iterable[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode(errors="backslashreplace")  # a lone surrogate, as in JSON


def _cell(value: object) -> str:
    if type(value) is int:
        return str(value)
    text = value if isinstance(value, str) else json_text(value)
    return "'" + text if _RUN_AT_FIRST.match(text) else text


HEAD = _BYTE_ORDER_MARK.encode() + _written([COLUMNS])
"""What a file begins with."""
