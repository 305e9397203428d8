"""The trace: OpenTelemetry's span at the call wins, in a real application and in plain threads, and is never needed."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
import structlog
import uvicorn
from opentelemetry.sdk.trace import Tracer, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import Span, get_current_span
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

import whodid
from tests.recording import WHO, configured, recorded
from whodid.integrations.asgi import AuditMiddleware
from whodid.recording.context import current_trace_id

OF_THE_HEADER = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def journal_dir(tmp_path: Path) -> Path:
    return configured(tmp_path)


@pytest.fixture(scope="module")
def tracer() -> Iterator[Tracer]:
    provider = TracerProvider(shutdown_on_exit=False)
    made = provider.get_tracer("tests")
    assert isinstance(made, Tracer)
    yield made
    provider.shutdown()


def id_of(span: Span) -> str:
    return f"{span.get_span_context().trace_id:032x}"


def audit(target: str = "6Yk2", **fields: Any) -> whodid.Receipt:
    return whodid.get_logger().audit("credentials_created", target=target, **{**WHO, **fields})


def test_the_span_at_the_call_gives_its_trace_without_any_web_framework(journal_dir: Path, tracer: Tracer) -> None:
    with tracer.start_as_current_span("outer") as outer:
        audit()
        with tracer.start_as_current_span("inner"):
            audit()
    audit()
    assert [entry.get("trace_id") for entry in recorded(journal_dir)] == [id_of(outer), id_of(outer), None]


def test_the_span_wins_over_the_context_and_the_call_over_the_span(journal_dir: Path, tracer: Tracer) -> None:
    with whodid.context(trace_id=OF_THE_HEADER), tracer.start_as_current_span("work") as span:
        audit()
        audit(trace_id="mine")
        audit(trace_id=None)
        structlog.get_logger().bind(trace_id="bound").audit("credentials_created", target="6Yk2", **WHO)
    traces = [entry.get("trace_id") for entry in recorded(journal_dir)]
    assert traces == [id_of(span), "mine", None, "bound"]


def test_a_span_that_has_ended_or_is_not_sampled_gives_none(tracer: Tracer) -> None:
    with tracer.start_as_current_span("ended") as span:
        span.end()
        assert current_trace_id() is None
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    with provider.get_tracer("tests").start_as_current_span("not sampled"):
        assert get_current_span().get_span_context().trace_id
        assert current_trace_id() is None


def test_threads_each_have_the_trace_of_their_own_span(journal_dir: Path, tracer: Tracer) -> None:
    traces: dict[str, str] = {}
    all_there = threading.Barrier(8)

    def work(number: int) -> None:
        with tracer.start_as_current_span("work") as span:
            traces[str(number)] = id_of(span)
            all_there.wait(20)
            audit(str(number))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert {entry["target"]: entry["trace_id"] for entry in recorded(journal_dir)} == traces
    assert len(set(traces.values())) == 8


def test_a_span_goes_along_into_a_thread_that_is_carried_and_into_no_other(journal_dir: Path, tracer: Tracer) -> None:
    with tracer.start_as_current_span("work") as span, ThreadPoolExecutor(1) as pool:
        pool.submit(whodid.carried(audit), "carried").result()
        pool.submit(audit, "alone").result()
    assert [entry.get("trace_id") for entry in recorded(journal_dir)] == [id_of(span), None]


@pytest.fixture
def url(tracer: Tracer) -> Iterator[str]:
    """A real application over HTTP: an endpoint with a span, one without, on the event loop and in threads."""

    async def spanned(request: Request) -> Response:
        with tracer.start_as_current_span("spanned") as span:
            await whodid.get_logger().aaudit("credentials_created", target="6Yk2", principal="42")
            return PlainTextResponse(id_of(span))

    def threaded(request: Request) -> Response:
        with tracer.start_as_current_span("threaded") as span:
            whodid.get_logger().audit("credentials_created", target="6Yk2", principal="42")
            return PlainTextResponse(id_of(span))

    async def bare(request: Request) -> Response:
        await whodid.get_logger().aaudit("credentials_created", target="6Yk2", principal="42")
        return PlainTextResponse(OF_THE_HEADER)

    app = Starlette(routes=[Route(f"/{endpoint.__name__}", endpoint) for endpoint in (spanned, threaded, bare)])
    app.add_middleware(AuditMiddleware)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    listening = server.config.bind_socket()
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join()
    listening.close()


def test_in_a_request_the_span_wins_over_the_header(journal_dir: Path, url: str) -> None:
    headers = {"traceparent": f"00-{OF_THE_HEADER}-00f067aa0ba902b7-01"}
    paths = [f"/{name}" for name in ("spanned", "threaded", "bare")] * 10
    with httpx.Client(base_url=url, headers=headers) as client, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda path: client.get(path).text, paths))
    entries = recorded(journal_dir)
    assert sorted(entry["trace_id"] for entry in entries) == sorted(answers)
    assert answers.count(OF_THE_HEADER) == 10


def test_open_telemetry_is_never_imported(tmp_path: Path) -> None:
    program = (
        "import sys, whodid, whodid.integrations.asgi\n"
        "whodid.configure(journal_dir='journal')\n"
        "whodid.get_logger().audit('team_created', target='9', principal='42')\n"
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=False).returncode == 0


def test_an_api_that_is_still_being_imported_gives_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", ModuleType("opentelemetry.trace"))
    assert current_trace_id() is None
