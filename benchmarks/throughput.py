"""Throughput: entries a second that are on disk, by many threads and by many processes on one journal, beside one.

A round measures each once, in an order shuffled each round, and each in processes of its own. The longest call counts,
too: what waits for a shared sync must not wait long.
"""

from __future__ import annotations

import json
import multiprocessing
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import whodid

from .case import EVENT, IN_CALL, REQUEST

__all__ = ["measure_throughput"]

CASES = {
    "one thread": (1, 1, 1500),
    "16 threads": (1, 16, 12000),
    "8 processes": (8, 1, 6000),
}
"""Processes, threads of each, calls of all together."""


def measure_throughput(rounds: int, folder: Path, progress: Callable[[str], None]) -> list[dict[str, Any]]:
    """A row for each case: medians over the rounds, the ratio to one thread taken within each."""
    results: list[dict[str, dict[str, float]]] = []
    for number in range(1, rounds + 1):
        measured = {}
        for name in random.sample(tuple(CASES), len(CASES)):
            progress(f"round {number} of {rounds}: {name} waiting for the disk")
            measured[name] = _in_a_process(name, folder)
        results.append(measured)
    return [
        {
            "case": name,
            "per_second": median(measured[name]["per_second"] for measured in results),
            "to_one": median(
                measured[name]["per_second"] / measured["one thread"]["per_second"] for measured in results
            ),
            "longest_ms": median(measured[name]["longest_ms"] for measured in results),
            "longest_ms_of_all": max(measured[name]["longest_ms"] for measured in results),
        }
        for name in CASES
    ]


def _in_a_process(name: str, folder: Path) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="round-", dir=folder) as scratch:
        command = [sys.executable, "-m", "benchmarks.throughput", name, scratch]
        done = subprocess.run(command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, check=True)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def _case(name: str, folder: str) -> dict[str, float]:
    processes, threads, calls = CASES[name]
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(processes + 1)
    longest: Any = context.Queue()
    work = (folder, threads, calls // processes // threads, start, longest)
    children = [context.Process(target=_record, args=work) for _ in range(processes)]
    for child in children:
        child.start()
    start.wait()
    begin = time.perf_counter()
    worst = max(longest.get() for _ in children)
    took = time.perf_counter() - begin
    for child in children:
        child.join()
    lines = sum(len(file.read_bytes().splitlines()) for file in Path(folder).rglob("*.ndjson"))
    assert lines == calls + processes, f"{name} wrote {lines} lines"
    return {"per_second": calls / took, "longest_ms": worst * 1000}


def _record(folder: str, threads: int, calls: int, start: Any, longest: Any) -> None:
    whodid.configure(settings=whodid.Settings(journal_dir=folder, echo=False))
    log = whodid.get_logger()
    worst = [0.0] * threads

    def many(number: int) -> None:
        with whodid.context(**REQUEST):
            for _ in range(calls):
                begin = time.perf_counter()
                log.audit(EVENT, **IN_CALL)
                worst[number] = max(worst[number], time.perf_counter() - begin)

    log.audit(EVENT, **IN_CALL, **REQUEST)
    workers = [threading.Thread(target=many, args=(number,)) for number in range(threads)]
    start.wait()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    longest.put(max(worst))


if __name__ == "__main__":
    print(json.dumps(_case(sys.argv[1], sys.argv[2])))
