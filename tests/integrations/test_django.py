"""The Django middleware where no setting says who acts: the signed-in user's primary key, asked at the call."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import asyncio
from types import SimpleNamespace as Bag

from django.conf import settings

settings.configure(MIDDLEWARE=[])
from whodid.recording.context import current_fields
from whodid.integrations.django import AuditMiddleware


def ask(user, **more):
    request = Bag(user=user, headers={"User-Agent": "curl"}, META={"REMOTE_ADDR": "203.0.113.9"}, method="GET", **more)
    seen = {}

    def view(request):
        seen.update(current_fields())
        return Bag(streaming=False)

    async def async_view(request):
        return view(request)

    AuditMiddleware(view)(request)
    plain = dict(seen)
    asyncio.run(AuditMiddleware(async_view)(request))
    assert {**seen, "request_id": 0} == {**plain, "request_id": 0}
    assert current_fields() == {}
    return plain


whodid = __import__("whodid")
whodid.configure(journal_dir="journal")
seen = ask(Bag(is_authenticated=True, pk=42))
assert (seen["principal"], seen["client_ip"], seen["user_agent"]) == ("42", "203.0.113.9", "curl"), seen
assert "principal" not in ask(Bag(is_authenticated=False, pk=None))
assert "principal" not in ask(None)
"""


def test_the_signed_in_user_is_the_principal_for_plain_and_async_views(tmp_path: object) -> None:
    """In a process of its own, as Django's settings are one a process."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, cwd=str(tmp_path)
    )
    assert done.returncode == 0, done.stderr


STREAMS = """
import asyncio
from io import BytesIO
from wsgiref.util import FileWrapper

import django
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import FileResponse, HttpResponse, StreamingHttpResponse
from django.urls import path

import whodid
from whodid.recording.context import bind, context, current_fields
from whodid.integrations.wsgi import AuditMiddleware

ended = []


def who():
    return str(current_fields().get("principal")).encode() + b" "


def plain_parts():
    try:
        with context(principal="43"):
            yield who()
            yield who()
        yield who()
    finally:
        ended.append(who())


async def later_parts():
    try:
        with context(principal="43"):
            yield who()
            await asyncio.sleep(0)
            yield who()
        yield who()
    finally:
        ended.append(who())


async def later_error():
    yield who()
    raise ZeroDivisionError(who())


async def later(request):
    return StreamingHttpResponse(later_parts())


async def error(request):
    return StreamingHttpResponse(later_error())


async def bound(request):
    bind(principal="44")
    return StreamingHttpResponse(later_parts())


def plain(request):
    return StreamingHttpResponse(plain_parts())


def file(request):
    return FileResponse(BytesIO(b"content of a file"), filename="f.txt")


def made(request):
    return HttpResponse(who())


views = (later, error, bound, plain, file, made)
urlpatterns = [path(view.__name__, view) for view in views]


def synchronous(get_response):
    return lambda request: get_response(request)


async def over_asgi(name, method="GET"):
    asked, sent = [{"type": "http.request", "body": b"", "more_body": False}], []
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": "/" + name, "headers": [], "query_string": b"", "client": ("127.0.0.1", 1),
    }

    async def receive():
        return asked.pop() if asked else await asyncio.Event().wait()

    async def send(message):
        sent.append(message.get("body", b""))

    await ASGIHandler()(scope, receive, send)
    return b"".join(sent)


def over_wsgi(name, application, method="GET"):
    environ = {
        "REQUEST_METHOD": method, "PATH_INFO": "/" + name, "SERVER_NAME": "s", "SERVER_PORT": "80",
        "wsgi.input": BytesIO(), "wsgi.file_wrapper": FileWrapper,
    }
    return application(environ, lambda *_: None)


settings.configure(
    SECRET_KEY="x", ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], WHODID_PRINCIPAL=lambda request: "42",
    MIDDLEWARE=["whodid.integrations.django.AuditMiddleware", *BEHIND],
)
django.setup()
whodid.configure(journal_dir="journal")

assert asyncio.run(over_asgi("later")) == b"43 43 42 "
assert asyncio.run(over_asgi("bound")) == b"43 43 44 "
assert asyncio.run(over_asgi("made")) == b"42 "
assert asyncio.run(over_asgi("made", "HEAD")) in (b"42 ", b"")
try:
    asyncio.run(over_asgi("error"))
except ZeroDivisionError as raised:
    assert raised.args == (b"42 ",)
else:
    raise AssertionError("no error")
for application in (WSGIHandler(), AuditMiddleware(WSGIHandler())):
    answer = over_wsgi("plain", application)
    assert b"".join(answer) == b"43 43 42 "
    answer.close()
    answer = over_wsgi("plain", application)
    next(iter(answer))
    answer.close()
    answer = over_wsgi("file", application)
    assert type(answer) is FileWrapper, answer
    assert b"".join(answer) == b"content of a file"
    answer.close()
    assert b"".join(over_wsgi("made", application)) == b"42 "
response = over_wsgi("later", WSGIHandler())
assert response.is_async and response.streaming
file_response = over_wsgi("file", lambda environ, start: WSGIHandler()({**environ, "wsgi.file_wrapper": None}, start))
assert (file_response.file_to_stream.getvalue(), file_response.block_size) == (b"content of a file", 4096)
assert set(ended) <= {b"42 ", b"43 ", b"44 "} and len(ended) == 6, ended
assert current_fields() == {}
"""


@pytest.mark.parametrize("behind", [[], ["__main__.synchronous"]], ids=["alone", "a synchronous middleware behind"])
def test_bodies_arrive_as_without_the_middleware_and_have_a_principal(tmp_path: Path, behind: list[str]) -> None:
    (tmp_path / "site.py").write_text(STREAMS.replace("BEHIND", repr(behind)))
    done = subprocess.run(
        [sys.executable, "site.py"], capture_output=True, text=True, check=False, cwd=tmp_path, timeout=120
    )
    assert done.returncode == 0, done.stderr
