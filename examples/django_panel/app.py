"""Django's own admin with the Audit logs tab, in one file: superusers see the tab.

    whodid dev up && whodid setup
    uvicorn --app-dir examples/django_panel app:application
    whodid ship                                       # in another terminal

Sign in at http://127.0.0.1:8000/ as `root` or as `ada`, whose passwords are their names. Who signs in is audited, so
the first entries are yours. The users are in a SQLite file: PANEL_DATABASE, or .users.sqlite3 beside this file.
"""

from __future__ import annotations

import os
import secrets
from importlib import import_module
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest
from starlette.requests import Request
from starlette.routing import Mount, Router

import whodid
from whodid.web import create_app

WITH_THE_TAB = """{% extends "admin/base.html" %}
{% block userlinks %}
{% if user.is_superuser %}<a href="/admin/audit-logs/">Audit logs</a> / {% endif %}{{ block.super }}
{% endblock %}"""

settings.configure(
    SECRET_KEY=secrets.token_urlsafe(),
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    ROOT_URLCONF=__name__,
    STATIC_URL="static/",
    INSTALLED_APPS=[
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.messages",
        "django.contrib.sessions",
        "django.contrib.staticfiles",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "whodid.integrations.django.AuditMiddleware",
    ],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.environ.get("PANEL_DATABASE") or Path(__file__).with_name(".users.sqlite3"),
        }
    },
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {
                "context_processors": [
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                    "django.template.context_processors.request",
                ],
                "loaders": [
                    ("django.template.loaders.locmem.Loader", {"admin/base_site.html": WITH_THE_TAB}),
                    "django.template.loaders.app_directories.Loader",
                ],
            },
        }
    ],
)
django.setup()
whodid.configure(service="panel")
log = whodid.get_logger()

from django.contrib import admin  # noqa: E402 (these need the settings)
from django.contrib.auth import get_user, get_user_model  # noqa: E402
from django.contrib.auth.signals import user_logged_in, user_login_failed  # noqa: E402
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import close_old_connections  # noqa: E402
from django.dispatch import receiver  # noqa: E402
from django.urls import path  # noqa: E402
from django.views.generic import RedirectView  # noqa: E402


@receiver(user_logged_in)  # type: ignore[untyped-decorator] # Django is untyped
def signed_in(user: Any, **_: object) -> None:
    log.audit("user_sign_in", target=user.get_username(), status="password")


@receiver(user_login_failed)  # type: ignore[untyped-decorator]
def refused(credentials: dict[str, str], **_: object) -> None:
    name = credentials["username"]
    log.audit("user_sign_in", target=name, principal="anonymous", status="password", outcome="failure")


sessions = import_module(settings.SESSION_ENGINE)


def asking(request: Request) -> Any:
    """The user of the request's session, as Django knows them; nobody is Django's `AnonymousUser`."""
    close_old_connections()
    try:
        found = HttpRequest()
        found.session = sessions.SessionStore(request.cookies.get(settings.SESSION_COOKIE_NAME))
        return get_user(found)
    finally:
        close_old_connections()


def is_root_user(request: Request) -> bool:
    return bool(asking(request).is_superuser)


def user_of(request: Request) -> str:
    return str(asking(request).pk or "")


tab = create_app(
    is_root_user=is_root_user, user_of=user_of, title="Django administration", tabs=[("Users", "/admin/auth/user/")]
)
panel = ASGIStaticFilesHandler(get_asgi_application())
application = Router([Mount("/admin/audit-logs", tab)], default=panel)
urlpatterns = [path("", RedirectView.as_view(url="/admin/")), path("admin/", admin.site.urls)]

call_command("migrate", verbosity=0)
for name, root in {"root": True, "ada": False}.items():
    user, new = get_user_model().objects.get_or_create(username=name, is_staff=True, is_superuser=root)
    if new:
        user.set_password(name)
        user.save()
