"""Faults, for tests of what must survive them: a proxy in front of a real OpenSearch, and processes to end or suspend.

    with FaultProxy("http://127.0.0.1:9200") as proxy:
        proxy.inject(reset_answer(), times=3, path="_bulk")
        …  # an application or shipper with opensearch_hosts = [proxy.url]

`exchange` is one request with its answer; `kinds` are the faults; `proxy` injects them; `process` ends and suspends
programs. Everything is the standard library, on 127.0.0.1.
"""

from __future__ import annotations

from .exchange import Answer, Exchange
from .kinds import (
    Fault,
    answer,
    bad_gateway,
    cut,
    drip,
    drip_request,
    hang,
    item_errors,
    latency,
    lost_answer,
    reset,
    reset_answer,
    reset_request,
    throttled,
    too_large,
    truncated,
    unavailable,
    unresolvable,
)
from .process import ControlledProcess
from .proxy import FaultProxy

__all__ = [
    "Answer",
    "ControlledProcess",
    "Exchange",
    "Fault",
    "FaultProxy",
    "answer",
    "bad_gateway",
    "cut",
    "drip",
    "drip_request",
    "hang",
    "item_errors",
    "latency",
    "lost_answer",
    "reset",
    "reset_answer",
    "reset_request",
    "throttled",
    "too_large",
    "truncated",
    "unavailable",
    "unresolvable",
]
