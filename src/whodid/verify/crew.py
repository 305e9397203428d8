"""The crew: slices walked by several processes, and handed out in their order; on one core, by this one."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from typing import Any

from ..cluster.connection import connect
from ..search.requests import Asking, read_ahead
from ..settings import Settings
from .scan import WINDOW, hits_of
from .survey import Part
from .walk import Slice, Walked, walk

__all__ = ["Task", "walked"]


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
