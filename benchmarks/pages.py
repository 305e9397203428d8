"""Pages: how long typical questions take through `AuditClient.page`, beside the same request sent by the bare client.

The bare client is given what `AuditClient` would send at that moment, and `AuditClient` has already asked for the
retention in force, which it remembers for a minute. Both are asked in turns, in an order shuffled each time.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from statistics import median, quantiles
from typing import Any

from opensearchpy import OpenSearch

from whodid import AuditClient, Settings

from .corpus import Corpus, Progress
from .table import table

__all__ = ["AIM_MS", "AIM_SHARE", "QUESTIONS", "measure_pages", "pages_table"]

AIM_SHARE, AIM_MS = 0.15, 3.0
"""A page may take longer by this share of what the bare client takes, or by so many ms, whichever is more."""

QUESTIONS = ("principal:1000", "type:credentials_*", "client_ip:96.0.0.0/6", "since:-7d", "sarek")
_SIZE = 50
_LOOKS = 20
"""Times that each question is asked in a round, by either."""

Times = dict[tuple[str, str], list[float]]
"""Milliseconds, by question and `bare` or `whodid`."""


class _Noting(OpenSearch):
    """Notes a search instead of sending it; everything else is sent."""

    noted: dict[str, Any]

    def search(self, *, body: Any = None, index: Any = None, params: Any = None, headers: Any = None) -> Any:
        self.noted = {"body": body, "index": index, "params": params, "headers": headers}
        return {"_shards": {"failed": 0}, "hits": {"hits": []}}


def measure_pages(corpus: Corpus, rounds: int, progress: Progress) -> dict[str, Any]:
    """A row for each question: medians over the rounds, and the 95th percentile of all of them."""
    results: list[Times] = []
    for number in range(1, rounds + 1):
        progress(f"round {number} of {rounds}: pages")
        results.append(_round(corpus))
    with AuditClient(_settings(corpus)) as client:
        rows = [{"found": client.count(question), **_row(question, results)} for question in QUESTIONS]
    return {"size": _SIZE, "looks": _LOOKS, "aim_share": AIM_SHARE, "aim_ms": AIM_MS, "rows": rows}


def _settings(corpus: Corpus) -> Settings:
    return Settings(opensearch_hosts=(corpus.url,), index_prefix=corpus.prefix)


def _round(corpus: Corpus) -> Times:
    settings = _settings(corpus)
    times: Times = {}
    bare, noting = OpenSearch(hosts=[corpus.url]), _Noting(hosts=[corpus.url])
    with bare, AuditClient(settings, client=noting) as asking, AuditClient(settings) as client:
        for look in range(_LOOKS + 1):  # the first is to warm up: connections, retention in force, caches of the node
            for question in random.sample(QUESTIONS, len(QUESTIONS)):
                asking.page(question, size=_SIZE)
                took = _ask(client, bare, question, noting.noted)
                if look:
                    for way, ms in took.items():
                        times.setdefault((question, way), []).append(ms)
    return times


def _ask(client: AuditClient, bare: OpenSearch, question: str, request: dict[str, Any]) -> dict[str, float]:
    """Milliseconds of either, which must find the same."""
    ways: dict[str, Callable[[], Any]] = {
        "whodid": lambda: client.page(question, size=_SIZE),
        "bare": lambda: bare.search(**request),
    }
    took: dict[str, float] = {}
    found: dict[str, Any] = {}
    for way in random.sample(tuple(ways), len(ways)):
        begin = time.perf_counter()
        found[way] = ways[way]()
        took[way] = (time.perf_counter() - begin) * 1000
    hits = found["bare"]["hits"]["hits"]
    same = [hit["_source"] for hit in hits[:_SIZE]] == found["whodid"].entries
    assert same, f"{question}: AuditClient found something else"
    return took


def _row(question: str, results: list[Times]) -> dict[str, Any]:
    row: dict[str, Any] = {"question": question}
    for way in ("bare", "whodid"):
        row[f"{way}_ms"] = median(median(measured[question, way]) for measured in results)
        row[f"{way}_p95_ms"] = quantiles([ms for measured in results for ms in measured[question, way]], n=20)[-1]
    more = (median(measured[question, "whodid"]) - median(measured[question, "bare"]) for measured in results)
    return row | {"more_ms": median(more), "aim_more_ms": max(AIM_SHARE * row["bare_ms"], AIM_MS)}


def pages_table(report: dict[str, Any]) -> str:
    head = (f"{report['size']} entries of", "found", "bare ms", "whodid ms", "more", "aim", "bare p95", "whodid p95")
    rows = [
        (
            f"`{row['question']}`",
            f"{row['found']:,}",
            f"{row['bare_ms']:.1f}",
            f"{row['whodid_ms']:.1f}",
            f"{row['more_ms']:+.1f}",
            f"≤ {row['aim_more_ms']:+.1f}",
            f"{row['bare_p95_ms']:.1f}",
            f"{row['whodid_p95_ms']:.1f}",
        )
        for row in report["rows"]
    ]
    return table(head, rows)
