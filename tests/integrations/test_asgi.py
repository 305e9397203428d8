"""The ASGI middleware on its own: what it binds, and what it leaves alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import Depends, FastAPI
from fastapi.responses import StreamingResponse

from tests.recording import configured
from whodid.errors import SettingsError
from whodid.integrations.asgi import AuditMiddleware
from whodid.recording.context import bind, context, current_fields


def fields_seen(scope: dict[str, Any], **options: Any) -> dict[str, object]:
    seen: dict[str, object] = {}

    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        seen.update(current_fields())

    async def nothing(*_: Any) -> Any:
        return {}

    options = {"trusted_proxies": (), "forwarded_header": "x-forwarded-for", **options}
    asyncio.run(AuditMiddleware(app, **options)({"headers": [], **scope}, nothing, nothing))
    return seen


def http(*headers: tuple[bytes, bytes], client: tuple[str, int] | None = ("203.0.113.9", 1)) -> dict[str, Any]:
    return {"type": "http", "headers": list(headers), "client": client}


def test_a_request_without_headers_has_an_address_and_a_request_id() -> None:
    seen = fields_seen(http())
    assert seen["client_ip"] == "203.0.113.9"
    assert len(str(seen["request_id"])) == 32
    assert set(seen) == {"client_ip", "request_id"}


def test_a_unix_socket_has_no_address() -> None:
    assert "client_ip" not in fields_seen(http(client=None))


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"garbage",
        b"00-0-0-0",
        b"00-" + b"G" * 32 + b"-" + b"1" * 16 + b"-01",
        b"00-" + b"0" * 32 + b"-" + b"1" * 16 + b"-01",
        b"00-" + b"1" * 32 + b"-" + b"0" * 16 + b"-01",
        b"ff-" + b"1" * 32 + b"-" + b"1" * 16 + b"-01",
    ],
)
def test_a_malformed_traceparent_is_left_out(header: bytes) -> None:
    assert "trace_id" not in fields_seen(http((b"traceparent", header)))


@pytest.mark.parametrize("header", [b"x" * 129, b"has space", b"new\nline"])
def test_a_request_id_that_is_not_sane_is_replaced(header: bytes) -> None:
    assert len(str(fields_seen(http((b"x-request-id", header)))["request_id"])) == 32


def test_a_forwarded_header_from_an_untrusted_peer_is_ignored() -> None:
    assert fields_seen(http((b"x-forwarded-for", b"1.2.3.4")))["client_ip"] == "203.0.113.9"


def test_the_middleware_is_told_whom_to_believe_and_by_which_header() -> None:
    scope = http((b"forwarded", b"for=198.51.100.7"), (b"x-forwarded-for", b"198.51.100.8"))
    for header, expected in (("forwarded", "198.51.100.7"), ("x-forwarded-for", "198.51.100.8")):
        seen = fields_seen(scope, trusted_proxies=["203.0.113.0/24"], forwarded_header=header)
        assert seen["client_ip"] == expected


def test_whom_to_believe_is_checked_when_the_application_starts() -> None:
    with pytest.raises(SettingsError, match="forwarded_header must be one of"):
        fields_seen(http(), forwarded_header="X-Forwarded-For")


def test_what_the_middleware_is_not_told_comes_from_the_settings(tmp_path: Path) -> None:
    configured(tmp_path, trusted_proxies="203.0.113.0/24", forwarded_header="forwarded")
    scope = http((b"forwarded", b"for=198.51.100.7"), (b"x-forwarded-for", b"198.51.100.8"))
    for given, expected in (
        ({"trusted_proxies": None, "forwarded_header": None}, "198.51.100.7"),
        ({"trusted_proxies": None}, "198.51.100.8"),
        ({"forwarded_header": None}, "203.0.113.9"),
    ):
        assert fields_seen(scope, **given)["client_ip"] == expected


def test_the_chain_is_kept_where_there_is_a_header_believed_or_not() -> None:
    headers = ((b"x-forwarded-for", b"6.6.6.6"), (b"x-forwarded-for", b"198.51.100.7\0\xff"), (b"forwarded", b"for=a"))
    seen = fields_seen(http(*headers))
    assert (seen["client_ip"], seen["forwarded_for"]) == ("203.0.113.9", "6.6.6.6,198.51.100.7ÿ, 203.0.113.9")
    assert fields_seen(http(*headers), forwarded_header="forwarded")["forwarded_for"] == "for=a, for=203.0.113.9"


def test_the_principal_is_asked_at_the_call() -> None:
    scope = http()
    scope["user"] = "42"
    assert fields_seen(scope, principal=lambda scope: scope["user"])["principal"] == "42"
    assert "principal" not in fields_seen(scope, principal=lambda scope: None)


def test_a_lifespan_has_no_context() -> None:
    assert fields_seen({"type": "lifespan"}, principal=lambda scope: "42") == {}


def seen() -> dict[str, object]:
    request = {"client_ip", "user_agent", "request_id", "method", "route"}
    return {name: value for name, value in current_fields().items() if name not in request}


def shop() -> FastAPI:
    """Dependencies, plain and asynchronous ones, that open a block and leave it open until the response is sent."""
    app = FastAPI()
    app.add_middleware(AuditMiddleware, trusted_proxies=(), forwarded_header="x-forwarded-for")

    @contextmanager
    def helper(organization: str) -> Iterator[None]:
        with context(organization_id=organization):
            yield

    def plain(organization: str) -> Iterator[None]:
        with helper(organization), context(workspace_id="9"):
            bind(principal=f"user of {organization}")
            yield

    async def later(organization: str) -> AsyncIterator[None]:
        with context(organization_id=organization, workspace_id="9"):
            bind(principal=f"user of {organization}")
            yield

    async def seen_later() -> dict[str, object]:
        with context(target="inner"):
            return seen()

    def body() -> Iterator[str]:
        with context(organization_id="7"):
            for _ in "abc":
                yield f"{current_fields().get('organization_id')} "

    for name, dependency in (("plain", plain), ("later", later)):
        app.get(f"/{name}/plain", dependencies=[Depends(dependency)])(seen)
        app.get(f"/{name}/later", dependencies=[Depends(dependency)])(seen_later)
    app.get("/stream")(lambda: StreamingResponse(body()))
    return app


async def get(app: FastAPI, *paths: str) -> list[httpx.Response]:
    """The answers to requests that are under way at once."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://shop") as client:
        return await asyncio.gather(*(client.get(path) for path in paths))


@pytest.mark.parametrize("path", ["plain/plain", "plain/later", "later/plain", "later/later"])
def test_what_a_dependency_opens_and_binds_is_seen_by_the_endpoint_of_its_request_alone(path: str) -> None:
    answers = asyncio.run(get(shop(), *(f"/{path}?organization={n}" for n in range(12))))
    fields = [{"organization_id": str(n), "workspace_id": "9", "principal": f"user of {n}"} for n in range(12)]
    inner = {"target": "inner"} if path.endswith("later") else {}
    assert [answer.json() for answer in answers] == [{**each, **inner} for each in fields]
    assert current_fields() == {}


def nested() -> FastAPI:
    """Dependencies that need others, which have set the same fields."""
    app = FastAPI()
    app.add_middleware(AuditMiddleware)

    def token() -> Iterator[None]:
        with context(principal="service-account", principal_name="Service"):
            yield

    def impersonated(_: None = Depends(token)) -> Iterator[None]:
        with context(principal="42", on_behalf_of="service-account"):
            yield

    async def organization() -> AsyncIterator[None]:
        with context(organization_id="7"):
            yield

    def bound_token() -> None:
        bind(principal="service-account", principal_name="Service")

    def bound(_: None = Depends(bound_token)) -> None:
        bind(principal="42", on_behalf_of="service-account")

    app.get("/blocks", dependencies=[Depends(organization), Depends(impersonated)])(seen)
    app.get("/bound", dependencies=[Depends(organization), Depends(bound)])(seen)
    return app


@pytest.mark.parametrize("path", ["/blocks", "/bound"])
def test_of_dependencies_that_set_the_same_field_the_inner_one_decides(path: str) -> None:
    answers = asyncio.run(get(nested(), *[path] * 12))
    fields = {"organization_id": "7", "principal": "42", "on_behalf_of": "service-account"}
    assert [answer.json() for answer in answers] == [fields] * 12


def test_a_plain_generator_that_streams_keeps_its_block_from_part_to_part() -> None:
    assert [answer.text for answer in asyncio.run(get(shop(), "/stream"))] == ["7 7 7 "]


def test_messages_of_extensions_reach_the_server_unchanged() -> None:
    sent: list[Any] = []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.pathsend", "path": "/srv/file"})

    async def receive() -> Any:
        return {}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(AuditMiddleware(app, trusted_proxies=(), forwarded_header="x-forwarded-for")(http(), receive, send))
    assert sent == [{"type": "http.response.pathsend", "path": "/srv/file"}]
