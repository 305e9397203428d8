"""The context: fields shared by all entries that are recorded in a block, task or request.

A contextvar holds the scope, a chain of blocks with the innermost first. `context()` opens a block, and an integration
opens one for each request. `bind()` differs between them:

- In a block of `context()` it adds fields for the calling task or thread and for those started from it later.
  Concurrent tasks inside one block never see each other's fields.
- A request is shared: fields bound in any copy of its contextvars apply to the whole request.
- FastAPI calls synchronous dependencies in AnyIO's threads, with a copy of the contextvars. What such a call binds in a
  block inside a request applies to all who are in that block, and a block that it leaves open belongs to the request
  until it is closed. FastAPI makes these calls of a request one after another, and the last one decides. Calls that run
  at the same time may be for different users, so one that would replace a field that another has set is refused.

A block may be closed in another copy of the contextvars. It then ends in all copies.

A signal handler that raises (Ctrl-C, the time limit of a task queue) may do so between any two steps of opening and
closing a block, also before the first line of `__exit__`. So a block is over as soon as the `with` statement has let go
of its `__exit__`, whether that ran or not: see `_Exit`.

The W3C trace ID of an entry comes from OpenTelemetry's current span or from the header of the request. Entries of
whodid itself fall back to the user of the operating system as their principal.
"""

from __future__ import annotations

import inspect
import os
import pwd
import re
import sys
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Set,
)
from contextlib import ContextDecorator
from contextvars import ContextVar, Token, copy_context
from functools import partial, wraps
from opcode import opmap
from threading import Lock, get_ident
from types import FrameType, MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar
from weakref import ref

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
    """The trace ID of the current recording span, if the application has imported OpenTelemetry's API.

    OpenTelemetry is not imported here: without the import no span can exist.
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
    """The trace ID in a `traceparent` header; `None` if it is malformed or names no trace."""
    found = _TRACEPARENT.fullmatch(traceparent)
    return found[1] if found else None


P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

Resolver = Callable[[], Mapping[str, object] | str | None]
"""Returns who acts at the time of the call: a user ID, fields of an entry, or `None` if unknown."""

CALLER_FIELDS = frozenset(name for name, field in FIELDS.items() if field.source == "call")
"""Fields that arguments, bound keys and the context may set."""

_OF_THE_PRINCIPAL = (
    *("principal_name", "principal_email", "principal_type", "on_behalf_of", "roles"),
    *("access_token_id", "session_id", "auth_method"),
)
_OF_THE_CLIENT = ("client_ip", "forwarded_for", "user_agent")


class _Block:
    """A block opened by `context()` or an integration; all copies of the contextvars share it."""

    __slots__ = ("alone", "fields", "holder", "left_open", "resolver", "shared")

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
        self.holder = _FOR_EVER
        self.left_open: tuple[_Block, ...] = ()


_FOR_EVER: ref[Any] = ref(_Block)
"""The holder of a block that no `with` statement opened, or that was closed and still applies in other copies."""
_NOBODY: ref[Any] = ref(set())
"""The holder of a block that is over."""

_OUTERMOST = _Block({})


class Scope:
    """A block with the fields bound to it here, inside the scope around it."""

    __slots__ = ("_around", "_base", "_block", "_calls", "_own", "_seen", "_thread", "in_request")

    def __init__(self, around: Scope | None, block: _Block, own: Mapping[str, object] | None = None) -> None:
        self._around = around
        self._block = block
        self._own = own
        self._calls: tuple[tuple[_Call, Set[str]], ...] = ()
        self._thread = get_ident()
        self._seen: tuple[object, object, Mapping[str, object]] = _UNSEEN
        self.in_request, self._base = block.shared, block if block.shared else _OUTERMOST
        if around is not None and not block.shared:
            self.in_request, self._base = around.in_request, around._base

    def bound(self, fields: Mapping[str, object]) -> Scope:
        """The scope with fields added to the innermost block; the same object if the block is shared."""
        block = (self._block, *self._left_open())[-1] if self._block.left_open else self._block
        if block.shared:
            block.fields = override(block.fields, fields)
            return self
        if self.in_request and self._thread != get_ident() and (call := _call_of_anyio()) is not None:
            self._share(fields, call)
            return self
        return Scope(self._around, block, override(self._held(), fields))

    def _share(self, fields: Mapping[str, object], call: _Call) -> None:
        """Binds fields for all who are in this block, as a call in a thread can't return them to its caller."""
        with _sharing:
            own = self._held()
            running = [(other, names) for other, names in self._calls if _runs(other)]
            for name in {name for other, names in running if other != call for name in names & fields.keys()}:
                if fields[name] != own.get(name):
                    raise InvalidEntry(
                        f"{name}: a call that runs at the same time has set a different value for the whole block; "
                        "open a block in each call, `with whodid.context(…):` around what it records"
                    )
            self._calls = (*running, (call, fields.keys()))
            self._own = override(own, fields)

    def without(self, block: _Block) -> Scope | None:
        """The scope after a block was closed; blocks inside it that are still open remain."""
        if self._block is block:
            return self._around
        around = None if self._around is None else self._around.without(block)
        return self if around is self._around else self._moved(around)

    def _moved(self, around: Scope | None) -> Scope:
        moved = Scope(around, self._block, self._own)
        moved._calls = self._calls
        return moved

    def is_over(self) -> bool:
        """Whether its block is over, or the request or step around it."""
        return self._block.holder() is None or self._base.holder() is None

    def beneath(self) -> Scope | None:
        """The scope that applies once this one is over."""
        return self._around

    def leave_open(self, block: _Block) -> None:
        """Makes a block part of this request until it is closed."""
        block.shared = True
        with _sharing:
            self._block.left_open += (block,)

    def close(self, block: _Block) -> None:
        """Removes a block that `leave_open` added."""
        with _sharing:
            self._block.left_open = tuple(other for other in self._block.left_open if other is not block)

    def _left_open(self) -> Iterable[_Block]:
        return [block for block in self._block.left_open if block.holder() is not None]

    def fields(self) -> Mapping[str, object]:
        """The fields in force, without `None`; cached until fields are bound here or in a scope around."""
        block, own = self._block, self._own
        if block.holder() is None or self._base.holder() is None:
            beneath = self.beneath()
            return _NOTHING if beneath is None else beneath.fields()
        if own is None:
            own = block.fields
        around = _NOTHING if self._around is None or block.alone else self._around.fields()
        if block.resolver is not None or block.left_open:
            return self._put_together(around)
        seen_around, seen_own, seen = self._seen
        if seen_around is around and seen_own is own:
            return seen
        fields = _given(override(around, own))
        self._seen = around, own, fields
        return fields

    def _put_together(self, fields: Mapping[str, object]) -> Mapping[str, object]:
        if self._block.resolver is not None:
            fields = override(fields, _resolved(self._block.resolver))
        fields = override(fields, self._held())
        for block in self._left_open():
            fields = override(fields, block.fields)
        return _given(fields)

    def _held(self) -> Mapping[str, object]:
        return self._block.fields if self._own is None else self._own


def _given(fields: Mapping[str, object]) -> Mapping[str, object]:
    return {name: value for name, value in fields.items() if value is not None}


_NOTHING: Mapping[str, object] = MappingProxyType({})
_UNSEEN = (None, None, _NOTHING)
_scope: ContextVar[Scope | None] = ContextVar("whodid_scope", default=None)
_sharing = Lock()
os.register_at_fork(after_in_child=_sharing._at_fork_reinit)  # type: ignore[attr-defined] # as logging does


_Call = tuple[int, FrameType]
"""A call in a thread: the thread, and the outermost frame of the call."""


def _call_of_anyio() -> _Call | None:
    """The call of AnyIO in a thread that this is part of; `None` in a thread of asyncio or of a pool."""
    frame = sys._getframe()
    while (caller := frame.f_back) is not None:
        runner, _, _ = str(caller.f_globals.get("__name__")).partition(".")
        if runner in {"anyio", "trio", "asyncio", "concurrent"}:
            return (get_ident(), frame) if runner in {"anyio", "trio"} else None
        frame = caller
    return None


def _runs(call: _Call) -> bool:
    thread, outermost = call
    frame = sys._current_frames().get(thread)
    while frame is not None and frame is not outermost:
        frame = frame.f_back
    return frame is not None


def _innermost() -> Scope | None:
    """The scope in force, without those around the current one that are over; what is over is forgotten."""
    found = _scope.get()
    if found is None or not found.is_over():
        return found
    while found is not None and found.is_over():
        found = found.beneath()
    _scope.set(found)
    return found


def override(around: Mapping[str, object], fields: Mapping[str, object]) -> dict[str, object]:
    """`fields` added to `around`, of which they replace some.

    A different principal does not inherit the name or token of the previous one, the system inherits no client, and a
    different address does not inherit the chain of proxies of the previous one.
    """
    if not around:
        return dict(fields)
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


class _Exit:
    """The method `__exit__` of a block, as an object that nothing but the `with` statement holds.

    The statement gets it before it calls `__enter__`, and lets go of it when it has called it, or was left without. So
    the life of that object is that of the block. A block opened by other means lives until it is closed: an `ExitStack`
    gets the method of the class, and other code that reads `__exit__` may let go of it at once.
    """

    __slots__ = ("_close",)

    def __init__(self, close: Callable[..., None]) -> None:
        self._close = close

    def __get__(self, opened: Any, _: object = None) -> Callable[..., None]:
        if opened is None:
            return self._close
        close = partial(self._close, opened)
        reader = sys._getframe().f_back
        if reader is not None and reader.f_code.co_code[reader.f_lasti] in _WITH:
            opened._holder = ref(close)
        return close


_WITH = {opmap[name] for name in ("BEFORE_WITH", "LOAD_SPECIAL") if name in opmap}
"""The step of a `with` statement that gets `__exit__`; the second one since Python 3.14."""


class _Opened:
    """What opens a block for a `with` statement."""

    _block: _Block
    _holder = _NOBODY
    _token: Token[Scope | None] | None = None

    def held(self) -> Callable[..., None]:
        """`__exit__`, to be got before `__enter__` is called: the block is over once nothing holds it any more."""
        close: Callable[..., None] = self.__exit__  # type: ignore[attr-defined] # of each class that opens blocks
        self._holder = ref(close)
        return close

    def _open(self, inside: Scope | None) -> None:
        """Sets the scope; `None` if the block was left open in that of its request."""
        if self._holder() is not None:
            self._block.holder = self._holder
        try:
            if inside is not None:
                self._token = _scope.set(inside)
        except BaseException:  # of a signal handler, in a block that no `with` statement holds
            self._block.holder = _NOBODY
            raise

    def _shut(self) -> None:
        if self._token is not None:
            try:
                self._block.holder = _FOR_EVER if _reset(self._token) else _NOBODY
            except BaseException:  # as in `_open`
                self._block.holder = _NOBODY
                raise


class context(_Opened, ContextDecorator):  # noqa: N801 (used like a function, as those of contextlib)
    """Sets fields for every entry recorded inside a block, in addition to those around it; also a decorator.

    The block may be closed in another task or thread.

    Args:
        **fields: Fields of entries, such as `principal` and `client_ip`; see `whodid.typing.EntryFields`.

    Raises:
        InvalidEntry: A name is not a field of an entry, or the context was entered before.

    Example:
        >>> with whodid.context(principal="42", client_ip="203.0.113.9"):
        ...     log.audit("credentials_created", target="6Yk2")
    """

    _entered = False
    _left_in: Scope | None = None

    def __init__(self, **fields: Unpack[EntryFields]) -> None:
        if not CALLER_FIELDS.issuperset(fields):
            _check_names(fields)
        self._block = _Block(fields)

    def __enter__(self) -> None:
        if self._entered:
            raise InvalidEntry("a context can be entered once; call whodid.context(…) again for another block")
        self._entered = True
        around = _scope.get()
        if around is not None:
            around = _innermost()
            if around is not None and around.in_request and _is_left_open():
                self._open(None)
                self._left_in = around
                around.leave_open(self._block)
                return
        self._open(Scope(around, self._block))

    @_Exit
    def __exit__(self, *_: object) -> None:
        token, self._token = self._token, None
        if token is None:
            if self._left_in is not None:
                self._left_in.close(self._block)
            return
        block, inside = self._block, _scope.get()
        try:
            here = True
            try:
                _scope.reset(token)
            except ValueError:  # as in `_reset`, without the cost of a call
                here = False
            if not here or inside is None or inside._block is not block or inside._around is not token.old_value:
                _scope.set(None if inside is None else inside.without(block))
            block.holder = _FOR_EVER if here else _NOBODY
        except BaseException:  # as in `_open`
            block.holder = _NOBODY
            raise

    def _recreate_cm(self) -> context:
        fields: Any = self._block.fields
        return context(**fields)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:  # type: ignore[override] # more exact
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise _of_a_generator(function)
        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def later(*args: P.args, **kwargs: P.kwargs) -> Any:
                with self._recreate_cm():
                    result: Any = await function(*args, **kwargs)
                return self._inside(result)

            return later  # type: ignore[return-value] # R is a coroutine

        @wraps(function)
        def inside(*args: P.args, **kwargs: P.kwargs) -> Any:
            with self._recreate_cm():
                result: Any = function(*args, **kwargs)
            return self._awaited(result) if _is_to_run(result) else self._inside(result)

        return inside

    def _inside(self, result: Any) -> Any:
        """The result of a function; a generator runs in this context, around which is the one in force here."""
        if not (inspect.isgenerator(result) or inspect.isasyncgen(result)):
            return result
        return _stepwise(Steps(Scope(_innermost(), self._recreate_cm()._block)).run, result)

    async def _awaited(self, result: Awaitable[T]) -> T:
        with self._recreate_cm():
            return await result


def _is_to_run(result: object) -> bool:
    """Whether code of a function runs when its result is awaited: a coroutine, with no further use as a query has."""
    old = inspect.isgenerator(result) and inspect.isawaitable(result)
    return old or (isinstance(result, Coroutine) and not hasattr(result, "__aenter__"))


def _of_a_generator(function: Callable[..., object]) -> InvalidEntry:
    name = getattr(function, "__name__", None) or type(function).__name__
    return InvalidEntry(f"{name} is a generator; open the context inside it, around the calls that record")


def system(**fields: Unpack[SystemFields]) -> context:
    """Sets the principal `system` for what the system starts itself; there is no client.

    Args:
        **fields: As for `context`, without `principal`.

    Returns:
        A context manager and decorator, like `context`.

    Raises:
        InvalidEntry: As for `context`.

    Example:
        >>> with whodid.system(organization_id="7"):
        ...     log.audit("workflow_completed", target="2uJ4", status="SUCCEEDED")
    """
    return context(principal="system", **fields)


class scope(_Opened):  # noqa: N801 (as `context`)
    """Opens a shared block for a request or task of an integration; the resolver is called for each entry.

    `alone` ignores the fields around it. Blocks that are opened inside and not closed end with it. `Steps` and `Within`
    can enter the scope that `with` yields again after it was closed.
    """

    def __init__(self, fields: Mapping[str, object], resolver: Resolver | None = None, *, alone: bool = False) -> None:
        _check_names(fields)
        self._block = _Block(dict(fields), resolver, alone=alone, shared=True)

    def __enter__(self) -> Scope:
        opened = Scope(_innermost(), self._block)
        self._open(opened)
        return opened

    @_Exit
    def __exit__(self, *_: object) -> None:
        self._shut()


def _reset(token: Token[Scope | None]) -> bool:
    """Resets the contextvar; returns false if the token is from another copy of the contextvars."""
    try:
        _scope.reset(token)
    except ValueError:
        return False
    return True


class Within(Generic[T]):
    """An iterator that runs inside a scope, for content that is streamed after the block has ended."""

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


class _Step(Scope):
    """A scope entered again, between blocks that it has nothing to do with."""

    __slots__ = ("_before",)

    def __init__(self, around: Scope | None, block: _Block, before: Scope | None) -> None:
        super().__init__(around, block)
        self._base = block
        self._before = before

    def bound(self, fields: Mapping[str, object]) -> Scope:
        around = None if self._around is None else self._around.bound(fields)
        return self if around is self._around else self._moved(around)

    def leave_open(self, block: _Block) -> None:
        if self._around is not None:
            self._around.leave_open(block)

    def _moved(self, around: Scope | None) -> Scope:
        return _Step(around, self._block, self._before)

    def beneath(self) -> Scope | None:
        return self._before


class Steps(_Opened):
    """A scope that can be entered repeatedly, each time as it was left; never twice at once."""

    def __init__(self, opened: Scope) -> None:
        self._inside: Scope | None = opened

    def __enter__(self) -> None:
        self._block = _Block({})
        self._open(_Step(self._inside, self._block, _innermost()))

    def run(self, function: Callable[..., T], *args: object) -> T:
        with self:
            return function(*args)

    @_Exit
    def __exit__(self, *_: object) -> None:
        inside = _scope.get()
        self._inside = None if inside is None else inside.without(self._block)
        self._shut()


def _stepwise(run: Callable[..., Any], result: Any) -> Any:
    """The result of a function, of which each step of a generator is run by `run`."""
    if inspect.isasyncgen(result):
        return _AsyncStepwise(run, result)
    return _Stepwise(run, result) if inspect.isgenerator(result) else result


class _Stepwise(Generator[Any, Any, Any]):
    def __init__(self, run: Callable[..., Any], parts: Any) -> None:
        self._run = run
        self._parts = parts

    def send(self, value: Any) -> Any:
        return self._run(self._parts.send, value)

    def throw(self, *error: Any) -> Any:
        return self._run(self._parts.throw, *error)

    def close(self) -> None:
        self._run(self._parts.close)

    __del__ = close


class _AsyncStepwise(AsyncGenerator[Any, Any]):
    def __init__(self, run: Callable[..., Any], parts: Any) -> None:
        self._run = run
        self._parts = parts

    def asend(self, value: Any) -> Coroutine[Any, Any, Any]:
        return _await_stepwise(self._run, self._parts.asend(value))

    def athrow(self, *error: Any) -> Coroutine[Any, Any, Any]:
        return _await_stepwise(self._run, self._parts.athrow(*error))


class _AwaitStepwise:
    def __init__(self, run: Callable[..., Any], awaitable: Any) -> None:
        self._run = run
        self._awaitable = awaitable

    def __await__(self) -> Generator[Any, Any, Any]:
        found = self._awaitable
        return _Stepwise(self._run, found if inspect.isgenerator(found) else found.__await__())


async def _await_stepwise(run: Callable[..., Any], awaitable: Any) -> Any:
    return await _AwaitStepwise(run, awaitable)


def carried(function: Callable[P, R]) -> Callable[P, R]:
    """Wraps a function so that it runs with the current context in any thread or task.

    Fields that it binds inside a request apply to the whole request; in a block of `context()`, also one inside a
    request, they apply to the call only. Blocks that it opens are separate. It may be called concurrently. A coroutine
    or generator that it returns runs with the context too, wherever it is awaited or read.

    Args:
        function: The function to call in another thread or task.

    Returns:
        A function with the same parameters and result.

    Example:
        >>> pool.submit(whodid.carried(work), order)
    """
    context = copy_context()

    @wraps(function)
    def inside(*args: P.args, **kwargs: P.kwargs) -> Any:
        own = context.copy()
        result = own.run(function, *args, **kwargs)
        return _await_stepwise(own.run, result) if _is_to_run(result) else _stepwise(own.run, result)

    return inside


def bind(**fields: Unpack[EntryFields]) -> None:
    """Adds fields to the innermost block or request, for entries recorded from now on.

    In a request of an integration they apply to the whole request; in a block of `context()` to this task or thread and
    to those that it starts later. A synchronous FastAPI dependency binds for all who are in the block.

    Args:
        **fields: As for `context`.

    Raises:
        InvalidEntry: There is no block or request, a name is not a field of an entry, or another such dependency runs
            at the same time and has bound a different value.

    Example:
        >>> whodid.bind(principal="42", principal_name="Ada")
    """
    _check_names(fields)
    innermost = _innermost()
    if innermost is None:
        raise InvalidEntry(
            "bind() needs an open block or request, or these fields would apply to everything the thread does next; "
            "use `with whodid.context(…):` around the work, or the middleware of your framework "
            "(`whodid help integrations`)"
        )
    _scope.set(innermost.bound(fields))


def is_open() -> bool:
    """Whether a block or request is open."""
    return _innermost() is not None


def current_fields() -> Mapping[str, object]:
    """The fields in force, including the trace ID of OpenTelemetry's span."""
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
            "str(user.id)), a mapping of entry fields, or None if unknown"
        )
    if fields.get("principal") == "system":
        raise InvalidEntry(
            "the principal resolver returned 'system'; only whodid.context(principal='system') may set it"
        )
    _check_names(fields)
    return fields


_RUNNERS = ("anyio.", "concurrent.futures.")
_OPENERS = {"__enter__", "enter_context", "__next__", "_next"}


def _is_left_open() -> bool:
    """Whether the call that opens a block ends before the block: `__enter__` or `next`, called by a thread pool.

    FastAPI runs each part of a synchronous dependency that yields in a thread, with a copy of the contextvars.
    """
    frame = sys._getframe(2)
    while frame.f_code.co_flags & inspect.CO_GENERATOR or frame.f_code.co_name in _OPENERS:
        if frame.f_back is None:
            return False
        frame = frame.f_back
    return str(frame.f_globals.get("__name__")).startswith(_RUNNERS)


def _check_names(fields: Mapping[str, object]) -> None:
    if not CALLER_FIELDS.issuperset(fields):
        unknown = sorted(map(str, fields.keys() - CALLER_FIELDS))
        if "once" in unknown:
            raise InvalidEntry("once names a single event, so only a call can set it: audit(…, once=…)")
        raise InvalidEntry(
            f"{', '.join(unknown)}: not a field that a context can set; pass it in details={{…}} at the call. "
            f"Fields are {', '.join(sorted(CALLER_FIELDS))}"
        )


_WHO = (
    "principal",
    "principal_name",
    "principal_email",
    "principal_type",
    "on_behalf_of",
    "client_ip",
    "user_agent",
    "request_id",
)


def who() -> dict[str, Any]:
    """The principal of the context and its related fields; without one, the user of the operating system."""
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
    """Raises `InvalidEntry` if the reason has no visible character."""
    if not any(character.isprintable() and not character.isspace() for character in reason):
        raise InvalidEntry("reason must not be empty; it is recorded in the audit log")
