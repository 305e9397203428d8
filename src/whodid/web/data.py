"""The data: entries for programs as JSON, and as files; the same questions, the same gate."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from ..export import FORMS, Form, pieces
from ..query.completion import complete
from .question import Question
from .rendering import refusal
from .visit import visit_of

__all__ = ["EXPORT_LIMIT", "complete_json", "entries_json", "entry_json", "export_csv", "export_ndjson"]

EXPORT_LIMIT = 500_000
"""Entries of one file, the newest first; its name says when there were more."""

_PAGE = 200
_SUGGESTIONS = 12


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


def complete_json(request: Request) -> Response:
    """What may come next in the query `q`, at whose end the cursor is: `start`, `text` and `about` of each."""
    found = complete(request.query_params.get("q", ""), {"type": request.app.state.types})
    return JSONResponse([one._asdict() for one in found[:_SUGGESTIONS]])


def export_csv(request: Request) -> Response:
    """What the question finds, as a table for spreadsheets."""
    return _export(request, FORMS["csv"])


def export_ndjson(request: Request) -> Response:
    """What the question finds, as it was journalled."""
    return _export(request, FORMS["ndjson"])


def _export(request: Request, form: Form) -> Response:
    """A file. A failure on the way breaks the download off: never a file cut short. `X-Entries` says how many come."""
    question = Question.of(request.query_params.multi_items())
    client = visit_of(request).client
    asked = question.filter()
    client.note_export(asked, form=form.name)
    count = client.count(asked)
    found = pieces(form, client.search(asked, limit=EXPORT_LIMIT))
    headers = {
        "Content-Disposition": f'attachment; filename="{_file_name(count)}.{form.name}"',
        "X-Entries": str(min(count, EXPORT_LIMIT)),
    }
    return StreamingResponse(_begun(found), media_type=form.media_type, headers=headers)


def _begun(found: Iterator[bytes]) -> Iterator[bytes]:
    """The same, after the first entries were read: what fails until there becomes an error page."""
    first = [piece for _, piece in zip(range(2), found, strict=False)]

    def all_of_it() -> Iterator[bytes]:
        yield from first
        yield from found

    return all_of_it()


def _file_name(count: int) -> str:
    time = datetime.now(UTC).strftime("%Y-%m-%dT%H%M%SZ")
    return f"audit-logs-{time}" + (f"-newest-{EXPORT_LIMIT}-of-{count}" if count > EXPORT_LIMIT else "")
