"""A small cluster: a stand-in for OpenSearch that stores what bulk requests create; a test may garble its answers.

A partition exists from the first request for it.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.faults.kit import Answer, Exchange, FaultProxy
from tests.opensearch.ism_stand_in import IsmStandIn
from whodid.cluster.template import FIELD_TYPES, MARK, template_name
from whodid.settings import Settings

__all__ = ["SmallCluster", "small_cluster"]

Garble = Callable[[Exchange], Answer | None]
"""What is answered instead; `None` for the true answer."""


class SmallCluster:
    """`stored` counts how often each document was created (409 is not); `garble` may answer for the cluster."""

    def __init__(self, stand_in: IsmStandIn, proxy: FaultProxy) -> None:
        self.stand_in = stand_in
        self.url = proxy.url
        self.stored: Counter[str] = Counter()
        self.targets: set[str] = set()
        self.partitions: set[str] = set()
        self.garble: Garble = lambda exchange: None
        proxy.inject(self._answer)

    def _answer(self, exchange: Exchange) -> None:
        garbled = self.garble(exchange)
        name, _, call = exchange.path.partition("?")[0].strip("/").partition("/")
        if garbled is None and call == "_bulk":
            garbled = self.bulk(exchange.body)
            self.partitions.add(name)
        elif garbled is None and (exchange.method, call) == ("GET", "") and name in self.partitions:
            mapping = {"_meta": MARK, "dynamic": "strict", "properties": FIELD_TYPES}
            garbled = Answer(200, json.dumps({name: {"mappings": mapping}}).encode(), _JSON)
        exchange.send(garbled or exchange.forward())

    def bulk(self, body: bytes) -> Answer:
        lines = body.splitlines()
        items = [self._store(json.loads(about), raw) for about, raw in zip(lines[::2], lines[1::2], strict=True)]
        failed = any("error" in result for item in items for result in item.values())
        return Answer(200, json.dumps({"errors": failed, "items": items}).encode(), _JSON)

    def _store(self, about: dict[str, Any], raw: bytes) -> dict[str, Any]:
        [(action, meta)] = about.items()
        key = meta["_id"]
        if action == "index":
            return {"index": {"status": 200, "result": "updated"}}
        if key in self.stored:
            conflict = {"type": "version_conflict_engine_exception", "reason": "document already exists"}
            return {"create": {"status": 409, "error": conflict}}
        self.stored[key] += 1
        self.targets.add(json.loads(raw)["target"])
        return {"create": {"status": 201}}


_JSON = {"content-type": "application/json"}


@contextmanager
def small_cluster(*, plugin: bool = True) -> Iterator[SmallCluster]:
    """One that is set up, with or without ISM."""
    stand_in = IsmStandIn(plugin=plugin)
    stand_in.now = int(time.time() * 1000)
    stand_in.templates[template_name(Settings())] = {"index_patterns": ["whodid-audit-*"]}
    try:
        with FaultProxy(stand_in.url) as proxy:
            yield SmallCluster(stand_in, proxy)
    finally:
        stand_in.close()
