"""The examples, served for real: uvicorn or gunicorn in a process of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

__all__ = ["SERVERS", "served"]

_EXAMPLES = Path(__file__).parents[2] / "examples"
_UVICORN = ["-m", "uvicorn", "--app-dir", "{folder}"]
_GUNICORN = ["-m", "gunicorn", "--chdir", "{folder}", "--workers", "2", "--threads", "8"]

SERVERS = {
    "fastapi_app": [*_UVICORN, "app:app"],
    "flask_app": [*_GUNICORN, "app:app"],
    "flask_app with recycled workers": [*_GUNICORN, "--max-requests", "9", "--max-requests-jitter", "5", "app:app"],
    "wsgi_app": [*_GUNICORN, "app:application"],
    "django_app": [*_GUNICORN, "app:application"],
    "django_app under ASGI": [*_UVICORN, "app:asgi"],
}
"""Example → how it is served: one process with an event loop and threads, or two forked workers with threads."""


@contextmanager
def served(name: str, journal_dir: Path, *options: str, unix: Path | None = None, **settings: str) -> Iterator[str]:
    """Serves an example on a port of its own, or on the Unix socket `unix`, until the block ends; gives its URL.

    `options` are the server's, `settings` whodid's.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [part.format(folder=_EXAMPLES / name.split()[0]) for part in SERVERS[name]]
    if "gunicorn" in command:
        listen = ["--bind", f"unix:{unix}" if unix else f"127.0.0.1:{port}"]
    else:
        listen = ["--uds", str(unix)] if unix else ["--port", str(port)]
    variables = {f"WHODID_{name.upper()}": value for name, value in settings.items()}
    with subprocess.Popen(
        [sys.executable, *command, *listen, *options],
        env={**os.environ, "WHODID_JOURNAL_DIR": str(journal_dir), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            _wait_for(url, unix)
            yield url
        finally:
            process.terminate()
            process.communicate(timeout=120)


def _wait_for(url: str, unix: Path | None) -> None:
    deadline = time.monotonic() + 120
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(unix) if unix else None)) as client:
        while not ((unix is None or _listens(unix)) and _answers(client, url)):
            assert time.monotonic() < deadline, "the example did not start"
            time.sleep(0.02)


def _listens(unix: Path) -> bool:
    """Asked first, as httpx leaves a socket open that nobody listens on."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(unix)) == 0


def _answers(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(url).status_code == 404
    except httpx.TransportError:
        return False
