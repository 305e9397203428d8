"""The node: an OpenSearch of the benchmark's own, what it has stored, and its end by `kill -9`."""

from __future__ import annotations

import os
import secrets
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from opensearchpy.exceptions import TransportError
from opensearchpy.helpers import scan

from whodid import Settings, devserver
from whodid.cluster.connection import connect
from whodid.cluster.template import template_name
from whodid.setup.setup import apply, plan

if TYPE_CHECKING:
    from whodid.devserver import RunningNode

__all__ = ["Node", "OwnNode", "until"]

_HEAP_MB = 1024
_LONGEST = 300.0
_TOO_MUCH, _NOT_YET = 429, 503


def until(condition: Callable[[], bool], timeout: float) -> bool:
    """Whether the condition came to hold in time."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


class Node:
    """An OpenSearch at `url`. An index belongs to the prefix that its name has in it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = connect(Settings(opensearch_hosts=(url,)))

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    @contextmanager
    def corner(self) -> Iterator[str]:
        """A prefix of its own, with what `whodid setup` makes for it; cleared at the end."""
        prefix = f"bench-{secrets.token_hex(4)}"
        settings = Settings(opensearch_hosts=(self.url,), index_prefix=prefix, retention="off")
        apply(plan(self.client, settings))
        try:
            yield prefix
        finally:
            for name in list(self.client.indices.get(index=f"*{prefix}-*")):
                self.client.indices.delete(index=name)
            self.client.indices.delete_index_template(name=template_name(settings))

    def store(self, request: bytes, index: str | None = None) -> None:
        """Sends a bulk request, and again while the node has no memory for it; into `index` unless its lines say."""
        taken = until(partial(self._taken, request, index), _LONGEST)
        assert taken, "the node has too much to do"

    def _taken(self, request: bytes, index: str | None) -> bool:
        try:
            answer = self.client.bulk(index=index, body=request, params={"filter_path": "errors,items.*.error"})
        except TransportError as error:
            if error.status_code != _TOO_MUCH:
                raise
            return False
        assert not answer["errors"], answer
        return True

    def settle(self, index: str) -> None:
        """Everything is written and found, and the node has done its merges."""
        self.client.indices.flush(index=index, params={"force": "true", "wait_if_ongoing": "true"})
        self.client.indices.refresh(index=index)
        settled = until(lambda: not self._merging(index), _LONGEST)
        assert settled, "the node goes on merging"

    def _merging(self, index: str) -> int:
        answer = self.client.indices.stats(index=index, metric="merge")
        return int(answer["_all"]["primaries"]["merges"]["current"])

    def stored(self, prefix: str) -> int:
        """Documents taken in so far, without a refresh, which would cost the node something."""
        answer = self.client.indices.stats(index=f"*{prefix}-*", metric="indexing", params={"filter_path": "_all"})
        indexed: int = answer["_all"]["primaries"].get("indexing", {}).get("index_total", 0)
        return indexed

    def count(self, prefix: str) -> int:
        """How many are found; none while a partition that was just created answers no search."""
        self.client.indices.refresh(index=f"*{prefix}-*")
        try:
            found: int = self.client.count(index=f"*{prefix}-*")["count"]
        except TransportError as error:
            if error.status_code != _NOT_YET:
                raise
            return 0
        return found

    def found(self, prefix: str) -> Counter[str]:
        """How often each `target` is found."""
        self.client.indices.refresh(index=f"*{prefix}-*")
        hits = scan(self.client, index=f"*{prefix}-*", size=5000, _source_includes=["target"])
        return Counter(hit["_source"]["target"] for hit in hits)


class OwnNode(Node):
    """One that may be killed, and comes back on the same port with the same data."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running = self._start(0)
        super().__init__(self._running.url)

    def kill(self) -> None:
        """kill -9, and waits for its end."""
        os.kill(self._running.pid, signal.SIGKILL)
        self._running.stop()

    def start_again(self) -> None:
        self._running = self._start(self._running.port)

    def stop(self) -> None:
        self._running.stop()

    def _start(self, port: int) -> RunningNode:
        return devserver.start(port=port, data_dir=self._folder, heap_mb=_HEAP_MB, detached=False)
