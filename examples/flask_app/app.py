"""A shop that refunds invoices: Flask with an event type of its own (events.toml beside this file).

    gunicorn --chdir examples/flask_app --threads 8 app:app
    curl -X POST 'localhost:8000/invoices/2026-117/refund?amount=30' -H 'X-User: 42' -H 'X-Organization: 7'

The two headers stand for whatever authenticates users in a real application.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from flask import Flask, Response, request, stream_with_context

import whodid
from whodid.integrations.flask import init_app

whodid.configure(catalog=str(Path(__file__).with_name("events.toml")), service="shop")
log = whodid.get_logger("shop")
logging.basicConfig(level=logging.INFO)


def who() -> dict[str, object]:
    """Asked at each audit call: the signed-in user and the organization."""
    fields = {"principal": request.headers.get("X-User"), "organization_id": request.headers.get("X-Organization")}
    return {name: value for name, value in fields.items() if value}


app = Flask(__name__)
init_app(app, principal=who)


@app.post("/invoices/<invoice>/refund")
def refund(invoice: str) -> dict[str, str]:
    receipt = log.audit("invoice_refunded", target=invoice, details={"amount": int(request.args["amount"])})
    return {"entry": receipt.entry_id}


@app.post("/api/invoices/<invoice>/refund")
def refund_by_token(invoice: str) -> dict[str, str]:
    """The owner of a token is known only in here."""
    token = request.headers["X-Token"]
    whodid.bind(principal=f"token-owner-{token}", access_token_id=token)
    receipt = log.audit("invoice_refunded", target=invoice, details={"amount": int(request.args["amount"])})
    return {"entry": receipt.entry_id}


@app.post("/refunds")
def refund_many() -> Response:
    """A body that is streamed, and audited as it goes."""

    def lines() -> Iterator[str]:
        for invoice in request.args.getlist("invoice"):
            yield log.audit("invoice_refunded", target=invoice, details={"amount": 1}).entry_id + "\n"

    return Response(stream_with_context(lines()), mimetype="text/plain")
