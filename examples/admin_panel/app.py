"""An admin panel with the Audit logs tab: FastAPI, users of its own, root users see the tab.

    whodid dev up && whodid setup
    uvicorn --app-dir examples/admin_panel app:app
    whodid ship                                       # in another terminal

Sign in at http://127.0.0.1:8000/ as `root` or as `ada` (any password: this is an example). What happens in the panel is
audited, so the first entries are yours.
"""

from __future__ import annotations

import html
import secrets
from urllib.parse import parse_qs

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse

import whodid
from whodid.integrations.asgi import AuditMiddleware
from whodid.web import create_app

USERS = {"root": True, "ada": False}
"""User → whether it is a root user. A real panel asks its database."""

whodid.configure(service="panel")
log = whodid.get_logger()
sessions: dict[str, str] = {}


def user_of(request: Request) -> str:
    """Who is signed in; empty for nobody."""
    return sessions.get(request.cookies.get("panel", ""), "")


def is_root_user(request: Request) -> bool:
    return USERS.get(user_of(request), False)


app = FastAPI(openapi_url=None)
app.add_middleware(AuditMiddleware)
app.mount("/admin/audit-logs", create_app(is_root_user=is_root_user, user_of=user_of, tabs=[("Users", "/admin")]))


@app.get("/")
async def front() -> HTMLResponse:
    return _page('<form method="post" action="/sign-in">Name <input name="name"> <button>Sign in</button></form>')


@app.post("/sign-in")
async def sign_in(request: Request) -> RedirectResponse:
    name = parse_qs((await request.body()).decode()).get("name", ["nobody"])[0]
    if name not in USERS:
        await log.aaudit("user_sign_in", target=name, principal="anonymous", status="password", outcome="failure")
        return RedirectResponse("/", 303)
    await log.aaudit("user_sign_in", target=name, principal=name, status="password")
    answer = RedirectResponse("/admin", 303)
    sessions[session := secrets.token_urlsafe()] = name
    answer.set_cookie("panel", session, httponly=True, samesite="lax")
    return answer


@app.get("/admin")
async def users(request: Request) -> HTMLResponse:
    rows = "".join(f"<li>{name}{' (root)' if root else ''}</li>" for name, root in USERS.items())
    tab = '<a href="/admin/audit-logs/">Audit logs</a>' if is_root_user(request) else ""
    return _page(f"<p>Signed in as {html.escape(user_of(request)) or 'nobody'} {tab}</p><ul>{rows}</ul>")


def _page(content: str) -> HTMLResponse:
    return HTMLResponse(f"<!doctype html><title>Admin panel</title><h1>Admin panel</h1>{content}")
