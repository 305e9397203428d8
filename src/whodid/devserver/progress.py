"""Progress: what a start is doing right now, told to a callback."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["OnProgress", "Progress", "Stage", "unheard"]

Stage: TypeAlias = Literal["download", "assemble", "start"]


@dataclass(frozen=True)
class Progress:
    """`done` of `total`: bytes for "download", files for "assemble", seconds until the deadline for "start".

    A callback may be called from several threads, never by two at once.
    """

    stage: Stage
    done: int
    total: int
    message: str


OnProgress: TypeAlias = Callable[[Progress], None]


def unheard(_progress: Progress) -> None:
    """The callback for callers that gave none."""
