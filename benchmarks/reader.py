"""The reader: a process that reads stored entries by one way, and counts them.

`python -m benchmarks.reader WAY URL PREFIX ENTRIES` stops after so many (an export takes all) and prints how long
that took and the peak of its memory. Each way imports what it needs and no more, so that the memory of the bare one is
that of opensearch-py.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from itertools import islice
from typing import Any

from .process import lasting, peak_mb

__all__ = ["PAGE", "bare", "whodid"]

PAGE = 1000
_KEEP_ALIVE = "10m"
_NEWEST = [{"@timestamp": "desc"}, {"journal": "desc"}, {"seq": "desc"}]


def whodid(url: str, prefix: str, entries: int) -> tuple[int, float]:
    """How many were read, in how many seconds."""
    from whodid import AuditClient, Settings

    with AuditClient(Settings(opensearch_hosts=(url,), index_prefix=prefix)) as client:
        begin = time.perf_counter()
        count = sum(1 for _ in islice(client.search(limit=None), entries))
        return count, time.perf_counter() - begin


def bare(url: str, prefix: str, entries: int) -> tuple[int, float]:
    """The loop that one writes with opensearch-py: every entry, without a question."""
    from opensearchpy import OpenSearch

    client = OpenSearch(hosts=[url])
    begin = time.perf_counter()
    pit = client.create_pit(index=f"{prefix}-*", params={"keep_alive": _KEEP_ALIVE})["pit_id"]
    body: dict[str, Any] = {"size": PAGE, "sort": _NEWEST, "track_total_hits": False}
    body |= {"query": {"match_all": {}}, "pit": {"id": pit, "keep_alive": _KEEP_ALIVE}}
    count = 0
    try:
        while count < entries:
            hits = client.search(body=body)["hits"]["hits"]
            count += sum(1 for hit in hits[: entries - count] if hit["_source"])
            if len(hits) < PAGE:
                break
            body["search_after"] = hits[-1]["sort"]
    finally:
        client.delete_pit(body={"pit_id": [pit]})
    return count, time.perf_counter() - begin


def exported(url: str, prefix: str, suffix: str) -> tuple[int, float]:
    """How many were written into a file whose name ends so, in how many seconds, as `whodid export` does it."""
    from whodid import AuditClient, Settings
    from whodid.export import export
    from whodid.search.requests import SWITCH_INTERVAL

    sys.setswitchinterval(SWITCH_INTERVAL)

    with (
        tempfile.TemporaryDirectory(dir=lasting()) as folder,
        AuditClient(Settings(opensearch_hosts=(url,), index_prefix=prefix)) as client,
    ):
        begin = time.perf_counter()
        manifest = export(client, None, f"{folder}/all.{suffix}")
        return manifest.count, time.perf_counter() - begin


def verified(url: str, prefix: str, workers: int) -> tuple[int, float]:
    """How many were checked by so many processes, in how many seconds."""
    from whodid import AuditClient, Settings
    from whodid.search.requests import SWITCH_INTERVAL
    from whodid.verify import verify_stored

    sys.setswitchinterval(SWITCH_INTERVAL)
    with AuditClient(Settings(opensearch_hosts=(url,), index_prefix=prefix)) as client:
        begin = time.perf_counter()
        found = verify_stored(client, workers=workers)
        seconds = time.perf_counter() - begin
    assert found.intact, found.findings[:3]
    return found.entries, seconds


def _by(way: str, url: str, prefix: str, entries: int) -> tuple[int, float]:
    if way in _READERS:
        return _READERS[way](url, prefix, entries)
    if way.startswith("verify-"):
        return verified(url, prefix, int(way.partition("-")[2]))
    return exported(url, prefix, way)


_READERS = {"whodid": whodid, "bare": bare}

if __name__ == "__main__":
    way, url, prefix, entries = sys.argv[1:]
    count, seconds = _by(way, url, prefix, int(entries))
    print(json.dumps({"entries": count, "seconds": seconds, "peak_mb": peak_mb(os.getpid())}))
