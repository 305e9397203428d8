"""Exports: all entries of the corpus into a file, each time by a process of its own, beside the bare client's loop.

The bare loop only reads and counts: it neither writes a file nor syncs and hashes it, nor builds a tree.
"""

from __future__ import annotations

import random
from statistics import median
from typing import Any

from .corpus import Corpus, Progress
from .iteration import BARE, Run, read
from .table import table

__all__ = ["AIM", "exports_table", "measure_exports"]

AIM = 0.8
"""Of the entries a second that the bare loop reads: at least this much, for NDJSON and CSV."""

_ABOUT = {
    BARE: "opensearch-py: a point in time and `search_after`, counted only",
    "ndjson": "`whodid.export` to NDJSON",
    "ndjson.gz": "`whodid.export` to NDJSON, compressed",
    "csv": "`whodid.export` to CSV",
    "parquet": "`whodid.export` to Parquet",
    "ocsf.ndjson": "`whodid.export` to OCSF",
}


def measure_exports(corpus: Corpus, rounds: int, progress: Progress) -> dict[str, Any]:
    """A row for each form: medians over the rounds, and over the rounds' own ratios; the highest of memory."""
    results: list[dict[str, Run]] = []
    for number in range(1, rounds + 1):
        measured: dict[str, Run] = {}
        for way in random.sample(tuple(_ABOUT), len(_ABOUT)):
            progress(f"round {number} of {rounds}: {_ABOUT[way]}")
            measured[way] = read(corpus, way, corpus.entries)
        results.append(measured)
    return {"aim": AIM, "entries": corpus.entries, "rows": [_row(way, corpus.entries, results) for way in _ABOUT]}


def _row(way: str, entries: int, results: list[dict[str, Run]]) -> dict[str, Any]:
    ratios = [measured[BARE]["seconds"] / measured[way]["seconds"] for measured in results]
    return {
        "way": way,
        "about": _ABOUT[way],
        "per_second": median(entries / measured[way]["seconds"] for measured in results),
        "to_bare": median(ratios),
        "to_bare_lowest": min(ratios),
        "to_bare_highest": max(ratios),
        "peak_mb": max(measured[way]["peak_mb"] for measured in results),
    }


def exports_table(report: dict[str, Any]) -> str:
    head = ("every entry into a file", "a second", "× bare", "lowest – highest", "peak MB")
    rows = [
        (
            row["about"],
            f"{row['per_second']:,.0f}",
            f"{row['to_bare']:.2f}",
            f"{row['to_bare_lowest']:.2f} – {row['to_bare_highest']:.2f}",
            f"{row['peak_mb']:.0f}",
        )
        for row in report["rows"]
    ]
    return table(head, [*rows, ("aim for NDJSON and CSV", "", f"≥ {report['aim']}", "", "")])
