"""The entry (one audit record): its fields, its ID, the partition it belongs to, and the receipt of its recording.

The table `FIELDS` defines for each field what it holds and who fills it. The JSON Schema, the OpenSearch mapping, the
filters of the query client and the arguments of `audit()` are generated from it, so a new field is one line here.

An entry is one JSON object. The line in the journal and the `_source` in OpenSearch are the same bytes.
docs/reference/format.md is the specification for other languages.

Many entries are written as ranges of numbers by journal: `{"8f14e45fceea167a": "3-5,9"}`. Readers skip what is not a
range, because another program may have written it.
"""

from __future__ import annotations

import re
import time
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, Literal, NamedTuple, TypeAlias

__all__ = [
    "END",
    "FIELDS",
    "FREE_FIELDS",
    "HARD_LIMIT",
    "LISTS",
    "NEVER_COMMITTED",
    "PERSONAL_FIELDS",
    "PLATFORM_FIELDS",
    "SCHEMA_VERSION",
    "SOFT_LIMIT",
    "TARGET_KEYS",
    "ZERO_HASH",
    "Entry",
    "Field",
    "Once",
    "Partitioning",
    "Places",
    "Receipt",
    "Stamp",
    "document_id",
    "entry_id",
    "later",
    "parse_creation_date",
    "partition_end",
    "partition_name",
    "partition_start",
    "places",
    "ranges",
    "stamp",
    "why_unreadable",
]

SCHEMA_VERSION = "2.1"
"""Version of the format of an entry. Entries with the same major number can be read; minor numbers only add fields."""

SOFT_LIMIT = 32 * 1024
"""Size of a serialised entry in bytes above which details, images and long strings are shortened."""

HARD_LIMIT = 64 * 1024
"""Size of a serialised entry in bytes above which the call is refused."""

ZERO_HASH = "0" * 64
"""`prev` of the first entry of a journal."""

Entry: TypeAlias = dict[str, Any]
"""One entry as it was journalled: names of fields and their values."""

Kind = Literal["keyword", "ip", "date", "date_nanos", "long", "flat_object", "objects", "stored"]
"""The OpenSearch mapping type of a field. `objects` is a list of objects with `TARGET_KEYS`; `stored` is kept but not
searchable.
"""

Source = Literal["call", "derived", "settings", "journal"]
"""Who fills a field: the caller (arguments, bound keys, context), the recorder, the settings, or the journal."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an entry. `max_length` is in characters, for strings."""

    name: str
    kind: Kind
    source: Source
    about: str
    max_length: int = 512
    shortenable: bool = False
    """Whether longer values are cut, and recorded as cut, instead of being refused."""
    values: tuple[str, ...] = ()
    """The allowed values; empty for any."""
    many: int = 1
    """The maximum number of values; a field that may have more than one holds a text or a list of texts."""


FIELDS: Mapping[str, Field] = {
    field.name: field
    for field in (
        # The platform's ten documented fields.
        Field("type", "keyword", "call", "the event type, as the catalog names it", 128),
        Field("target", "keyword", "call", "ID of the resource the event is about"),
        Field("principal", "keyword", "call", "ID of the user who did it; `system` or `anonymous`"),
        Field("status", "keyword", "call", "more about the event, such as the sign-in method", 1024, True),
        Field("organization_id", "keyword", "call", "ID of the organization it happened in"),
        Field("organization_name", "keyword", "call", "name of the organization at that moment", 512, True),
        Field("workspace_id", "keyword", "call", "ID of the workspace it happened in"),
        Field("workspace_name", "keyword", "call", "name of the workspace at that moment", 512, True),
        Field("client_ip", "ip", "call", "address of the user or client; absent for the system", 45),
        Field("creation_date", "date", "derived", "when, UTC, whole seconds: YYYY-MM-DDTHH:MM:SSZ", 20),
        # When, to the microsecond: what sorting and Dashboards use.
        Field("@timestamp", "date_nanos", "derived", "when, UTC, microseconds", 27),
        Field("occurred_at", "date_nanos", "call", "when it happened, if recorded later: YYYY-MM-DDTHH:MM:SSZ", 30),
        Field("imported_from", "keyword", "call", "the older log that the entry was imported from", 512),
        # Who and what, as they were at that moment.
        Field("target_type", "keyword", "derived", "the resource of the catalog, such as `credentials`", 128),
        Field("target_name", "keyword", "call", "name of the target at that moment", 512, True),
        Field(
            "targets", "objects", "call", "further targets: a list of objects with `id`, `type` and `name`", many=100
        ),
        Field("principal_name", "keyword", "call", "name of the user at that moment", 512, True),
        Field("principal_email", "keyword", "call", "e-mail address of the user at that moment", 512, True),
        Field(
            "on_behalf_of",
            "keyword",
            "call",
            "ID of the user who was impersonated or who asked for it; or a list, the nearest first",
            many=8,
        ),
        Field(
            "principal_type",
            "keyword",
            "call",
            "what the principal is: `user`, `service`, `api_key`, `agent` (a program that decides), `system` or "
            "`anonymous`",
            16,
            values=("user", "service", "api_key", "agent", "system", "anonymous"),
        ),
        Field("session_id", "keyword", "call", "ID (never the secret) of the session it happened in"),
        Field(
            "auth_method", "keyword", "call", "how the principal was authenticated, such as `password` or `oidc`", 128
        ),
        Field("roles", "keyword", "call", "the principal's roles at that moment: a list, or one", 128, many=64),
        Field("user_agent", "keyword", "call", "the client's own description", 1024, True),
        Field(
            "forwarded_for", "keyword", "call", "addresses that proxies passed on, unchecked; the peer last", 1024, True
        ),
        Field("access_token_id", "keyword", "call", "ID (never the value) of the access token used"),
        # Related entries.
        Field("correlation_id", "keyword", "call", "shared by all entries of one cascade"),
        Field("request_id", "keyword", "call", "ID of the HTTP request or task"),
        Field("method", "keyword", "call", "method of the HTTP request", 32),
        Field("route", "keyword", "call", "pattern of the HTTP request's path, such as `/teams/{id}`", 512, True),
        Field("trace_id", "keyword", "call", "W3C trace ID", 64),
        Field("operation", "keyword", "call", "joins the two entries of an intent/outcome pair"),
        Field("phase", "keyword", "call", "`intent` or `outcome`, for pairs", 16, values=("intent", "outcome")),
        Field(
            "outcome",
            "keyword",
            "call",
            "`success`, `failure` or `unknown`",
            16,
            values=("success", "failure", "unknown"),
        ),
        Field("once", "stored", "derived", "hash (32 hex digits) of the type and the key of a call with `once`", 32),
        # What changed.
        Field("before", "flat_object", "call", "state image before the change"),
        Field("after", "flat_object", "call", "state image after the change"),
        Field("details", "flat_object", "call", "anything else worth keeping; free and bounded"),
        Field("shortened", "flat_object", "derived", "which fields were cut, with original bytes and SHA-256"),
        # From which program.
        Field("service", "keyword", "settings", "the application that recorded it"),
        Field("host", "keyword", "settings", "the machine or pod it ran on"),
        Field("schema_version", "keyword", "derived", "format of this entry", 16),
        # Integrity.
        Field("journal", "keyword", "journal", "random ID of the journal", 32),
        Field("seq", "long", "journal", "position in the journal: 1, 2, 3 … without a gap"),
        Field("prev", "keyword", "journal", "hash of the entry before; 64 zeros for the first", 64),
        Field("hash", "keyword", "journal", "SHA-256 of this entry's canonical bytes", 64),
        Field("committed", "stored", "derived", "names of the personal fields, which are hashed by commitments"),
        Field("salt", "stored", "derived", "salt (32 hex digits) that opens the commitments, until one is erased"),
        Field("salts", "stored", "derived", "salt (32 hex digits) of each personal field that an erasure left"),
        Field("erased", "stored", "derived", "commitment of each personal field that was erased"),
    )
}

PERSONAL_FIELDS = frozenset(
    name
    for name, field in FIELDS.items()
    if field.source == "call"
    and field.kind in {"keyword", "ip", "objects"}
    and name not in {"type", "target", "principal"}
)
"""Fields that a catalog may declare personal: texts that a caller fills, except those that identify the event."""

LISTS = frozenset(name for name, field in FIELDS.items() if field.many > 1)
"""Fields that may hold a list."""

TARGET_KEYS = {"id": 512, "type": 128, "name": 512}
"""The keys of an object in `targets` and the maximum length of their values, in characters; only `id` is required."""

NEVER_COMMITTED = frozenset(FIELDS) - PERSONAL_FIELDS
"""Fields that must not be hashed by a commitment. Fields that a higher minor version adds are not among them."""

FREE_FIELDS = tuple(name for name, field in FIELDS.items() if field.kind == "flat_object" and field.source == "call")
"""`before`, `after` and `details`: objects that may hold any JSON."""

PLATFORM_FIELDS = (
    "type",
    "target",
    "principal",
    "status",
    "organization_id",
    "organization_name",
    "workspace_id",
    "workspace_name",
    "client_ip",
    "creation_date",
)
"""The ten fields that the platform documents, in its order: the columns of tables and exports."""

Partitioning = Literal["month", "week", "day"]


class Stamp(NamedTuple):
    """A point in time in the entry's two notations."""

    creation_date: str
    timestamp: str

    @classmethod
    def now(cls) -> Stamp:
        """The current time, by the clock of this machine."""
        return cls.from_ns(time.time_ns())

    @classmethod
    def from_ns(cls, ns: int) -> Stamp:
        """The time `ns` nanoseconds after the epoch, cut (not rounded) to microseconds and to seconds."""
        return cls(*stamp(ns))


def stamp(ns: int) -> tuple[str, str]:
    """As `Stamp.from_ns`, but faster: returns a plain pair."""
    seconds, rest = divmod(ns, 1_000_000_000)
    second, date = _second(seconds)
    return date, f"{second}{rest // 1000:06d}Z"


@lru_cache(maxsize=8)
def _second(seconds: int) -> tuple[str, str]:
    """The start of a timestamp in that second, and its creation date."""
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return text + ".", text + "Z"


_CREATION_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)


def parse_creation_date(text: str) -> datetime | None:
    """The time of an entry's `creation_date`; `None` unless it has exactly that form."""
    try:
        return datetime.fromisoformat(text) if _CREATION_DATE.fullmatch(text) else None
    except ValueError:
        return None


def why_unreadable(entry: Mapping[str, object]) -> str:
    """Why this version of whodid can't read an entry (another major version, or no content); empty if it can."""
    if "hash" not in entry and isinstance(why := entry.get("unreadable"), str):
        return why
    version = entry.get("schema_version", SCHEMA_VERSION)
    if version == SCHEMA_VERSION or not isinstance(version, str):
        return ""
    major, known = version.partition(".")[0], SCHEMA_VERSION.partition(".")[0]
    if not (major.isascii() and major.isdecimal() and len(major) < _MANY_DIGITS) or int(major) == int(known):
        return ""
    return f"its format is {major}.x, and this whodid reads {known}.x" + (
        "; upgrade whodid here" if int(major) > int(known) else ""
    )


_MANY_DIGITS = 16
"""More digits than any version number has; such an entry is damaged, which its hash shows."""


class Once(NamedTuple):
    """By what a repeated call is known: the hash of its type and key, and the second of its entry."""

    key: bytes
    second: int

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Once | None:
        """`None` for an entry without a key, or with a malformed one."""
        try:
            key, made = bytes.fromhex(entry["once"]), datetime.fromisoformat(entry["creation_date"])
        except (KeyError, TypeError, ValueError):
            return None
        return cls(key, int(made.timestamp())) if len(key) == 16 else None

    def repeats(self, second: int) -> bool:
        """Whether an entry of that second is the first of this call: less than a day away."""
        return abs(self.second - second) < 86400


def document_id(journal: str, seq: int, hash_: str) -> str:
    """The `_id` in OpenSearch: the same for each retry, and different for different content."""
    return f"{journal}-{seq:012d}-{hash_[:16]}"


def entry_id(entry: Mapping[str, object]) -> str:
    """The document ID of an entry; empty if whodid did not write it."""
    journal, seq, hash_ = entry.get("journal"), entry.get("seq"), entry.get("hash")
    if isinstance(journal, str) and isinstance(seq, int) and isinstance(hash_, str):
        return document_id(journal, seq, hash_)
    return ""


def partition_name(prefix: str, partitioning: Partitioning, creation_date: str) -> str:
    """The index of an entry by its `creation_date`: `whodid-audit-2026.11`, `…-2026.w48` or `…-2026.11.23`."""
    year, month, day = creation_date[:4], creation_date[5:7], creation_date[8:10]
    if partitioning == "month":
        return f"{prefix}-{year}.{month}"
    if partitioning == "day":
        return f"{prefix}-{year}.{month}.{day}"
    iso = date(int(year), int(month), int(day)).isocalendar()
    return f"{prefix}-{iso.year:04d}.w{iso.week:02d}"


def partition_start(prefix: str, name: str) -> datetime | None:
    """The first moment of a partition of any length, by its name; `None` if `name` is not the name of a partition."""
    suffix = name.removeprefix(prefix + "-")
    for pattern in ("%Y.%m", "%Y.%m.%d"):
        try:
            return datetime.strptime(suffix, pattern).replace(tzinfo=UTC)
        except ValueError:
            continue
    try:
        return datetime.strptime(suffix + ".1", "%G.w%V.%u").replace(tzinfo=UTC)
    except ValueError:
        return None


def partition_end(prefix: str, name: str) -> datetime | None:
    """The first moment after a partition, by its name; `None` if `name` is not the name of a partition.

    For the last partition of the calendar it is the `END` of the calendar.
    """
    start = partition_start(prefix, name)
    if start is None:
        return None
    suffix = name.removeprefix(prefix + "-")
    if "w" in suffix:
        return later(start, timedelta(days=7))
    if suffix.count(".") == 2:
        return later(start, timedelta(days=1))
    end = later(start, timedelta(days=31))
    return end if end == END else end.replace(day=1)


END = datetime.max.replace(tzinfo=UTC)
"""The last moment of the calendar."""


def later(moment: datetime, by: timedelta) -> datetime:
    """The moment later by that time, at most `END`: anybody may name an index, or set an age, beyond the calendar."""
    try:
        return moment + by
    except OverflowError:
        return END


class Places:
    """A set of entries by journal and `seq`, eight bytes each: millions may concern one person."""

    def __init__(self) -> None:
        self._seqs: dict[str, array[int]] = {}

    def add(self, journal: str, seq: int) -> None:
        self._seqs.setdefault(journal, array("Q")).append(seq)

    def __len__(self) -> int:
        return sum(map(len, self._seqs.values()))

    def __iter__(self) -> Iterator[tuple[str, int]]:
        return ((journal, seq) for journal, seqs in self._seqs.items() for seq in seqs)

    def written(self) -> dict[str, str]:
        """Ranges of `seq` as text, by journal."""
        return {journal: _written(sorted(set(seqs))) for journal, seqs in self._seqs.items()}


def places(ids: Iterable[str]) -> dict[str, str]:
    """The entries with these document IDs as ranges of `seq`, by journal."""
    found = Places()
    for name in ids:
        journal, _, rest = name.partition("-")
        found.add(journal, int(rest.partition("-")[0]))
    return found.written()


def ranges(text: str) -> Iterator[tuple[int, int]]:
    """The first and the last number of each range in `3-5,9`."""
    for part in text.split(","):
        first, _, last = part.partition("-")
        if _is_number(first) and _is_number(last or first):
            yield int(first), int(last or first)


def _is_number(text: str) -> bool:
    return text.isdecimal() and len(text) <= _MANY_DIGITS


def _written(numbers: Sequence[int]) -> str:
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)


class Receipt(NamedTuple):
    """The result of a call to `audit`: where the entry was recorded, or why it was not. True if it was recorded.

    A call that records nothing raises, unless `on_failure = "warn"` or `on_invalid = "quarantine"` is set, or the type
    is off by the setting `record`.

    Example:
        >>> receipt = log.audit("credentials_created", target="6Yk2", principal="42")
        >>> receipt.recorded, receipt.seq, receipt.durability
        (True, 1, 'disk')
    """

    recorded: bool
    """Whether the entry was recorded."""
    journal: str = ""
    """ID of the journal that holds the entry."""
    seq: int = 0
    """Position of the entry in its journal, from 1."""
    hash: str = ""
    """Hash of the entry: SHA-256, 64 hex digits."""
    durability: Literal["disk", "process"] | None = None
    """How durable the entry was when the call returned: `disk` survives a power loss, `process` survives `kill -9`."""
    error: str = ""
    """Why the entry was not recorded; empty if it was."""

    @property
    def entry_id(self) -> str:
        """The document `_id` of the entry in OpenSearch; empty if it was not recorded."""
        return document_id(self.journal, self.seq, self.hash) if self.recorded else ""

    def __bool__(self) -> bool:
        return self.recorded
