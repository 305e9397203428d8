"""The pages of the tab: the table of entries with its charts, and the page of one entry with its changes and retention.

The retention is `None` if the user may not know it.
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
from ..text import json_text, printable, shown
from .data import EXPORT_LIMIT
from .request import ANY_TIME, LINKED, RANGES, Question, access_of, page, refusal

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
    "kept_until",
    "newest",
    "retention_text",
    "span_of",
]


LINES = 500
"""Maximum number of lines of a comparison."""
_LONGEST_KEY = 100
"""Maximum number of characters that are shown of one key."""


class Line(NamedTuple):
    """A key (keys of nested objects are joined by dots) and its values before and after, `None` if absent."""

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


_Path = tuple[str, ...]


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Line]:
    """Compare two objects key by key, differences first; objects beyond the maximum depth are compared as a whole.

    Each line repeats the keys above it, so long keys are cut, and so is the list: a page would otherwise grow with the
    square of the document. A last line says how many are not shown.
    """
    old, new = dict(_flat(before)), dict(_flat(after))
    lines = [_line(path, old, new) for path in dict.fromkeys([*old, *new])]
    lines.sort(key=lambda line: line.kind == "same")
    if len(lines) > LINES:
        lines[LINES:] = [Line(f"… and {len(lines) - LINES:,} more, which the JSON of the entry has", None, None)]
    return lines


def _line(path: _Path, old: Mapping[_Path, Any], new: Mapping[_Path, Any]) -> Line:
    """Show texts without quotes, unless that would make `1` and `"1"` look the same."""
    values = [side[path] for side in (old, new) if path in side]
    alike = len(values) > 1 and len(set(map(_text, values))) == 1
    before, after = (
        (json_text(side[path]) if alike else _text(side[path])) if path in side else None for side in (old, new)
    )
    key = ".".join(printable(shown(_both_ends(each))) for each in path)
    return Line(key, before, after) if before != after else Line(key, *map(_text, values))


def _both_ends(key: str) -> str:
    """Keys that begin alike must not look the same."""
    return key if len(key) <= _LONGEST_KEY else f"{key[: _LONGEST_KEY - 21]}…{key[-20:]}"


def _text(value: object) -> str:
    return value if isinstance(value, str) else json_text(value)


def _flat(image: Mapping[str, Any], above: _Path = ()) -> Iterator[tuple[_Path, Any]]:
    for key, value in image.items():
        if isinstance(value, Mapping) and value and len(above) < MAX_DEPTH:
            yield from _flat(value, (*above, key))
        else:
            yield (*above, key), value


def retention_text(view: RetentionView | None) -> str:
    """Describe how long entries are kept, on one line; empty if the user may not know."""
    if view is None:
        return ""
    period = "forever" if view.floor_days is None else f"for {view.floor_days} to {view.ceiling_days} days"
    if view.still_deleted:
        period = "as long as ISM's copies of an old policy say"
    return f"kept {period}" + (", but with problems: see `whodid retention show`" if view.problems else "")


def kept_until(view: RetentionView | None, entry: Mapping[str, Any], partition: str, *, of_all: bool) -> str:
    """Describe until when an entry is kept.

    Holds are shown only to users who may read the entries `of_all` organizations, because a hold may concern one
    organization and applies to partitions of all of them.
    """
    if view is None:
        return "not visible to this user"
    if of_all and (holds := view.holds_on(partition)):
        return f"until its hold is released ({', '.join(holds)})"
    try:
        dates = view.kept_until(str(entry.get("creation_date")), partition if of_all else "")
    except (ValueError, OverflowError):
        return "unknown: no valid creation date"
    if dates is None:
        return "forever" if view.enforced_by != "nothing" else "forever: no retention policy is set up yet"
    floor, ceiling = dates
    at_least = f"at least {floor:%Y-%m-%d}"
    return f"{at_least}; deleted with its partition on {ceiling:%Y-%m-%d}" if of_all else at_least


FACETS = ("type", "principal", "organization_id", "outcome")
"""Fields whose `TOP` most frequent values are shown."""

TOP = 6
HEIGHT = 100
MAX_BARS = 366
_SHAPES = {"second": "%Y-%m-%d %H:%M:%S", "minute": "%Y-%m-%d %H:%M", "hour": "%Y-%m-%d %H:00", "month": "%Y-%m"}


class BarLink(NamedTuple):
    """A bar of the histogram: its position, its height (up to `HEIGHT`), its label, and the URL of its time span."""

    place: int
    height: float
    label: str
    url: str


class Facet(NamedTuple):
    """The values of one field: text, count, percentage of the largest count, and the URL that filters by the value.

    `approximate` if the field has too many values for exact counts.
    """

    field: str
    label: str
    values: list[tuple[str, int, int, str]]
    approximate: bool = False


def bars_of(stats: Stats, question: Question) -> list[BarLink]:
    """Return a bar for each interval; none if there would be too many, as a single entry of 1970 would cause."""
    if len(stats.histogram) > MAX_BARS:
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
    """Return the fields that have more than one value among the matching entries."""
    return [
        Facet(name, name.removesuffix("_id"), _values(name, counts, question), name in stats.approximate)
        for name, counts in stats.top.items()
        if len(counts) > 1 and name in FIELDS
    ]


def span_of(stats: Stats) -> str:
    """Describe the time span of the matching entries, and the interval of a bar."""
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
"""Entries that a live page loads to find new ones."""
RELATED = 20
"""Maximum number of related entries that are shown."""

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
"""Fields with their own input, and its label, in the order of the table."""


def entries(request: Request) -> Response:
    """Show a page of the matching entries, newest first."""
    parameters = request.query_params.multi_items()
    after = request.query_params.get("after")
    question = Question.of((name, value) for name, value in parameters if name != "after")
    if any(value in {"", ANY_TIME} for _, value in parameters):
        # Remove the empty fields of the form from the URL.
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
    client = access_of(request).client
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
        found = client.page(asked, cursor=after, size=PAGE)
        stats = client.stats(asked, group_by=FACETS, top=TOP)
    except QueryError as error:
        return page(request, "entries.html", 400, **values, **nothing, problem=str(error))
    return page(
        request,
        "entries.html",
        **values,
        found=found,
        rows=_rows(request, found),
        count=stats.total,
        bars=bars_of(stats, question) if len(stats.histogram) > 1 else [],
        facets=facets_of(stats, question),
        span=span_of(stats),
        problem="",
        why_nothing=None if stats.total else client.why_nothing(asked),
        retention=retention_text(client.known_retention()),
    )


def newest(request: Request) -> Response:
    """Return the rows of the newest matching entries, for a live page."""
    question = Question.of(request.query_params.multi_items())
    found = access_of(request).client.page(question.filter(), size=NEWEST)
    return page(request, "newest.html", rows=_rows(request, found))


def entry(request: Request) -> Response:
    """Show one entry."""
    access = access_of(request)
    client = access.client
    name = request.path_params["entry_id"]
    hit = client.hit(name)
    if hit is None:
        return refusal(request, 404, f"Entry {name} not found: it is not shipped yet, was deleted, or never existed.")
    found = hit["_source"]
    before, after = found.get("before"), found.get("after")
    known = request.app.state.known.get(str(found.get("type")))
    return page(
        request,
        "entry.html",
        entry=_complete(found),
        original=found,
        name=name,
        about=known.about if known else "",
        sentence=request.app.state.catalog.sentence(found),
        partition=hit["_index"],
        badge=_badge(found),
        kept=kept_until(client.known_retention(), found, hit["_index"], of_all=not access.organizations),
        around=[other and _complete(other) for other in client.around(found)],
        related=list(map(_complete, client.correlated(found, limit=RELATED))),
        changes=difference(before, after) if isinstance(before, dict) and isinstance(after, dict) else [],
    )


def _complete(entry: dict[str, Any]) -> dict[str, Any]:
    """Add the missing fields as `None`."""
    return dict.fromkeys(FIELDS) | entry


def _rows(request: Request, found: Page) -> list[dict[str, Any]]:
    """Return complete entries with `stored_as` (the ID), `problem` (empty if the hash verifies) and `sentence`."""
    rows = []
    for entry, name in zip(found.entries, found.ids, strict=True):
        kind, words = _badge(entry)
        shown_with = {"stored_as": name, "problem": words if kind == "bad" else ""}
        rows.append(_complete(entry) | shown_with | {"sentence": request.app.state.catalog.sentence(entry)})
    return rows


def _badge(entry: dict[str, Any]) -> tuple[str, str]:
    """Return "good" or "bad" and a text: whether the content of the entry matches its hash.

    `whodid verify` checks whether the hash is the one that was journalled.
    """
    unreadable = why_unreadable(entry)
    if unreadable:
        return "bad", unreadable
    try:
        matches = entry_hash(entry) == entry.get("hash")
    except (WhodidError, ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError):
        matches = False
    return ("good", "hash verified") if matches else ("bad", "hash mismatch")
