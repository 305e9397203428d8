"""Reading ahead: the next block is fetched while the one before it is written, as that is mostly waiting."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

__all__ = ["SWITCH_INTERVAL", "read_ahead"]

T = TypeVar("T")

SWITCH_INTERVAL = 0.0005
"""Seconds after which Python should change threads where nothing else runs in the process: by default, who fetches
waits up to 5 ms whenever something comes."""


def read_ahead(hits: Iterator[T], size: int) -> Generator[list[T], None, None]:
    """The hits in lists of `size`, fetched in a thread, one list ahead; ended, and what they hold closed, with this."""
    blocks = _blocks(hits, size)
    with ThreadPoolExecutor(1, "whodid-read-ahead") as thread:
        try:
            coming = thread.submit(next, blocks, None)
            while (block := coming.result()) is not None:
                coming = thread.submit(next, blocks, None)
                yield block
        finally:
            thread.submit(blocks.close)


def _blocks(hits: Iterator[T], size: int) -> Generator[list[T], None, None]:
    while block := list(islice(hits, size)):
        yield block
