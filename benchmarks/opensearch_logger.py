"""opensearch-logger: its handler, given the entries of a journal one call each, in a process of its own.

`python -m benchmarks.opensearch_logger URL INDEX JOURNAL` prints how long the calls and the last flush took; two of the
microseconds of each go into reading the journal. It makes documents of its own form, so its index has its own mapping;
buffer and flush are as it has them by default.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

import orjson
from opensearch_logger import OpenSearchHandler

from .backlog import lines
from .process import peak_mb

__all__ = ["logger_of"]


def logger_of(url: str, index: str) -> tuple[logging.Logger, logging.Handler]:
    """A logger whose entries go to that index alone, and the handler to be closed."""
    handler = OpenSearchHandler(index_name=index, index_rotate=OpenSearchHandler.NEVER, hosts=[url])
    log = logging.getLogger("benchmarks.opensearch_logger")
    log.propagate = False
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    return log, handler


def _measure(url: str, index: str, journal: Path) -> dict[str, Any]:
    log, handler = logger_of(url, index)
    cpu, begin = time.process_time(), time.perf_counter()
    entries = 0
    for line in lines(journal):
        entry = orjson.loads(line)
        log.info(entry["type"], extra=entry)
        entries += 1
    handler.close()
    seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
    return {"seconds": seconds, "cpu": cpu, "peak_mb": peak_mb(os.getpid()), "entries": entries}


if __name__ == "__main__":
    print(json.dumps(_measure(sys.argv[1], sys.argv[2], Path(sys.argv[3]))))
