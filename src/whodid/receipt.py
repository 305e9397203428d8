"""The receipt: what a call to `audit()` returns."""

from __future__ import annotations

from typing import Literal, NamedTuple

from .entry import document_id

__all__ = ["Receipt"]


class Receipt(NamedTuple):
    """Proof that an entry was recorded, or (under `warn` and `quarantine`) why it was not.

    `durability` is what was reached when the call returned: `disk` survives a power loss, `process` survives `kill -9`.
    """

    recorded: bool
    journal: str = ""
    seq: int = 0
    hash: str = ""
    durability: Literal["disk", "process"] | None = None
    error: str = ""

    @property
    def entry_id(self) -> str:
        """The document `_id` under which OpenSearch will have the entry; empty when it was not recorded."""
        return document_id(self.journal, self.seq, self.hash) if self.recorded else ""

    def __bool__(self) -> bool:
        return self.recorded
