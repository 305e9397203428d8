"""The export formats: one table that the command line, the tab and the documentation share; and CSV and Parquet.

CSV is for spreadsheets: UTF-8 with a byte order mark, so that Excel reads names correctly, RFC 4180 lines, and a
header. The platform's ten documented fields come first, then the other fields of an entry and its ID. Objects are JSON.

What a spreadsheet would run as a formula gets an apostrophe in front (OWASP, "CSV injection"), at the beginning of a
value and after anything that may start a new cell: a semicolon, which is the separator in half of Europe, where quotes
around a value inside a line do not count either; a tab; a line break. No other change is made to a value, and
`unguarded` reverts it: a value that began with an apostrophe before such a text has two.

Parquet has a typed column for each field: times are timestamps, `seq` is a number, objects are JSON. It needs pyarrow
(the extra `whodid[parquet]`), which is imported only when it is used.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from ..entry import FIELDS, PLATFORM_FIELDS, TARGET_KEYS, Field, entry_id
from ..errors import ExportError, QueryError
from ..integrity import MAX_DEPTH
from ..text import did_you_mean, json_bytes, json_text, levels, valid
from .ecs import cef, cloudevents, ecs, opentelemetry
from .nested import moment
from .ocsf import ocsf

__all__ = ["COLUMNS", "FORMS", "HEAD", "Columns", "Entry", "Form", "Lines", "form_of", "lines", "pieces", "unguarded"]

COLUMNS = (
    *PLATFORM_FIELDS,
    *(name for name, field in FIELDS.items() if name not in PLATFORM_FIELDS and field.kind != "stored"),
    "entry_id",
)
_BREAKS = "\t\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029"
_SEPARATORS = ";" + _BREAKS
_FILLING = rf"(?:[^\S{_SEPARATORS}]|[\"\x01-\x08\x0e-\x1b\x7f\u200b-\u200d\u2060\ufeff])*"
"""Characters that may precede a formula in a cell."""
_RUN = r"\-=+@" + "＝＋－＠﹢﹣﹦﹫\N{MINUS SIGN}"
_FIRST = rf"(?='*{_FILLING}[{_RUN}\t\r\n])"
_INNER = rf"(?='*{_FILLING}[{_RUN}])"
_RUN_AT_FIRST = re.compile(_FIRST)
_BEFORE_A_FORMULA = re.compile(rf"([{_SEPARATORS}]){_INNER}")
_GUARD = re.compile(rf"\A'{_FIRST}|(?<=[{_SEPARATORS}])'{_INNER}")
_FIELDS = COLUMNS[:-1]
_BYTE_ORDER_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"


def lines(entries: Sequence[Mapping[str, Any]]) -> bytes:
    """Converts entries to CSV lines."""
    return _written(_row(entry) for entry in entries)


def _row(entry: Mapping[str, Any]) -> list[str]:
    get = entry.get
    cells = [
        # Fast path: most values are plain text, and calling `_cell` for each would dominate the cost.
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
    """Returns the original value of a cell."""
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
"""The beginning of a CSV file."""


Entry = Mapping[str, Any]
"""An entry as it was recorded."""

Lines = Callable[[Sequence[Entry]], bytes]
"""Converts entries to lines."""

_BATCH = 500
_LONG = 2**63


@dataclass(frozen=True, slots=True)
class Form:
    """One format: `lines` converts entries, and a file begins with `head`."""

    name: str
    suffixes: tuple[str, ...]
    """The file suffixes that select it."""
    media_type: str
    about: str
    lines: Lines | None
    """`None` for Parquet, which does not consist of lines."""
    head: bytes = b""


def _json(entries: Iterable[Mapping[str, Any]]) -> bytes:
    return b"".join([json_bytes(entry) + b"\n" for entry in entries])


def _each(made: Callable[[Entry], dict[str, Any]]) -> Lines:
    return lambda entries: _json(made(_of_known_kinds(entry)) for entry in entries)


def _of_known_kinds(entry: Entry) -> Entry:
    """The entry, with values that no entry has (of a wrong type, or nested too deeply) as JSON text.

    A foreign document then has a line in every format, whatever it contains.
    """
    if all(map(_is_known_kind, entry, entry.values())):
        return entry
    return {
        name.replace(".", "_") if known or name != "seq" else "seq_text": value if known else json_text(value)
        for name, value in entry.items()
        for known in (_is_known_kind(name, value),)
    }


def _is_known_kind(name: str, value: object) -> bool:
    field = FIELDS.get(name)
    if field is None or value is None:
        return field is not None
    if field.kind in {"flat_object", "stored"}:
        return isinstance(value, dict) and levels(value) <= MAX_DEPTH + 1
    if isinstance(value, list):
        return len(value) <= field.many > 1 and all(_is_one_of(field, one) for one in value)
    return type(value) is int and abs(value) < _LONG if field.kind == "long" else isinstance(value, str)


def _is_one_of(field: Field, value: object) -> bool:
    """Whether a list of the field may hold it."""
    if field.kind != "objects":
        return isinstance(value, str)
    return isinstance(value, dict) and TARGET_KEYS.keys() >= value.keys() and set(map(type, value.values())) <= {str}


def _cef(entries: Iterable[Entry]) -> bytes:
    return b"".join([cef(_of_known_kinds(entry)).encode() + b"\n" for entry in entries])


_NDJSON, _TEXT = "application/x-ndjson", "text/plain; charset=utf-8"

FORMS = {
    form.name: form
    for form in (
        Form("ndjson", (".ndjson", ".jsonl"), _NDJSON, "entries as recorded, one JSON object a line", _json),
        Form("csv", (".csv",), "text/csv; charset=utf-8", "a table for spreadsheets", lines, HEAD),
        Form(
            "parquet",
            (".parquet",),
            "application/vnd.apache.parquet",
            "columns for analysis, with types; needs whodid[parquet]",
            None,
        ),
        Form("ecs", (".ecs.ndjson",), _NDJSON, "Elastic Common Schema 9, one JSON object a line", _each(ecs)),
        Form("ocsf", (".ocsf.ndjson",), _NDJSON, "Open Cybersecurity Schema Framework 1.9, JSON lines", _each(ocsf)),
        Form("cloudevents", (".cloudevents.ndjson",), _NDJSON, "CloudEvents 1.0, JSON lines", _each(cloudevents)),
        Form("otlp", (".otlp.ndjson",), _NDJSON, "OpenTelemetry logs in OTLP/JSON, one a line", _each(opentelemetry)),
        Form("cef", (".cef",), _TEXT, "Common Event Format of ArcSight and others, one a line", _cef),
    )
}
"""Name → form."""


def form_of(path: str | Path, name: str | None = None) -> tuple[Form, bool]:
    """Returns the format of a file, and whether it is compressed (`.gz`). Raises `QueryError`."""
    file = Path(path).name.lower()
    compressed = file.endswith(".gz")
    if name is not None:
        if name not in FORMS:
            raise QueryError(f"unknown format {name!r}{did_you_mean(name, FORMS)}; formats are {', '.join(FORMS)}")
        form = FORMS[name]
    else:
        bare = file.removesuffix(".gz")
        fitting = [(suffix, form) for form in FORMS.values() for suffix in form.suffixes if bare.endswith(suffix)]
        if not fitting:
            known = ", ".join(suffix for form in FORMS.values() for suffix in form.suffixes)
            raise QueryError(
                f"the suffix of {Path(path).name} selects no format; use one of {known}, or name the format"
            )
        form = max(fitting, key=lambda found: len(found[0]))[1]
    if compressed and form.lines is None:
        raise QueryError(f"{form.name} is already compressed; remove .gz")
    return form, compressed


def pieces(form: Form, entries: Iterable[Entry]) -> Iterator[bytes]:
    """Yields an export in pieces of a few hundred lines, as entries arrive. Raises `QueryError` for Parquet."""
    if form.lines is None:
        raise QueryError(f"{form.name} can't be streamed; write it to a file")
    remaining = iter(entries)
    if form.head:
        yield form.head
    while batch := list(islice(remaining, _BATCH)):
        yield form.lines(batch)


class Columns:
    """Writes entries into an open Parquet file; each list becomes a row group."""

    def __init__(self, file: IO[bytes]) -> None:
        """Raises `ExportError` if pyarrow is not installed."""
        try:
            import pyarrow
            from pyarrow.parquet import ParquetWriter
        except ImportError:
            raise ExportError('Parquet needs an extra: pip install "whodid[parquet]"') from None
        self._arrow = pyarrow
        types = {
            "date": pyarrow.timestamp("s", tz="UTC"),
            "date_nanos": pyarrow.timestamp("us", tz="UTC"),
            "long": pyarrow.int64(),
        }
        columns = [(name, types.get(field.kind, pyarrow.string())) for name, field in FIELDS.items()]
        self._schema = pyarrow.schema([*columns, ("entry_id", pyarrow.string())])
        self._writer = ParquetWriter(file, self._schema, compression="zstd")

    def __enter__(self) -> Columns:
        return self

    def __exit__(self, _type: type[BaseException] | None, error: object, _traceback: TracebackType | None) -> None:
        with suppress(OSError) if error else nullcontext():  # the first error counts
            self._writer.close()

    def add(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """Appends a row group."""
        arrow, schema = self._arrow, self._schema
        columns = [arrow.array([_value(entry, field.name) for entry in entries], field.type) for field in schema]
        self._writer.write_batch(arrow.RecordBatch.from_arrays(columns, schema=schema))


def _value(entry: Mapping[str, Any], name: str) -> Any:
    if name == "entry_id":
        return valid(entry_id(entry)) or None
    value = entry.get(name)
    kind = FIELDS[name].kind
    if value is None:
        return None
    if kind == "long":
        return value if type(value) is int and abs(value) < _LONG else None
    if kind in {"date", "date_nanos"}:
        return moment(value)
    return valid(value if isinstance(value, str) else json_text(value))
