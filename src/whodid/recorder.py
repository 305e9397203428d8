"""The recorder: checks a call against the catalog, completes the entry, journals it, and returns a receipt."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Literal

import orjson

from .canonical import plain
from .catalog import Catalog, EventType
from .context import CALLER_FIELDS, current_fields, override, scope
from .entry import FIELDS, FREE_FIELDS, SCHEMA_VERSION, Stamp, document_id
from .errors import InvalidEntry, JournalDamaged, NotRecorded
from .integrity import Draft
from .journal import Journal
from .journal.counter import count_not_recorded
from .masking import masked
from .receipt import Receipt
from .settings import Settings
from .shortening import shorten
from .spelling import near

__all__ = ["Recorder"]

_NEEDS_SHORTENING = min(field.max_length for field in FIELDS.values() if field.shortenable)


class Recorder:
    """Records entries of one catalog into one journal. Safe to share between threads, and to use after a fork."""

    def __init__(
        self,
        settings: Settings,
        *,
        catalog: Catalog | None = None,
        journal: Journal | None = None,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.settings = settings
        self.catalog = catalog or Catalog.load(settings.catalog or None, mode=settings.catalog_mode)
        self.journal = journal or Journal(
            settings.journal_dir,
            segment_bytes=settings.segment_bytes,
            segment_age=settings.segment_age,
            max_bytes=settings.max_bytes,
            lock_timeout=settings.lock_timeout,
        )
        self._clock_ns = clock_ns
        always = {"schema_version": SCHEMA_VERSION, "host": settings.host, "service": settings.service}
        self._always = {name: value for name, value in always.items() if value}

    def record(
        self, event_type: str, fields: Mapping[str, object], bound: Mapping[str, object] = {}
    ) -> tuple[Receipt, Mapping[str, Any]]:
        """Records one entry; returns the receipt and the entry as it was journalled (empty when it was not).

        `fields` are the arguments of the call, `bound` the keys bound to its logger, of which those that name entry
        fields count; `whodid.context` fills the rest. Raises `InvalidEntry` and, under `on_failure = "raise"`,
        `NotRecorded` or `JournalDamaged`.
        """
        try:
            known = self.catalog.event_type(event_type)
            draft = Draft(self._complete(known, fields, bound), self.catalog.personal)
        except InvalidEntry as error:
            if self.settings.on_invalid == "raise":
                raise
            return self._quarantine(event_type, fields, error), {}
        return self._append(known, draft)

    def check(self, event_type: str, fields: Mapping[str, object]) -> Mapping[str, object] | None:
        """What `record` would record now: the fields of the call and of the context together, for a later `record`.

        Raises `InvalidEntry` as `record` does; where `on_invalid` quarantines, quarantines and returns `None`.
        """
        try:
            merged = _merged(fields, {})
            merged |= {name: plain(merged[name], name) for name in FREE_FIELDS if name in merged}
            with scope({}, alone=True):
                Draft(self._complete(self.catalog.event_type(event_type), merged, {}), self.catalog.personal)
        except InvalidEntry as error:
            if self.settings.on_invalid == "raise":
                raise
            self._quarantine(event_type, fields, error)
            return None
        return merged

    def _complete(self, known: EventType, fields: Mapping[str, object], bound: Mapping[str, object]) -> dict[str, Any]:
        """The entry, checked, without its place in the chain."""
        entry = _merged(fields, bound)
        stamp = Stamp.from_ns(self._clock_ns())
        entry["type"] = known.name
        entry["creation_date"], entry["@timestamp"] = stamp.creation_date, stamp.timestamp
        entry["target_type"] = known.resource
        entry.update(self._always)
        if known.outcome and "outcome" not in entry:
            entry["outcome"] = known.outcome
        for name in FREE_FIELDS:
            if name in entry:
                entry[name] = plain(entry[name], name)
        self._fit(entry, known)
        self._check(entry)
        return entry

    def _check(self, entry: dict[str, Any]) -> None:
        try:
            self.catalog.check(entry)
        except InvalidEntry:
            texts = {n: str.__str__(v) for n, v in entry.items() if isinstance(v, str) and type(v) is not str}
            if not texts:
                raise
            entry.update(texts)  # Markup, SafeString and the like, which the compiled check doesn't know
            self.catalog.check(entry)

    def _fit(self, entry: dict[str, Any], known: EventType) -> None:
        try:
            data = orjson.dumps(entry)
        except TypeError:  # says nothing about which field
            data = orjson.dumps(_plain_fields(entry))
        if b"\\u0000" in data:
            _plain_fields(entry)
        if len(data) > _NEEDS_SHORTENING:
            shorten(entry, len(data) + _CHAIN_BYTES, self.catalog.personal, known.rules.details)

    def _append(self, known: EventType, draft: Draft) -> tuple[Receipt, Mapping[str, Any]]:
        durability: Literal["disk", "process"] = known.durability or self.settings.durability
        try:
            position = self.journal.append(draft, durability)
        except (NotRecorded, JournalDamaged) as error:
            if (known.on_failure or self.settings.on_failure) == "raise":
                raise
            return self._not_recorded(str(error)), {}
        entry_id = document_id(*position)
        return Receipt(True, entry_id, *position, durability), {**draft.entry, "hash": position.hash}

    def _not_recorded(self, why: str) -> Receipt:
        count_not_recorded(self.journal.path)
        warnings.warn(f"an audit entry was not recorded: {why}", stacklevel=2)
        return Receipt(False, error=why)

    def _quarantine(self, event_type: str, fields: Mapping[str, object], error: InvalidEntry) -> Receipt:
        self.journal.quarantine({"error": str(error), "type": event_type, "fields": masked(fields)})
        return Receipt(False, error=str(error))


_CHAIN_BYTES = 300
"""What `journal`, `seq`, `prev`, `hash` and the salts add to an entry, about."""


def _merged(fields: Mapping[str, object], bound: Mapping[str, object]) -> dict[str, Any]:
    """Arguments on top of bound keys on top of the context; `None` means not given."""
    entry = current_fields()
    named = {name: value for name, value in bound.items() if name in CALLER_FIELDS and name != "type"} if bound else {}
    if named:
        entry = override(entry, named)
    entry = override(entry, fields) if entry else dict(fields)
    if None in entry.values():
        entry = {name: value for name, value in entry.items() if value is not None}
    if not entry.keys() <= CALLER_FIELDS:
        _refuse_unknown(entry)
    return entry


def _refuse_unknown(entry: Mapping[str, object]) -> None:
    for name in sorted(entry.keys() - CALLER_FIELDS):
        if name in FIELDS:
            raise InvalidEntry(f"{name} is filled by whodid and can't be an argument; leave it out")
        meant = near(name, CALLER_FIELDS)
        hint = f"did you mean {meant[0]}? Otherwise pass" if meant else "pass"
        raise InvalidEntry(f"{name} is not a field of an entry; {hint} details={{{name!r}: …}}")


def _plain_fields(entry: Mapping[str, object]) -> dict[str, Any]:
    return {name: plain(value, name) for name, value in entry.items()}
