"""The data: entries for programs as JSON, and as files; the same questions, the same gate."""

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
from .request import Question, json_answer, refusal, visit_of
from .shares import Shares, person_of

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
"""Entries of one file, the newest first; its name says when there were more."""

EXPORTS, ALL_EXPORTS = 3, 50
"""Exports that one person, and all of them together, may have under way: each holds a point in time, of which a node
of OpenSearch has 300."""

_STALLED = 60.0
"""Seconds after which a client that takes nothing of its download has gone."""

_PAGE = 200
_SUGGESTIONS = 12


def entries_json(request: Request) -> Response:
    """A page of entries, as journalled, and `next`: the value of `after` for the page of older ones, or null."""
    parameters = request.query_params.multi_items()
    question = Question.of((name, value) for name, value in parameters if name != "after")
    found = visit_of(request).client.page(question.filter(), after=request.query_params.get("after"), size=_PAGE)
    return json_answer({"entries": found.entries, "next": found.next})


def entry_json(request: Request) -> Response:
    """One entry, as journalled."""
    name = request.path_params["entry_id"]
    found = visit_of(request).client.get(name)
    return refusal(request, 404, f"There is no entry {name}.") if found is None else json_answer(found)


def complete_json(request: Request) -> Response:
    """What may come next in the query `q`, at whose end the cursor is: `start`, `text` and `about` of each."""
    found = complete(request.query_params.get("q", ""), {"type": request.app.state.types})
    return json_answer([one._asdict() for one in found[:_SUGGESTIONS]])


def export_csv(request: Request) -> Response:
    """What the question finds, as a table for spreadsheets."""
    return _export(request, FORMS["csv"])


def export_ndjson(request: Request) -> Response:
    """What the question finds, as it was journalled."""
    return _export(request, FORMS["ndjson"])


def _export(request: Request, form: Form) -> Response:
    """A file. A failure on the way breaks the download off: never a file cut short. `X-Entries` says how many come."""
    exports: Shares = request.app.state.exports
    person = person_of(request)
    if not exports.take(person):
        text = f"You have {EXPORTS} exports under way, or all of you {ALL_EXPORTS}: let one end, and try again."
        return refusal(request, 429, text, {"Retry-After": "60"})
    with ExitStack() as ended:
        ended.callback(exports.give_back, person)
        answer = _file(request, form, ended)
        answer.ended = ended.pop_all()
    return answer


def _file(request: Request, form: Form, ended: ExitStack) -> _Download:
    question = Question.of(request.query_params.multi_items())
    client = visit_of(request).client
    asked = question.filter()
    client.note_export(asked, form=form.name)
    count = client.count(asked)
    found = client.search(asked, limit=EXPORT_LIMIT)
    ended.callback(found.close)
    file = pieces(form, found)
    first = [piece for _, piece in zip(range(2), file, strict=False)]  # what fails until here becomes an error page
    headers = {
        "Content-Disposition": f'attachment; filename="{_file_name(count)}.{form.name}"',
        "X-Entries": str(min(count, EXPORT_LIMIT)),
    }
    return _Download(chain(first, file), media_type=form.media_type, headers=headers)


class _Download(StreamingResponse):
    """However it ends, what it holds is given back at once; a client that stops reading ends it."""

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
