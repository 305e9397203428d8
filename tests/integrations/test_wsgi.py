"""The WSGI middleware on its own: what it binds, for how long, and what it leaves alone."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any
from uuid import UUID
from wsgiref.util import FileWrapper

import pytest

from whodid.errors import InvalidEntry
from whodid.integrations.wsgi import AuditMiddleware
from whodid.recording.context import bind, context, current_fields

Environ = dict[str, Any]


def respond(app: Callable[[Environ, Any], Iterable[bytes]], environ: Environ, **options: Any) -> list[bytes]:
    """The parts of a response, and its end, as a server goes through them."""
    middleware = AuditMiddleware(app, **{"trusted_proxies": (), "forwarded_header": "x-forwarded-for", **options})
    body = middleware({"REMOTE_ADDR": "203.0.113.9", **environ}, lambda *_: None)
    try:
        return list(body)
    finally:
        if hasattr(body, "close"):
            body.close()


def fields_seen(environ: Environ, **options: Any) -> dict[str, object]:
    seen: dict[str, object] = {}

    def app(_environ: Environ, _start: Any) -> list[bytes]:
        seen.update(current_fields())
        return [b"done"]

    assert respond(app, environ, **options) == [b"done"]
    return seen


def test_a_request_has_an_address_a_user_agent_a_request_id_and_a_trace() -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {
        "HTTP_USER_AGENT": "curl",
        "HTTP_X_REQUEST_ID": "r1",
        "HTTP_TRACEPARENT": f"00-{trace}-00f067aa0ba902b7-01",
    }
    seen = fields_seen(headers)
    assert seen == {"client_ip": "203.0.113.9", "user_agent": "curl", "request_id": "r1", "trace_id": trace}


@pytest.mark.parametrize("peer", ["", None])
def test_a_unix_socket_has_no_address(peer: str | None) -> None:
    assert "client_ip" not in fields_seen({"REMOTE_ADDR": peer})


def test_a_forwarded_header_from_an_untrusted_peer_is_ignored() -> None:
    assert fields_seen({"HTTP_X_FORWARDED_FOR": "1.2.3.4"})["client_ip"] == "203.0.113.9"


def test_what_an_entry_cannot_hold_is_taken_out_of_headers() -> None:
    seen = fields_seen({"HTTP_X_FORWARDED_FOR": "a\0\ud800", "HTTP_USER_AGENT": "b\0\ud800"})
    assert (seen["forwarded_for"], seen["user_agent"]) == ("a?, 203.0.113.9", "b?")


def test_the_principal_is_asked_at_the_call_and_is_never_the_system() -> None:
    def principal(environ: Environ) -> str | None:
        return environ.get("REMOTE_USER")

    assert fields_seen({"REMOTE_USER": "42"}, principal=principal)["principal"] == "42"
    assert "principal" not in fields_seen({}, principal=principal)
    with pytest.raises(InvalidEntry, match="the principal resolver returned 'system'"):
        fields_seen({"REMOTE_USER": "system"}, principal=principal)


def test_the_context_lasts_to_the_end_of_the_body_and_no_longer() -> None:
    seen: list[object] = []

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            seen.append(current_fields().get("principal"))
            yield b"a"
            bind(principal="43")
            yield b"b"
            seen.append(current_fields().get("principal"))

        def close(self) -> None:
            seen.append(current_fields().get("principal"))

    def app(_environ: Environ, _start: Any) -> Body:
        bind(principal="42")
        return Body()

    with context(principal="around"):
        assert respond(app, {}) == [b"a", b"b"]
        assert current_fields() == {"principal": "around"}
    assert seen == ["42", "43", "43"]
    assert current_fields() == {}


def test_a_body_that_is_empty_or_has_no_close_is_passed_on() -> None:
    assert respond(lambda environ, start: iter([]), {}) == []
    assert respond(lambda environ, start: (b"a", b"", b"b"), {}) == [b"a", b"", b"b"]


def test_an_error_of_the_application_is_the_server_s_to_handle() -> None:
    def app(_environ: Environ, _start: Any) -> list[bytes]:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        respond(app, {})
    assert current_fields() == {}


class Sized:
    """A body that says how many parts it has, from which a server knows its length."""

    colour = "red"

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[bytes]:
        return iter([str(current_fields().get("principal")).encode()])


def passed_through(body: Any, environ: Environ | None = None) -> Any:
    def app(_environ: Environ, _start: Any) -> Any:
        bind(principal="42")
        return body

    return AuditMiddleware(app, trusted_proxies=(), forwarded_header="x-forwarded-for")(environ or {}, lambda *_: None)


@pytest.mark.parametrize("body", [[b"a"], (b"a",), b"a", io.BytesIO(b"a"), FileWrapper(io.BytesIO(b"a"))])
def test_a_body_that_is_made_already_or_is_a_file_of_the_server_is_left_alone(body: object) -> None:
    assert passed_through(body, {"wsgi.file_wrapper": FileWrapper}) is body
    assert passed_through([b"a"], {"wsgi.file_wrapper": lambda file: file}) == [b"a"]  # uWSGI's is a function


def test_a_body_keeps_its_kind() -> None:
    sized = passed_through(Sized())
    assert (len(sized), sized.colour, list(sized), list(sized)) == (1, "red", [b"42"], [b"42"])
    parts = passed_through(str(current_fields().get("principal")).encode() for _ in "ab")
    assert (next(parts), list(parts), hasattr(parts, "__len__")) == (b"42", [b"42"], False)


def test_contextvars_of_the_application_are_seen_around_the_middleware_as_without_it() -> None:
    theirs: ContextVar[str] = ContextVar("theirs", default="")

    def app(_environ: Environ, _start: Any) -> list[bytes]:
        theirs.set("set by the view")
        return []

    respond(app, {})
    assert theirs.get() == "set by the view"


def test_a_block_that_the_application_leaves_open_ends_with_its_request() -> None:
    def app(_environ: Environ, _start: Any) -> list[bytes]:
        context(principal="42").__enter__()
        return []

    respond(app, {})
    assert current_fields() == {}


@pytest.mark.parametrize("wrong", [42, 0, UUID(int=1), object(), ["principal"], {1: "42"}])
def test_a_resolver_that_returns_something_else_is_told_what_to_return(wrong: object) -> None:
    with pytest.raises(InvalidEntry, match=r"return the user's ID as a string|1: not a field"):
        fields_seen({}, principal=lambda _environ: wrong)


def test_a_resolver_that_is_a_coroutine_function_is_refused() -> None:
    async def principal(_environ: Environ) -> str:
        return "42"

    with pytest.raises(InvalidEntry, match=r"returned 'coroutine'; return the user's ID as a string"):
        fields_seen({}, principal=principal)
