"""The event types that the tab offers: those of the catalog, and those of whodid itself."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.web.served import served
from whodid.web import create_app

OWN = """
[resources.door]
label = "Doors"
target = "the door's ID"

[types.door_opened]
resource = "door"
event = "open"
about = "A door was opened."
"""


@pytest.mark.parametrize(("extends", "platform"), [("", []), ('extends = "platform"', ["user_sign_in"])])
def test_the_types_of_an_own_catalog_are_offered_and_the_platform_s_where_it_extends_them(
    tmp_path: Path, extends: str, platform: list[str]
) -> None:
    (tmp_path / "events.toml").write_text(extends + OWN)
    app = create_app(is_root_user=lambda _: True, audit_reads=False, catalog=tmp_path / "events.toml")
    with served(app) as url:

        def offered(begin: str) -> list[str]:
            return [one["text"] for one in httpx.get(f"{url}/complete.json?q=type:{begin}").json()]

        assert offered("door_") == ["door_opened"]
        assert offered("user_si") == platform
        assert offered("audit_log_retention") == ["audit_log_retention_set"]
