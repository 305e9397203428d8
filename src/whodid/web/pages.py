"""The pages: the table of entries, and one entry with everything that is known of it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ..entry import FIELDS, why_unreadable
from ..errors import QueryError, WhodidError
from ..integrity import entry_hash
from ..search import Page
from . import kept
from .data import EXPORT_LIMIT
from .difference import difference
from .picture import FACETS, TOP, bars_of, facets_of, span_of
from .question import ANY_TIME, LINKED, RANGES, Question
from .rendering import page, refusal
from .visit import visit_of

__all__ = ["COLUMNS", "entries", "entry", "newest"]

PAGE = 50
NEWEST = 200
"""Entries that are looked at for new ones by a page that is live."""
RELATED = 20
"""Entries of the same cascade, operation, request or trace that are shown."""

COLUMNS = (
    ("type", "Type"),
    ("target", "Target"),
    ("principal", "Principal"),
    ("status", "Status"),
    ("organization_id", "Organization ID"),
    ("organization_name", "Organization name"),
    ("workspace_id", "Workspace ID"),
    ("workspace_name", "Workspace name"),
    ("client_ip", "Client IP"),
)
"""Fields that have an input of their own, with their labels, in the order of the table."""


def entries(request: Request) -> Response:
    """The table: entries that answer the question, newest first, a page of them."""
    parameters = request.query_params.multi_items()
    after = request.query_params.get("after")
    question = Question.of((name, value) for name, value in parameters if name != "after")
    if any(value in {"", ANY_TIME} for _, value in parameters):
        # A form, whose empty fields are no part of the question.
        return RedirectResponse(f"{request.scope.get('root_path', '')}/{question.url()}", HTTPStatus.SEE_OTHER)
    values: dict[str, Any] = {
        "question": question,
        "columns": COLUMNS,
        "ranges": RANGES,
        "types": request.app.state.types,
        "after": after,
        "export_limit": EXPORT_LIMIT,
        "linked": LINKED,
    }
    client = visit_of(request).client
    nothing: dict[str, Any] = {
        "found": None,
        "rows": [],
        "count": 0,
        "bars": [],
        "facets": [],
        "span": "",
        "retention": None,
    }
    try:
        asked = question.filter()
        found = client.page(asked, after=after, size=PAGE)
        stats = client.stats(asked, by=FACETS, top=TOP)
    except QueryError as error:
        return page(request, "entries.html", 400, **values, **nothing, problem=str(error))
    return page(
        request,
        "entries.html",
        **values,
        found=found,
        rows=_rows(found),
        count=stats.total,
        bars=bars_of(stats, question) if len(stats.histogram) > 1 else [],
        facets=facets_of(stats, question),
        span=span_of(stats),
        problem="",
        retention=kept.rule(client.known_retention()),
    )


def newest(request: Request) -> Response:
    """The rows of the newest entries that answer the question, for a page that is live."""
    question = Question.of(request.query_params.multi_items())
    found = visit_of(request).client.page(question.filter(), size=NEWEST)
    return page(request, "newest.html", rows=_rows(found))


def entry(request: Request) -> Response:
    """One entry."""
    visit = visit_of(request)
    client = visit.client
    name = request.path_params["entry_id"]
    hit = client.hit(name)
    if hit is None:
        return refusal(request, 404, f"There is no entry {name}: it is not shipped yet, was deleted, or never was.")
    found = hit["_source"]
    known = request.app.state.known.get(str(found.get("type")))
    return page(
        request,
        "entry.html",
        entry=_complete(found),
        original=found,
        name=name,
        about=known.about if known else "",
        partition=hit["_index"],
        badge=_badge(found),
        kept=kept.until(client.known_retention(), found, hit["_index"], of_all=not visit.organizations),
        around=client.around(found),
        related=list(client.correlated(found, limit=RELATED)),
        changes=difference(found["before"], found["after"]) if _has_both(found) else [],
    )


def _has_both(entry: dict[str, Any]) -> bool:
    return isinstance(entry.get("before"), dict) and isinstance(entry.get("after"), dict)


def _complete(entry: dict[str, Any]) -> dict[str, Any]:
    """The entry with `None` for each field that it lacks."""
    return dict.fromkeys(FIELDS) | entry


def _rows(found: Page) -> list[dict[str, Any]]:
    """Complete entries, each with `stored_as`, its ID, and `problem`: what is wrong with it, or nothing."""
    return [
        _complete(entry) | {"stored_as": name, "problem": _problem(entry)}
        for entry, name in zip(found.entries, found.ids, strict=True)
    ]


def _problem(entry: dict[str, Any]) -> str:
    kind, words = _badge(entry)
    return words if kind == "bad" else ""


def _badge(entry: dict[str, Any]) -> tuple[str, str]:
    """Whether the entry is what its hash was made of, good or bad, and in words.

    Whether the hash is the one that was journalled, `whodid verify` says.
    """
    unreadable = why_unreadable(entry)
    if unreadable:
        return "bad", unreadable
    try:
        fits = entry_hash(entry) == entry.get("hash")
    except (WhodidError, ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError):
        fits = False
    return ("good", "fits its hash") if fits else ("bad", "does not fit its hash")
