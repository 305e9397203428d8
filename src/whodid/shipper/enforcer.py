"""The enforcer: once an hour, whodid's part in retention, if this user may: holds, records, deletion without ISM.

It never stops shipping: what goes wrong is told, once as long as it stays the same, and tried again an hour later.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from ..errors import OpenSearchError, OpenSearchUnavailable
from ..opensearch.clock import cluster_now
from ..opensearch.enforcement import destroy, expired, record_ahead
from ..opensearch.holds import apply_holds
from ..opensearch.ism import Ism
from ..own import record_own
from ..settings import Settings, retention_days

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

__all__ = ["DESTROYED", "Enforcer"]

DESTROYED = "audit_log_partition_destroyed"
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
        now = self._now(client)
        for name, why in apply_holds(client, self._settings).problems.items():
            self._tell(f"retention: {name} should be held, but {why}")
        if Ism(client).available():
            record_ahead(client, self._settings, now)
            return
        for partition in expired(client, self._settings, now):
            record = destroy(client, self._settings, partition)
            if record:
                record_own(
                    self._settings, DESTROYED, principal="system", target=record.partition, details=record.brief()
                )
                self._tell(
                    f"retention: {record.partition} deleted with {record.account.entries:,} entries, past their time"
                )
