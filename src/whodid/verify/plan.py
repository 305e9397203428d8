"""The plan: which entries of a journal are to be looked at, and in which slices.

The survey: which journals are stored, from which `seq` to which, in which partitions; by it a slice is read fast.

The scan: the stored entries of one journal in the order of their `seq`, those of one number together.

A window of numbers is asked for at a time, of the partitions that the survey says hold some of them: OpenSearch then
touches only what it gives out, however much is stored. Sorting by more than the number would take a third of the time.

The crew: slices walked by several processes, and handed out in their order; on one core, by this one.
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
from ..search.requests import Asking, read_ahead
from ..settings import Settings
from .checkpoints import Statements, letters_of
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
    "survey",
    "unnumbered",
    "walked",
    "windows",
]

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


@dataclass(frozen=True, slots=True)
class Task:
    """A slice, and the partitions in which its journal is."""

    job: Slice
    parts: tuple[Part, ...]


def walked(tasks: Sequence[Task], asking: Asking, settings: Settings, workers: int) -> Iterator[Walked]:
    """The tasks' results, in their order. Raises `OpenSearchError`."""
    if workers < 2 or len(tasks) < 2:
        for task in tasks:
            yield _walk(task, asking)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(tasks)), context, _begin, (settings,)) as pool:
        under_way: deque[Future[Walked]] = deque()
        try:
            for task in tasks:
                under_way.append(pool.submit(_walk_there, task))
                if len(under_way) > 2 * workers:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            for one in under_way:
                one.cancel()


_there: list[Asking] = []


def _begin(settings: Settings) -> None:
    _there[:] = [Asking(connect(settings), settings.opensearch_timeout)]


def _walk_there(task: Task) -> Walked:
    """Without reading ahead: while one process waits, another works."""
    return walk(task.job, _hits(task, _there[0]))


def _walk(task: Task, asking: Asking) -> Walked:
    with closing(read_ahead(_hits(task, asking), WINDOW)) as blocks:
        return walk(task.job, chain.from_iterable(blocks))


def _hits(task: Task, asking: Asking) -> Iterator[dict[str, Any]]:
    return hits_of(asking, task.parts, max(1, task.job.first - 1), task.job.last + 1)


SLICE = 20_000
"""Entries that are walked in one go."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be looked at of one journal: entries `first` to `last`, of which `lowest` to `highest` are stored."""

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


def planned(
    journal: str,
    parts: Sequence[Part],
    window: tuple[int, int] | None,
    statements: Statements,
    *,
    recorded: int,
    erased: Sequence[tuple[int, int]],
    held: Collection[str],
    prefix: str,
) -> Plan:
    """Cuts a journal into slices. `recorded` is the last entry that its own host knows of; 0 elsewhere."""
    checkpoints = tuple(statements.of(journal))
    anchors, letters = statements.anchors(journal), letters_of(checkpoints)
    numbered = tuple(part for part in parts if part.last >= 1)
    lowest = min((max(part.first, 1) for part in numbered), default=0)
    highest = max((part.last for part in numbered), default=0)
    first, last = window or (1, max(highest, recorded, *(one.last_seq for one in checkpoints)))
    tasks = []
    for at in range(max(first, lowest), min(last, highest) + 1 if numbered else 0, SLICE):
        end = min(at + SLICE - 1, last, highest)
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
    asking: Asking, client: AuditClient, names: Iterable[str], statements: Statements, since: object, until: object
) -> dict[str, tuple[int, int] | None]:
    """By journal, which entries are of that time; `None` for all of them, and journals without any are left out.

    The checkpoints of that time say of which there should be some, and so does the first one that closes at its end or
    later: the last entries of that time are under it. One that was closed because it was full leaves some to the next.
    """
    if since is None and until is None:
        return dict.fromkeys(names)
    asked = filter_of({}, since, until)
    window = window_of(asked, datetime.now(UTC))
    body = client.query_of(asked)
    ends = {"first": {"min": {"field": "seq"}}, "last": {"max": {"field": "seq"}}}
    found: dict[str, tuple[int, int] | None] = {}
    for name in names:
        wanted = {"bool": {"filter": [body, {"term": {"journal": name}}]}}
        answer = asking.ask({"size": 0, "query": wanted, "aggs": ends}, index_pattern(client.settings))
        values = [bucket["value"] for bucket in answer.get("aggregations", {}).values()]
        seqs = [max(1, int(value)) for value in values if value is not None]
        for one in _within(window, statements.of(name)):
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
