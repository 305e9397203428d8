"""The disk: bytes that one stored entry takes in OpenSearch, under whodid's template and under dynamic mapping.

The same bulk requests, in the same order, go into an index of each mapping: one shard, no replica, same node. Counted
is the primary store (`_stats`), without the translog: as it is once the node has done its own merges, and again after a
forced merge into one segment. Ratios are taken within each round.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from whodid import Settings
from whodid.cluster.connection import codec, restores_sorted
from whodid.cluster.template import index_template

from .backlog import lines, requests
from .node import Node, until
from .table import table
from .variety import make_variety

__all__ = ["AIM", "disk_table", "measure_disk"]

AIM = 0.6
"""Of what dynamic mapping takes, both merged into one segment: at most this."""

_DYNAMIC = "dynamic"
_ABOUT = {
    _DYNAMIC: "dynamic mapping, OpenSearch's defaults",
    "dynamic-compressed": "dynamic mapping, `best_compression`",
    "whodid": "whodid's template",
}
_LONGEST = 300.0


def measure_disk(
    node: Node, folder: Path, entries: int, rounds: int, progress: Callable[[str], None]
) -> dict[str, Any]:
    """A row for each mapping: bytes an entry, medians over the rounds, each of other entries."""
    results: list[dict[str, dict[str, float]]] = []
    journalled = 0.0
    bodies = _indices(node)
    for number in range(1, rounds + 1):
        progress(f"round {number} of {rounds}: recording {entries} entries")
        journal = folder / f"journal-{number}"
        make_variety(journal, entries, seed=number)
        journalled += sum(len(line) for line in lines(journal)) / entries / rounds
        measured: dict[str, dict[str, float]] = {}
        for name, body in bodies.items():
            progress(f"round {number} of {rounds}: {_ABOUT[name]}")
            measured[name] = _measure(node, f"disk-{name}", body, journal, entries)
            progress(f"{_ABOUT[name]}: {measured[name]['merged']:,.0f} bytes an entry")
        shutil.rmtree(journal)
        results.append(measured)
    rows = [_row(name, results) for name in bodies]
    return {"entries": entries, "rounds": rounds, "aim": AIM, "journal_bytes": journalled, "rows": rows}


def _indices(node: Node) -> dict[str, dict[str, Any]]:
    """What each index is made with."""
    plain = {"number_of_shards": 1, "number_of_replicas": 0}
    template = index_template(Settings(), codec=codec(node.client), sort=restores_sorted(node.client))["template"]
    ours = {**template["settings"]["index"], **plain, "auto_expand_replicas": False}
    return {
        _DYNAMIC: {"settings": {"index": plain}},
        "dynamic-compressed": {"settings": {"index": {**plain, "codec": "best_compression"}}},
        "whodid": {"settings": {"index": ours}, "mappings": template["mappings"]},
    }


def _measure(node: Node, index: str, body: Mapping[str, Any], journal: Path, entries: int) -> dict[str, float]:
    client = node.client
    client.indices.create(index=index, body=body)
    try:
        for request in requests(journal):
            node.store(request, index)
        node.settle(index)
        as_they_come = _bytes(node, index)
        client.indices.forcemerge(index=index, params={"max_num_segments": "1"}, request_timeout=_LONGEST)
        client.indices.flush(index=index, params={"force": "true", "wait_if_ongoing": "true"})
        merged = until(lambda: _stats(node, index)["segments"]["count"] == 1, _LONGEST)
        assert merged, "the index has more than one segment"
        stored = int(client.count(index=index)["count"])
        assert stored == entries, f"{index} has {stored} of {entries} entries"
        return {"as_they_come": as_they_come / entries, "merged": _bytes(node, index) / entries}
    finally:
        client.indices.delete(index=index)


def _stats(node: Node, index: str) -> dict[str, Any]:
    node.client.indices.refresh(index=index)
    answer = node.client.indices.stats(index=index, metric="store,segments")
    primaries: dict[str, Any] = answer["indices"][index]["primaries"]
    return primaries


def _bytes(node: Node, index: str) -> int:
    return int(_stats(node, index)["store"]["size_in_bytes"])


def _row(name: str, results: list[dict[str, dict[str, float]]]) -> dict[str, Any]:
    row: dict[str, Any] = {"mapping": name, "about": _ABOUT[name]}
    for state in ("as_they_come", "merged"):
        ratios = [measured[name][state] / measured[_DYNAMIC][state] for measured in results]
        row[state] = median(measured[name][state] for measured in results)
        row[f"{state}_to_dynamic"] = median(ratios)
    return row


def disk_table(report: dict[str, Any]) -> str:
    head = ("bytes of an entry in OpenSearch", "as they come", "× dynamic", "one segment", "× dynamic")
    rows = [
        (
            row["about"],
            f"{row['as_they_come']:,.0f}",
            f"{row['as_they_come_to_dynamic']:.2f}",
            f"{row['merged']:,.0f}",
            f"{row['merged_to_dynamic']:.2f}",
        )
        for row in report["rows"]
    ]
    aim = ("aim for whodid's template", "", "", "", f"≤ {report['aim']}")
    about = f"{report['entries']:,} entries a round; in the journal, {report['journal_bytes']:,.0f} bytes each"
    return f"{about}\n\n{table(head, [*rows, aim])}"
