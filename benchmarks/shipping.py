"""Shipping: every carrier once a round, in an order shuffled each time, beside the limit of `client.bulk`.

The limit is looked for first: which batch and how many connections are fastest on this machine. That also warms up the
node. Ratios are taken within each round, so that a slow moment of the machine does not look like a slow carrier.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from statistics import median
from typing import Any

from .backlog import make_backlog, rewind
from .carriers import CARRIERS, Run, Task, limit_run
from .node import Node
from .table import table

__all__ = ["AIMS", "measure_shipping", "shipping_table"]

AIMS = {"to_limit": 0.9, "cpu_us": 6.0, "peak_mb": 120.0}
"""Of `whodid ship`: at least this much of the limit, at most so many µs CPU an entry, and so many MB."""

_LIMIT = "limit"
_BATCHES, _CONNECTIONS = (500, 1000, 2000, 5000), (1, 2, 4)
_LOOKED_AT = 20_000
"""Entries that are sent to find the best batch and number of connections."""

Progress = Callable[[str], None]


def measure_shipping(
    node: Node,
    folder: Path,
    entries: int,
    rounds: int,
    only: Collection[str],
    progress: Progress,
    limit: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """The best batch and connections, and a row for each carrier; `only` names those wanted beside the limit.

    `limit` is a batch and a number of connections known to be the best, which saves looking for them.
    """
    progress(f"a journal of {entries} entries")
    make_backlog(folder / "journal", entries)
    batch, connections = limit or _best(node, folder, min(entries, _LOOKED_AT), progress)
    wanted = {_LIMIT, *(only or CARRIERS)}
    names = [name for name, carrier in CARRIERS.items() if carrier.installed and name in wanted]
    results: list[dict[str, Run]] = []
    for number in range(1, rounds + 1):
        measured: dict[str, Run] = {}
        for name in random.sample(names, len(names)):
            progress(f"round {number} of {rounds}: {name}")
            measured[name] = _measure(name, node, folder, entries, batch, connections)
        results.append(measured)
    rows = [_row(name, results) for name in CARRIERS if name in wanted]
    return {"entries": entries, "batch": batch, "connections": connections, "aims": AIMS, "rows": rows}


def _best(node: Node, folder: Path, entries: int, progress: Progress) -> tuple[int, int]:
    """The batch and the number of connections that bring most entries a second, by two looks at each."""
    make_backlog(folder / "looked-at", entries)
    seconds: dict[tuple[int, int], float] = {}
    choices = [(batch, connections) for batch in _BATCHES for connections in _CONNECTIONS]
    for batch, connections in [*random.sample(choices, len(choices)), *random.sample(choices, len(choices))]:
        progress(f"looking for the limit: {connections} connections, {batch} entries a request")
        with node.corner() as prefix:
            run = limit_run(node, prefix, folder / "looked-at", batch, connections)
        seconds[batch, connections] = min(run.seconds, seconds.get((batch, connections), run.seconds))
    return min(seconds, key=seconds.__getitem__)


def _measure(name: str, node: Node, folder: Path, entries: int, batch: int, connections: int) -> Run:
    scratch = folder / "scratch"
    scratch.mkdir()
    rewind(folder / "journal")
    with node.corner() as prefix:
        run = CARRIERS[name].run(Task(node, prefix, folder / "journal", entries, scratch, batch, connections))
        stored = node.stored(prefix)
    assert stored == run.entries, f"{name} stored {stored} of {run.entries} entries"
    shutil.rmtree(scratch)
    return run


def _row(name: str, results: list[dict[str, Run]]) -> dict[str, Any]:
    runs = [measured[name] for measured in results if name in measured]
    row: dict[str, Any] = {"carrier": name, "about": CARRIERS[name].about, "installed": bool(runs)}
    if not runs:
        return row
    ratios = [measured[name].per_second / measured[_LIMIT].per_second for measured in results]
    return row | {
        "per_second": median(run.per_second for run in runs),
        "to_limit": median(ratios),
        "to_limit_lowest": min(ratios),
        "to_limit_highest": max(ratios),
        "cpu_us": median(run.cpu / run.entries * 1e6 for run in runs),
        "peak_mb": max(run.peak_mb for run in runs),
    }


def shipping_table(report: dict[str, Any]) -> str:
    head = ("entries to OpenSearch", "a second", "× the limit", "lowest – highest", "CPU µs an entry", "peak MB")
    aims = report["aims"]
    aim = ("aim for `whodid ship`", "", f"≥ {aims['to_limit']}", "", f"≤ {aims['cpu_us']:g}", f"≤ {aims['peak_mb']:g}")
    about = (
        f"{report['entries']:,} entries; the limit: {report['batch']} a request, {report['connections']} connections"
    )
    return f"{about}\n\n{table(head, [*(_cells(row) for row in report['rows']), aim])}"


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    if not row["installed"]:
        return (row["about"], "not installed", "", "", "", "")
    return (
        row["about"],
        f"{row['per_second']:,.0f}",
        f"{row['to_limit']:.2f}",
        f"{row['to_limit_lowest']:.2f} – {row['to_limit_highest']:.2f}",
        f"{row['cpu_us']:.1f}",
        f"{row['peak_mb']:.0f}",
    )
