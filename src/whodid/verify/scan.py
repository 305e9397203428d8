"""The scan: the stored entries of one journal in the order of their `seq`, those of one number together.

A window of numbers is asked for at a time, of the partitions that the survey says hold some of them: OpenSearch then
touches only what it gives out, however much is stored. Sorting by more than the number would take a third of the time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..search.requests import Asking
from .survey import Part

__all__ = ["WINDOW", "hits_of", "unnumbered"]

WINDOW = 1000
_ORDER = [{"seq": "asc"}]
_MOST = 10_000
"""Hits that OpenSearch gives at once."""


def hits_of(asking: Asking, parts: Sequence[Part], first: int, last: int) -> Iterator[dict[str, Any]]:
    """Search hits of a journal's entries `first` to `last`. Raises `OpenSearchError`."""
    at = first
    while at <= last:
        here = [part for part in parts if part.first <= last and part.last >= at]
        if not here:
            return
        at = max(at, min(part.first for part in here))
        until = min(at + WINDOW - 1, last)
        names = sorted({part.index for part in here if part.first <= until})
        yield from _window(asking, parts[0].journal, ",".join(names), at, until)
        at = until + 1


def _window(asking: Asking, journal: str, indices: str, first: int, last: int) -> Iterator[dict[str, Any]]:
    """Those of a window, which is halved where there are more than there can be without copies and forks."""
    wanted = [{"term": {"journal": journal}}, {"range": {"seq": {"gte": first, "lte": last}}}]
    size = _MOST if first == last else 2 * (last - first + 1)
    body: dict[str, Any] = {
        "query": {"bool": {"filter": wanted}},
        "sort": _ORDER,
        "size": size,
        "track_total_hits": False,
    }
    hits = asking.ask(body, indices)["hits"]["hits"]
    if len(hits) < size or first == last:
        yield from hits
        return
    middle = (first + last) // 2
    yield from _window(asking, journal, indices, first, middle)
    yield from _window(asking, journal, indices, middle + 1, last)


def unnumbered(asking: Asking, parts: Sequence[Part], limit: int = 1000) -> list[dict[str, Any]]:
    """Documents of a journal that have no `seq`, or none that an entry can have. Raises `OpenSearchError`."""
    names = sorted({part.index for part in parts if part.numbered < part.entries or part.first < 1})
    if not names:
        return []
    journal = parts[0].journal
    mine = {"term": {"journal": journal}} if journal else {"bool": {"must_not": {"exists": {"field": "journal"}}}}
    odd = {"bool": {"should": [{"bool": {"must_not": {"exists": {"field": "seq"}}}}, {"range": {"seq": {"lt": 1}}}]}}
    wanted = [mine, odd] if journal else [mine]
    body = {"query": {"bool": {"filter": wanted}}, "size": limit, "sort": ["_doc"]}
    hits: list[dict[str, Any]] = asking.ask(body, ",".join(names))["hits"]["hits"]
    return hits
