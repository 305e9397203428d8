"""The public face: what `whodid` exports, and that nothing else's errors escape it."""

from __future__ import annotations

import whodid
from whodid import errors, testing

EXPORTED = [
    "AuditClient",
    "AuditHandler",
    "AuditJsonFormatter",
    "AuditLogger",
    "AuditMixin",
    "AuditProcessor",
    "CatalogError",
    "EntryTooLarge",
    "InvalidEntry",
    "JournalDamaged",
    "JournalFull",
    "JournalLocked",
    "NotRecorded",
    "OpenSearchError",
    "QueryError",
    "Receipt",
    "Settings",
    "SettingsError",
    "WhodidError",
    "audited",
    "bind",
    "carried",
    "changes",
    "configure",
    "context",
    "get_logger",
    "system",
]


def test_the_exported_names_are_these() -> None:
    assert whodid.__all__ == EXPORTED
    for name in EXPORTED:
        assert getattr(whodid, name) is not None


def test_the_names_for_tests_of_applications_are_these() -> None:
    assert testing.__all__ == ["AuditEntries", "MemoryJournal", "audit_entries"]
    for name in testing.__all__:
        assert getattr(testing, name) is not None


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    drawn = errors.__doc__ or ""
    for name in errors.__all__:
        error = getattr(errors, name)
        assert issubclass(error, whodid.WhodidError)
        [line] = [line for line in drawn.splitlines() if line.split("── ")[-1].split(" ")[0] == name]
        depth = len(error.__mro__) - len(whodid.WhodidError.__mro__)
        assert len(line) - len(line.lstrip("│├└─ ")) == 4 * depth
