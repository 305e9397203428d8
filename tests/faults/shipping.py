"""A shipper at work in a thread while a test does something to OpenSearch, and what must hold afterwards."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from tests.live.corner import Corner, eventually
from whodid.cluster.bulk import Cause
from whodid.entry import document_id
from whodid.settings import Settings
from whodid.shipping import Shipper
from whodid.shipping.delivery import ShippingEvent, Waiting
from whodid.shipping.service import connected_shipper

__all__ = ["Running", "all_stored_once", "shipping"]


class Running:
    """A shipper at work in a thread, and what it told."""

    def __init__(self, settings: Settings) -> None:
        self.told: list[ShippingEvent] = []
        self.shipper: Shipper = connected_shipper(settings, observe=self.told.append, notify=lambda text: None)
        self.thread = threading.Thread(target=self.shipper.run)

    def causes(self) -> set[Cause]:
        return {step.cause for step in list(self.told) if isinstance(step, Waiting)}

    def reasons(self) -> str:
        return "\n".join(step.reason for step in list(self.told) if isinstance(step, Waiting))


@contextmanager
def shipping(settings: Settings) -> Iterator[Running]:
    running = Running(replace(settings, drain_timeout=0.0, retention="off"))
    running.thread.start()
    try:
        yield running
    finally:
        running.shipper.stop.set()
        running.thread.join(120)


def ids(entries: Sequence[dict[str, Any]]) -> list[str]:
    return sorted(document_id(entry["journal"], entry["seq"], entry["hash"]) for entry in entries)


def all_stored_once(
    place: Corner, entries: Sequence[dict[str, Any]], running: Running, *, already: int = 0, seconds: float = 120.0
) -> None:
    """Waits until all are shipped, of which so many were before; each is in OpenSearch once, and nothing else is."""
    missing = len(entries) - already
    eventually(lambda: running.shipper.progress.shipped >= missing or not running.thread.is_alive(), seconds)
    stored = place.stored()
    assert sorted(stored) == ids(entries)
    assert {hit["_version"] for hit in stored.values()} == {1}
    assert running.shipper.progress.waiting == ""
