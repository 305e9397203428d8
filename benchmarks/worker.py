"""One round of one variant, in a process of its own: `python -m benchmarks.worker VARIANT CALLS FOLDER`.

structlog's and logging's configuration, whodid's recorder and the garbage collector belong to a process, so a process
of its own keeps variants apart; and a new one each round has another memory layout and another hash seed, which move a
microsecond benchmark more than most code changes do.
"""

from __future__ import annotations

import gc
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import orjson

from .case import FIELDS
from .variants import EVERY

_WARM_UP = 500


def measure(name: str, calls: int, folder: Path) -> float:
    """Microseconds a call: the mean of `calls` calls after a warm-up, each seen to be written."""
    variant = EVERY[name]
    warm_up = min(calls, _WARM_UP // 10 if variant.waits_for_disk else _WARM_UP)
    with ExitStack() as stack:
        call = variant.open(folder, stack)
        for _ in range(warm_up):
            call()
        gc.collect()
        begin = time.perf_counter_ns()
        for _ in range(calls):
            call()
        took = time.perf_counter_ns() - begin
    _check(name, folder, warm_up + calls)
    return took / calls / 1000


def _check(name: str, folder: Path, expected: int) -> None:
    """All calls wrote a line each, with the 14 fields."""
    lines = [line for file in sorted(folder.rglob("*.ndjson")) for line in file.read_bytes().splitlines()]
    assert len(lines) == expected, f"{name} wrote {len(lines)} lines in {expected} calls"
    for line in (lines[0], lines[-1]):
        missing = FIELDS - orjson.loads(line).keys()
        assert not missing, f"{name} left out {', '.join(sorted(missing))}"


if __name__ == "__main__":
    print(measure(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])))
