"""Readiness: a node is ready when `GET /` answers 200 and the cluster's health is at least yellow.

A secured node answers only to its administrator, who asks over TLS.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["bound_port", "is_ready", "wait_for"]

REQUEST_SECONDS = 2.0
POLL_SECONDS = 0.1


def wait_for(condition: Callable[[], bool], timeout: float, each_time: Callable[[float], None]) -> bool:
    """Ask again and again until the condition holds or `timeout` seconds are over; says which.

    `each_time` gets the seconds passed so far, and may raise to give up.
    """
    started = time.monotonic()
    while not condition():
        passed = time.monotonic() - started
        if passed >= timeout:
            return False
        each_time(passed)
        time.sleep(POLL_SECONDS)
    return True


def bound_port(ports: Path) -> int | None:
    """The port in `http.ports`, lines of `127.0.0.1:PORT` that OpenSearch puts there once it listens."""
    try:
        first = (ports / "http.ports").read_text("utf-8").splitlines()[0]
        return int(first.rpartition(":")[2])
    except (FileNotFoundError, IndexError, ValueError):
        return None


def is_ready(port: int, get: Callable[[int, str], bytes | None] | None = None) -> bool:
    """Whether the node answers and its health is at least yellow; `get` asks it in another way than by plain HTTP."""
    ask = get or _get
    return ask(port, "/") is not None and _health(ask(port, "/_cluster/health")) in ("yellow", "green")


def _health(body: bytes | None) -> str:
    return str(json.loads(body)["status"]) if body is not None else "none"


def _get(port: int, path: str) -> bytes | None:
    """The body of a 200; None for any other answer, or none at all."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=REQUEST_SECONDS)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException):
        return None
    else:
        return body if response.status == http.client.OK else None
    finally:
        connection.close()
