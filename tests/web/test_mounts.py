"""The tab in the panels of the examples, served for real: Flask under gunicorn, Django and FastAPI under uvicorn."""

from __future__ import annotations

import csv
import html
import io
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.faults.kit import Exchange, FaultProxy, unavailable
from tests.live.corner import Corner, corner, eventually
from whodid.entry import document_id
from whodid.journal import read_entries

EXAMPLES = Path(__file__).parents[2] / "examples"
TAB = "/admin/audit-logs/"
ENTRIES = 1100
"""More than one request to OpenSearch finds, so that an export takes two."""

SERVERS = {
    "admin_panel": ["uvicorn", "--app-dir", "{folder}", "--port", "{port}", "app:app"],
    "flask_panel": ["gunicorn", "--chdir", "{folder}", "--threads", "8", "--bind", "127.0.0.1:{port}", "app:app"],
    "flask_panel, forked after it was loaded": [
        *("gunicorn", "--chdir", "{folder}", "--preload", "--workers", "2", "--threads", "8"),
        *("--bind", "127.0.0.1:{port}", "app:app"),
    ],
    "django_panel": ["uvicorn", "--app-dir", "{folder}", "--port", "{port}", "app:application"],
}


Mount = Callable[[ASGIApp], Callable[[], Generator[bytes, None, None]]]


@dataclass(frozen=True)
class Panel:
    """A panel that is served, and the way from it to OpenSearch."""

    name: str
    url: str
    journal_dir: Path
    proxy: FaultProxy

    @contextmanager
    def visitor(self, user: str = "") -> Iterator[httpx.Client]:
        """A browser's session, in which `user` is signed in."""
        with httpx.Client(base_url=self.url, timeout=30, headers={"user-agent": f"browser of {user}:"}) as client:
            if user and self.name == "django_panel":
                form = client.get("/admin/login/").text
                token = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', form)[0]
                given = {"csrfmiddlewaretoken": token, "username": user, "password": user, "next": "/admin/"}
                assert client.post("/admin/login/", data=given).headers["location"] == "/admin/"
            elif user:
                assert client.post("/sign-in", data={"name": user}).headers["location"] == "/admin"
            yield client

    def recorded(self) -> list[dict[str, Any]]:
        return list(read_entries(self.journal_dir))


@pytest.fixture(scope="module")
def place(opensearch_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corner]:
    with corner(opensearch_url, tmp_path_factory.mktemp("mounts")) as made:
        made.set_up()
        made.record(ENTRIES, client_ip="203.0.113.9", status="aws", organization_id="1", organization_name="Acme")
        made.ship()
        yield made


@pytest.fixture(scope="module", params=SERVERS)
def panel(request: pytest.FixtureRequest, place: Corner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Panel]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    name = request.param.split(",")[0]
    command = [part.format(folder=EXAMPLES / name, port=port) for part in SERVERS[request.param]]
    folder = tmp_path_factory.mktemp(name)
    with FaultProxy(place.settings.opensearch_hosts[0]) as proxy:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("WHODID_")},
            "WHODID_OPENSEARCH_HOSTS": proxy.url,
            "WHODID_INDEX_PREFIX": place.settings.index_prefix,
            "WHODID_JOURNAL_DIR": str(folder / "journal"),
            "PANEL_DATABASE": str(folder / "users.sqlite3"),
        }
        with (
            (folder / "log").open("wb") as log,
            subprocess.Popen([sys.executable, "-m", *command], env=environment, stdout=log, stderr=log) as process,
        ):
            try:
                eventually(lambda: _answers(port))
                yield Panel(name, f"http://127.0.0.1:{port}", folder / "journal", proxy)
            finally:
                process.terminate()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def id_of(entry: dict[str, Any]) -> str:
    return document_id(entry["journal"], entry["seq"], entry["hash"])


def newest_first(place: Corner) -> list[str]:
    found = sorted(place.journalled(), key=lambda entry: (entry["@timestamp"], entry["seq"]), reverse=True)
    return [id_of(entry) for entry in found]


def links(page: str) -> list[str]:
    """Where a page leads, and what it loads: each once, in their order."""
    return list(dict.fromkeys(html.unescape(link) for link in re.findall(r'(?:href|src|action)="([^"#]+)"', page)))


@pytest.mark.live
def test_a_root_user_finds_the_tab_and_all_its_links_lead_below_where_it_is_mounted(
    panel: Panel, place: Corner
) -> None:
    with panel.visitor("root") as client:
        assert TAB in links(client.get("/admin", follow_redirects=True).text)
        first = client.get(TAB)
        older = client.get(next(link for link in links(first.text) if "after=" in link))
        entry = client.get(f"{TAB}entries/{newest_first(place)[0]}")
        shown = [re.findall(rf'class="type" href="{TAB}entries/([^"]+)"', page.text) for page in (first, older)]
        assert shown[0] + shown[1] == newest_first(place)[:100]
        found = [link for page in (first, older, entry) for link in links(page.text)]
        assert len({link for link in found if not link.startswith(TAB)}) == 1  # the panel's other tab
        one_of_a_kind = {re.sub(r"(=|entries/)[^&.]*", r"\1", link): link for link in found}
        assert len(one_of_a_kind) > 10
        for link in one_of_a_kind.values():
            assert client.get(link, follow_redirects=True).status_code == 200, link


@pytest.mark.live
def test_without_the_last_slash_and_from_a_form_the_tab_leads_to_itself(panel: Panel) -> None:
    with panel.visitor("root") as client:
        for asked, led_to in (
            (TAB.rstrip("/"), TAB),
            (f"{TAB}?q=&principal=42&type=&since=-7d", f"{TAB}?principal=42&since=-7d"),
        ):
            answer = client.get(asked)
            assert answer.status_code in (303, 307)
            assert urljoin(panel.url, answer.headers["location"]) == panel.url + led_to
        assert f"<strong>{ENTRIES:,}</strong> entries found" in client.get(led_to).text


@pytest.mark.live
def test_the_export_is_complete_and_streamed(panel: Panel, place: Corner) -> None:
    with panel.visitor("root") as client:
        answer = client.get(f"{TAB}export.csv")
    assert answer.headers["transfer-encoding"] == "chunked"
    read = csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"), newline=""))
    assert [row["entry_id"] for row in read] == newest_first(place)


@pytest.mark.live
def test_an_export_that_opensearch_breaks_off_is_no_finished_download(panel: Panel) -> None:
    def second_page_fails(exchange: Exchange) -> None:
        if b"search_after" in exchange.body:
            unavailable()(exchange)
        else:
            exchange.send(exchange.forward())

    panel.proxy.inject(second_page_fails, path="_search")
    with panel.visitor("root") as client:
        for form in ("csv", "ndjson") * 3:
            with pytest.raises(httpx.RemoteProtocolError):
                client.get(f"{TAB}export.{form}")
        panel.proxy.clear()
        assert client.get(f"{TAB}export.csv").text.count("\r\n") == ENTRIES + 1


@pytest.mark.live
@pytest.mark.parametrize("user", ["ada", ""])
def test_others_get_403_for_everything(panel: Panel, place: Corner, user: str) -> None:
    before = len(panel.recorded())
    with panel.visitor(user) as client:
        if not user:
            for name in ("session", "sessionid", "panel"):
                client.cookies.set(name, "eyJ1c2VyIjoicm9vdCJ9.aAAAAA.forged")
        assert TAB not in links(client.get("/admin", follow_redirects=True).text)
        data = ("entries.json", "newest", "complete.json?q=type:", "export.csv", "export.ndjson")
        for path in ("", *data, "?principal=42", f"entries/{newest_first(place)[0]}"):
            answer = client.get(TAB + path)
            assert answer.status_code == 403
            assert "credentials_created" not in answer.text
    assert {entry["type"] for entry in panel.recorded()[before:]} <= {"user_sign_in"}


@pytest.mark.live
def test_what_is_read_is_recorded_as_of_who_signed_in(panel: Panel) -> None:
    before = len(panel.recorded())
    with panel.visitor("root") as client:
        assert client.get(f"{TAB}?target=7").status_code == 200
        assert client.get(f"{TAB}export.csv?target=7").status_code == 200
    signed_in, searched, exported = panel.recorded()[before:]
    assert [entry["type"] for entry in (signed_in, searched, exported)] == [
        "user_sign_in",
        "audit_log_searched",
        "audit_log_exported",
    ]
    assert signed_in["target"] == "root"
    for entry in (searched, exported):
        assert entry["principal"] == signed_in["principal"] != "anonymous"
        assert (entry["client_ip"], entry["user_agent"]) == ("127.0.0.1", "browser of root:")
        assert entry["details"]["query"] == "target:7"


@pytest.fixture
def mount(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Mount:
    """Mounts an ASGI application as Flask's panel does; each call of what it gives is a request, without a server."""
    monkeypatch.setenv("WHODID_JOURNAL_DIR", str(tmp_path))
    from whodid.web.wsgi import WSGIApplication

    def mounted(app: ASGIApp) -> Callable[[], Generator[bytes, None, None]]:
        asked = {"REQUEST_METHOD": "GET", "SERVER_NAME": "localhost", "SERVER_PORT": "80", "wsgi.input": io.BytesIO()}
        made = WSGIApplication(app)
        return lambda: made(dict(asked), lambda *_: None)

    return mounted


def test_flask_s_server_hears_of_every_answer_that_broke_off(mount: Mount) -> None:
    async def breaks_off(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise ConnectionError("the other half is lost")

    ask = mount(breaks_off)
    for _ in range(50):
        answer = ask()
        assert next(answer) == b"half"
        with pytest.raises(ConnectionError, match="the other half"):
            list(answer)


def test_flask_s_panel_ends_an_export_whose_client_has_left(mount: Mount) -> None:
    ended = threading.Event()

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            while True:
                await send({"type": "http.response.body", "body": b"more", "more_body": True})
        finally:
            ended.set()

    answer = mount(endless)()
    assert [next(answer), next(answer)] == [b"more", b"more"]
    answer.close()
    assert ended.wait(10)
