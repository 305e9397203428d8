"""The prepared call: an audit call whose who and from where are taken, and which is checked, before it is recorded.

What is bound or opened between the two, another principal above all, does not change it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from ..context import scope
from ..runtime import recorder
from .stdlib import record

__all__ = ["PreparedCall"]


class PreparedCall:
    """One call of `audit()`, to be recorded once what it tells of has happened. Its entry has the time of then.

    Raises `InvalidEntry` when it is made. Where `on_invalid` quarantines, a bad call is quarantined when it is made,
    and nothing is left to record.
    """

    def __init__(self, event_type: str, fields: Mapping[str, object]) -> None:
        self._event_type = event_type
        self._fields = recorder().check(event_type, fields)

    def record(self) -> None:
        """Records the entry. Raises `NotRecorded` or `JournalDamaged`, as `on_failure` has it."""
        if self._fields is not None:
            with scope({}, alone=True):
                record(logging.getLogger("whodid"), self._event_type, self._fields)
