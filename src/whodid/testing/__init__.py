"""Test support for applications that record: keeps the entries of a test in memory.

    def test_a_refund_is_recorded(audit_entries):
        refund("2026-117", amount=30)
        audit_entries.assert_recorded(type="invoice_refunded", target="2026-117")

The fixture wraps the context manager `audit_entries`; the pytest plugin is the module `pytest_whodid`. See
`whodid help testing`.
"""

from __future__ import annotations

from .entries import AuditEntries, MemoryJournal, audit_entries

__all__ = ["AuditEntries", "MemoryJournal", "audit_entries"]
