"""The forms: one table of what an export can be, shared by command line, tab and docs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from ..entry import FIELDS
from ..errors import QueryError
from ..integrity import MAX_DEPTH
from ..text import did_you_mean, json_bytes, json_text, levels
from . import csv
from .cloudevents import cloudevents
from .ecs import ecs
from .ocsf import ocsf
from .opentelemetry import opentelemetry

__all__ = ["FORMS", "Entry", "Form", "Lines", "form_of", "pieces"]

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
        Form("csv", (".csv",), "text/csv; charset=utf-8", "a table for spreadsheets", csv.lines, csv.HEAD),
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
