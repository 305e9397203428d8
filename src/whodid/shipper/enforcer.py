"""The enforcer: once an hour, whodid's part in retention, if this user may: holds, records, deletion without ISM.

It never stops shipping: what goes wrong is told, once as long as it stays the same, and tried again an hour later.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from ..cluster.clock import deletion_time
from ..errors import NotAuthorized, OpenSearchError, OpenSearchUnavailable, WhodidError
from ..recording.own import record_own
from ..retention.destruction import DESTROYED, Destruction
from ..retention.enforcement import destroy, expired, record_ahead
from ..retention.holds import apply_holds
from ..retention.ism import Ism
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
        now: Callable[[OpenSearch], datetime] = deletion_time,
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
        except _Left as error:
            self._once(f"holds and records are left to `whodid retention enforce`: {error}")
        except OpenSearchUnavailable:
            self._next = self._monotonic() + _SOON  # the shipper says so already
        except WhodidError as error:
            self._once(f"retention is not enforced: {error}")

    def _once(self, text: str) -> None:
        if text != self._told:
            self._tell(text)
        self._told = text

    def _enforce(self) -> None:
        client = self._client()
        now = self._now(client)
        if Ism(client).available():
            try:
                self._hold(client)
                record_ahead(client, self._settings, now)
            except NotAuthorized as error:
                raise _Left(str(error)) from error
            return
        self._hold(client)
        problems = []
        for partition in expired(client, self._settings, now):
            try:
                record = destroy(client, self._settings, partition)
            except OpenSearchUnavailable:
                raise
            except OpenSearchError as error:  # which keeps the others from nothing
                problems.append(str(error))
                continue
            if record:
                self._record(record)
        if problems:
            raise OpenSearchError("; ".join(problems))

    def _record(self, record: Destruction) -> None:
        record_own(self._settings, DESTROYED, principal="system", target=record.partition, details=record.brief())
        self._tell(f"retention: {record.partition} deleted with {record.account.entries:,} entries, past their time")

    def _hold(self, client: OpenSearch) -> None:
        for name, why in apply_holds(client, self._settings).problems.items():
            self._tell(f"retention: {name} should be held, but {why}")


class _Left(OpenSearchError):
    """ISM deletes; the rest is not this user's."""
