"""Signing in to a tab that runs alone, with accounts of a real OpenSearch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from tests.live.accounts import PASSWORD, account, secured_corner
from tests.live.corner import Corner
from tests.opensearch_node import SecuredNode
from tests.web.served import served
from whodid.cluster.connection import has_accounts
from whodid.journal import read_entries
from whodid.settings import Settings
from whodid.web.app import create_standalone_app
from whodid.web.limits import PER_ADDRESS

pytestmark = pytest.mark.live

HOSTS = ["127.0.0.1"]


@pytest.fixture(scope="module")
def place(secured_node: SecuredNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corner]:
    """Entries of two organizations; a reader of the first, an auditor, and a writer."""
    with secured_corner(secured_node, tmp_path_factory.mktemp("sign-in")) as made:
        account(made, "reader", organization_id="1")
        account(made, "auditor")
        account(made, "writer")
        made.record(3, organization_id="1", organization_name="acme-canary")
        made.record(4, organization_id="2", organization_name="globex-canary")
        made.ship()
        yield made


@pytest.fixture
def url(place: Corner) -> Iterator[str]:
    """The tab; its own settings are an administrator's, which must let nobody in."""
    with served(create_standalone_app(place.settings, accounts=True, secure=False, allowed_hosts=HOSTS)) as made:
        yield made


@pytest.fixture
def browser(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, follow_redirects=True, timeout=30) as made:
        yield made


def sign_in(browser: httpx.Client, user: str, password: str = PASSWORD, **more: str) -> httpx.Response:
    token = field(browser.get("/sign-in").text, "token")
    return browser.post("/sign-in", data={"user": user, "password": password, "token": token, "to": "", **more})


def field(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found, page
    return found[1]


def test_a_reader_sees_what_their_role_allows(place: Corner, browser: httpx.Client) -> None:
    page = sign_in(browser, f"{place.settings.index_prefix}-reader")
    assert page.status_code == 200
    assert "acme-canary" in page.text
    for path in ("/", "/entries.json", "/export.csv", "/?organization_id=2", "/entries.json?organization_name=globex*"):
        assert "globex-canary" not in browser.get(path).text
    assert len(browser.get("/entries.json").json()["entries"]) == 3
    theirs = next(name for name, hit in place.stored().items() if hit["_source"]["organization_id"] == "2")
    assert browser.get(f"/entries/{theirs}").status_code == 404
    assert browser.get(f"/entries/{theirs}.json").status_code == 404


def test_an_auditor_sees_all_and_a_writer_is_told_what_is_missing(place: Corner, browser: httpx.Client) -> None:
    assert "globex-canary" in sign_in(browser, f"{place.settings.index_prefix}-auditor").text
    answer = sign_in(browser, f"{place.settings.index_prefix}-writer")
    assert answer.status_code == 403
    assert "lacks the right" in answer.text


@pytest.mark.parametrize("path", ["/", "/entries.json", "/export.csv", "/entries/a", "/entries/a.json", "/?type=x"])
def test_nobody_sees_anything_without_signing_in(browser: httpx.Client, path: str) -> None:
    for cookie in ("", "whodid-session=x", "whodid-session="):
        answer = browser.get(path, headers={"cookie": cookie})
        assert "canary" not in answer.text
        assert (answer.status_code, "Sign in" in answer.text) in {(200, True), (401, True)}


@pytest.mark.parametrize(("user", "password"), [("admin", "admin"), ("", ""), ("a:b", "c"), ("admin", ""), ("ü", "ß")])
def test_a_wrong_password_lets_nobody_in(browser: httpx.Client, user: str, password: str) -> None:
    answer = sign_in(browser, user, password)
    assert answer.status_code == 401
    assert "rejected this user name or password" in answer.text
    assert "whodid-session" not in browser.cookies


def test_the_session_is_known_to_the_browser_alone_and_ends(place: Corner, browser: httpx.Client) -> None:
    user = f"{place.settings.index_prefix}-auditor"
    page = sign_in(browser, user)
    [redirect] = page.history
    cookie = next(value for value in redirect.headers.get_list("set-cookie") if value.startswith("whodid-session"))
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert PASSWORD not in page.text + str(redirect.headers)
    old = browser.cookies["whodid-session"]
    assert sign_in(browser, user).status_code == 200
    assert browser.cookies["whodid-session"] != old  # a session fixed by somebody else is of no use
    kept = f"whodid-session={browser.cookies['whodid-session']}"
    browser.post("/sign-out", data={"token": field(browser.get("/").text, "token")})
    assert "Sign in" in httpx.get(browser.base_url, headers={"cookie": kept}, follow_redirects=True).text


def test_another_site_can_sign_nobody_in_or_out(place: Corner, browser: httpx.Client) -> None:
    user = f"{place.settings.index_prefix}-auditor"
    for token in ("", "x"):
        answer = sign_in(browser, user, token=token)
        assert answer.status_code == 403
        assert "whodid-session" not in browser.cookies
    fresh = httpx.post(f"{browser.base_url}/sign-in", data={"user": user, "password": PASSWORD, "token": "x"})
    assert fresh.status_code == 403
    sign_in(browser, user)
    assert browser.post("/sign-out", data={"token": "x"}).status_code == 403
    assert "canary" in browser.get("/").text


def test_after_signing_in_one_is_where_one_wanted_to_be_and_nowhere_else(place: Corner, browser: httpx.Client) -> None:
    asked = browser.get("/?principal=42&since=-7d")
    assert field(asked.text, "to") == "?principal=42&amp;since=-7d"
    page = sign_in(browser, f"{place.settings.index_prefix}-auditor", to="?principal=42&since=-7d")
    assert str(page.url).endswith("/?principal=42&since=-7d")
    for elsewhere in ("//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "a\r\nb: c"):
        page = sign_in(browser, f"{place.settings.index_prefix}-auditor", to=elsewhere)
        assert str(page.url) == f"{str(browser.base_url).rstrip('/')}/"


def test_too_many_failures_close_the_door_even_for_the_right_password(place: Corner, browser: httpx.Client) -> None:
    user = f"{place.settings.index_prefix}-auditor"
    for number in range(PER_ADDRESS - 1):
        assert sign_in(browser, f"{user}-{number}", "wrong").status_code == 401
    assert "canary" in sign_in(browser, user).text
    browser.cookies.clear()
    assert sign_in(browser, user, "wrong").status_code == 401
    answer = sign_in(browser, user)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 800
    assert "whodid-session" not in browser.cookies


def test_a_password_that_changes_ends_the_session(place: Corner, browser: httpx.Client) -> None:
    user = account(place, "auditor", "leaver")
    assert "canary" in sign_in(browser, user).text
    place.client.transport.perform_request("DELETE", f"/_plugins/_security/api/internalusers/{user}")
    answer = browser.get("/")
    assert "canary" not in answer.text
    assert "Sign in" in answer.text


def test_a_certificate_of_the_settings_lets_nobody_in(secured_node: SecuredNode, place: Corner) -> None:
    config = secured_node.ca_file.parent
    settings = replace(
        place.settings,
        opensearch_user="",
        opensearch_password_file="",
        opensearch_client_cert=str(config / "admin.pem"),
        opensearch_client_key=str(config / "admin-key.pem"),
    )
    app = create_standalone_app(settings, accounts=True, secure=False, allowed_hosts=HOSTS)
    with served(app) as url, httpx.Client(base_url=url, follow_redirects=True) as browser:
        assert sign_in(browser, "nobody", "nothing").status_code == 401
        assert "canary" not in browser.get("/").text


def test_a_request_for_another_host_is_refused(url: str) -> None:
    assert httpx.get(url, headers={"host": "evil.example"}).status_code == 400


def test_whether_a_cluster_has_accounts_is_asked_as_nobody(secured_node: SecuredNode, opensearch_url: str) -> None:
    assert has_accounts(Settings(**secured_node.settings()))
    assert not has_accounts(Settings(opensearch_hosts=(opensearch_url,)))


def test_over_https_cookies_are_for_https_and_this_host_alone(place: Corner) -> None:
    app = create_standalone_app(place.settings, accounts=True, secure=True, allowed_hosts=HOSTS)
    with served(app) as url:
        [cookie] = httpx.get(f"{url}/sign-in").headers.get_list("set-cookie")
    assert cookie.startswith("__Host-whodid-form=")
    assert "Secure" in cookie
    assert "Path=/" in cookie
    assert "Domain" not in cookie


def test_who_reads_is_recorded_by_the_name_of_their_account(place: Corner, tmp_path: Path) -> None:
    settings = replace(place.settings, journal_dir=str(tmp_path / "journal"), audit_reads=True)
    app = create_standalone_app(settings, accounts=True, secure=False, allowed_hosts=HOSTS)
    name = f"{place.settings.index_prefix}-auditor"
    with served(app) as made, httpx.Client(base_url=made, follow_redirects=True, timeout=30) as browser:
        sign_in(browser, name)
        assert browser.get("/?target=1").status_code == 200
    found = [(entry["principal"], entry["details"]["query"]) for entry in read_entries(settings.journal_dir)]
    assert found == [(name, "*"), (name, "target:1")]
