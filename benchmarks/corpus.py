"""The corpus: what reading is measured on, the variety of the half year that ends now, in its monthly partitions."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .backlog import requests
from .node import Node
from .variety import make_variety

__all__ = ["Corpus", "Progress", "corpus"]

_DAYS = 180

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Corpus:
    """As many `entries`, stored under `prefix` in the node at `url`."""

    url: str
    prefix: str
    entries: int


@contextmanager
def corpus(node: Node, folder: Path, entries: int, progress: Progress) -> Iterator[Corpus]:
    """Recorded, stored by bulk requests, and left until the node has done its merges; gone at the end."""
    progress(f"recording {entries} entries")
    make_variety(folder / "journal", entries, 1, int(time.time()) - _DAYS * 86_400, _DAYS)
    with node.corner() as prefix:
        progress(f"storing {entries} entries")
        for request in requests(folder / "journal", prefix):
            node.store(request)
        shutil.rmtree(folder / "journal")
        node.settle(f"{prefix}-*")
        found = node.count(prefix)
        assert found == entries, f"{found} of {entries} entries are found"
        yield Corpus(node.url, prefix, entries)
