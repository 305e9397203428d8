"""The recorder: checks a call against the catalog, completes the entry, journals it, and returns a receipt."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Literal

import orjson

from ..catalog import Catalog, EventType, Rules
from ..catalog.model import named_now
from ..catalog.schema import demands
from ..entry import FIELDS, FREE_FIELDS, LISTS, SCHEMA_VERSION, SOFT_LIMIT, Receipt, stamp
from ..errors import InvalidEntry, JournalDamaged, NotRecorded, SettingsError, WhodidError
from ..files import read_secret
from ..integrity import CHAIN_BYTES, Draft, plain
from ..journal import Journal
from ..journal.directory import count_not_recorded
from ..process import pass_on, warn
from ..settings import MIN_HASH_KEY, Level, Settings
from ..text import did_you_mean, near, shown
from .context import CALLER_FIELDS, current_fields, override, scope
from .masking import Mask, leave_out, masked, shorten

__all__ = ["Recorder"]

_FULL = "there is no more room for such calls; look at rejected.ndjson, then remove it"
_LARGE = SOFT_LIMIT - CHAIN_BYTES
_NEEDS_SHORTENING = min(field.max_length for field in FIELDS.values() if field.shortenable)

_PATHS = 1024 * 1024
"""Maximum number of characters of all paths in an object: with long outer keys, 28 KiB gave OpenSearch 13 MB to index.
"""
_SMALL = 2048
"""Bytes of an entry whose paths can't be that long: half of it keys, and half values of two bytes each."""


class _Type:
    """What there is to know of an event type at each call, under these settings."""

    __slots__ = (
        *("durability", "filled", "fits", "hides_proxies", "known_as", "level", "on_failure", "outcome", "personal"),
        *("required", "requires", "rules"),
    )

    def __init__(self, known: EventType, catalog: Catalog, settings: Settings) -> None:
        filled = {
            "type": known.name,
            "target_type": known.resource,
            "schema_version": SCHEMA_VERSION,
            "host": settings.host,
            "service": settings.service,
        }
        self.filled = {field: value for field, value in filled.items() if value}
        self.level = _level(known, catalog.types, settings.record)
        self.known_as = named_now(catalog.types, known.name).name
        fits = catalog.fits(known.name)
        self.fits = fits if self.level == "full" else lambda _entry: False  # with care, or not at all
        self.personal = catalog.personal
        self.rules = known.rules
        self.required = {name: fragment.get("required", ()) for name, fragment in known.rules.fragments()}
        self.requires = known.rules.requires
        if self.level == "metadata" and demands(known.rules.details):
            self.requires = (*known.rules.requires, "details")
        self.outcome = known.outcome
        self.hides_proxies = "forwarded_for" in known.rules.forbids
        self.durability: Literal["disk", "process"] = known.durability or settings.durability
        self.on_failure = known.on_failure or settings.on_failure


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
        self.catalog = catalog or Catalog.load(settings.catalog)
        _check_known(settings.record, self.catalog.types)
        self.journal = journal or Journal(
            settings.journal_dir,
            segment_bytes=settings.segment_bytes,
            segment_age=settings.segment_age,
            max_bytes=settings.max_bytes,
            lock_timeout=settings.lock_timeout,
        )
        self._clock_ns = clock_ns
        self._mask = Mask(_hash_key(settings))
        self._types: dict[str, _Type] = {}

    def record(
        self, event_type: str, fields: Mapping[str, object], bound: Mapping[str, object] = {}
    ) -> tuple[Receipt, bytes]:
        """Records one entry; returns the receipt and the entry's line in the journal (empty when it was not recorded).

        `fields` are the arguments of the call, `bound` the keys bound to its logger, of which those that name entry
        fields count; `whodid.context` fills the rest. A call of a type that is off is not checked. Raises
        `InvalidEntry` and, under `on_failure = "raise"`, `NotRecorded` or `JournalDamaged`.
        """
        try:
            try:
                kind = self._types[event_type]
            except (KeyError, TypeError):
                kind = self._kind(event_type)
                if kind.level == "off":
                    return Receipt(False, error=f"recording of {event_type} is off by the setting record"), b""
            draft = self._drafted(kind, fields, bound)
        except Exception as error:  # noqa: BLE001 (an object of the application's may raise anything)
            pass_on(error)
            return self._invalid(event_type, fields, error), b""
        try:
            journal, seq, hash_, line = self.journal.append(draft, kind.durability)
        except (NotRecorded, JournalDamaged) as error:
            pass_on(error)
            if kind.on_failure == "raise":
                raise
            return self._not_recorded(str(error)), b""
        return tuple.__new__(Receipt, (True, journal, seq, hash_, kind.durability, "")), line  # half of the cost

    def check(self, event_type: str, fields: Mapping[str, object]) -> Mapping[str, object] | None:
        """What `record` would record now: the fields of the call and of the context together, for a later `record`.

        Raises `InvalidEntry` as `record` does; where `on_invalid` quarantines, quarantines and returns `None`.
        """
        try:
            kind = self._kind(event_type)
            if kind.level == "off":
                return fields
            merged = _merged(kind, _without_key(fields), {})
            merged |= {"once": fields.get("once")}
            merged |= {name: _as_json(name, merged[name]) for name in (*FREE_FIELDS, *_NO_TEXTS) if name in merged}
            with scope({}, alone=True):
                self._drafted(kind, merged, {})
        except Exception as error:  # noqa: BLE001 (as above)
            pass_on(error)
            self._invalid(event_type, fields, error)
            return None
        return merged

    def _drafted(self, kind: _Type, fields: Mapping[str, object], bound: Mapping[str, object]) -> Draft:
        """The entry, checked and serialised: at once if nothing is the matter with it, else with care."""
        filled = kind.filled
        if "once" in fields:
            fields, filled = _keyed(fields, filled, kind.known_as)
        entry = self._given(kind, fields, bound)
        date, timestamp = stamp(self._clock_ns())
        try:
            if kind.fits(entry):
                entry.update(filled)
                entry["creation_date"], entry["@timestamp"] = date, timestamp
                draft = Draft(entry, kind.personal)
                if draft.size <= _LARGE:
                    if draft.size > _SMALL:
                        _check_paths(entry)
                    return draft
        except (TypeError, ValueError) as error:  # NUL, a lone surrogate, no JSON: named below
            pass_on(error)
        entry = {**self._given(kind, fields, bound), **filled, "creation_date": date, "@timestamp": timestamp}
        whole = {name: entry[name] for name in FREE_FIELDS if name in entry}
        entry |= {name: dict(value) for name, value in whole.items() if isinstance(value, dict)}
        self._fit(entry, kind.required)
        self._check(entry, whole)
        if kind.level == "metadata":
            leave_out(entry, kind.required, kind.requires)
        _check_paths(entry)
        return Draft(entry, self.catalog.personal)

    def _given(self, kind: _Type, fields: Mapping[str, object], bound: Mapping[str, object]) -> dict[str, Any]:
        """The caller's part of the entry: arguments on top of bound keys on top of the context."""
        entry = _merged(kind, fields, bound)
        if kind.outcome:
            entry.setdefault("outcome", kind.outcome)
        if not _NO_TEXTS.isdisjoint(entry):
            entry.update({name: _as_json(name, entry[name]) for name in _NO_TEXTS & entry.keys()})
        if "details" in entry or "after" in entry or "before" in entry:
            for name in FREE_FIELDS:
                if name in entry:
                    entry[name] = self._free(name, plain(entry[name], name), kind.rules)
        return entry

    def _free(self, name: str, value: Any, rules: Rules) -> Any:
        """`before`, `after` or `details` as they are kept: without secrets, images with the fields that count."""
        if not isinstance(value, dict):
            return value  # the check says so
        if rules.image and name != "details":
            value = {key: item for key, item in value.items() if key in rules.image}
        return self._mask.object(value, rules.hashed, rules.plain)

    def _kind(self, name: str) -> _Type:
        if not isinstance(name, str) or name not in self._types:
            known = self.catalog.event_type(name)
            kind = _Type(known, self.catalog, self.settings)
            if kind.level == "off":  # not kept, so that a type that is on costs no look at its level
                return kind
            self._types[name] = kind
            if known.alias:
                now = named_now(self.catalog.types, name).name
                warn(f"{name} is an old name of {now}, which finds it too; record {now}")
        return self._types[name]

    def _check(self, entry: dict[str, Any], whole: Mapping[str, Any]) -> None:
        """Checks an entry with the free fields as they were given: a value that is cut may break its schema."""
        try:
            self.catalog.check({**entry, **whole})
        except InvalidEntry:
            texts = {n: str.__str__(v) for n, v in entry.items() if isinstance(v, str) and type(v) is not str}
            if not texts:
                raise
            entry.update(texts)  # Markup, SafeString and the like, which the compiled check doesn't know
            self.catalog.check({**entry, **whole})

    def _fit(self, entry: dict[str, Any], required: Mapping[str, Collection[str]]) -> None:
        try:
            data = orjson.dumps(entry)
        except TypeError:  # says nothing about which field
            data = orjson.dumps(_plain_fields(entry))
        if b"\\u0000" in data:
            _plain_fields(entry)
        if len(data) > _NEEDS_SHORTENING:
            shorten(entry, len(data) + CHAIN_BYTES, self.catalog.personal, required)

    def _not_recorded(self, why: str) -> Receipt:
        count_not_recorded(self.journal.path)
        warn(f"an audit entry was not recorded: {why}", stacklevel=2)
        return Receipt(False, error=why)

    def _invalid(self, event_type: str, fields: Mapping[str, object], error: Exception) -> Receipt:
        """Quarantines an invalid call, or raises `InvalidEntry`, as the setting `on_invalid` says."""
        ours = error if isinstance(error, WhodidError) else _unreadable(error)
        if self.settings.on_invalid == "raise":
            raise ours from ours.__cause__
        return self._quarantine(event_type, fields, shown(str(ours)))

    def _quarantine(self, event_type: str, fields: Mapping[str, object], why: str) -> Receipt:
        try:
            masked_fields = masked(_without_key(fields))
            kept = self.journal.quarantine({"error": why, "type": masked(event_type), "fields": masked_fields})
        except (NotRecorded, JournalDamaged) as error:
            pass_on(error)
            if self._on_failure(event_type) == "raise":
                raise
            return self._not_recorded(f"{why} (nor was the call kept: {error})")
        return Receipt(False, error=why) if kept else self._not_recorded(f"{why} (nor was the call kept: {_FULL})")

    def _on_failure(self, event_type: str) -> str:
        try:
            return self._kind(event_type).on_failure
        except Exception as other:  # noqa: BLE001 (the type may be what is wrong with the call)
            pass_on(other)
            return self.settings.on_failure


def _level(known: EventType, types: Mapping[str, EventType], record: Mapping[str, Level]) -> Level:
    """How much is recorded of a type; what is said of an old name counts before what is said of a newer one."""
    while True:
        if found := [one for one in record if _covers(one, known.name)]:
            return record[max(found, key=lambda one: (one == known.name, len(one)))]
        if not known.alias:
            return "full"
        known = types[str(known.replaced_by)]


def _covers(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def _check_known(record: Collection[str], types: Collection[str]) -> None:
    for one in record:
        if not any(_covers(one, name) for name in types):
            raise SettingsError(f"record: there is no event type {one!r} in the catalog{did_you_mean(one, types)}")


_NO_TEXTS = LISTS | {"occurred_at"}


def _as_json(name: str, value: object) -> Any:
    """A copy in JSON. Raises `InvalidEntry` for a list that is too long, before it looks at what is in it."""
    if isinstance(value, list | tuple) and len(value) > FIELDS[name].many > 1:
        raise InvalidEntry(f"{name} has {len(value):,} values; pass 1 to {FIELDS[name].many}, or leave it out")
    if not (isinstance(value, datetime) and name == "occurred_at"):
        return plain(value, name)
    if value.utcoffset() is None:
        raise InvalidEntry(f"{name} is a datetime without a time zone; pass one with it, as of datetime.now(UTC)")
    return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def _check_paths(entry: Mapping[str, Any]) -> None:
    for name in FREE_FIELDS:
        if (length := _paths(entry.get(name))) > _PATHS:
            raise InvalidEntry(
                f"the paths of all values in {name} have {length:,} characters, the limit is {_PATHS:,}: OpenSearch "
                "indexes each value with all keys above it. Flatten it, or shorten the outer keys"
            )


def _paths(value: object, above: int = 0) -> int:
    """The number of characters of the paths (`a.b.c`) of all values together."""
    if isinstance(value, dict):
        return sum(_paths(item, above + len(key) + 1) for key, item in value.items())
    return sum(_paths(item, above) for item in value) if isinstance(value, list) else above


def _unreadable(error: Exception) -> InvalidEntry:
    """What an object of the application's raised when it was looked at, without its words: they may hold a value."""
    invalid = InvalidEntry(f"the call holds an object that can't be read ({type(error).__name__}); pass plain values")
    invalid.__cause__ = error
    return invalid


def _hash_key(settings: Settings) -> str:
    if not settings.hash_key_file:
        return settings.hash_key
    key = read_secret("hash_key_file", settings.hash_key_file)
    if len(key) < MIN_HASH_KEY:
        raise SettingsError(f"hash_key_file holds fewer than {MIN_HASH_KEY} characters; use `openssl rand -hex 32`")
    return key


def _keyed(
    fields: Mapping[str, object], filled: dict[str, str], type_: str
) -> tuple[Mapping[str, object], dict[str, str]]:
    """The fields of a call without its key, and what fills its entry, with the hash of type and key."""
    key = fields["once"]
    if key is not None:
        if not isinstance(key, str) or not 0 < len(key) <= 512:
            raise InvalidEntry("once must be text of 1 to 512 characters that names this event, such as a refund's ID")
        data = f"{type_}\0{plain(key, 'once')}".encode()
        filled = {**filled, "once": sha256(data).hexdigest()[:32]}
    return _without_key(fields), filled


def _without_key(fields: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if name != "once"}


def _merged(kind: _Type, fields: Mapping[str, object], bound: Mapping[str, object]) -> dict[str, Any]:
    """Arguments on top of bound keys on top of the context; `None` means not given."""
    if not CALLER_FIELDS.issuperset(fields):
        _refuse_unknown(fields)
    around = current_fields()
    if bound:
        around = override(around, {name: value for name, value in bound.items() if name in _BINDABLE})
    other = "principal" in fields or "client_ip" in fields
    entry = override(around, fields) if other else {**around, **fields}
    if bound or None in fields.values():
        entry = {name: value for name, value in entry.items() if value is not None}
    if kind.hides_proxies and "forwarded_for" not in fields:
        entry.pop("forwarded_for", None)  # whether there was a proxy is not for the caller to know
    return entry


_BINDABLE = CALLER_FIELDS - {"type"}


def _refuse_unknown(entry: Mapping[str, object]) -> None:
    for name in sorted(entry.keys() - CALLER_FIELDS):
        if name in FIELDS:
            raise InvalidEntry(f"{name} is filled by whodid and can't be an argument; leave it out")
        meant = near(name, (*CALLER_FIELDS, "once"))
        hint = f"did you mean {meant[0]}? Otherwise pass" if meant else "pass"
        raise InvalidEntry(f"{name} is not a field of an entry; {hint} details={{{name!r}: …}}")


def _plain_fields(entry: Mapping[str, object]) -> dict[str, Any]:
    return {name: plain(value, name) for name, value in entry.items()}
