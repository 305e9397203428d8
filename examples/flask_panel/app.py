"""An admin panel with the Audit logs tab: Flask, users of its own, root users see the tab.

    whodid dev up && whodid setup
    gunicorn --chdir examples/flask_panel --threads 8 app:app
    whodid ship                                       # in another terminal

Sign in at http://127.0.0.1:8000/ as `root` or as `ada` (any password: this is an example). What happens in the panel is
audited, so the first entries are yours. The tab is an ASGI application, which `whodid[web,wsgi]` runs in Flask.
"""

from __future__ import annotations

import html
import secrets

from flask import Flask, redirect, request, session
from starlette.requests import Request
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.wrappers import Response

import whodid
from whodid.integrations.flask import init_app
from whodid.web import create_app
from whodid.web.wsgi import WSGIApplication

USERS = {"root": True, "ada": False}
"""User → whether it is a root user. A real panel asks its database."""

whodid.configure(service="panel")
log = whodid.get_logger()

app = Flask(__name__)
app.secret_key = secrets.token_urlsafe()  # of one process, and of what it forks; a real panel's is in its settings
app.config["SESSION_COOKIE_SAMESITE"] = "Lax"
init_app(app, principal=lambda: session.get("user"))


def user_of(request: Request) -> str:
    """Who is signed in, as Flask itself reads its signed session cookie; empty for nobody."""
    with app.request_context(request.scope["wsgi_environ"]):
        return str(session.get("user", ""))


def is_root_user(request: Request) -> bool:
    return USERS.get(user_of(request), False)


tab = create_app(is_root_user=is_root_user, user_of=user_of, tabs=[("Users", "/admin")])
app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/admin/audit-logs": WSGIApplication(tab)})  # type: ignore[method-assign]


@app.get("/")
def front() -> str:
    return _page('<form method="post" action="/sign-in">Name <input name="name"> <button>Sign in</button></form>')


@app.post("/sign-in")
def sign_in() -> Response:
    name = request.form.get("name", "nobody")
    if name not in USERS:
        log.audit("user_sign_in", target=name, principal="anonymous", status="password", outcome="failure")
        return redirect("/", 303)
    log.audit("user_sign_in", target=name, principal=name, status="password")
    session["user"] = name
    return redirect("/admin", 303)


@app.get("/admin")
def users() -> str:
    user = session.get("user", "")
    rows = "".join(f"<li>{name}{' (root)' if root else ''}</li>" for name, root in USERS.items())
    link = '<a href="/admin/audit-logs/">Audit logs</a>' if USERS.get(user) else ""
    return _page(f"<p>Signed in as {html.escape(user) or 'nobody'} {link}</p><ul>{rows}</ul>")


def _page(content: str) -> str:
    return f"<!doctype html><title>Admin panel</title><h1>Admin panel</h1>{content}"
