"""A shop that refunds invoices: FastAPI with an event type of its own (events.toml beside this file).

    uvicorn --app-dir examples/fastapi_app app:app
    curl -X POST 'localhost:8000/invoices/2026-117/refund?amount=30' -H 'X-User: 42' -H 'X-Organization: 7'

The two headers stand for whatever authenticates users in a real application.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path
from typing import Annotated, Any

import structlog
from fastapi import Depends, FastAPI, Header

import whodid
from whodid.integrations.asgi import AuditMiddleware

whodid.configure(catalog=str(Path(__file__).with_name("events.toml")), service="shop")
log = structlog.get_logger()


def who(scope: MutableMapping[str, Any]) -> dict[str, object]:
    """Asked at each audit call: the signed-in user and the organization."""
    headers = dict(scope["headers"])
    user, organization = headers.get(b"x-user"), headers.get(b"x-organization")
    fields = {"principal": user and user.decode(), "organization_id": organization and organization.decode()}
    return {name: value for name, value in fields.items() if value}


app = FastAPI()
app.add_middleware(AuditMiddleware, principal=who)


@app.post("/invoices/{invoice}/refund")
async def refund(invoice: str, amount: int) -> dict[str, str]:
    receipt = await log.aaudit("invoice_refunded", target=invoice, details={"amount": amount})
    return {"entry": receipt.entry_id}


def sign_in(x_token: Annotated[str, Header()]) -> None:
    """A synchronous dependency, which FastAPI runs in a thread: what it binds is seen by the endpoint all the same."""
    whodid.bind(principal=f"token-owner-{x_token}", access_token_id=x_token)


@app.post("/api/invoices/{invoice}/refund", dependencies=[Depends(sign_in)])
def refund_by_token(invoice: str, amount: int) -> dict[str, str]:
    receipt = log.audit("invoice_refunded", target=invoice, details={"amount": amount})
    return {"entry": receipt.entry_id}
