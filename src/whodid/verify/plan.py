"""The plan: which entries of a journal are to be looked at, and in which slices."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ..cluster.template import index_pattern
from ..proof.checkpoint import Checkpoint
from ..search import AuditClient, Window, window_of
from ..search.filter import filter_of
from ..search.requests import Asking
from .crew import Task
from .statements import Statements, letters_of
from .survey import Part
from .walk import Anchor, Slice

__all__ = ["SLICE", "Plan", "planned", "windows"]

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
