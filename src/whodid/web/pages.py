"""The pages: the table of entries, and one entry with everything that is known of it.

The difference: what changed between `before` and `after`, key by key.

The keeping: what the pages say of the retention in force; `None` stands for one that this user may not know.

The picture: entries over time as bars that lead to their time, and the most frequent values as links.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, Literal, NamedTuple

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ..entry import FIELDS, why_unreadable
from ..errors import QueryError, WhodidError
from ..integrity import MAX_DEPTH, entry_hash
from ..retention.schedule import RetentionView
from ..search import Page, Stats
from ..search.stats import INTERVALS
from ..text import json_text, printable
from .data import EXPORT_LIMIT
from .request import ANY_TIME, LINKED, RANGES, Question, page, refusal, visit_of

__all__ = [
    "COLUMNS",
    "FACETS",
    "TOP",
    "BarLink",
    "Facet",
    "Line",
    "bars_of",
    "difference",
    "entries",
    "entry",
    "facets_of",
    "newest",
    "rule",
    "span_of",
    "until",
]


class Line(NamedTuple):
    """One key, with dots between those of objects in objects; values as text, `None` where there is none."""

    key: str
    before: str | None
    after: str | None

    @property
    def kind(self) -> Literal["same", "added", "removed", "changed"]:
        if self.before == self.after:
            return "same"
        if self.before is None:
            return "added"
        return "removed" if self.after is None else "changed"


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Line]:
    """Every key of either, what differs first; beyond the levels that an entry may have, a value is shown whole."""
    old, new = dict(_flat(before)), dict(_flat(after))
    lines = [_line(key, old, new) for key in dict.fromkeys([*old, *new])]
    return sorted(lines, key=lambda line: line.kind == "same")


def _line(key: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Line:
    """Texts stand without quotes, unless `1` and `"1"` would then look alike."""
    values = [side[key] for side in (old, new) if key in side]
    alike = len(values) > 1 and len(set(map(_text, values))) == 1
    before, after = (
        (json_text(side[key]) if alike else _text(side[key])) if key in side else None for side in (old, new)
    )
    return Line(key, before, after) if before != after else Line(key, *map(_text, values))


def _text(value: object) -> str:
    return value if isinstance(value, str) else json_text(value)


def _flat(image: Mapping[str, Any], path: str = "", level: int = 1) -> Iterator[tuple[str, Any]]:
    for key, value in image.items():
        if isinstance(value, Mapping) and value and level <= MAX_DEPTH:
            yield from _flat(value, f"{path}{printable(key)}.", level + 1)
        else:
            yield f"{path}{printable(key)}", value


def rule(view: RetentionView | None) -> str:
    """How long entries are kept, on one line; empty where this user may not know."""
    if view is None:
        return ""
    rule = "for ever" if view.floor_days is None else f"{view.floor_days} to {view.ceiling_days} days"
    if view.still_deleted:
        rule = "as long as ISM's copies of an old policy say"
    return f"kept {rule}" + (", but see `whodid retention show`" if view.problems else "")


def until(view: RetentionView | None, entry: Mapping[str, Any], partition: str, *, of_all: bool) -> str:
    """Until when an entry is kept. Only who sees the entries `of_all` organizations is told of holds: a hold may be
    for one of them, and keeps partitions of each."""
    if view is None:
        return "not shown to this user"
    if of_all and (holds := view.holds_on(partition)):
        return f"as long as it is held ({', '.join(holds)})"
    try:
        dates = view.kept_until(str(entry.get("creation_date")), partition if of_all else "")
    except (ValueError, OverflowError):
        return "not known: its creation date is none"
    if dates is not None and not of_all:
        return f"{dates[0]:%Y-%m-%d} at least"
    if dates is None:
        return "for ever" if view.enforced_by != "nothing" else "for ever: there is no retention policy yet"
    floor, ceiling = dates
    return f"{floor:%Y-%m-%d} at least; its partition goes on {ceiling:%Y-%m-%d}"


FACETS = ("type", "principal", "organization_id", "outcome")
"""Fields whose most frequent values are shown, as many as `TOP` of each."""

TOP = 6
HEIGHT = 100
MOST_BARS = 366
_SHAPES = {"second": "%Y-%m-%d %H:%M:%S", "minute": "%Y-%m-%d %H:%M", "hour": "%Y-%m-%d %H:00", "month": "%Y-%m"}


class BarLink(NamedTuple):
    """A bar: its place from the left, its height of `HEIGHT`, what it stands for, and the question of its time."""

    place: int
    height: float
    label: str
    url: str


class Facet(NamedTuple):
    """The values of one field: text, count, share of the most frequent in percent, and the question of that value.

    `approximate` where there are too many values to be sure of their counts.
    """

    field: str
    label: str
    values: list[tuple[str, int, int, str]]
    approximate: bool = False


def bars_of(stats: Stats, question: Question) -> list[BarLink]:
    """A bar for each stretch of time; those without entries have no height. None where they would be too many, as one
    entry of 1970 that something else stored would make them."""
    if len(stats.histogram) > MOST_BARS:
        return []
    largest = max((bar.count for bar in stats.histogram), default=0)
    shape = _SHAPES.get(stats.interval, "%Y-%m-%d")
    return [
        BarLink(
            place,
            max(HEIGHT * bar.count / largest, 3) if bar.count else 0,
            f"{bar.start.strftime(shape)}: {bar.count:,} {'entry' if bar.count == 1 else 'entries'}",
            question.within(bar.start, _end(bar.start, stats.interval)).url(),
        )
        for place, bar in enumerate(stats.histogram)
    ]


def facets_of(stats: Stats, question: Question) -> list[Facet]:
    """Fields with more than one value among what was found."""
    return [
        Facet(name, name.removesuffix("_id"), _values(name, counts, question), name in stats.approximate)
        for name, counts in stats.top.items()
        if len(counts) > 1 and name in FIELDS
    ]


def span_of(stats: Stats) -> str:
    """From when to when there are entries, and how wide a bar is."""
    if stats.first is None or stats.last is None:
        return ""
    return f"{stats.first:%Y-%m-%d %H:%M} to {stats.last:%Y-%m-%d %H:%M} UTC, by {stats.interval}"


def _values(name: str, counts: Mapping[str, int], question: Question) -> list[tuple[str, int, int, str]]:
    largest = max(counts.values())
    return [
        (value, count, round(100 * count / largest), question.also(name, value).url())
        for value, count in counts.items()
    ]


def _end(start: datetime, interval: str) -> datetime:
    if interval != "month":
        return start + INTERVALS[interval]
    return (start.replace(day=1) + timedelta(days=32)).replace(day=1)


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
        retention=rule(client.known_retention()),
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
        kept=until(client.known_retention(), found, hit["_index"], of_all=not visit.organizations),
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
