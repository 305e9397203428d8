"""`whodid web` as people use it: sign in with an OpenSearch account, look, sign out."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.accessibility import serious
from tests.live.accounts import PASSWORD, account, secured_corner
from tests.live.corner import Corner
from tests.opensearch_node import SecuredNode

pytestmark = pytest.mark.live


@pytest.fixture
def place(secured_node: SecuredNode, tmp_path: Path) -> Iterator[Corner]:
    with secured_corner(secured_node, tmp_path) as made:
        account(made, "reader", organization_id="1")
        made.record(3, organization_id="1", organization_name="Acme")
        made.record(4, organization_id="2", organization_name="Globex")
        made.ship()
        yield made


@pytest.fixture
def url(place: Corner) -> Iterator[str]:
    """The address that `whodid web` prints; ended by Ctrl-C, which it must take well."""
    command = [sys.executable, "-m", "whodid", *place.arguments("web"), "--port=0"]
    command += [f"--opensearch-ca={place.settings.opensearch_ca}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        line = process.stdout.readline()
        found = re.match(r"Audit logs: (http://127\.0\.0\.1:\d+/)", line)
        try:
            assert found, line
            yield found[1]
        finally:
            process.send_signal(2)
            _, errors = process.communicate(timeout=120)
    assert process.returncode == 0
    assert errors.startswith("reads are recorded in ")
    assert errors.count("\n") == 1


def test_a_person_signs_in_looks_and_signs_out(page: Page, url: str, place: Corner) -> None:
    page.goto(f"{url}?since=-7d")
    expect(page.get_by_role("heading", level=1)).to_have_text("Audit logs")
    assert serious(page) == []
    user = f"{place.settings.index_prefix}-reader"
    page.get_by_label("User").fill(user)
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("rejected this user name or password")
    assert serious(page) == []
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator(".about")).to_contain_text("3 entries found")
    assert page.url == f"{url}?since=-7d"
    expect(page.locator("#rows")).to_contain_text("Acme")
    expect(page.locator("main")).not_to_contain_text("Globex")
    assert serious(page) == []
    page.locator("#rows a.type").first.click()
    expect(page.locator("main")).to_contain_text("hash verified")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Password")).to_be_visible()
    page.goto(url)
    expect(page.get_by_label("Password")).to_be_visible()
