"""A Maven repository on this machine whose answers a test can spoil, and a way to wait for a condition."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TypeAlias

import pytest

from whodid.devserver.cache import LockedJar

Wait: TypeAlias = Callable[[Callable[[], object], float], None]


@dataclass
class Mirror:
    """Serves `files` by path; counts what was asked for; spoils what a test names."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    cut_short: set[str] = field(default_factory=set)
    stall: threading.Event = field(default_factory=threading.Event)
    stalled: set[str] = field(default_factory=set)

    def add(self, name: str, content: bytes, folder: str = "lib", packaging: str = "jar") -> LockedJar:
        """Put a file into the repository; returns what a lock file would say of it."""
        self.files[f"/org/example/{name}/1.0/{name}-1.0.{packaging}"] = content
        digest = hashlib.sha256(content).hexdigest()
        return LockedJar(folder, "org.example", name, "1.0", packaging, len(content), digest)

    def path(self, jar: LockedJar) -> str:
        return f"/org/example/{jar.artifact}/1.0/{jar.filename}"

    def times_asked(self, jar: LockedJar) -> int:
        return self.asked.count(self.path(jar))


def _handler(mirror: Mirror) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            mirror.asked.append(self.path)
            content = mirror.files.get(self.path)
            if content is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.path in mirror.cut_short or self.path in mirror.stalled:
                self.wfile.write(content[: len(content) // 2])
                self.wfile.flush()
                if self.path in mirror.stalled:
                    mirror.stall.wait(60)
                self.close_connection = True
                return
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """A repository that whodid is told to use in place of Maven Central."""
    served = Mirror(url="")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(served))
    served.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    monkeypatch.setenv("WHODID_MAVEN_MIRROR", served.url)
    yield served
    served.stall.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def wait() -> Wait:
    """`wait(condition, seconds)`: fails the test unless the condition holds within the time."""

    def until(condition: Callable[[], object], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "the condition did not come to hold in time"
            threading.Event().wait(0.02)

    return until


@pytest.fixture
def environment() -> dict[str, str]:
    """For child processes: this one's environment, with whodid importable however it is here."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"
