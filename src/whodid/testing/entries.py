"""The entries of a test, kept in memory instead of a journal directory, and assertions about them.

A failed assertion shows the nearest entries and how they differ. A forked child has its own copy of the entries.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, overload

import orjson

from ..catalog import Catalog
from ..entry import FIELDS, ZERO_HASH
from ..errors import InvalidEntry
from ..integrations import equip_loggers
from ..integrity import Draft, canonical, plain
from ..journal import Journal, Position
from ..recording.recorder import Recorder
from ..recording.runtime import recorders_from
from ..settings import Settings, load_settings
from ..text import did_you_mean

if TYPE_CHECKING:
    from typing import Unpack

    from ..typing import ExpectedFields

__all__ = ["AuditEntries", "MemoryJournal", "audit_entries", "differences", "distinctions", "entries_with", "nearest"]

_Entry = Mapping[str, Any]

_SHOWN = 3
"""Number of nearest entries in a message."""

_ALWAYS_DIFFERENT = {"@timestamp", "committed", "creation_date", "hash", "prev", "salt", "seq"}


def differences(entry: _Entry, expected: _Entry) -> list[str]:
    """One line for each field in which an entry differs from what is expected."""
    return [line for name, value in expected.items() for line in _difference(name, entry.get(name), value)]


def _difference(path: str, actual: Any, expected: Any) -> list[str]:
    if _as_expected(actual, expected):
        return []
    if isinstance(actual, Mapping) and isinstance(expected, Mapping):
        keys = [*expected, *(key for key in actual if key not in expected)]
        below = [line for key in keys for line in _difference(f"{path}.{key}", actual.get(key), expected.get(key))]
        if below:  # empty if the only difference is a key with the value None
            return below
    return [f"{path}: expected {_shown(expected)}, was {_shown(actual)}"]


def _as_expected(actual: Any, expected: Any) -> bool:
    """Compares values that an entry can hold as it holds them; others, such as `ANY`, by `==`."""
    try:
        stored = plain(expected, "expected")
    except InvalidEntry:
        return bool(actual == expected)
    return canonical(actual) == canonical(stored)


def _shown(value: Any) -> str:
    return "absent" if value is None else repr(value)


def entries_with(count: int, expected: _Entry) -> str:
    """`2 entries were recorded with type='team_deleted', target='9'`."""
    fields = ", ".join(f"{name}={value!r}" for name, value in expected.items())
    counted = {0: "no entry was", 1: "1 entry was"}.get(count, f"{count} entries were")
    return f"{counted} recorded" + (f" with {fields}" if fields else "")


def nearest(entries: Sequence[_Entry], found: Sequence[int], expected: _Entry) -> str:
    """The nearest entries that don't match `expected`, and how they differ; entries of the same type come first."""
    others = [(index, entry) for index, entry in enumerate(entries) if index not in found]
    if not others:
        return "" if entries else " No entries were recorded."

    def distance(other: tuple[int, _Entry]) -> tuple[bool, int]:
        _, entry = other
        others = sum(not _as_expected(entry.get(name), value) for name, value in expected.items())
        return entry["type"] != expected.get("type"), others

    shown = "".join(
        f"\n  {_named(index, entry)}" + "".join(f"\n    {line}" for line in differences(entry, expected))
        for index, entry in sorted(others, key=distance)[:_SHOWN]
    )
    more = len(others) - _SHOWN
    return f"\nNearest of {len(others)}:{shown}" + (f"\n  and {more} more" if more > 0 else "")


def distinctions(entries: Sequence[_Entry], found: Sequence[int]) -> str:
    """The entries that were found, with the fields in which they differ."""
    chosen = [entries[index] for index in found]
    different = [
        name
        for name in FIELDS
        if name not in _ALWAYS_DIFFERENT and any(entry.get(name) != chosen[0].get(name) for entry in chosen)
    ]
    return "".join(
        f"\n  {_named(index, entries[index])}"
        + "".join(f"\n    {name}: {_shown(entries[index].get(name))}" for name in different)
        for index in found
    )


def _named(index: int, entry: _Entry) -> str:
    target = f" of {entry['target']}" if "target" in entry else ""
    return f"[{index}] {entry['type']}{target}"


class MemoryJournal(Journal):
    """A journal in memory, with the same chain as `whodid.journal.Journal`. Thread-safe.

    Example:
        >>> journal = MemoryJournal()
        >>> Recorder(settings, journal=journal).record("team_created", {"target": "9", "principal": "42"})
        >>> journal.entries[0]["target"]
        '9'
    """

    lines: list[bytes]
    """The journal lines, as they would be on disk."""
    rejected: list[dict[str, Any]]
    """The calls that broke a rule of the catalog, with `on_invalid = "quarantine"`."""

    def __init__(self) -> None:
        super().__init__(os.devnull)  # no directory can be created there
        self.lines = []
        self.rejected = []
        self._id = secrets.token_hex(8)
        self._last = ZERO_HASH
        self._first: dict[bytes, tuple[int, Position]] = {}
        self._lock = threading.Lock()

    @property
    def entries(self) -> list[dict[str, Any]]:
        """Copies of all entries, in order."""
        return [orjson.loads(line) for line in self.lines]

    def append(self, draft: Draft, durability: Literal["disk", "process"] = "disk") -> Position:
        """Appends the entry to the chain, unless a call with its key was recorded within a day."""
        once = draft.once
        with self._lock:
            if once and (first := self._first.get(once.key)) and once.repeats(first[0]):
                return first[1]
            seq = len(self.lines) + 1
            self._last, line = draft.seal(self._id, seq, self._last)
            self.lines.append(line)
            if once:
                self._first[once.key] = once.second, Position(self._id, seq, self._last, b"")
            return Position(self._id, seq, self._last, line)

    def sync(self) -> None:
        """Does nothing."""

    def close_segment(self) -> None:
        """Does nothing."""

    def quarantine(self, rejected: Mapping[str, object]) -> bool:
        """Keeps a call that broke a rule of the catalog."""
        self.rejected.append(orjson.loads(orjson.dumps(rejected)))
        return True

    def close(self) -> None:
        """Does nothing; entries can still be appended."""

    def after_fork_in_child(self) -> None:
        """Replaces the lock, which a thread of the parent may hold."""
        self._lock = threading.Lock()


Entry = dict[str, Any]


class AuditEntries(Sequence[Entry]):
    """The entries recorded since the start of the block or since `clear()`, oldest first. Equal to a list of them.

    The assertions compare values as an entry holds them (a tuple equals a list, `True` differs from 1). Values that no
    entry can hold are compared by `==`, so that `unittest.mock.ANY` matches; `None` matches an absent field.

    Example:
        >>> with whodid.testing.audit_entries() as entries:
        ...     refund("2026-117", amount=30)
        >>> entries.assert_recorded(type="invoice_refunded", target="2026-117")["details"]
        {'amount': 30}
    """

    def __init__(self, journal: MemoryJournal, catalog: Callable[[], Catalog]) -> None:
        self.journal = journal
        self._catalog = catalog
        self._begin = self._rejected_begin = 0

    @property
    def catalog(self) -> Catalog:
        """The current catalog."""
        return self._catalog()

    def __len__(self) -> int:
        return len(self.journal.lines) - self._begin

    @overload
    def __getitem__(self, index: int) -> Entry: ...
    @overload
    def __getitem__(self, index: slice) -> list[Entry]: ...
    def __getitem__(self, index: int | slice) -> Entry | list[Entry]:
        if isinstance(index, slice):
            return [orjson.loads(line) for line in self.journal.lines[self._begin :][index]]
        entry: Entry = orjson.loads(self.journal.lines[self._begin + range(len(self))[index]])
        return entry

    def __iter__(self) -> Iterator[Entry]:
        return iter(self[:])

    def __eq__(self, other: object) -> bool:
        return self[:] == list(other) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # it grows

    def __repr__(self) -> str:
        return f"<AuditEntries: {', '.join(entry['type'] for entry in self[:]) or 'none'}>"

    @overload
    def assert_recorded(self, /, *, times: None = None, **expected: Unpack[ExpectedFields]) -> Entry: ...
    @overload
    def assert_recorded(self, /, *, times: int, **expected: Unpack[ExpectedFields]) -> list[Entry]: ...
    def assert_recorded(
        self, /, *, times: int | None = None, **expected: Unpack[ExpectedFields]
    ) -> Entry | list[Entry]:
        """Asserts that exactly one entry has these fields, or that `times` entries have them.

        Args:
            times: The number of entries that must have the fields.
            **expected: Fields and their values; see `whodid.typing.ExpectedFields`.

        Returns:
            The entry; with `times`, the list of all of them.

        Raises:
            AssertionError: Another number of entries has them; the message shows the nearest ones and how they differ.
            InvalidEntry: There is no such event type or field, so the assertion would be meaningless.

        Example:
            >>> entry = audit_entries.assert_recorded(type="invoice_refunded", target="2026-117")
        """
        __tracebackhide__ = True
        found = self._matching(expected)
        if len(found) == (1 if times is None else times):
            return self[found[0]] if times is None else [self[index] for index in found]
        if times is None and found:
            advice = f"expect more fields to select one, or times={len(found)}"
            raise AssertionError(f"{entries_with(len(found), expected)}; {advice}:" + distinctions(self[:], found))
        wanted = "" if times is None else f", not {times}"
        raise AssertionError(
            f"{entries_with(len(found), expected)}{wanted}." + nearest(self[:], found, expected) + self._rejected()
        )

    def assert_not_recorded(self, /, **expected: Unpack[ExpectedFields]) -> None:
        """Asserts that no entry has these fields; without fields, that no entry was recorded.

        Args:
            **expected: As for `assert_recorded`.

        Raises:
            AssertionError: An entry has them.
            InvalidEntry: As for `assert_recorded`.

        Example:
            >>> audit_entries.assert_not_recorded(type="invoice_refunded")
        """
        __tracebackhide__ = True
        if found := self._matching(expected):
            raise AssertionError(f"{entries_with(len(found), expected)}, not none:" + distinctions(self[:], found))

    def of_type(self, name: str) -> list[Entry]:
        """The entries of one event type.

        Args:
            name: The event type.

        Returns:
            The entries, oldest first.

        Raises:
            InvalidEntry: The catalog has no such type.

        Example:
            >>> [entry["target"] for entry in audit_entries.of_type("invoice_refunded")]
        """
        return [self[index] for index in self._matching({"type": name})]

    def clear(self) -> None:
        """Removes the entries recorded so far; the chain continues.

        Example:
            >>> audit_entries.clear()
        """
        self._begin, self._rejected_begin = len(self.journal.lines), len(self.journal.rejected)

    def _matching(self, expected: Mapping[str, object]) -> list[int]:
        for name in expected:
            if name not in FIELDS:
                raise InvalidEntry(f"{name} is not a field of an entry{did_you_mean(name, FIELDS)}")
        if isinstance(event_type := expected.get("type"), str):
            self.catalog.event_type(event_type)
        return [index for index, entry in enumerate(self) if not differences(entry, expected)]

    def _rejected(self) -> str:
        rejected = self.journal.rejected[self._rejected_begin :]
        return "".join(f"\nRejected: {call['error']}" for call in rejected)


@contextmanager
def audit_entries() -> Iterator[AuditEntries]:
    """Keeps in memory all entries that this process records inside the block, from any logger, thread or task.

    Nothing is written to disk or shipped. Settings and catalog are those of `whodid.configure()`, called before or
    inside the block, or else those of the environment and the defaults. After the block the previous recorder is
    restored; the entries can still be read.

    Returns:
        A context manager that yields the entries.

    Raises:
        CatalogError: The current catalog can't be used.

    Example:
        >>> with whodid.testing.audit_entries() as entries:
        ...     refund("2026-117", amount=30)
        >>> entries.assert_recorded(type="invoice_refunded", target="2026-117")
    """
    journal = MemoryJournal()
    made: list[Recorder] = []

    def make(settings: Settings, catalog: Catalog | None) -> Recorder:
        made.append(Recorder(replace(settings, ship=False), catalog=catalog, journal=journal))
        return made[-1]

    def catalog() -> Catalog:
        return (made[-1] if made else make(load_settings(), None)).catalog

    with recorders_from(make):
        equip_loggers()
        yield AuditEntries(journal, catalog)
