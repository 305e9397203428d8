"""Entries to export: of every event type, with all fields, and with only what must be there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from whodid.catalog import Catalog
from whodid.entry import FIELDS, ZERO_HASH

__all__ = ["EVENT_TYPES", "FULL", "full", "least"]

EVENT_TYPES = {name: kind.resource for name, kind in sorted({**Catalog.load().types, **Catalog.own().types}.items())}
"""Event type → the kind of its target."""

_VALUES: dict[str, Any] = {
    "client_ip": "2001:db8::7",
    "creation_date": "2026-11-23T08:00:01Z",
    "@timestamp": "2026-11-23T08:00:01.123456Z",
    "phase": "outcome",
    "outcome": "failure",
    "principal_type": "user",
    "method": "POST",
    "occurred_at": "2026-11-23T08:00:01.123456Z",
    "on_behalf_of": ["17", "18"],
    "roles": ["owner", "launch"],
    "targets": [{"id": "t9", "type": "team", "name": "The Team"}],
    "before": {"name": "old", "nested": {"list": [1, 2.5, None, "x"]}},
    "after": {"name": "new"},
    "details": {"rows": 7, "big": 2**53 - 1, "flag": True, "ratio": 0.25, "=1": "ünïcode\u2028"},
    "shortened": {"status": {"bytes": 4096, "sha256": "ab" * 32}},
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "schema_version": "2.0",
    "journal": "5d0c21f3a9b84e67",
    "seq": 42,
    "prev": hashlib.sha256(b"before").hexdigest(),
    "hash": hashlib.sha256(b"own").hexdigest(),
    "committed": ["client_ip", "user_agent"],
    "salts": {"client_ip": "00" * 16},
    "erased": {"user_agent": "cd" * 32},
}


def full(event_type: str, target_type: str) -> dict[str, Any]:
    """An entry that has every field there is, each with a value of its own."""
    entry = {name: _VALUES.get(name, f"the {name}") for name in FIELDS}
    return {**entry, "type": event_type, "target_type": target_type}


def least(event_type: str, target_type: str) -> dict[str, Any]:
    """The first entry of a journal, with nothing that may be absent."""
    entry = full(event_type, target_type)
    needed = ("type", "target", "target_type", "principal", "creation_date", "@timestamp", "schema_version", "journal")
    return {**{name: entry[name] for name in needed}, "seq": 1, "prev": ZERO_HASH, "hash": entry["hash"]}


def _samples() -> Iterator[dict[str, Any]]:
    for event_type, target_type in [*EVENT_TYPES.items(), ("invoice_refunded", "invoice"), ("x", "")]:
        yield full(event_type, target_type)
        yield {**full(event_type, target_type), "principal": "system", "principal_type": "system", "outcome": "success"}
        yield least(event_type, target_type)


FULL = list(_samples())
