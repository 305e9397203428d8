"""The data: entries for programs as JSON, and for spreadsheets as CSV; the same questions, the same gate."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from ..export import FORMS, pieces
from .question import Question
from .rendering import refusal
from .visit import visit_of

__all__ = ["EXPORT_LIMIT", "entries_json", "entry_json", "export_csv"]

EXPORT_LIMIT = 500_000
"""Entries of one CSV file, the newest first; its name says when there were more."""

_PAGE = 200


def entries_json(request: Request) -> Response:
    """A page of entries, as journalled, and `next`: the value of `after` for the page of older ones, or null."""
    parameters = request.query_params.multi_items()
    question = Question.of((name, value) for name, value in parameters if name != "after")
    found = visit_of(request).client.page(question.filter(), after=request.query_params.get("after"), size=_PAGE)
    return JSONResponse({"entries": found.entries, "next": found.next})


def entry_json(request: Request) -> Response:
    """One entry, as journalled."""
    name = request.path_params["entry_id"]
    found = visit_of(request).client.get(name)
    return refusal(request, 404, f"There is no entry {name}.") if found is None else JSONResponse(found)


def export_csv(request: Request) -> Response:
    """What the question finds, as a file. A failure on the way breaks the download off: never a file cut short."""
    question = Question.of(request.query_params.multi_items())
    client = visit_of(request).client
    asked = question.filter()
    client.note_export(asked, form="csv")
    count = client.count(asked)
    chunks = pieces(FORMS["csv"], client.search(asked, limit=EXPORT_LIMIT))
    headers = {"Content-Disposition": f'attachment; filename="{_file_name(count)}"'}
    return StreamingResponse(_begun(chunks), media_type="text/csv; charset=utf-8", headers=headers)


def _begun(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same, after the first entries were read: what fails until there becomes an error page."""
    first = [chunk for _, chunk in zip(range(2), chunks, strict=False)]

    def all_of_it() -> Iterator[bytes]:
        yield from first
        yield from chunks

    return all_of_it()


def _file_name(count: int) -> str:
    time = datetime.now(UTC).strftime("%Y-%m-%dT%H%M%SZ")
    return f"audit-logs-{time}" + (f"-newest-{EXPORT_LIMIT}-of-{count}" if count > EXPORT_LIMIT else "") + ".csv"
