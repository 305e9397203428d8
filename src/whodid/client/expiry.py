"""The expiry: entries past their promised time that are not deleted yet, which searches leave out.

Retention deletes whole partitions, so an entry may still be stored for weeks after its time. What is held on purpose
counts as kept. The promise is the longer one of the settings' and the policy's: a policy that somebody made shorter
hides nothing that is still there. Where the cluster doesn't tell this user how long entries are kept, nothing is left
out: an entry too many is better than one that is missing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from ..errors import OpenSearchError
from ..retention.outlook import RetentionView

__all__ = ["Expiry"]

_FRESH = 60.0
"""Seconds for which the retention in force is remembered."""


class Expiry:
    """Asks `retention` when it is first needed, and again when the answer is old."""

    def __init__(self, retention: Callable[[], RetentionView], clock: Callable[[], float] = time.monotonic) -> None:
        self._retention = retention
        self._clock = clock
        self._known: tuple[float, RetentionView | None] | None = None

    def view(self) -> RetentionView | None:
        """The retention in force; `None` where this user may not know."""
        if self._known is None or self._clock() - self._known[0] >= _FRESH:
            try:
                view = self._retention()
            except OpenSearchError:
                view = None
            self._known = self._clock(), view
        return self._known[1]

    def kept(self, now: datetime | None = None) -> dict[str, Any] | None:
        """The clause that only kept entries match; `None` where all are.

        It is the same for a minute, so that OpenSearch remembers what it has counted.
        """
        view = self.view()
        if view is None or view.floor_days is None or view.asked_days is None or view.enforced_by == "nothing":
            return None
        floor = (now or datetime.now(UTC)) - timedelta(days=max(view.floor_days, view.asked_days))
        young = {"range": {"@timestamp": {"gte": floor.strftime("%Y-%m-%dT%H:%M:00Z")}}}
        held = [partition.name for partition in view.partitions if partition.holds]
        if not held:
            return young
        return {"bool": {"should": [young, {"terms": {"_index": held}}], "minimum_should_match": 1}}
