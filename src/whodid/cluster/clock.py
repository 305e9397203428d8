"""The cluster's clock, by which partitions are made and deleted."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ..errors import NotAuthenticated, NotAuthorized, OpenSearchError, OpenSearchUnavailable
from .connection import translated

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = ["ClusterClock", "clock_ahead", "cluster_now", "deletion_time"]


def clock_ahead(client: OpenSearch) -> timedelta:
    """How far the cluster's clock is ahead of ours, to the second. Raises `OpenSearchError`."""
    with translated("the cluster's clock"):
        answer = client.cat.health(params={"format": "json", "h": "epoch"})
        seconds = int(answer[0]["epoch"])
        if not _EARLIEST <= seconds < _LATEST:
            raise ValueError("no time that a cluster's clock could show")
        return datetime.fromtimestamp(seconds, UTC) - datetime.now(UTC)


_EARLIEST, _LATEST = 1_600_000_000, 4_102_444_800
"""2020 and 2100: by a clock that shows another time, each entry would be expired, or from the future."""


def _steady() -> float:
    """Seconds on a clock that nobody sets and that goes on while the machine sleeps, where there is one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class ClusterClock:
    """The cluster's clock, asked once an hour; in between it goes on by a clock that nobody sets.

    So a jump of our own clock makes no entry look expired, or as from the future. Where the cluster can't be asked, our
    own clock has to do.
    """

    def __init__(self, client: Callable[[], OpenSearch], *, steady: Callable[[], float] = _steady) -> None:
        self._client = client
        self._steady = steady
        self._known: datetime | None = None
        self._at = 0.0

    def now(self) -> datetime:
        """The time, asking the cluster if that was long ago or never succeeded."""
        passed = self._steady() - self._at
        if self._known is None or passed > _HOUR:
            self.ask()
            passed = self._steady() - self._at
        return datetime.now(UTC) if self._known is None else self._known + timedelta(seconds=passed)

    def ask(self) -> None:
        """Asks the cluster; what was known before stays in force where that fails."""
        try:
            self._known, self._at = datetime.now(UTC) + clock_ahead(self._client()), self._steady()
        except OpenSearchError:
            return


_HOUR = 3600.0


def cluster_now(client: OpenSearch) -> datetime:
    """The cluster's time, or ours where this user may not ask."""
    try:
        ahead = clock_ahead(client)
    except OpenSearchError:
        ahead = timedelta(0)
    return datetime.now(UTC) + ahead


def deletion_time(client: OpenSearch) -> datetime:
    """The time by which whodid itself deletes. Raises `OpenSearchError` where the cluster refuses or does not answer.

    By a clock of ours that is a year ahead, everything would be deleted a year early. It has to do only where the
    cluster has no such request.
    """
    try:
        ahead = clock_ahead(client)
    except (NotAuthorized, NotAuthenticated, OpenSearchUnavailable):
        raise
    except OpenSearchError:
        ahead = timedelta(0)
    return datetime.now(UTC) + ahead
