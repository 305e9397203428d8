"""The event types that the tab offers: those of the catalog, and those of whodid itself."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from tests.catalogs import DOOR
from tests.commands import whodid
from tests.web.served import served
from tests.web.stored import stored
from whodid.web import create_app


@pytest.mark.parametrize(("extends", "platform"), [("", []), ('extends = "platform"', ["user_sign_in"])])
def test_the_types_of_an_own_catalog_are_offered_and_the_platform_s_where_it_extends_them(
    tmp_path: Path, extends: str, platform: list[str]
) -> None:
    (tmp_path / "events.toml").write_text(extends + DOOR)
    app = create_app(is_root_user=lambda _: True, audit_reads=False, catalog=tmp_path / "events.toml")
    with served(app) as url:

        def offered(begin: str) -> list[str]:
            return [one["text"] for one in httpx.get(f"{url}/complete.json?q=type:{begin}").json()]

        assert offered("door_") == ["door_opened"]
        assert offered("user_si") == platform
        assert offered("audit_log_retention") == ["audit_log_retention_set"]


HOSTILE = '"><script>alert(1)</script>\u202e{target}'
ENTRY = json.dumps({"type": "door_opened", "target": "7", "principal_name": HOSTILE, "creation_date": "2026-11-23"})
SAID = "\N{REPLACEMENT CHARACTER}{target} opened the door 7"


def with_sentence(tmp_path: Path) -> Path:
    path = tmp_path / "events.toml"
    path.write_text(DOOR + 'says = "{principal_name} opened the door {target_name}"')
    return path


def test_an_entry_is_a_sentence_on_its_page_and_on_the_link_to_it(tmp_path: Path) -> None:
    with stored(ENTRY) as place:
        app = create_app(
            is_root_user=lambda _: True,
            audit_reads=False,
            catalog=with_sentence(tmp_path),
            opensearch_hosts=place.url,
        )
        with served(app) as url:
            for path, begin in (("/", 'title="'), ("/newest", 'title="'), ("/entries/odd", "<bdi>")):
                page = httpx.get(url + path).text
                assert f"{begin}&#34;&gt;&lt;script&gt;alert(1)&lt;/script&gt;{SAID}" in page
                assert "<script>alert" not in page


def test_get_shows_the_sentence_above_the_fields_also_without_the_catalog(tmp_path: Path) -> None:
    catalog = with_sentence(tmp_path)
    with stored(ENTRY) as place:
        command = ["get", "odd", "--opensearch-hosts", place.url, "--catalog", str(catalog)]
        done = whodid(*command)
        assert done.stdout.splitlines()[:2] == [HOSTILE.partition("\u202e")[0] + SAID, ""]
        assert json.loads(whodid(*command, "--json").stdout) == json.loads(ENTRY)
        catalog.unlink()
        done = whodid(*command)
        assert done.returncode == 0
        assert done.stdout.startswith('Door opened: 7 (by "><script>')
        assert "events.toml can't be read: No such file or directory; the sentence is made without it" in done.stderr
