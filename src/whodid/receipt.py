"""The receipt: what a call to `audit()` returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Receipt"]


@dataclass(frozen=True, slots=True)
class Receipt:
    """Proof that an entry was recorded, or (under `warn` and `quarantine`) why it was not.

    `entry_id` is the document `_id` under which OpenSearch will have it. `durability` is what was reached when the
    call returned: `disk` survives a power loss, `process` survives `kill -9`.
    """

    recorded: bool
    entry_id: str = ""
    journal: str = ""
    seq: int = 0
    hash: str = ""
    durability: Literal["disk", "process"] | None = None
    error: str = ""

    def __bool__(self) -> bool:
        return self.recorded
