"""The context: fields that every entry recorded in this block, task or request has in common.

A contextvar holds the scope: a chain of blocks, the innermost first. `context()` opens a block, and an integration
opens one for a request. They differ in what `bind()` does:

- To a block of `context()` it adds for the task or thread that calls it, and for those started from there later. Tasks
  side by side below one block never see what another one has bound.
- A request is shared: whoever has a copy of the contextvars adds for all of the request. In a block inside a request
  that holds for other threads, as FastAPI calls a synchronous dependency in one; and a block that such a call opens and
  leaves open when it returns is one of the request's until it is closed.

A block may be closed in another copy of the contextvars. It is over then, wherever it is still seen.

The trace: the W3C trace ID of an entry, by OpenTelemetry's span at the call or a request's header.

The operator: who does something to the log, and why, as the entries of whodid itself say it.
"""

from __future__ import annotations

import inspect
import os
import pwd
import re
import sys
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import ContextDecorator, contextmanager
from contextvars import ContextVar, Token, copy_context
from functools import wraps
from threading import get_ident
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from ..entry import FIELDS
from ..errors import InvalidEntry

if TYPE_CHECKING:
    from typing import Unpack

    from ..typing import EntryFields, SystemFields

__all__ = [
    "CALLER_FIELDS",
    "Scope",
    "Steps",
    "Within",
    "bind",
    "carried",
    "check_reason",
    "context",
    "current_fields",
    "current_trace_id",
    "is_open",
    "operator",
    "override",
    "scope",
    "system",
    "trace_id_of",
    "who",
    "within",
]

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def current_trace_id() -> str | None:
    """The trace ID of the span that is recording here, if the application has loaded OpenTelemetry's API.

    Not imported: nobody can have begun a span without it, and looking is all that an application without it pays.
    """
    get_current_span = getattr(sys.modules.get("opentelemetry.trace"), "get_current_span", None)
    if get_current_span is None:
        return None
    span = get_current_span()
    if not span.is_recording():
        return None
    trace_id: int = span.get_span_context().trace_id
    return f"{trace_id:032x}" if trace_id else None


def trace_id_of(traceparent: str) -> str | None:
    """The trace ID of a request by its header; `None` for one that is malformed or names no trace."""
    found = _TRACEPARENT.fullmatch(traceparent)
    return found[1] if found else None


P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

Resolver = Callable[[], Mapping[str, object] | str | None]
"""Says who acts, at the moment of the call: a user ID, fields of an entry, or `None` for not known."""

CALLER_FIELDS = frozenset(name for name, field in FIELDS.items() if field.source == "call")
"""Fields that arguments, bound keys and the context may fill."""

_OF_THE_PRINCIPAL = ("principal_name", "principal_email", "on_behalf_of", "access_token_id")
_OF_THE_CLIENT = ("client_ip", "forwarded_for", "user_agent")


class _Block:
    """What `context()` or an integration opened: one and the same in every copy of the contextvars."""

    __slots__ = ("alone", "ended", "fields", "left_open", "resolver", "shared")

    def __init__(
        self,
        fields: Mapping[str, object],
        resolver: Resolver | None = None,
        *,
        alone: bool = False,
        shared: bool = False,
    ) -> None:
        self.fields = fields
        self.resolver = resolver
        self.alone = alone
        self.shared = shared
        self.ended = False
        self.left_open: tuple[_Block, ...] = ()


class Scope:
    """A block, with what was bound to it here, on top of the scope around it."""

    __slots__ = ("_around", "_block", "_own", "_seen", "_thread", "in_request")

    def __init__(self, around: Scope | None, block: _Block, own: Mapping[str, object] | None = None) -> None:
        self._around = around
        self._block = block
        self._own = own
        self._thread = get_ident()
        self._seen: tuple[object, object, Mapping[str, object]] = (None, None, _NOTHING)
        self.in_request: bool = block.shared or (around is not None and around.in_request)

    def bound(self, fields: Mapping[str, object]) -> Scope:
        """The scope with fields added to the innermost block: this very one if those who share it are to see them."""
        block = self._block.left_open[-1] if self._block.left_open else self._block
        if block.shared:
            block.fields = override(block.fields, fields)
            return self
        own = override(self._held(), fields)
        if self.in_request and self._thread != get_ident():
            self._own = own
            return self
        return Scope(self._around, block, own)

    def without(self, block: _Block) -> Scope | None:
        """The scope after a block was closed; what was opened inside and is still open stays."""
        if self._block is block:
            return self._around
        around = None if self._around is None else self._around.without(block)
        return self if around is self._around else Scope(around, self._block, self._own)

    def leave_open(self, block: _Block) -> None:
        block.shared = True
        self._block.left_open += (block,)

    def close(self, block: _Block) -> None:
        self._block.left_open = tuple(other for other in self._block.left_open if other is not block)

    def end(self) -> None:
        """Out of reach, where it is still seen it has no fields any more."""
        self._block.ended = True

    def fields(self) -> Mapping[str, object]:
        """What holds here, without `None`s. Put together again only when it or a scope around it was bound since."""
        block, own = self._block, self._own
        if own is None:
            own = block.fields
        around = _NOTHING if self._around is None or block.alone else self._around.fields()
        if block.resolver is not None or block.left_open or block.ended:
            return self._put_together(around)
        seen_around, seen_own, seen = self._seen
        if seen_around is around and seen_own is own:
            return seen
        fields = _given(override(around, own))
        self._seen = around, own, fields
        return fields

    def _put_together(self, fields: Mapping[str, object]) -> Mapping[str, object]:
        if not self._block.ended:
            if self._block.resolver is not None:
                fields = override(fields, _resolved(self._block.resolver))
            fields = override(fields, self._held())
        for block in self._block.left_open:
            fields = override(fields, block.fields)
        return _given(fields)

    def _held(self) -> Mapping[str, object]:
        return self._block.fields if self._own is None else self._own


def _given(fields: Mapping[str, object]) -> Mapping[str, object]:
    return {name: value for name, value in fields.items() if value is not None}


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


class context(ContextDecorator):  # noqa: N801 (used as a function, as those of contextlib)
    """Fields for every entry recorded inside a block, on top of those around it; also a decorator of functions.

    It may be closed in another task or thread.

    Args:
        **fields: Fields of entries, such as `principal` and `client_ip`; see `whodid.typing.EntryFields`.

    Raises:
        InvalidEntry: A name is no field of an entry, or the context was entered before.

    Example:
        >>> with whodid.context(principal="42", client_ip="203.0.113.9"):
        ...     log.audit("credentials_created", target="6Yk2")
    """

    def __init__(self, **fields: Unpack[EntryFields]) -> None:
        _check_names(fields)
        self._block = _Block(fields)
        self._left_in: Scope | None = None
        self._token: Token[Scope | None] | None = None
        self._entered = False

    def __enter__(self) -> None:
        if self._entered:
            raise InvalidEntry("a context can be entered once; call whodid.context(…) again for another block")
        self._entered = True
        around = _scope.get()
        try:
            if around is not None and around.in_request and _is_left_open():
                self._left_in = around
                around.leave_open(self._block)
            else:
                self._token = _scope.set(Scope(around, self._block))
        except BaseException:  # of a signal handler: nobody will call `__exit__`, and who comes next is somebody else
            self._block.ended = True
            _scope.set(around)
            raise

    def __exit__(self, *_: object) -> None:
        if self._left_in is not None:
            self._left_in.close(self._block)
        elif self._token is not None:
            token, self._token = self._token, None
            inside = _scope.get()
            if not _reset(token):
                self._block.ended = True
            _scope.set(None if inside is None else inside.without(self._block))

    def _recreate_cm(self) -> context:
        fields: Any = self._block.fields
        return context(**fields)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:  # type: ignore[override] # more exact
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise InvalidEntry(
                f"{function.__name__} is a generator: open the context inside of it, around what records"
            )
        if not inspect.iscoroutinefunction(function):
            return super().__call__(function)

        @wraps(function)
        async def inside(*args: P.args, **kwargs: P.kwargs) -> Any:
            with self._recreate_cm():
                return await function(*args, **kwargs)

        return inside  # type: ignore[return-value] # R is a coroutine


def system(**fields: Unpack[SystemFields]) -> context:
    """A context for what the system starts by itself: the principal is `system`, and there is no client.

    Args:
        **fields: As for `context`, without `principal`.

    Returns:
        A context manager and decorator, as `context` is one.

    Raises:
        InvalidEntry: As for `context`.

    Example:
        >>> with whodid.system(organization_id="7"):
        ...     log.audit("workflow_completed", target="2uJ4", status="SUCCEEDED")
    """
    return context(principal="system", **fields)


@contextmanager
def scope(fields: Mapping[str, object], resolver: Resolver | None = None, *, alone: bool = False) -> Iterator[Scope]:
    """What integrations open for a request or task: shared, and with a resolver that is asked at each call.

    `alone` keeps out the fields of what is around. What is opened inside and not closed ends with it. The scope is
    for `inside` and its like, which do something in it again when it is no longer open.
    """
    _check_names(fields)
    around, token = _scope.get(), None
    opened = Scope(around, _Block(dict(fields), resolver, alone=alone, shared=True))
    try:
        token = _scope.set(opened)
        yield opened
    finally:
        if token is None:  # a signal handler raised
            _scope.set(around)
        elif not _reset(token):
            opened.end()


def _reset(token: Token[Scope | None]) -> bool:
    """Whether the contextvar could be set back: not where another copy of the contextvars was in force."""
    try:
        _scope.reset(token)
    except ValueError:
        return False
    return True


class Within(Generic[T]):
    """An iterator whose parts are made within a scope: for what is streamed after the block around it has ended."""

    def __init__(self, opened: Scope, body: Iterable[T]) -> None:
        self._steps = Steps(opened)
        self._body = body
        self._parts: Iterator[T] | None = None

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        with self._steps:
            if self._parts is None:
                self._parts = iter(self._body)
            return next(self._parts)


async def within(opened: Scope, body: AsyncIterable[T]) -> AsyncIterator[T]:
    """As `Within`, for an asynchronous iterator."""
    steps, parts = Steps(opened), aiter(body)
    try:
        while True:
            with steps:
                try:
                    part = await anext(parts)
                except StopAsyncIteration:
                    return
            yield part
    finally:
        if close := getattr(parts, "aclose", None):
            with steps:
                await close()


class Steps:
    """A scope entered again and again, each time as it was left. One step at a time."""

    def __init__(self, opened: Scope) -> None:
        self._inside: Scope | None = opened

    def __enter__(self) -> None:
        around = _scope.get()
        try:
            self._token = _scope.set(self._inside)
        except BaseException:  # as in `context`
            _scope.set(around)
            raise

    def __exit__(self, *_: object) -> None:
        self._inside = _scope.get()
        _scope.reset(self._token)


def carried(function: Callable[P, R]) -> Callable[P, R]:
    """A function that runs, in whatever thread calls it, with the context of here.

    What it binds inside a request is seen in all of the request; to a block of `context()` it binds for itself. What it
    opens is its own. It may be called many times at once.

    Args:
        function: What is to be called in another thread.

    Returns:
        A function with the same parameters and result.

    Example:
        >>> pool.submit(whodid.carried(work), order)
    """
    context = copy_context()

    @wraps(function)
    def inside(*args: P.args, **kwargs: P.kwargs) -> R:
        return context.copy().run(function, *args, **kwargs)

    return inside


def bind(**fields: Unpack[EntryFields]) -> None:
    """Adds fields to the innermost block or request, for the entries still to come.

    In a request of an integration they hold for all of the request; in a block of `context()` for this task or thread
    and what it starts from now on.

    Args:
        **fields: As for `context`.

    Raises:
        InvalidEntry: There is no block or request, or a name is no field of an entry.

    Example:
        >>> whodid.bind(principal="42", principal_name="Ada")
    """
    _check_names(fields)
    innermost = _scope.get()
    if innermost is None:
        raise InvalidEntry(
            "bind() has no block or request to bind to, and would name this user for whatever the thread does next; "
            "use `with whodid.context(…):` around the work, or the middleware of your framework "
            "(`whodid help integrations`)"
        )
    _scope.set(innermost.bound(fields))


def is_open() -> bool:
    """Whether there is a block or request to bind to."""
    return _scope.get() is not None


def current_fields() -> Mapping[str, object]:
    """The fields in force here, the trace of OpenTelemetry's span among them."""
    innermost = _scope.get()
    fields = _NOTHING if innermost is None else innermost.fields()
    trace_id = current_trace_id() if "opentelemetry.trace" in sys.modules else None
    return fields if trace_id is None else {**fields, "trace_id": trace_id}


def _resolved(resolver: Resolver) -> Mapping[str, Any]:
    found: object = resolver()
    if found is None:
        return _NOTHING
    fields = {"principal": found} if isinstance(found, str) else found
    if not isinstance(fields, Mapping):
        if inspect.iscoroutine(found):
            found.close()
        raise InvalidEntry(
            f"the principal resolver returned {type(found).__name__!r}; return the user's ID as a string (such as "
            "str(user.id)), a mapping of entry fields, or None for not known"
        )
    if fields.get("principal") == "system":
        raise InvalidEntry(
            "the principal resolver returned 'system'; only whodid.context(principal='system') may say so"
        )
    _check_names(fields)
    return fields


_RUNNERS = ("anyio.", "concurrent.futures.")
_OPENERS = {"__enter__", "enter_context", "__next__", "_next"}


def _is_left_open() -> bool:
    """Whether the `with` that opens a block is of a call that ends before it: `__enter__` or `next`, run in a thread.

    FastAPI runs the parts of a synchronous dependency that yields in threads, each with a copy of the contextvars.
    """
    frame = sys._getframe(2)
    while frame.f_code.co_flags & inspect.CO_GENERATOR or frame.f_code.co_name in _OPENERS:
        if frame.f_back is None:
            return False
        frame = frame.f_back
    return str(frame.f_globals.get("__name__")).startswith(_RUNNERS)


def _check_names(fields: Mapping[str, object]) -> None:
    if not fields.keys() <= CALLER_FIELDS:
        unknown = sorted(map(str, fields.keys() - CALLER_FIELDS))
        raise InvalidEntry(
            f"{', '.join(unknown)}: not a field that a context can fill; put it into details={{…}} at the call. "
            f"Fields are {', '.join(sorted(CALLER_FIELDS))}"
        )


_WHO = ("principal", "principal_name", "principal_email", "on_behalf_of", "client_ip", "user_agent", "request_id")


def who() -> dict[str, Any]:
    """The principal of the context with what is known of them, else the user of the operating system."""
    fields = current_fields()
    if "principal" not in fields:
        return {"principal": operator()}
    return {name: fields[name] for name in _WHO if name in fields}


def operator() -> str:
    """The name of the user of the operating system."""
    uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # a container's user without a name
        return str(uid)


def check_reason(reason: str) -> None:
    """Raises `InvalidEntry` for one that can't be read: white space and invisible characters alone say nothing."""
    if not any(character.isprintable() and not character.isspace() for character in reason):
        raise InvalidEntry("reason must not be empty; it is recorded in the audit log")
