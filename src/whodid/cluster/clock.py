"""The cluster's clock, by which partitions are created and deleted."""

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
            raise ValueError("not a plausible time")
        return datetime.fromtimestamp(seconds, UTC) - datetime.now(UTC)


_EARLIEST, _LATEST = 1_600_000_000, 4_102_444_800
"""2020 and 2100: by a clock outside this range, every entry would be expired, or from the future."""


def _steady() -> float:
    """Seconds on a clock that is never set and that, if the system has one, also runs while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class ClusterClock:
    """The cluster's clock, read once an hour and advanced by a steady clock in between.

    So a jump of our own clock makes no entry look expired, or as from the future. Our own clock is used only if the
    cluster's can't be read.
    """

    def __init__(self, client: Callable[[], OpenSearch], *, steady: Callable[[], float] = _steady) -> None:
        self._client = client
        self._steady = steady
        self._known: datetime | None = None
        self._at = 0.0

    def now(self) -> datetime:
        """The time; reads the cluster's clock if that was an hour ago or never succeeded."""
        passed = self._steady() - self._at
        if self._known is None or passed > _HOUR:
            self.ask()
            passed = self._steady() - self._at
        return datetime.now(UTC) if self._known is None else self._known + timedelta(seconds=passed)

    def ask(self) -> None:
        """Reads the cluster's clock; keeps the previous time if that fails."""
        try:
            self._known, self._at = datetime.now(UTC) + clock_ahead(self._client()), self._steady()
        except OpenSearchError:
            return


_HOUR = 3600.0


def cluster_now(client: OpenSearch) -> datetime:
    """The cluster's time, or ours if it can't be read."""
    try:
        ahead = clock_ahead(client)
    except OpenSearchError:
        ahead = timedelta(0)
    return datetime.now(UTC) + ahead


def deletion_time(client: OpenSearch) -> datetime:
    """The time by which whodid deletes. Raises `OpenSearchError` if the cluster refuses or does not answer.

    With a clock of ours that is a year ahead, everything would be deleted a year early. It is used only if the cluster
    does not support the request.
    """
    try:
        ahead = clock_ahead(client)
    except (NotAuthorized, NotAuthenticated, OpenSearchUnavailable):
        raise
    except OpenSearchError:
        ahead = timedelta(0)
    return datetime.now(UTC) + ahead
