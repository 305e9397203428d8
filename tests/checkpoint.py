"""A checkpoint for tests: of ten entries, closed by the hour. What a test is about, it replaces."""

from __future__ import annotations

from whodid.entry import ZERO_HASH
from whodid.proof.checkpoint import Checkpoint

__all__ = ["EXAMPLE"]

EXAMPLE = Checkpoint(
    journal="8f14e45fceea167a",
    number=1,
    first_seq=1,
    last_seq=10,
    last_hash="a" * 64,
    entries=10,
    root="b" * 64,
    partitions={},
    holes=(),
    dead_letters=0,
    letters=(),
    previous=ZERO_HASH,
    time="2026-11-24T08:00:00Z",
    why="time",
    interval=3600,
    host="web-1",
    service="shop",
    index_prefix="whodid-audit",
    whodid="0.1.0",
)
