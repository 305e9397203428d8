"""The receipt: what a call to `audit()` returns."""

from __future__ import annotations

from typing import Literal, NamedTuple

from .entry import document_id

__all__ = ["Receipt"]


class Receipt(NamedTuple):
    """What a call to `audit` returns: proof that an entry was recorded, or why it was not. True if it was.

    Without the settings `on_failure = "warn"` and `on_invalid = "quarantine"`, a call that records nothing raises.

    Example:
        >>> receipt = log.audit("credentials_created", target="6Yk2", principal="42")
        >>> receipt.recorded, receipt.seq, receipt.durability
        (True, 1, 'disk')
    """

    recorded: bool
    """Whether there is an entry."""
    journal: str = ""
    """ID of the journal that has the entry."""
    seq: int = 0
    """Position of the entry in its journal, from 1."""
    hash: str = ""
    """Hash of the entry: SHA-256, 64 hex digits."""
    durability: Literal["disk", "process"] | None = None
    """What was reached when the call returned: `disk` survives a power loss, `process` survives `kill -9`."""
    error: str = ""
    """Why there is no entry; empty if there is one."""

    @property
    def entry_id(self) -> str:
        """The document `_id` under which OpenSearch will have the entry; empty when it was not recorded."""
        return document_id(self.journal, self.seq, self.hash) if self.recorded else ""

    def __bool__(self) -> bool:
        return self.recorded
