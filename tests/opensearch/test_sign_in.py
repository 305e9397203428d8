"""Signing in without a password: a bearer token on a real Security plugin, and requests signed for Amazon."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote_plus, urlsplit

import pytest

from tests.live.accounts import secured_corner
from tests.live.corner import Corner
from tests.opensearch_node import SecuredNode
from whodid.cluster.bulk import Document, send_bulk
from whodid.cluster.connection import authorization, connect, translated
from whodid.errors import NotAuthenticated, NotAuthorized, SettingsError
from whodid.settings import Settings, load_settings
from whodid.setup.roles import role_name
from whodid.shipping.service import connected_shipper

KEY = b"a-key-of-the-tests-that-signs-tokens-and-nothing-else-0123456789"


def jwt(name: str, roles: list[str], *, key: bytes = KEY, lives: float = 3600.0) -> str:
    """RFC 7519, HS512."""

    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    claims = {"sub": name, "roles": roles, "exp": int(time.time() + lives)}
    signed = f"{part({'alg': 'HS512', 'typ': 'JWT'})}.{part(claims)}"
    signature = hmac.new(key, signed.encode(), hashlib.sha512).digest()
    return f"{signed}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


DOMAIN = {
    "http_enabled": True,
    "transport_enabled": True,
    "order": 0,
    "http_authenticator": {
        "type": "jwt",
        "challenge": False,
        "config": {
            "signing_key": base64.b64encode(KEY).decode(),
            "jwt_header": "Authorization",
            "subject_key": "sub",
            "roles_key": "roles",
        },
    },
    "authentication_backend": {"type": "noop", "config": {}},
}


@pytest.mark.live
def test_a_token_signs_in_and_a_new_one_in_its_file_is_taken_without_a_restart(
    secured_node: SecuredNode, tmp_path: Path
) -> None:
    api = "/_plugins/_security/api/"
    with secured_corner(secured_node, tmp_path) as place, _signing_in_with_tokens(place):
        ask = place.client.transport.perform_request
        writer = role_name(place.settings, "writer")
        ask("PUT", f"{api}rolesmapping/{writer}", body={"backend_roles": ["shippers"]})
        file = tmp_path / "token"
        file.touch(0o600)
        settings = replace(
            place.settings, opensearch_user="", opensearch_password_file="", opensearch_token_file=str(file)
        )
        for wrong in (jwt("w", ["shippers"], key=KEY[::-1]), jwt("w", ["shippers"], lives=-3600), "not.a.token"):
            file.write_text(wrong)
            with closing(connect(settings)) as client, pytest.raises(NotAuthenticated), translated("asking"):
                client.info()
        place.record(3)
        stop = threading.Event()
        shipper = connected_shipper(settings, notify=lambda text: None, stop=stop)
        running = threading.Thread(target=shipper.run)
        running.start()
        _until(lambda: "does not accept" in shipper.progress.waiting)
        file.write_text(jwt("w", ["shippers"]) + "\n")
        _until(lambda: shipper.progress.shipped == 3)
        stop.set()
        running.join(30)
        file.write_text(jwt("w", ["nobody"]))
        with closing(connect(settings)) as client, pytest.raises(NotAuthorized), translated("asking"):
            client.transport.perform_request("PUT", f"/{place.settings.index_prefix}-2020.01")


@contextmanager
def _signing_in_with_tokens(place: Corner) -> Iterator[None]:
    ask, path = place.client.transport.perform_request, "/_plugins/_security/api/securityconfig"
    dynamic = ask("GET", path)["config"]["dynamic"]
    ask("PUT", f"{path}/config", body={"dynamic": _with_tokens(dynamic)})
    try:
        yield
    finally:
        ask("PUT", f"{path}/config", body={"dynamic": dynamic})


def _with_tokens(dynamic: dict[str, Any]) -> dict[str, Any]:
    return {**dynamic, "authc": {**dynamic["authc"], "jwt_auth_domain": DOMAIN}}


def _until(condition: Any, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


# --- Amazon: each request is signed ----------------------------------------------------------------------------------

ACCESS, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def expected_signature(method: str, target: str, headers: dict[str, str], body: bytes, secret: str) -> str:
    """Signature Version 4, by its specification, from the request as it came in."""
    given = headers["authorization"]
    credential, names, _ = (part.split("=", 1)[1] for part in given.removeprefix("AWS4-HMAC-SHA256 ").split(", "))
    _, day, region, service, _ = credential.split("/")
    parts = urlsplit(target)
    pairs = sorted(tuple(pair.partition("=")[::2]) for pair in parts.query.split("&") if pair)
    query = "&".join(f"{quote(unquote_plus(k), safe='-_.~')}={quote(unquote_plus(v), safe='-_.~')}" for k, v in pairs)
    path = quote(parts.path, safe="/-_.~%")
    shown = "".join(f"{name}:{' '.join(headers[name].split())}\n" for name in names.split(";"))
    digest = hashlib.sha256(body).hexdigest()
    canonical = "\n".join([method, path, query, shown, names, digest])
    scope = f"{day}/{region}/{service}/aws4_request"
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", headers["x-amz-date"], scope, hashed])
    key = b"AWS4" + secret.encode()
    for part in (day, region, service, "aws4_request"):
        key = _hmac(key, part)
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


class Amazon(ThreadingHTTPServer):
    """Answers whoever signed right as a cluster does, and everybody else 403."""

    def __init__(self) -> None:
        self.services: list[str] = []
        amazon = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                given = headers.get("authorization", "")
                right = given.startswith("AWS4") and given.endswith(
                    expected_signature(self.command, self.path, headers, body, SECRET)
                )
                if right:
                    amazon.services.append(given.split("/")[3])
                answer: dict[str, Any] = {"version": {"number": "2.19.0", "distribution": "opensearch"}}
                if self.path.startswith("/whodid-audit-2026.11/_bulk"):
                    answer = {"errors": False, "items": [{"create": {"status": 201}}] * (body.count(b"\n") // 2)}
                data = json.dumps(answer if right else {"message": "The request signature does not match"}).encode()
                self.send_response(200 if right else 403)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = _answer  # noqa: N815 (looked for by the base class)

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()


@pytest.fixture
def amazon(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Amazon]:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    server = Amazon()
    yield server
    server.shutdown()
    server.server_close()


def signed_settings(amazon: Amazon, **more: Any) -> Settings:
    return Settings(
        opensearch_hosts=(f"http://127.0.0.1:{amazon.server_port}",), opensearch_aws_region="eu-central-1", **more
    )


def test_each_request_is_signed_for_amazon(amazon: Amazon) -> None:
    with closing(connect(signed_settings(amazon))) as client:
        client.info()
        client.cat.indices(index="whodid-audit-*", params={"format": "json", "h": "index,docs.count"})
        documents = [Document("a", "whodid-audit-2026.11", '{"target":"ümläut & more"}'.encode())] * 3
        assert [verdict.kind for verdict in send_bulk(client, documents, 10.0)] == ["stored"] * 3
    with closing(connect(signed_settings(amazon, opensearch_aws_service="aoss"))) as client:
        client.info()
    assert set(amazon.services) == {"es", "aoss"}


def test_a_wrong_key_is_refused_and_none_is_told(amazon: Amazon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET[::-1])
    settings = signed_settings(amazon)
    with closing(connect(settings)) as client, pytest.raises(NotAuthorized) as refused, translated("asking"):
        client.info()
    assert SECRET[::-1] not in str(refused.value) + repr(settings)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(SettingsError, match="botocore finds no credentials: set AWS_ACCESS_KEY_ID"):
        connect(settings)


# --- The settings ----------------------------------------------------------------------------------------------------


def test_two_ways_to_sign_in_are_an_error_that_says_which() -> None:
    with pytest.raises(SettingsError, match="opensearch_user and opensearch_token_file are two ways to sign in"):
        load_settings(environ={}, opensearch_user="u", opensearch_token_file="t")
    with pytest.raises(SettingsError, match="set opensearch_token or opensearch_token_file, not both"):
        load_settings(environ={}, opensearch_token="t", opensearch_token_file="t")


def test_a_token_stays_out_of_what_is_shown_and_must_be_one(tmp_path: Path) -> None:
    settings = Settings(opensearch_token="s3cret-token")
    assert "s3cret" not in repr(settings)
    assert authorization(settings) == "Bearer s3cret-token"
    for wrong in ("Bearer x", "t\noken", "tökén"):
        with pytest.raises(SettingsError, match="opensearch_token holds no valid token") as told:
            authorization(Settings(opensearch_token=wrong))
        assert wrong not in str(told.value)
