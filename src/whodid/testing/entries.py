"""The entries of a test: a sequence of them, and assertions that say what was recorded instead."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

import orjson

from ..catalog import Catalog
from ..entry import FIELDS
from ..errors import InvalidEntry
from ..text import did_you_mean
from .difference import differences, distinctions, entries_with, nearest
from .journal import MemoryJournal

if TYPE_CHECKING:
    from typing import Unpack

    from ..typing import ExpectedFields

__all__ = ["AuditEntries"]

Entry = dict[str, Any]


class AuditEntries(Sequence[Entry]):
    """What was recorded since the beginning, or since `clear()`, oldest first. Equal to a list of the same entries.

    The assertions compare fields as an entry holds them (a tuple is a list, `True` is not 1), and by `==` with what no
    entry holds, so that `unittest.mock.ANY` and the like can be expected; `None` expects that an entry lacks the field.

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
        """The catalog in force."""
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
        """Asserts that exactly one entry has these fields, or with `times` that this many have.

        Args:
            times: How many entries must have the fields.
            **expected: Fields and their values; see `whodid.typing.ExpectedFields`.

        Returns:
            The entry; with `times`, the list of all of them.

        Raises:
            AssertionError: Another number of entries has them; the message shows the nearest, and what differs.
            InvalidEntry: There is no such event type or field, so that the assertion would say nothing.

        Example:
            >>> entry = audit_entries.assert_recorded(type="invoice_refunded", target="2026-117")
        """
        __tracebackhide__ = True
        found = self._matching(expected)
        if len(found) == (1 if times is None else times):
            return self[found[0]] if times is None else [self[index] for index in found]
        if times is None and found:
            advice = f"name more fields to tell them apart, or expect times={len(found)}"
            raise AssertionError(f"{entries_with(len(found), expected)}; {advice}:" + distinctions(self[:], found))
        wanted = "" if times is None else f", not {times}"
        raise AssertionError(
            f"{entries_with(len(found), expected)}{wanted}." + nearest(self[:], found, expected) + self._rejected()
        )

    def assert_not_recorded(self, /, **expected: Unpack[ExpectedFields]) -> None:
        """Asserts that no entry has these fields; without any, that nothing was recorded.

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
        """Forgets what was recorded until now; the chain continues.

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
        return "".join(f"\nNot recorded, but rejected: {call['error']}" for call in rejected)
