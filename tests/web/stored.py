"""A cluster that holds one document, as the JSON that something else stored; it counts its points in time."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

__all__ = ["Stored", "stored"]


@dataclass
class Stored:
    """`source` is the document; `copies` how often a search finds it, `error` the answer instead (HTTP 500)."""

    source: str
    url: str = ""
    copies: int = 1
    error: str = ""
    open_points: int = 0
    opened: int = 0
    searches: list[dict[str, list[str]]] = field(default_factory=list)

    def answer(self, method: str, url: str, body: str) -> tuple[int, str]:
        path, query = urlsplit(url).path, parse_qs(urlsplit(url).query)
        if path.endswith("/_search/point_in_time"):
            self.open_points += 1 if method == "POST" else -1
            self.opened += method == "POST"
            return 200, '{"pit_id": "p"}'
        if not path.endswith("/_search"):
            return 403, '{"error": {"type": "security_exception", "reason": "no permissions"}}'
        self.searches.append(query)
        if self.error:
            return 500, self.error
        return 200, self._found(json.loads(body))

    def _found(self, asked: dict[str, object]) -> str:
        size = min(self.copies, int(str(asked.get("size", 10))))
        hit = f'{{"_index": "whodid-audit-2026.11", "_id": "odd", "sort": [1, "a", 1], "_source": {self.source}}}'
        total = '"total": {"value": 0}, '
        return (
            f'{{"timed_out": false, "_shards": {{"total": 1}}, "hits": {{{total}"hits": [{", ".join([hit] * size)}]}}}}'
        )


@contextmanager
def stored(source: str, copies: int = 1) -> Iterator[Stored]:
    made = Stored(source, copies=copies)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0))).decode(errors="replace")
            status, text = made.answer(self.command, self.path, body)
            data = text.encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = _answer  # noqa: N815 (names of the base class)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        made.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()
