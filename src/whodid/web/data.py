"""Endpoints for programs: entries as JSON, completion of queries, and exports."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import chain

from anyio import CancelScope, fail_after
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from ..export import FORMS, Form, pieces
from ..search.grammar import complete
from .limits import Limits, person_of
from .request import Question, access_of, json_answer, refusal

__all__ = [
    "ALL_EXPORTS",
    "EXPORTS",
    "EXPORT_LIMIT",
    "complete_json",
    "entries_json",
    "entry_json",
    "export_csv",
    "export_ndjson",
]

EXPORT_LIMIT = 500_000
"""Maximum number of entries in a file, newest first; the name of the file says if there were more."""

EXPORTS, ALL_EXPORTS = 3, 50
"""Maximum numbers of concurrent exports per person and in total; each uses one of the 300 points in time of a node."""

_STALLED = 60.0
"""Seconds after which a download is closed if the client reads nothing."""

_PAGE = 200
_SUGGESTIONS = 12


def entries_json(request: Request) -> Response:
    """Return a page of entries as journalled, and `next`: the value of `after` for the next older page, or null."""
    parameters = request.query_params.multi_items()
    question = Question.of((name, value) for name, value in parameters if name != "after")
    found = access_of(request).client.page(question.filter(), cursor=request.query_params.get("after"), size=_PAGE)
    return json_answer({"entries": found.entries, "next": found.next})


def entry_json(request: Request) -> Response:
    """Return one entry as journalled."""
    name = request.path_params["entry_id"]
    found = access_of(request).client.get(name)
    return refusal(request, 404, f"Entry {name} not found.") if found is None else json_answer(found)


def complete_json(request: Request) -> Response:
    """Return completions of the query `q` at its end: `start`, `text` and `about` of each."""
    found = complete(request.query_params.get("q", ""), {"type": request.app.state.types})
    return json_answer([one._asdict() for one in found[:_SUGGESTIONS]])


def export_csv(request: Request) -> Response:
    """Export the matching entries as a table for spreadsheets."""
    return _export(request, FORMS["csv"])


def export_ndjson(request: Request) -> Response:
    """Export the matching entries as journalled."""
    return _export(request, FORMS["ndjson"])


def _export(request: Request, form: Form) -> Response:
    """Export to a file; an error aborts the download, so that no file looks complete. `X-Entries` is the count."""
    exports: Limits = request.app.state.exports
    person = person_of(request)
    if not exports.acquire(person):
        text = f"Too many exports are running ({EXPORTS} per user, {ALL_EXPORTS} in total); try again later."
        return refusal(request, 429, text, {"Retry-After": "60"})
    with ExitStack() as ended:
        ended.callback(exports.release, person)
        answer = _file(request, form, ended)
        answer.ended = ended.pop_all()
    return answer


def _file(request: Request, form: Form, ended: ExitStack) -> _Download:
    question = Question.of(request.query_params.multi_items())
    client = access_of(request).client
    asked = question.filter()
    client.note_export(asked, form=form.name)
    count = client.count(asked)
    found = client.search(asked, limit=EXPORT_LIMIT)
    ended.callback(found.close)
    file = pieces(form, found)
    first = [piece for _, piece in zip(range(2), file, strict=False)]  # errors until here are shown as a page
    headers = {
        "Content-Disposition": f'attachment; filename="{_file_name(count)}.{form.name}"',
        "X-Entries": str(min(count, EXPORT_LIMIT)),
    }
    return _Download(chain(first, file), media_type=form.media_type, headers=headers)


class _Download(StreamingResponse):
    """A download that releases its resources whenever it ends, and ends if the client stops reading."""

    ended: ExitStack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            with fail_after(_STALLED):
                await send(message)

        try:
            await super().__call__(scope, receive, send_in_time)
        finally:
            with CancelScope(shield=True):  # closing the point in time is a request to the cluster
                await run_in_threadpool(self.ended.close)


def _file_name(count: int) -> str:
    time = datetime.now(UTC).strftime("%Y-%m-%dT%H%M%SZ")
    return f"audit-logs-{time}" + (f"-newest-{EXPORT_LIMIT}-of-{count}" if count > EXPORT_LIMIT else "")
