"""The victims: what processes do that are killed, and how they say in which phase they are."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import structlog

import whodid
from whodid.cluster.template import template_name
from whodid.entry import Stamp
from whodid.journal import Acknowledged
from whodid.journal.chain import Chain
from whodid.journal.segment import Segment
from whodid.settings import Durability, Settings
from whodid.shipping import delivery, loop
from whodid.shipping.service import connected_shipper

__all__ = ["POISON", "ROLES"]

Mark = Callable[[str], AbstractContextManager[None]]

POISON = {"workspace_name": "refused"}
"""An entry with this field is refused by the mapping of the tests."""


def _watch(mark: Mark, owner: Any, name: str, phase: str) -> None:
    function = getattr(owner, name)

    def watched(*arguments: Any, **keywords: Any) -> Any:
        with mark(phase):
            return function(*arguments, **keywords)

    setattr(owner, name, watched)


def record(mark: Mark, *, journal_dir: str, durability: Durability, threads: int, **arguments: Any) -> None:
    """Records without end in several threads."""
    _watch(mark, Chain, "_create", "rotating")
    _watch(mark, Chain, "_open", "starting")
    _watch(mark, Segment, "catch_up", "catching up")
    _watch(mark, Segment, "_datasync", "syncing")
    _watch(mark, Segment, "append", "writing")
    whodid.configure(
        journal_dir=journal_dir,
        durability=durability,
        echo=False,
        segment_bytes=40_000,
        lock_timeout=60.0,  # a disk that stalls for seconds, as one does on a busy machine, is not what is tried here
    )
    for thread in range(1, threads):
        threading.Thread(target=_record, args=(mark, thread), kwargs=arguments, daemon=True).start()
    _record(mark, 0, **arguments)


def _record(mark: Mark, thread: int, *, name: str, receipts: str, pause: float, size: int) -> None:
    """Notes each target in `receipts` once its call has returned. Every 20th is poison."""
    out = os.open(receipts, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    log = structlog.get_logger()
    number = 0
    with whodid.context(principal="42", client_ip="203.0.113.9"):
        while True:
            number += 1
            target = f"{name}-{thread}-{number}"
            with mark("recording"):
                more: Any = POISON if number % 20 == 0 else {}
                log.audit("credentials_created", target=target, details={"x": "y" * (number * 997 % size)}, **more)
            os.write(out, target.encode() + b"\n")
            time.sleep(pause)


def ship(mark: Mark, **settings: Any) -> None:
    """Ships without end, in small batches."""
    _watch(mark, Acknowledged, "write", "acknowledging")
    _watch(mark, loop, "keep_dead_letters", "dead-lettering")
    _watch(mark, loop, "prune", "pruning")
    _watch(mark, delivery.Delivery, "_request", "sending")
    settings["opensearch_hosts"] = tuple(settings["opensearch_hosts"])
    connected_shipper(Settings(**settings)).run()


ROLES: dict[str, Callable[..., None]] = {"recorder": record, "shipper": ship}

# What would otherwise be imported after the fork, by each victim anew.
_ = Stamp.now(), template_name(Settings(journal_dir="/nowhere"))
import opensearchpy  # noqa: E402, F401
