"""The connection: what the settings become, and what each failure is called."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import threading
import warnings
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from whodid.cluster.connection import connect, translated
from whodid.errors import (
    NotAuthenticated,
    NotAuthorized,
    OpenSearchError,
    OpenSearchUnavailable,
    SettingsError,
    WhodidError,
)
from whodid.settings import Settings


class Front:
    """Answers every request with one status and body, and remembers the headers."""

    def __init__(self, status: int, body: bytes, content_type: str, tls: ssl.SSLContext | None = None) -> None:
        self.authorization: list[str | None] = []
        front = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                front.authorization.append(self.headers["Authorization"])
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
            self._server.handle_error = lambda *_: None  # type: ignore[method-assign] # a refused handshake is the test
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.port = self._server.server_port
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


Make = Callable[..., Front]


@pytest.fixture
def front() -> Iterator[Make]:
    made: list[Front] = []

    def make(
        status: int, body: bytes = b"{}", content_type: str = "application/json", tls: ssl.SSLContext | None = None
    ) -> Front:
        made.append(Front(status, body, content_type, tls))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """Accepts connections (the kernel does) and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def ask(settings: Settings) -> None:
    client = connect(settings)
    try:
        with translated("the search"):
            client.info()
    finally:
        client.close()


def failure(settings: Settings) -> WhodidError:
    with pytest.raises(WhodidError) as raised:
        ask(settings)
    return raised.value


def secret(tmp_path: Path, content: bytes, mode: int = 0o600) -> str:
    path = tmp_path / "password"
    path.write_bytes(content)
    path.chmod(mode)
    return str(path)


def test_import_whodid_imports_no_client_library() -> None:
    code = "import sys, whodid; sys.exit('opensearchpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("password", ["secret", "with:colon", "пароль €"])
def test_user_and_password_are_sent_as_utf_8(front: Make, password: str) -> None:
    sent = front(200)
    ask(Settings(opensearch_hosts=(sent.url,), opensearch_user="anna", opensearch_password=password))
    [header] = sent.authorization
    assert header is not None
    assert b64decode(header.removeprefix("Basic ")).decode() == f"anna:{password}"


def test_without_a_user_no_header_is_sent(front: Make) -> None:
    sent = front(200)
    ask(Settings(opensearch_hosts=(sent.url,)))
    assert sent.authorization == [None]


def test_the_password_is_read_from_its_file_without_the_newline_only(front: Make, tmp_path: Path) -> None:
    sent = front(200)
    name = secret(tmp_path, b" secret \n")
    ask(Settings(opensearch_hosts=(sent.url,), opensearch_user="u", opensearch_password_file=name))
    assert b64decode(str(sent.authorization[0]).removeprefix("Basic ")) == b"u: secret "


def test_a_password_file_that_others_can_read_is_warned_of(tmp_path: Path) -> None:
    name = secret(tmp_path, b"secret", 0o644)
    with pytest.warns(UserWarning, match="set its mode to 0600"):
        connect(Settings(opensearch_user="u", opensearch_password_file=name)).close()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"opensearch_password": "secret"}, "without opensearch_user"),
        ({"opensearch_user": "u", "opensearch_password_file": "MISSING"}, "opensearch_password_file: .*No such file"),
        ({"opensearch_user": "u", "opensearch_password_file": "BINARY"}, "not UTF-8"),
        ({"opensearch_ca": "MISSING"}, "opensearch_ca: .*No such file"),
        ({"opensearch_ca": "TEXT"}, "opensearch_ca: .*holds no certificate"),
        ({"opensearch_client_key": "TEXT"}, "without opensearch_client_cert"),
        ({"opensearch_client_cert": "MISSING"}, "opensearch_client_cert: .*No such file"),
        ({"opensearch_client_cert": "TEXT"}, "opensearch_client_cert: .*not a certificate"),
        ({"opensearch_client_cert": "TEXT", "opensearch_client_key": "MISSING"}, "opensearch_client_key: .*No such"),
    ],
)
def test_a_setting_that_can_t_be_used_is_told_before_anything_is_sent(
    tmp_path: Path, settings: dict[str, str], said: str
) -> None:
    (tmp_path / "TEXT").write_text("no certificate")
    (tmp_path / "BINARY").write_bytes(b"\xff\xfe")
    (tmp_path / "BINARY").chmod(0o600)
    given = {
        name: str(tmp_path / value) if value in {"MISSING", "TEXT", "BINARY"} else value
        for name, value in settings.items()
    }
    with pytest.raises(SettingsError, match=said) as raised:
        connect(Settings(opensearch_hosts=("https://127.0.0.1:1",), **given))  # type: ignore[arg-type] # strings only
    assert "secret" not in str(raised.value)


def test_certificates_and_host_names_are_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[ssl.SSLContext] = []
    create = ssl.create_default_context

    def remember(*, cafile: str | None = None) -> ssl.SSLContext:
        made.append(create(cafile=cafile))
        return made[-1]

    monkeypatch.setattr(ssl, "create_default_context", remember)
    connect(Settings(opensearch_hosts=("https://127.0.0.1:1",))).close()
    [context] = made
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_nothing_shows_the_password(front: Make) -> None:
    settings = Settings(
        opensearch_hosts=(front(401).url,), opensearch_user="anna", opensearch_password="top-secret-word"
    )
    error = failure(settings)
    shown = f"{connect(settings)!r} {settings!r} {error} {error!r} {error.__cause__!r}"
    assert "top-secret-word" not in shown


def test_nobody_listening_names_the_host_and_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    error = failure(Settings(opensearch_hosts=(f"http://127.0.0.1:{port}",)))
    assert isinstance(error, OpenSearchUnavailable)
    assert str(error).startswith(f"the search: OpenSearch at 127.0.0.1:{port} can't be reached (")
    assert "whodid dev up" in str(error)


def test_a_host_name_nobody_knows_is_unavailable() -> None:
    error = failure(Settings(opensearch_hosts=("https://nowhere.invalid:9200",), opensearch_timeout=2.0))
    assert isinstance(error, OpenSearchUnavailable)
    assert "nowhere.invalid" in str(error)


def test_no_answer_in_time_names_the_setting(silent: socket.socket) -> None:
    host = f"http://127.0.0.1:{silent.getsockname()[1]}"
    error = failure(Settings(opensearch_hosts=(host,), opensearch_timeout=0.2))
    assert isinstance(error, OpenSearchUnavailable)
    assert "gave no answer in time; raise opensearch_timeout" in str(error)


def test_a_server_without_tls_is_unavailable_by_https(front: Make) -> None:
    error = failure(Settings(opensearch_hosts=(front(200).url.replace("http:", "https:"),)))
    assert isinstance(error, OpenSearchUnavailable)
    assert "certificate" in str(error)


def test_a_connection_that_ends_at_once_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def hang_up() -> None:
            with suppress(OSError):
                listening.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        error = failure(Settings(opensearch_hosts=(f"http://127.0.0.1:{listening.getsockname()[1]}",)))
        thread.join()
    assert isinstance(error, OpenSearchUnavailable)


def blocked(words: bytes) -> bytes:
    return b'{"error":{"type":"cluster_block_exception","reason":"index [x] blocked by: [%b];"},"status":403}' % words


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (401, b"Unauthorized", NotAuthenticated, "does not accept this user and password; check opensearch_user"),
        (
            403,
            b'{"error":{"root_cause":[{"reason":"no permissions for [indices:data/read/search]"}]},"status":403}',
            NotAuthorized,
            r"lacks the right \(no permissions for \[indices:data/read/search\]\)",
        ),
        (
            403,
            blocked(b"FORBIDDEN/5/index read-only (api)"),
            OpenSearchError,
            r"blocked .*set the setting of the block to null",
        ),
        (429, blocked(b"TOO_MANY_REQUESTS/12/disk usage exceeded"), OpenSearchUnavailable, "disk is almost full"),
        (
            503,
            blocked(b"SERVICE_UNAVAILABLE/1/state not recovered"),
            OpenSearchUnavailable,
            "blocked for now.*try again",
        ),
        (404, b'{"error":{"type":"resource_not_found_exception","reason":"gone"}}', OpenSearchError, "404: gone"),
        (400, b'{"error":"no handler found for uri [/]"}', OpenSearchError, "400: no handler found"),
        (429, b'{"error":{"reason":"too many requests"}}', OpenSearchUnavailable, "429: too many requests"),
        (
            503,
            b'{"error":{"root_cause":[],"reason":"","caused_by":{"reason":"missing shards"}}}',
            OpenSearchUnavailable,
            "503: missing shards.*try again",
        ),
        (502, b"<html>Bad Gateway</html>", OpenSearchUnavailable, "HTTP 502"),
        (500, b"", OpenSearchError, "HTTP 500"),
    ],
)
def test_each_refusal_says_what_it_means(
    front: Make, status: int, body: bytes, kind: type[WhodidError], said: str
) -> None:
    content_type = "application/json" if body.startswith(b"{") else "text/html"
    settings = Settings(opensearch_hosts=(front(status, body, content_type).url,))
    with pytest.raises(kind, match=f"^the search: .*{said}") as raised:
        ask(settings)
    assert type(raised.value) is kind
    assert "\n" not in str(raised.value)


def test_an_answer_that_is_not_json_is_an_error_of_ours(front: Make) -> None:
    error = failure(Settings(opensearch_hosts=(front(200, b"{broken").url,)))
    assert type(error) is OpenSearchError


def test_an_answer_nested_too_deeply_is_an_error_of_ours(front: Make) -> None:
    levels = 500_000  # Python 3.13 reads a hundred times as many as 3.11
    body = b'{"a":' * levels + b"1" + b"}" * levels
    assert "nested too deeply" in str(failure(Settings(opensearch_hosts=(front(200, body).url,))))


def test_other_errors_pass_through() -> None:
    with pytest.raises(ZeroDivisionError), translated("the search"):
        raise ZeroDivisionError


def test_no_warning_comes_of_a_failed_connection() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        failure(Settings(opensearch_hosts=("http://127.0.0.1:1",)))


def with_tls(keys: Path, front: Make, *, client_certificate: bool = False) -> Front:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(keys / "server.pem", keys / "server.key")
    if client_certificate:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(keys / "ours.pem")
    return front(200, tls=context)


def test_the_named_authority_is_trusted(keys: Path, front: Make) -> None:
    ask(Settings(opensearch_hosts=(with_tls(keys, front).url,), opensearch_ca=str(keys / "ours.pem")))


@pytest.mark.parametrize("authority", ["", "other.pem"])
def test_no_other_authority_is(keys: Path, front: Make, authority: str) -> None:
    ca = str(keys / authority) if authority else ""
    error = failure(Settings(opensearch_hosts=(with_tls(keys, front).url,), opensearch_ca=ca))
    assert isinstance(error, OpenSearchUnavailable)
    assert "was not accepted" in str(error)
    assert "opensearch_ca" in str(error)


def test_a_certificate_for_another_name_is_not_accepted(keys: Path, front: Make) -> None:
    host = f"https://localhost:{with_tls(keys, front).port}"
    error = failure(Settings(opensearch_hosts=(host,), opensearch_ca=str(keys / "ours.pem")))
    assert "was not accepted" in str(error)
    assert "localhost" in str(error)


def test_a_client_certificate_is_shown_to_a_cluster_that_asks_for_one(keys: Path, front: Make) -> None:
    sent = with_tls(keys, front, client_certificate=True)
    named = {"opensearch_client_cert": str(keys / "client.pem"), "opensearch_client_key": str(keys / "client.key")}
    trusted = {"opensearch_hosts": (sent.url,), "opensearch_ca": str(keys / "ours.pem")}
    ask(Settings(**trusted, **named))  # type: ignore[arg-type] # hosts and strings
    assert isinstance(failure(Settings(**trusted)), OpenSearchUnavailable)  # type: ignore[arg-type] # as above


def test_a_host_that_is_away_is_passed_over(front: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        dead = f"http://127.0.0.1:{listening.getsockname()[1]}"
    answer = b'{"version":{"number":"3.4.0","distribution":"opensearch"}}'
    for hosts in ((dead, front(200, answer).url), (front(200, answer).url, dead)):
        client = connect(Settings(opensearch_hosts=hosts))
        for _ in range(4):
            with translated("the search"):
                assert client.info()["version"]["number"] == "3.4.0"
