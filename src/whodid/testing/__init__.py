"""For the tests of applications that record: the entries of a test, in memory.

    def test_a_refund_is_recorded(audit_entries):
        refund("2026-117", amount=30)
        audit_entries.assert_recorded(type="invoice_refunded", target="2026-117")

That fixture is pytest's form of the context manager `audit_entries`; the plugin is the module `pytest_whodid`.
`whodid help testing` tells the whole.
"""

from __future__ import annotations

from .entries import AuditEntries, MemoryJournal, audit_entries

__all__ = ["AuditEntries", "MemoryJournal", "audit_entries"]
