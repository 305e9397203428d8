"""Appending: drafts, sealed to become the next entries of the chain, and written to its segment.

Everything here is called with the directory's lock held.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..files import of_system
from ..integrity import CHAIN_BYTES, Draft
from .chain import Chain
from .segment import Link, Segment

__all__ = ["Position", "Written", "append_at_once", "append_one"]


class Position(NamedTuple):
    """Where an entry stands: its journal, its place in the chain, its hash; and its line there, without the newline."""

    journal: str
    seq: int
    hash: str
    line: bytes


Written = tuple[Position, Segment, int]
"""An entry, its segment, and the offset after it: what a sync must cover."""


def append_at_once(chain: Chain, drafts: Sequence[Draft]) -> list[Written]:
    """The entries in one write; none at all where they don't fit into the segment together."""
    segment = chain.current()
    if not chain.has_room(segment, sum(draft.size + CHAIN_BYTES for draft in drafts)):
        return []
    link, positions = segment.link, []
    for draft in drafts:
        hash_, line = draft.seal(chain.journal, link.seq + 1, link.hash)
        link = Link(link.seq + 1, hash_)
        positions.append(Position(chain.journal, *link, line))
    try:
        offset = segment.append(b"\n".join([position.line for position in positions]), link)
    except OSError as error:
        if of_system(error):
            chain.end_if_possible(f"a write failed: {error.strerror}")
        raise
    return [(position, segment, offset) for position in positions]


def append_one(chain: Chain, draft: Draft) -> Written:
    """The next entry, in a new segment where this one is full or old. Raises `OSError` or `JournalFull`."""
    segment = chain.current()
    seq, prev = segment.link
    seq += 1
    hash_, line = draft.seal(chain.journal, seq, prev)
    if not chain.has_room(segment, len(line) + 1):
        segment = chain.close_segment(segment)
    try:
        offset = segment.append(line, _new(Link, (seq, hash_)))
    except OSError as error:
        if of_system(error):
            chain.end_if_possible(f"a write failed: {error.strerror}")
        raise
    return _new(Position, (chain.journal, seq, hash_, line)), segment, offset


_new = tuple.__new__
"""Half of what a named tuple's own constructor costs: for the two that every entry makes."""
