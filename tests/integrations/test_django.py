"""The Django middleware where no setting says who acts: the signed-in user's primary key, asked at the call."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import asyncio
from types import SimpleNamespace as Bag

from django.conf import settings

settings.configure(MIDDLEWARE=[])
from whodid.context import current_fields
from whodid.integrations.django import AuditMiddleware


def ask(user, **more):
    request = Bag(user=user, headers={"User-Agent": "curl"}, META={"REMOTE_ADDR": "203.0.113.9"}, **more)
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
