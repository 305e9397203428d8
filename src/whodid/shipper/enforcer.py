"""The enforcer: once an hour, deletes what is past its time on a cluster that does not do so itself.

It never stops shipping: what goes wrong is told, once as long as it stays the same, and tried again an hour later.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from ..errors import OpenSearchError, OpenSearchUnavailable
from ..opensearch.clock import cluster_now
from ..opensearch.enforcement import delete, expired
from ..opensearch.ism import Ism
from ..settings import Settings, retention_days

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = ["Enforcer"]

_HOUR = 3600.0
_SOON = 60.0


class Enforcer:
    """Called whenever there is time; `client` gives the one in use, `tell` gets what was deleted or couldn't be."""

    def __init__(
        self,
        client: Callable[[], OpenSearch],
        settings: Settings,
        tell: Callable[[str], None],
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[OpenSearch], datetime] = cluster_now,
    ) -> None:
        self._client = client
        self._settings = settings
        self._tell = tell
        self._monotonic = monotonic
        self._now = now
        self._next = monotonic()
        self._told = ""

    def __call__(self) -> None:
        if retention_days(self._settings.retention) is None or self._monotonic() < self._next:
            return
        self._next = self._monotonic() + _HOUR
        try:
            self._enforce()
            self._told = ""
        except OpenSearchUnavailable:
            self._next = self._monotonic() + _SOON  # the shipper says so already
        except OpenSearchError as error:
            if str(error) != self._told:
                self._tell(f"retention is not enforced: {error}")
            self._told = str(error)

    def _enforce(self) -> None:
        client = self._client()
        if Ism(client).available():
            return
        for partition in expired(client, self._settings, self._now(client)):
            delete(client, partition)
            self._tell(f"retention: {partition.index} deleted with {partition.entries:,} entries, past their time")
