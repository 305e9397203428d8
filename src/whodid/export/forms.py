"""The forms: one table of what an export can be, shared by command line, tab and docs.

CSV, for spreadsheets.

UTF-8 with a byte order mark, so that Excel reads names right; RFC 4180 lines; a header line; the seed's ten fields
first, then every other field of an entry and its ID; objects as JSON.

What a spreadsheet would run as a formula gets an apostrophe in front (OWASP, "CSV injection"): at the beginning of a
value, and behind what may begin a cell of its own. That is a semicolon, which is the separator in half of Europe, where
quotes around a value in the middle of a line do not count either; a tab; and a line break. It is the only change ever
made to a value, and `unguarded` takes it back: what had an apostrophe there before has two.

Parquet: a column for each field, with its type: times as timestamps, `seq` as a number, objects as JSON.

Made by pyarrow (the extra `whodid[parquet]`).
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

from ..entry import FIELDS, SEED_FIELDS, entry_id
from ..errors import ExportError, QueryError
from ..integrity import MAX_DEPTH
from ..text import did_you_mean, json_bytes, json_text, levels, valid
from .ecs import cloudevents, ecs, opentelemetry
from .nested import moment
from .ocsf import ocsf

__all__ = ["COLUMNS", "FORMS", "HEAD", "Columns", "Entry", "Form", "Lines", "form_of", "lines", "pieces", "unguarded"]

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


Entry = Mapping[str, Any]
"""An entry as it was journalled."""

Lines = Callable[[Sequence[Entry]], bytes]
"""Makes the bytes of some entries, lines each."""

_BATCH = 500
_LONG = 2**63


@dataclass(frozen=True, slots=True)
class Form:
    """One form: `lines` makes the bytes of some entries, `head` is what a file begins with."""

    name: str
    suffixes: tuple[str, ...]
    """Ends of file names that choose it; none where it has to be named."""
    media_type: str
    about: str
    lines: Lines | None
    """`None` for a form that isn't lines, and has a writer of its own."""
    head: bytes = b""


def _json(entries: Iterable[Mapping[str, Any]]) -> bytes:
    return b"".join([json_bytes(entry) + b"\n" for entry in entries])


def _each(made: Callable[[Entry], dict[str, Any]]) -> Lines:
    return lambda entries: _json(made(_of_known_kinds(entry)) for entry in entries)


def _of_known_kinds(entry: Entry) -> Entry:
    """The entry, with what no entry holds (of another kind than its field, or nested too deeply) as JSON in a text.

    So a document that something else stored has its line in every form, whatever is in it.
    """
    if all(map(_is_known_kind, entry, entry.values())):
        return entry
    return {
        name.replace(".", "_"): value if _is_known_kind(name, value) else json_text(value)
        for name, value in entry.items()
    }


def _is_known_kind(name: str, value: object) -> bool:
    field = FIELDS.get(name)
    if field is None or value is None:
        return field is not None
    if field.kind in {"flat_object", "stored"}:
        return isinstance(value, dict) and levels(value) <= MAX_DEPTH + 1
    return type(value) is int and abs(value) < _LONG if field.kind == "long" else isinstance(value, str)


_NDJSON = "application/x-ndjson"

FORMS = {
    form.name: form
    for form in (
        Form("ndjson", (".ndjson", ".jsonl"), _NDJSON, "entries as journalled, one JSON object a line", _json),
        Form("csv", (".csv",), "text/csv; charset=utf-8", "a table for spreadsheets", lines, HEAD),
        Form(
            "parquet",
            (".parquet",),
            "application/vnd.apache.parquet",
            "columns for analysis, with types; needs whodid[parquet]",
            None,
        ),
        Form("ecs", (".ecs.ndjson",), _NDJSON, "Elastic Common Schema 9, one JSON object a line", _each(ecs)),
        Form("ocsf", (".ocsf.ndjson",), _NDJSON, "Open Cybersecurity Schema Framework 1.9, the same", _each(ocsf)),
        Form(
            "cloudevents",
            (".cloudevents.ndjson",),
            _NDJSON,
            "CloudEvents 1.0 in JSON, the same",
            _each(cloudevents),
        ),
        Form("otlp", (".otlp.ndjson",), _NDJSON, "OpenTelemetry logs, OTLP/JSON, the same", _each(opentelemetry)),
    )
}
"""Name → form."""


def form_of(path: str | Path, name: str | None = None) -> tuple[Form, bool]:
    """The form of a file, and whether it is compressed (`.gz`). Raises `QueryError`."""
    file = Path(path).name.lower()
    compressed = file.endswith(".gz")
    if name is not None:
        if name not in FORMS:
            raise QueryError(f"there is no form {name}{did_you_mean(name, FORMS)}; forms are {', '.join(FORMS)}")
        form = FORMS[name]
    else:
        bare = file.removesuffix(".gz")
        fitting = [(suffix, form) for form in FORMS.values() for suffix in form.suffixes if bare.endswith(suffix)]
        if not fitting:
            known = ", ".join(suffix for form in FORMS.values() for suffix in form.suffixes)
            raise QueryError(
                f"the name {Path(path).name} doesn't say in which form; let it end in {known}, or name one"
            )
        form = max(fitting, key=lambda found: len(found[0]))[1]
    if compressed and form.lines is None:
        raise QueryError(f"{form.name} is compressed inside; leave .gz out")
    return form, compressed


def pieces(form: Form, entries: Iterable[Entry]) -> Iterator[bytes]:
    """The file of a form that is lines, in pieces of some hundred lines, as the entries come."""
    if form.lines is None:
        raise QueryError(f"{form.name} can't be streamed; write it into a file")
    remaining = iter(entries)
    if form.head:
        yield form.head
    while batch := list(islice(remaining, _BATCH)):
        yield form.lines(batch)


try:
    import pyarrow
    import pyarrow.parquet
except ImportError:
    raise ExportError('Parquet needs an extra: pip install "whodid[parquet]"') from None


_TYPES = {
    "date": pyarrow.timestamp("s", tz="UTC"),
    "date_nanos": pyarrow.timestamp("us", tz="UTC"),
    "long": pyarrow.int64(),
}
_SCHEMA = pyarrow.schema(
    [
        *((name, _TYPES.get(field.kind, pyarrow.string())) for name, field in FIELDS.items()),
        ("entry_id", pyarrow.string()),
    ]
)


class Columns:
    """Writes entries into a Parquet file that is open; each list becomes a row group."""

    def __init__(self, file: IO[bytes]) -> None:
        self._writer = pyarrow.parquet.ParquetWriter(file, _SCHEMA, compression="zstd")

    def __enter__(self) -> Columns:
        return self

    def __exit__(self, _type: type[BaseException] | None, error: object, _traceback: TracebackType | None) -> None:
        with suppress(OSError) if error else nullcontext():  # what went wrong first is what counts
            self._writer.close()

    def add(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """Puts them behind those that are there."""
        columns = [pyarrow.array([_value(entry, field.name) for entry in entries], field.type) for field in _SCHEMA]
        self._writer.write_batch(pyarrow.RecordBatch.from_arrays(columns, schema=_SCHEMA))


def _value(entry: Mapping[str, Any], name: str) -> Any:
    if name == "entry_id":
        return valid(entry_id(entry)) or None
    value = entry.get(name)
    kind = FIELDS[name].kind
    if value is None:
        return None
    if kind in _TYPES:
        return (value if type(value) is int and abs(value) < _LONG else None) if kind == "long" else moment(value)
    return valid(value if isinstance(value, str) else json_text(value))
