"""The survey: which journals are stored, from which `seq` to which, in which partitions; by it a slice is read fast."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..search.requests import Asking

__all__ = ["Part", "settled_survey", "survey"]

_AT_ONCE = 1000
_REFRESH = (0.5, 1.0, 1.5)
"""Seconds to wait for what was just stored: OpenSearch shows it to searches after a second, unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one partition holds of one journal: `entries` of them, from `first` to `last`; 0 where none has a number.

    `journal` is empty for documents that name none, `numbered` says how many have a `seq` at all.
    """

    journal: str
    index: str
    entries: int
    numbered: int
    first: int
    last: int
    latest: float
    """When the latest of them was recorded, in milliseconds since 1970."""


def settled_survey(
    asking: Asking, indices: str, journal: str | None, expected: Mapping[str, int], pause: Callable[[float], None]
) -> list[Part]:
    """The survey, once searches see up to the entries of each journal that are expected; after some tries as it is."""
    for seconds in _REFRESH:
        parts = survey(asking, indices, journal)
        seen: dict[str, int] = {}
        for part in parts:
            seen[part.journal] = max(seen.get(part.journal, 0), part.last)
        if all(seen.get(name, 0) >= last for name, last in expected.items() if journal in (None, name)):
            return parts
        pause(seconds)
    return survey(asking, indices, journal)


def survey(asking: Asking, indices: str, journal: str | None = None) -> list[Part]:
    """Raises `OpenSearchError`."""
    query: Mapping[str, Any] = {"term": {"journal": journal}} if journal else {"match_all": {}}
    sources = [
        {"journal": {"terms": {"field": "journal", "missing_bucket": True}}},
        {"index": {"terms": {"field": "_index"}}},
    ]
    seqs = {
        "first": {"min": {"field": "seq"}},
        "last": {"max": {"field": "seq"}},
        "numbered": {"value_count": {"field": "seq"}},
        "latest": {"max": {"field": "@timestamp"}},
    }
    found: list[Part] = []
    after: dict[str, Any] = {}
    while True:
        parts = {"composite": {"size": _AT_ONCE, "sources": sources, **after}, "aggs": seqs}
        answer = asking.ask({"size": 0, "query": query, "aggs": {"parts": parts}}, indices).get("aggregations")
        if answer is None:  # no partition yet
            return found
        for bucket in answer["parts"]["buckets"]:
            key, numbers = bucket["key"], {name: bucket[name]["value"] or 0 for name in seqs}
            found.append(
                Part(
                    key["journal"] or "",
                    key["index"],
                    bucket["doc_count"],
                    int(numbers["numbered"]),
                    int(numbers["first"]),
                    int(numbers["last"]),
                    float(numbers["latest"]),
                )
            )
        if "after_key" not in answer["parts"]:
            return found
        after = {"after": answer["parts"]["after_key"]}
