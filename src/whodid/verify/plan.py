"""What is checked of a journal: the survey of stored entries, their slices, and the processes that walk them.

The survey says which partitions hold which numbers of a journal. Entries are then read in windows of numbers, each from
the partitions that hold some of them, so that a window costs the same however much is stored. Sorting by more than the
number would take a third of the time. With one worker, slices are walked in this process.
"""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from ..cluster.connection import connect
from ..cluster.template import index_pattern
from ..proof.checkpoint import Checkpoint
from ..search import AuditClient, Window, window_of
from ..search.filter import filter_of
from ..search.requests import Searcher, read_ahead
from ..settings import Settings
from .checkpoints import TrustedCheckpoints, letters_of
from .walk import Anchor, Slice, Walked, walk

__all__ = [
    "SLICE",
    "WINDOW",
    "Part",
    "Plan",
    "Task",
    "hits_of",
    "planned",
    "settled_survey",
    "stored_in",
    "survey",
    "unnumbered",
    "walked",
    "windows",
]

_AT_ONCE = 1000
_REFRESH = (0.5, 1.0, 1.5)
"""Seconds to wait for what was just stored: by default, searches find it after a second."""


@dataclass(frozen=True, slots=True)
class Part:
    """The entries of one journal in one partition, from `first` to `last`; both are 0 if none has a `seq`.

    `journal` is empty for documents that name none. `numbered` says how many have a `seq`.
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
    searcher: Searcher, indices: str, journal: str | None, expected: Mapping[str, int], pause: Callable[[float], None]
) -> list[Part]:
    """The survey, repeated a few times until searches find the expected last entry of each journal."""
    for seconds in _REFRESH:
        parts = survey(searcher, indices, journal)
        seen: dict[str, int] = {}
        for part in parts:
            seen[part.journal] = max(seen.get(part.journal, 0), part.last)
        if all(seen.get(name, 0) >= last for name, last in expected.items() if journal in (None, name)):
            return parts
        pause(seconds)
    return survey(searcher, indices, journal)


def survey(searcher: Searcher, indices: str, journal: str | None = None) -> list[Part]:
    """What each partition holds of each journal, or of one. Raises `OpenSearchError`."""
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
        answer = searcher.search({"size": 0, "query": query, "aggs": {"parts": parts}}, indices).get("aggregations")
        if answer is None:  # no partition yet
            return found
        for bucket in answer["parts"]["buckets"]:
            key = bucket["key"]
            first, last, numbered = (int(bucket[name]["value"] or 0) for name in ("first", "last", "numbered"))
            latest = float(bucket["latest"]["value"] or 0)
            found.append(Part(key["journal"] or "", key["index"], bucket["doc_count"], numbered, first, last, latest))
        if "after_key" not in answer["parts"]:
            return found
        after = {"after": answer["parts"]["after_key"]}


WINDOW = 1000
_ORDER = [{"seq": "asc"}]
_MOST = 10_000
"""Hits that OpenSearch gives at once."""


def hits_of(searcher: Searcher, parts: Sequence[Part], first: int, last: int) -> Iterator[dict[str, Any]]:
    """The search hits of a journal's entries `first` to `last`, in order. Raises `OpenSearchError`.

    Where nothing is stored it jumps to what comes next: one document may claim any number.
    """
    at = first
    while at <= last:
        here = [part for part in parts if part.first <= last and part.last >= at]
        if not here:
            return
        at = max(at, min(part.first for part in here))
        until = min(at + WINDOW - 1, last)
        names = sorted({part.index for part in here if part.first <= until})
        found = False
        for hit in _window(searcher, parts[0].journal, ",".join(names), at, until):
            found = True
            yield hit
        at = until + 1 if found else next_stored(searcher, here, until + 1, last) or last + 1


def next_stored(searcher: Searcher, parts: Sequence[Part], first: int, last: int) -> int | None:
    """The lowest number of a stored entry from `first` to `last`. Raises `OpenSearchError`."""
    if first > last:
        return None
    body = {**_between(parts[0].journal, first, last), "sort": _ORDER, "size": 1, "_source": False}
    hits = searcher.search(body, ",".join(sorted({part.index for part in parts})))["hits"]["hits"]
    return int(hits[0]["sort"][0]) if hits else None


def stored_in(searcher: Searcher, journal: str, without: Collection[int], partition: str, first: int, last: int) -> int:
    """How many documents with the numbers `first` to `last`, but those, a partition holds. Raises `OpenSearchError`."""
    body = {**_between(journal, first, last), "size": 0, "track_total_hits": True}
    if resent := [seq for seq in without if first <= seq <= last]:
        body["query"]["bool"]["must_not"] = [{"terms": {"seq": resent}}]
    return int(searcher.search(body, partition)["hits"]["total"]["value"])


def _between(journal: str, first: int, last: int) -> dict[str, Any]:
    wanted = [{"term": {"journal": journal}}, {"range": {"seq": {"gte": first, "lte": last}}}]
    return {"query": {"bool": {"filter": wanted}}, "track_total_hits": False}


def _window(searcher: Searcher, journal: str, indices: str, first: int, last: int) -> Iterator[dict[str, Any]]:
    """The hits of a window. It is halved if copies and forks make too many hits."""
    size = _MOST if first == last else 2 * (last - first + 1)
    body = {**_between(journal, first, last), "sort": _ORDER, "size": size}
    hits = searcher.search(body, indices)["hits"]["hits"]
    if len(hits) < size or first == last:
        yield from hits
        return
    middle = (first + last) // 2
    yield from _window(searcher, journal, indices, first, middle)
    yield from _window(searcher, journal, indices, middle + 1, last)


def unnumbered(searcher: Searcher, parts: Sequence[Part], limit: int = 1000) -> list[dict[str, Any]]:
    """Documents of a journal that have no `seq`, or none that an entry can have. Raises `OpenSearchError`."""
    journal = parts[0].journal
    names = sorted({part.index for part in parts if not journal or part.numbered < part.entries or part.first < 1})
    if not names:
        return []
    wanted = [_without("journal", {"term": {"journal": ""}})]
    if journal:
        wanted = [{"term": {"journal": journal}}, _without("seq", {"range": {"seq": {"lt": 1}}})]
    body = {"query": {"bool": {"filter": wanted}}, "size": limit, "sort": ["_doc"]}
    hits: list[dict[str, Any]] = searcher.search(body, ",".join(names))["hits"]["hits"]
    return hits


def _without(field: str, as_good_as: dict[str, Any]) -> dict[str, Any]:
    return {"bool": {"should": [{"bool": {"must_not": {"exists": {"field": field}}}}, as_good_as]}}


@dataclass(frozen=True, slots=True)
class Task:
    """A slice, and the partitions that hold its journal."""

    job: Slice
    parts: tuple[Part, ...]


def walked(tasks: Sequence[Task], searcher: Searcher, settings: Settings, workers: int) -> Iterator[Walked]:
    """The tasks' results, in their order. Raises `OpenSearchError`."""
    if workers < 2 or len(tasks) < 2:
        for task in tasks:
            with closing(read_ahead(_hits(task, searcher), WINDOW)) as blocks:
                yield walk(task.job, chain.from_iterable(blocks))
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(tasks)), context, _start_worker, (settings,)) as pool:
        under_way: deque[Future[Walked]] = deque()
        try:
            for task in tasks:
                under_way.append(pool.submit(_walk_in_worker, task))
                if len(under_way) > 2 * workers:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            for one in under_way:
                one.cancel()


_of_worker: list[Searcher] = []


def _start_worker(settings: Settings) -> None:
    _of_worker[:] = [Searcher(connect(settings), settings.opensearch_timeout)]


def _walk_in_worker(task: Task) -> Walked:
    """Walks a slice without reading ahead: while one process waits, another works."""
    return walk(task.job, _hits(task, _of_worker[0]))


def _hits(task: Task, searcher: Searcher) -> Iterator[dict[str, Any]]:
    return hits_of(searcher, task.parts, max(1, task.job.first - 1), task.job.last + 1)


SLICE = 20_000
"""Entries of one slice."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is checked of one journal: entries `first` to `last`, of which `lowest` to `highest` are stored."""

    journal: str
    first: int
    last: int
    lowest: int
    highest: int
    parts: tuple[Part, ...]
    tasks: tuple[Task, ...]
    checkpoints: tuple[Checkpoint, ...]
    anchors: Mapping[int, Anchor]
    letters: Mapping[int, str]

    @property
    def sealed(self) -> int:
        return max((one.last_seq for one in self.checkpoints), default=0)


def _slices(searcher: Searcher, parts: Sequence[Part], first: int, last: int) -> Iterator[tuple[int, int]]:
    """First and last numbers of slices, with a void between them where nothing is stored for longer than one."""
    sparse = last - first >= 2 * sum(part.numbered for part in parts) + SLICE
    while parts and first <= last:
        if sparse:
            found = next_stored(searcher, parts, first, last)
            if found is None:
                return
            first = found
        yield first, min(first + SLICE - 1, last)
        first += SLICE


def planned(
    searcher: Searcher,
    journal: str,
    parts: Sequence[Part],
    window: tuple[int, int] | None,
    trusted: TrustedCheckpoints,
    *,
    recorded: int,
    erased: Sequence[tuple[int, int]],
    held: Collection[str],
    prefix: str,
) -> Plan:
    """Splits a journal into slices. `recorded` is the last entry that its own host knows; 0 on other hosts.

    Raises `OpenSearchError`.
    """
    checkpoints = tuple(trusted.of(journal))
    anchors, letters = trusted.anchors(journal), letters_of(checkpoints)
    numbered = tuple(part for part in parts if part.last >= 1)
    lowest = min((max(part.first, 1) for part in numbered), default=0)
    highest = max((part.last for part in numbered), default=0)
    first, last = window or (1, max(highest, recorded, *(one.last_seq for one in checkpoints)))
    tasks = []
    for at, end in _slices(searcher, numbered, max(first, lowest), min(last, highest)):
        job = Slice(
            journal,
            at,
            end,
            {seq: anchor for seq, anchor in anchors.items() if at - 1 <= seq <= end},
            {seq: hash_ for seq, hash_ in letters.items() if at - 1 <= seq <= end},
            tuple((begin, until) for begin, until in erased if begin <= end and until >= at),
            frozenset(held),
            prefix,
        )
        tasks.append(Task(job, numbered))
    return Plan(journal, first, last, lowest, highest, tuple(parts), tuple(tasks), checkpoints, anchors, letters)


def windows(
    searcher: Searcher,
    client: AuditClient,
    names: Iterable[str],
    trusted: TrustedCheckpoints,
    since: object,
    until: object,
) -> dict[str, tuple[int, int] | None]:
    """The first and last entry of that time by journal; `None` for all entries. Journals without any are left out.

    Checkpoints closed in that time say which entries should exist, and so does the first one closed after it, as it
    covers the last entries of that time. A checkpoint that was closed because it was full leaves some to the next.
    """
    if since is None and until is None:
        return dict.fromkeys(names)
    asked = filter_of({"since": since, "until": until})
    window = window_of(asked, datetime.now(UTC))
    body = client.query_of(asked)
    ends = {"first": {"min": {"field": "seq"}}, "last": {"max": {"field": "seq"}}}
    found: dict[str, tuple[int, int] | None] = {}
    for name in names:
        wanted = {"bool": {"filter": [body, {"term": {"journal": name}}]}}
        answer = searcher.search({"size": 0, "query": wanted, "aggs": ends}, index_pattern(client.settings))
        values = [bucket["value"] for bucket in answer.get("aggregations", {}).values()]
        seqs = [max(1, int(value)) for value in values if value is not None]
        for one in _within(window, trusted.of(name)):
            seqs += [one.first_seq, one.last_seq] if one.entries else []
        if seqs:
            found[name] = min(seqs), max(seqs)
    return found


def _within(window: Window, checkpoints: Iterable[Checkpoint]) -> Iterator[Checkpoint]:
    for one in checkpoints:
        moment = datetime.fromisoformat(one.time)
        if window.start is None or moment >= window.start:
            yield one
        if window.end is not None and moment >= window.end and one.why != "size":
            return
