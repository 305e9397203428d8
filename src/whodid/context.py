"""The context: fields that every entry recorded in this block, task or request has in common.

A scope is a small holder found through a contextvar. `context()` opens one for a block, an integration opens one for a
request; `bind()` writes into the innermost, so that what is learned later, or in another thread that got a copy of the
contextvars (a synchronous FastAPI dependency), is seen by the call that records.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import Context, ContextVar, copy_context
from functools import wraps
from types import MappingProxyType
from typing import Any, ParamSpec, TypeVar

from .entry import FIELDS
from .errors import InvalidEntry
from .trace import current_trace_id

__all__ = [
    "CALLER_FIELDS",
    "bind",
    "carried",
    "context",
    "current_fields",
    "enter_scope",
    "in_context",
    "override",
    "scope",
    "system",
]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
_END: Any = object()

Resolver = Callable[[], Mapping[str, object] | str | None]
"""Says who acts, at the moment of the call: a user ID, fields of an entry, or `None` for not known."""

CALLER_FIELDS = frozenset(name for name, field in FIELDS.items() if field.source == "call")
"""Fields that arguments, bound keys and the context may fill."""

_OF_THE_PRINCIPAL = ("principal_name", "principal_email", "on_behalf_of", "access_token_id")
_OF_THE_CLIENT = ("client_ip", "forwarded_for", "user_agent")


class Scope:
    """The fields of one block or request, on top of those around it."""

    __slots__ = ("_around", "_own", "_resolver", "_seen")

    def __init__(self, around: Scope | None, own: dict[str, object], resolver: Resolver | None = None) -> None:
        self._around = around
        self._own = own
        self._resolver = resolver
        self._seen: tuple[object, object, Mapping[str, object]] = (None, None, _NOTHING)

    def bind(self, fields: Mapping[str, object]) -> None:
        self._own = override(self._own, fields)

    def fields(self) -> Mapping[str, object]:
        """What holds here, without `None`s. Put together again only when it or a scope around it was bound since."""
        around = _NOTHING if self._around is None else self._around.fields()
        own = self._own
        if self._resolver is not None:
            fields = override(override(around, _resolved(self._resolver)), own)
            return {name: value for name, value in fields.items() if value is not None}
        seen_around, seen_own, seen = self._seen
        if seen_around is around and seen_own is own:
            return seen
        fields = {name: value for name, value in override(around, own).items() if value is not None}
        self._seen = around, own, fields
        return fields


_NOTHING: Mapping[str, object] = MappingProxyType({})
_scope: ContextVar[Scope | None] = ContextVar("whodid_scope", default=None)


def override(around: Mapping[str, object], fields: Mapping[str, object]) -> dict[str, object]:
    """`fields` on top of `around`.

    Another principal does not inherit the name or token of the one before, the system no address, and another address
    not the chain of proxies that led to the one before.
    """
    inherited = dict(around)
    principal = fields.get("principal")
    if principal is not None and principal != around.get("principal", principal):
        for name in _OF_THE_PRINCIPAL:
            inherited.pop(name, None)
    if principal == "system":
        for name in _OF_THE_CLIENT:
            inherited.pop(name, None)
    if "client_ip" in fields and fields["client_ip"] != around.get("client_ip"):
        inherited.pop("forwarded_for", None)
    inherited.update(fields)
    return inherited


@contextmanager
def context(**fields: object) -> Iterator[None]:
    """Fields for every entry recorded inside the block, on top of those around it.

    Raises `InvalidEntry` for a name that is no field of an entry.
    """
    with scope(fields):
        yield


def system(**fields: object) -> AbstractContextManager[None]:
    """As `context`, for what the system starts by itself: the principal is `system`, and there is no client."""
    return context(principal="system", **fields)


@contextmanager
def scope(fields: Mapping[str, object], resolver: Resolver | None = None, *, alone: bool = False) -> Iterator[None]:
    """What integrations open for a request: as `context`, with a resolver that is asked at each call.

    `alone` keeps out the fields of what is around.
    """
    _check_names(fields)
    token = _scope.set(Scope(None if alone else _scope.get(), dict(fields), resolver))
    try:
        yield
    finally:
        _scope.reset(token)


def enter_scope(fields: Mapping[str, object], resolver: Resolver | None = None) -> None:
    """As `scope`, to the end of the `contextvars.Context` that this runs in."""
    _check_names(fields)
    _scope.set(Scope(_scope.get(), dict(fields), resolver))


def in_context(context: Context, body: Iterable[T]) -> Iterator[T]:
    """The parts of `body`, each made inside `context`: for what is streamed after the block around it has ended."""
    parts = context.run(iter, body)
    while True:
        part = context.run(next, parts, _END)
        if part is _END:
            return
        yield part


def carried(function: Callable[P, R]) -> Callable[P, R]:
    """`function`, to be called in another thread with the context of here: `pool.submit(whodid.carried(work), …)`.

    What it binds to the request that it came from is seen there, and the other way round; what it opens is its own. It
    may be called many times at once.
    """
    context = copy_context()

    @wraps(function)
    def inside(*args: P.args, **kwargs: P.kwargs) -> R:
        return context.copy().run(function, *args, **kwargs)

    return inside


def bind(**fields: object) -> None:
    """Adds fields to the innermost block or request, for the entries still to come. Raises `InvalidEntry`."""
    _check_names(fields)
    innermost = _scope.get()
    if innermost is None:
        _scope.set(Scope(None, dict(fields)))
    else:
        innermost.bind(fields)


def current_fields() -> Mapping[str, object]:
    """The fields in force here, the trace of OpenTelemetry's span among them."""
    innermost = _scope.get()
    fields = _NOTHING if innermost is None else innermost.fields()
    trace_id = current_trace_id() if "opentelemetry.trace" in sys.modules else None
    return fields if trace_id is None else {**fields, "trace_id": trace_id}


def _resolved(resolver: Resolver) -> Mapping[str, Any]:
    found = resolver()
    fields = {"principal": found} if isinstance(found, str) else dict(found or {})
    if fields.get("principal") == "system":
        raise InvalidEntry(
            "the principal resolver returned 'system'; only whodid.context(principal='system') may say so"
        )
    _check_names(fields)
    return fields


def _check_names(fields: Mapping[str, object]) -> None:
    if not fields.keys() <= CALLER_FIELDS:
        unknown = sorted(fields.keys() - CALLER_FIELDS)
        raise InvalidEntry(
            f"{', '.join(unknown)}: not a field that a context can fill; put it into details={{…}} at the call. "
            f"Fields are {', '.join(sorted(CALLER_FIELDS))}"
        )
