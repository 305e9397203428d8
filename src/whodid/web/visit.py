"""The visit: on whose behalf a request reads, as the gate of the application found out."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.types import Scope

from ..search import AuditClient

__all__ = ["Visit", "let_in", "visit_if_any", "visit_of"]

_KEY = "whodid.visit"


@dataclass(frozen=True, slots=True)
class Visit:
    """`client` reads with the rights of whoever asks; `viewer` and `token` are of who signed in here, else empty.

    `organizations` are the only ones whose entries are shown, where there is such a bound.
    """

    client: AuditClient
    viewer: str = ""
    token: str = ""
    organizations: tuple[str, ...] = ()


def let_in(scope: Scope, visit: Visit) -> None:
    scope[_KEY] = visit


def visit_if_any(request: Request) -> Visit | None:
    """The visit; `None` for a request that was refused, or that needs none."""
    visit: Visit | None = request.scope.get(_KEY)
    return visit


def visit_of(request: Request) -> Visit:
    """The visit of a request that came through a gate. Raises `KeyError` for any other, so that none shows data."""
    visit: Visit = request.scope[_KEY]
    return visit
