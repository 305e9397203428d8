"""Own entries: what whodid records itself, of what is done to the audit log.

They stand in the same journal as the application's entries, and are part of its chain. Their types, in
config/own-events.toml, are there whatever catalog the application has.

The reads: who looked for what in the audit log, recorded in the audit log itself.

A question is recorded when it is first asked, before its answer, and then once in a quarter of an hour for each
principal, so that turning pages, counting, and looking again every second add nothing: reading the record of a read
never ends in a stream of them. Who reads is the principal of the context (`whodid.context`), as in the tab, else the
user of the operating system.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from typing import Any

from ..catalog import Catalog
from ..entry import Receipt
from ..settings import Settings, journal_place
from .context import scope, who
from .recorder import Recorder

__all__ = ["Reads", "record_operation", "record_own"]


def record_own(settings: Settings, event_type: str, **fields: Any) -> Receipt:
    """Records an own entry into the journal of these settings, on disk when it returns.

    Raises `NotRecorded` or `JournalDamaged`, whatever `on_failure` says: what can't be recorded must not be done.
    """
    strict = replace(settings, on_failure="raise", on_invalid="raise", durability="disk")
    recorder = Recorder(strict, catalog=Catalog.own())
    with closing(recorder.journal), scope({}, alone=True):
        return recorder.record(event_type, fields)[0]


def record_operation(settings: Settings, event_type: str, target: str, details: dict[str, Any]) -> Receipt:
    """As `record_own`, by the principal of the context, else the user of the operating system.

    Who became that user by sudo is in the details.
    """
    sudo = {"sudo_user": os.environ["SUDO_USER"]} if os.environ.get("SUDO_USER") else {}
    return record_own(settings, event_type, target=target, details={**details, **sudo}, **who())


_AGAIN = 900.0
"""Seconds after which the same question of the same principal is recorded again."""

_REMEMBERED = 10_000
_LONGEST = 2000
"""Characters of a query that are recorded."""


class Reads:
    """Records reads into the journal of the settings. May be used by several threads."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        journal_place(settings.journal_dir)  # raises where it is not known
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._noted: dict[tuple[str, ...], float] = {}

    def searched(self, query: str) -> None:
        """Somebody asks for entries. Raises `NotRecorded` or `JournalDamaged`: then it is not answered."""
        self._note("audit_log_searched", self._settings.index_prefix, {"query": query[:_LONGEST]}, query)

    def viewed(self, entry_id: str) -> None:
        """Somebody looks at one entry. Raises as `searched`."""
        self._note("audit_log_viewed", entry_id, {}, "")

    def exported(self, query: str, form: str) -> None:
        """Somebody takes entries away; each time counts. Raises as `searched`."""
        self._record("audit_log_exported", self._settings.index_prefix, {"query": query[:_LONGEST], "format": form})

    def _note(self, event_type: str, target: str, details: dict[str, Any], question: str) -> None:
        key = (str(who()["principal"]), event_type, target, sha256(question.encode()).hexdigest())
        now = self._clock()
        with self._lock:
            if now - self._noted.get(key, now - _AGAIN) < _AGAIN:
                return
        self._record(event_type, target, details)
        with self._lock:
            if len(self._noted) >= _REMEMBERED:
                self._noted.clear()
            self._noted[key] = now

    def _record(self, event_type: str, target: str, details: dict[str, Any]) -> None:
        record_own(self._settings, event_type, target=target, **({"details": details} if details else {}), **who())
