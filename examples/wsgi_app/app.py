"""A shop that refunds invoices: plain WSGI with an event type of its own (events.toml beside this file).

    gunicorn --chdir examples/wsgi_app --threads 8 app:application
    curl -X POST 'localhost:8000/invoices/2026-117/refund?amount=30' -H 'X-User: 42' -H 'X-Organization: 7'

The two headers stand for whatever authenticates users in a real application. Pyramid, Bottle and every other framework
that speaks WSGI is wrapped in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import whodid
from whodid.integrations.wsgi import AuditMiddleware

whodid.configure(catalog=str(Path(__file__).with_name("events.toml")), service="shop")
log = whodid.get_logger("shop")

Environ = dict[str, Any]
PATH = re.compile(r"(?P<api>/api)?/invoices/(?P<invoice>[^/]+)/refund|/refunds")


def who(environ: Environ) -> dict[str, object]:
    """Asked at each audit call: the signed-in user and the organization."""
    fields = {"principal": environ.get("HTTP_X_USER"), "organization_id": environ.get("HTTP_X_ORGANIZATION")}
    return {name: value for name, value in fields.items() if value}


def shop(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    found = PATH.fullmatch(environ["PATH_INFO"])
    if found is None or environ["REQUEST_METHOD"] != "POST":
        start_response("404 Not Found", [])
        return []
    query = parse_qs(environ["QUERY_STRING"])
    if found["invoice"] is None:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return refund_many(query["invoice"])
    if found["api"]:  # the owner of a token is known only in here
        token = environ["HTTP_X_TOKEN"]
        whodid.bind(principal=f"token-owner-{token}", access_token_id=token)
    receipt = log.audit("invoice_refunded", target=found["invoice"], details={"amount": int(query["amount"][0])})
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [receipt.entry_id.encode()]


def refund_many(invoices: Iterable[str]) -> Iterator[bytes]:
    """A body that is streamed, and audited as it goes."""
    for invoice in invoices:
        yield log.audit("invoice_refunded", target=invoice, details={"amount": 1}).entry_id.encode() + b"\n"


application = AuditMiddleware(shop, principal=who)
