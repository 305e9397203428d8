"""A small cluster: a stand-in for OpenSearch that stores what bulk requests create; a test may garble its answers."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.faults.kit import Answer, Exchange, FaultProxy
from tests.opensearch.ism_stand_in import IsmStandIn
from whodid.cluster.template import template_name
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
        self.garble: Garble = lambda exchange: None
        proxy.inject(self._answer)

    def _answer(self, exchange: Exchange) -> None:
        garbled = self.garble(exchange)
        if garbled is None and "_bulk" in exchange.path:
            garbled = self.bulk(exchange.body)
        exchange.send(garbled or exchange.forward())

    def bulk(self, body: bytes) -> Answer:
        lines = body.splitlines()
        items = [self._create(json.loads(about), raw) for about, raw in zip(lines[::2], lines[1::2], strict=True)]
        failed = any("error" in item["create"] for item in items)
        return Answer(200, json.dumps({"errors": failed, "items": items}).encode(), _JSON)

    def _create(self, about: dict[str, Any], raw: bytes) -> dict[str, Any]:
        key = about["create"]["_id"]
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
