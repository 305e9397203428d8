"""A shop that refunds invoices: Django and Django REST framework in one file, with an event type of its own.

    gunicorn --chdir examples/django_app --threads 8 app:application
    uvicorn --app-dir examples/django_app app:asgi
    curl -X POST 'localhost:8000/invoices/2026-117/refund?amount=30' -H 'X-User: 42' -H 'X-Organization: 7'

The headers stand for whatever authenticates users in a real application.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse, StreamingHttpResponse
from django.urls import path

import whodid


def who(request: HttpRequest) -> dict[str, object]:
    """Asked at each audit call: the signed-in user, or the owner of the token that REST framework accepted."""
    user = request.headers.get("X-User") or getattr(getattr(request, "user", None), "pk", None)
    fields = {"principal": user, "organization_id": request.headers.get("X-Organization")}
    return {name: value for name, value in fields.items() if value}


settings.configure(
    SECRET_KEY=secrets.token_urlsafe(),
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["whodid.integrations.django.AuditMiddleware"],
    WHODID_PRINCIPAL=who,
    REST_FRAMEWORK={"UNAUTHENTICATED_USER": None},
)
django.setup()
whodid.configure(catalog=str(Path(__file__).with_name("events.toml")), service="shop")
log = whodid.get_logger("shop")

from rest_framework.authentication import BaseAuthentication  # noqa: E402 (needs the settings)
from rest_framework.response import Response  # noqa: E402
from rest_framework.views import APIView  # noqa: E402


def refund(request: HttpRequest, invoice: str) -> JsonResponse:
    receipt = log.audit("invoice_refunded", target=invoice, details={"amount": int(request.GET["amount"])})
    return JsonResponse({"entry": receipt.entry_id})


async def refund_async(request: HttpRequest, invoice: str) -> JsonResponse:
    receipt = await log.aaudit("invoice_refunded", target=invoice, details={"amount": int(request.GET["amount"])})
    return JsonResponse({"entry": receipt.entry_id})


class TokenOwner:
    """Whose a token is."""

    is_authenticated = True

    def __init__(self, token: str) -> None:
        self.pk = f"token-owner-{token}"


class TokenAuthentication(BaseAuthentication):  # type: ignore[misc] # REST framework is untyped
    """Runs inside the view, after every middleware."""

    def authenticate(self, request: Any) -> tuple[TokenOwner, str]:
        token = request.headers["X-Token"]
        return TokenOwner(token), token


class Refunds(APIView):  # type: ignore[misc]
    """The API, whose user is known only in here."""

    authentication_classes = (TokenAuthentication,)

    def post(self, request: Any, invoice: str) -> Response:
        receipt = log.audit("invoice_refunded", target=invoice, details={"amount": int(request.GET["amount"])})
        return Response({"entry": receipt.entry_id})


def refund_many(request: HttpRequest) -> StreamingHttpResponse:
    """A body that is streamed, and audited as it goes."""

    def lines() -> Iterator[str]:
        for invoice in request.GET.getlist("invoice"):
            yield log.audit("invoice_refunded", target=invoice, details={"amount": 1}).entry_id + "\n"

    return StreamingHttpResponse(lines(), content_type="text/plain")


urlpatterns = [
    path("invoices/<invoice>/refund", refund),
    path("async/invoices/<invoice>/refund", refund_async),
    path("api/invoices/<invoice>/refund", Refunds.as_view()),
    path("refunds", refund_many),
]
application = get_wsgi_application()
asgi = get_asgi_application()
