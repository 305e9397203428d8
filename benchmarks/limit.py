"""The limit: `client.bulk` with ready-made bodies, in a process of its own.

`python -m benchmarks.limit URL PREFIX JOURNAL BATCH CONNECTIONS` sends a journal's lines, 200,000 at most, with the
action lines that the shipper writes, and prints how long that took. The bodies are ready before the clock runs.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import orjson

from whodid import Settings
from whodid.cluster.connection import connect
from whodid.entry import entry_id, partition_name

from .backlog import lines
from .process import peak_mb

__all__ = ["send"]

_MOST = 200_000
"""Entries: all are held in memory, some three times."""
_ANSWER = {"filter_path": "errors"}


def send(url: str, bodies: Sequence[bytes], connections: int) -> float:
    """Seconds until the last of the bodies was answered."""
    client = connect(Settings(opensearch_hosts=(url,)))
    remaining = iter(bodies)
    taking = threading.Lock()
    failed: list[object] = []

    def work() -> None:
        while True:
            with taking:
                body = next(remaining, None)
            if body is None:
                return
            if client.bulk(body=body, params=_ANSWER)["errors"]:
                failed.append(body)

    threads = [threading.Thread(target=work) for _ in range(connections)]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - begin
    assert not failed, "OpenSearch refused entries"
    return took


def _bodies(journal: Path, prefix: str, batch: int) -> Iterator[bytes]:
    made = [_action(line, prefix) + line for line in islice(lines(journal), _MOST)]
    for first in range(0, len(made), batch):
        yield b"".join(made[first : first + batch])


def _action(line: bytes, prefix: str) -> bytes:
    entry = orjson.loads(line)
    index = partition_name(prefix, "month", entry["creation_date"])
    return orjson.dumps({"create": {"_index": index, "_id": entry_id(entry)}}) + b"\n"


if __name__ == "__main__":
    url, prefix, journal, batch, connections = sys.argv[1:]
    bodies = list(_bodies(Path(journal), prefix, int(batch)))
    entries = sum(body.count(b"\n") // 2 for body in bodies)
    cpu = time.process_time()
    seconds = send(url, bodies, int(connections))
    cpu = time.process_time() - cpu
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peak_mb": peak_mb(os.getpid()), "entries": entries}))
