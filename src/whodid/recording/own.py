"""Entries that whodid records itself: administrative actions, and who searched, viewed or exported entries.

They are in the same journal and chain as the application's entries. Their types are in config/own-events.toml, whatever
the application's catalog is.

A search is recorded before it is answered, and then at most once in 15 minutes for the same principal and query, so
that paging, counting and refreshing add no entries. The principal is that of the context (`whodid.context`), as in the
tab, or else the user of the operating system.

`recording.json` of the journal directory is `{SERVICE: {TYPE: LEVEL}}`: for each application, what the setting `record`
was when it was recorded last. It is replaced after the entry about a change is on disk, under `recording.lock`: a crash
in between records the change twice, and a lost or damaged file once more.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from ..catalog import Catalog
from ..entry import Receipt
from ..errors import JournalDamaged, NotRecorded, WhodidError
from ..files import dump, read_file, write_file
from ..journal import JournalDirectory
from ..journal.lock import FileLock
from ..process import pass_on, warn
from ..settings import Settings, check_levels, journal_place
from ..text import FOREIGN, json_of, text_of
from .context import scope, who
from .recorder import Recorder

__all__ = ["Reads", "levels_recorded", "record_levels", "record_operation", "record_own"]


def record_own(settings: Settings, event_type: str, **fields: Any) -> Receipt:
    """Records an entry of whodid itself into the journal of these settings; it is on disk when this returns.

    Raises `NotRecorded` or `JournalDamaged`, whatever `on_failure` is: an action that can't be recorded must not be
    done.
    """
    strict = replace(settings, on_failure="raise", on_invalid="raise", durability="disk", record={})
    recorder = Recorder(strict, catalog=Catalog.own())
    with closing(recorder.journal), scope({}, alone=True):
        return recorder.record(event_type, fields)[0]


def record_operation(settings: Settings, event_type: str, target: str, details: dict[str, Any]) -> Receipt:
    """As `record_own`, with the principal of the context, or else the user of the operating system.

    If that user is running sudo, the details hold the original user.
    """
    sudo = {"sudo_user": os.environ["SUDO_USER"]} if os.environ.get("SUDO_USER") else {}
    return record_own(settings, event_type, target=target, details={**details, **sudo}, **who())


def levels_recorded(journal_dir: Path) -> dict[str, dict[str, str]]:
    """By `service`, what was recorded last of the setting `record`; none if the file is missing or damaged."""
    try:
        content = json_of(read_file(journal_dir / _LEVELS))
        for levels in content.values():
            check_levels(levels)
        return {text_of(service): levels for service, levels in content.items()}
    except (OSError, WhodidError, *FOREIGN) as error:
        pass_on(error)
        return {}


_LEVELS = "recording.json"


def record_levels(settings: Settings) -> None:
    """Records a change of the setting `record`, once for all processes of a `service` that start with the same value.

    Raises `NotRecorded`; under `on_failure = "warn"` it warns instead.
    """
    path, service, now = journal_place(settings.journal_dir), settings.service, dict(settings.record)
    if levels_recorded(path).get(service, {}) == now:
        return
    try:
        with closing(FileLock(JournalDirectory(path, create=True).path / "recording.lock")) as lock:
            lock.acquire(settings.lock_timeout)
            known = levels_recorded(path)
            if (before := known.get(service, {})) != now:
                fields = {"target": service or "audit_log", "principal": "system"}
                change = {"from": _in_words(before), "to": _in_words(now)}
                record_own(settings, "audit_log_recording_changed", **fields, details=change)
                kept = {name: levels for name, levels in {**known, service: now}.items() if levels}
                write_file(path / _LEVELS, dump(kept))
    except (NotRecorded, JournalDamaged, OSError) as error:
        pass_on(error)
        why = f"a change of the setting record could not be recorded: {error}"
        if settings.on_failure == "raise":
            raise NotRecorded(why) from error
        warn(why)


def _in_words(levels: Mapping[str, str]) -> list[str]:
    """Texts, as many a type's name looks like that of a secret, whose value would be masked."""
    return [f"{name} = {level}" for name, level in sorted(levels.items())]


_AGAIN = 900.0
"""Seconds after which the same search of the same principal is recorded again."""

_REMEMBERED = 10_000
_LONGEST = 2000
"""Maximum length of a recorded query."""


class Reads:
    """Records access to entries in the journal of the settings. Thread-safe."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        journal_place(settings.journal_dir)  # raises if it is not set
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._noted: dict[tuple[str, ...], float] = {}

    def searched(self, query: str) -> None:
        """Records a search. Raises `NotRecorded` or `JournalDamaged`; the search must not be answered then."""
        self._note("audit_log_searched", self._settings.index_prefix, {"query": query[:_LONGEST]}, query)

    def viewed(self, entry_id: str) -> None:
        """Records that an entry was viewed. Raises as `searched`."""
        self._note("audit_log_viewed", entry_id, {}, "")

    def exported(self, query: str, form: str) -> None:
        """Records an export, each time. Raises as `searched`."""
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
