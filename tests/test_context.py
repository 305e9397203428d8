"""The context: nested, task-safe, and one person's details never under another's name."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
import unittest
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial, wraps
from types import FrameType
from typing import Any

import pytest
from anyio import to_thread

from whodid.errors import InvalidEntry
from whodid.recording.context import Within, _scope, bind, carried, context, current_fields, scope
from whodid.typing import EntryFields

SOURCE = sys.modules["whodid.recording.context"].__file__


def test_blocks_nest_and_end() -> None:
    with context(principal="42", organization_id="7"):
        with context(organization_id="8", workspace_id="9"):
            assert current_fields() == {"principal": "42", "organization_id": "8", "workspace_id": "9"}
        assert current_fields() == {"principal": "42", "organization_id": "7"}
    assert current_fields() == {}


def test_another_principal_inherits_no_name_and_no_token() -> None:
    ada = context(principal="42", principal_name="Ada", access_token_id="t", client_ip="203.0.113.9")
    with ada, context(principal="43"):
        assert current_fields() == {"principal": "43", "client_ip": "203.0.113.9"}


def test_the_system_inherits_no_address() -> None:
    with context(principal="42", client_ip="203.0.113.9", user_agent="curl"), context(principal="system"):
        assert current_fields() == {"principal": "system"}


def test_the_chain_of_proxies_goes_with_the_address_that_it_led_to() -> None:
    request: EntryFields = {
        "principal": "42",
        "client_ip": "203.0.113.9",
        "forwarded_for": "203.0.113.9, 10.0.0.1",
    }
    with context(**request):
        with context(client_ip="203.0.113.9", organization_id="7"):
            assert current_fields() == {**request, "organization_id": "7"}
        with context(client_ip="198.51.100.7"):
            assert current_fields() == {"principal": "42", "client_ip": "198.51.100.7"}
        with context(client_ip=None):
            assert current_fields() == {"principal": "42"}
        with context(principal="system"):
            assert current_fields() == {"principal": "system"}


def test_bind_adds_to_the_innermost_block() -> None:
    with context(organization_id="7"):
        bind(principal="42")
        assert current_fields() == {"organization_id": "7", "principal": "42"}
    assert current_fields() == {}


def test_bind_in_a_thread_with_a_copy_of_the_context_is_seen_by_the_request() -> None:
    with scope({"organization_id": "7"}):
        copied = contextvars.copy_context()
        thread = threading.Thread(target=lambda: copied.run(bind, principal="42"))
        thread.start()
        thread.join()
        assert current_fields()["principal"] == "42"


def test_concurrent_tasks_never_swap_principals() -> None:
    async def request(user: str) -> object:
        with context(principal=user):
            await asyncio.sleep(0)
            return current_fields()["principal"]

    async def both() -> list[object]:
        return await asyncio.gather(*(request(str(n)) for n in range(50)))

    assert asyncio.run(both()) == [str(n) for n in range(50)]


def test_a_resolver_is_asked_at_the_call_and_bind_wins_over_it() -> None:
    user: list[str | None] = [None]
    with scope({}, lambda: user[0]):
        assert current_fields() == {}
        user[0] = "42"
        assert current_fields() == {"principal": "42"}
        bind(principal="43")
        assert current_fields() == {"principal": "43"}


def test_a_resolver_may_not_say_system() -> None:
    with scope({}, lambda: "system"), pytest.raises(InvalidEntry, match="resolver returned 'system'"):
        current_fields()


def test_a_scope_alone_shows_nothing_of_what_is_around() -> None:
    with context(principal="42", client_ip="203.0.113.9"):
        with scope({"organization_id": "7"}, alone=True):
            assert current_fields() == {"organization_id": "7"}
        assert current_fields()["principal"] == "42"


@pytest.mark.parametrize("name", ["seq", "nope", "creation_date"])
def test_a_name_that_is_no_field_is_refused(name: str) -> None:
    fields: Any = {name: "x"}
    with pytest.raises(InvalidEntry, match=f"{name}: not a field that a context can set"), context(**fields):
        pass


def test_a_thread_pool_gets_the_context_of_each_submission_and_keeps_none() -> None:
    def seen(number: int) -> tuple[int, object]:
        with context(target=str(number)):
            return number, current_fields().get("principal")

    def submit(pool: ThreadPoolExecutor, number: int) -> Future[tuple[int, object]]:
        with context(principal=str(number)):
            return pool.submit(carried(seen), number)

    with ThreadPoolExecutor(4) as pool:
        found = [submit(pool, number).result() for number in range(20)]
        at_once = [future.result() for future in [submit(pool, number) for number in range(200)]]
        assert pool.submit(current_fields).result() == {}
    assert found == [(number, str(number)) for number in range(20)]
    assert at_once == [(number, str(number)) for number in range(200)]


def test_what_is_bound_to_a_request_in_a_thread_is_seen_in_the_request_and_back() -> None:
    started, bound = threading.Event(), threading.Event()

    def work() -> object:
        bind(organization_id="7")
        started.set()
        assert bound.wait(10)
        return current_fields()["principal"]

    with scope({"client_ip": "203.0.113.9"}), ThreadPoolExecutor(1) as pool:
        later = pool.submit(carried(work))
        assert started.wait(10)
        assert current_fields()["organization_id"] == "7"
        bind(principal="42")
        bound.set()
        assert later.result() == "42"


def test_what_is_bound_around_an_open_block_is_seen_within_it() -> None:
    with scope({"organization_id": "7"}):
        request = contextvars.copy_context()
        with context(workspace_id="9"):
            assert current_fields() == {"organization_id": "7", "workspace_id": "9"}
            request.run(bind, principal="42")
            assert current_fields() == {"organization_id": "7", "workspace_id": "9", "principal": "42"}


def test_a_carried_function_is_called_many_times_at_once_and_keeps_its_name() -> None:
    def double(number: int) -> int:
        return 2 * number

    with context(principal="42"):
        carried_double = carried(double)
    assert carried_double.__name__ == "double"
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(carried_double, range(500))) == [2 * number for number in range(500)]


def test_bind_outside_of_a_block_or_request_is_refused_and_says_what_to_use() -> None:
    with pytest.raises(InvalidEntry, match=r"use `with whodid\.context\(…\):` around the work, or the middleware"):
        bind(principal="42")
    with ThreadPoolExecutor(1) as pool, context(organization_id="7"):
        assert isinstance(pool.submit(bind, principal="42").exception(), InvalidEntry)
        assert pool.submit(current_fields).result() == {}
    assert current_fields() == {}


def test_tasks_and_threads_side_by_side_below_one_block_bind_for_themselves() -> None:
    def work(user: str, ready: threading.Barrier) -> object:
        bind(principal=user)
        ready.wait(10)
        return current_fields()["principal"]

    async def task(user: str, ready: asyncio.Barrier) -> object:
        bind(principal=user)
        await ready.wait()
        later = await asyncio.create_task(asyncio.to_thread(current_fields))  # started from there: sees what it bound
        return later["principal"]

    async def siblings() -> list[object]:
        tasks, threads = asyncio.Barrier(4), threading.Barrier(4)
        with context(organization_id="7"):
            bind(workspace_id="9")
            return [
                *await asyncio.gather(*(task(str(n), tasks) for n in range(4))),
                *await asyncio.gather(*(asyncio.to_thread(work, str(n), threads) for n in range(4))),
                current_fields(),
            ]

    seen = asyncio.run(siblings())
    assert seen == [*map(str, range(4)), *map(str, range(4)), {"organization_id": "7", "workspace_id": "9"}]


def test_a_thread_of_anyio_binds_for_the_request_also_inside_a_block_of_the_request() -> None:
    def dependency(user: str) -> None:
        bind(principal="anonymous")
        bind(principal=user)

    async def request() -> Mapping[str, object]:
        with scope({"client_ip": "203.0.113.9"}), context(organization_id="7"):
            await to_thread.run_sync(dependency, "42")
            await to_thread.run_sync(lambda: bind(principal="42", target="x"))
            return current_fields()

    expected = {"client_ip": "203.0.113.9", "organization_id": "7", "principal": "42", "target": "x"}
    assert asyncio.run(request()) == expected


def in_threads_of_asyncio(function: Callable[[str], object], user: str) -> Awaitable[object]:
    return asyncio.to_thread(function, user)


def in_threads_of_anyio(function: Callable[[str], object], user: str) -> Awaitable[object]:
    return to_thread.run_sync(function, user)


@pytest.mark.parametrize("in_a_thread", [in_threads_of_asyncio, in_threads_of_anyio])
def test_threads_side_by_side_in_a_block_of_a_request_are_never_recorded_under_anothers_name(
    in_a_thread: Callable[[Callable[[str], object], str], Awaitable[object]],
) -> None:
    ready = threading.Barrier(2)

    def work(user: str) -> object:
        try:
            bind(principal=user)
        except InvalidEntry:
            return "refused"
        finally:
            ready.wait(10)
        return current_fields()["principal"]

    async def request() -> tuple[object, object]:
        with scope({}, lambda: "root"), context(organization_id="7"):
            seen = await asyncio.gather(*(in_a_thread(work, user) for user in ("ada", "bob")))
            return seen, current_fields()["principal"]

    seen, afterwards = asyncio.run(request())
    if in_a_thread is in_threads_of_asyncio:
        assert (seen, afterwards) == (["ada", "bob"], "root")
    else:
        assert seen in (["ada", "refused"], ["refused", "bob"])


def test_of_calls_of_anyio_one_after_another_in_a_block_of_a_request_the_last_decides() -> None:
    ready, done = threading.Event(), threading.Event()

    def refused(user: str) -> bool:
        try:
            bind(principal=user)
        except InvalidEntry:
            return True
        return False

    def long(user: str) -> object:
        bind(principal=user)
        ready.set()
        done.wait(10)
        return current_fields()["principal"]

    async def request() -> list[object]:
        with scope({}), context(organization_id="7"):
            seen: list[object] = []
            for user in ("service-account", "ada"):
                seen += [await to_thread.run_sync(refused, user), current_fields()["principal"]]
            running = asyncio.create_task(to_thread.run_sync(long, "bob"))
            await asyncio.to_thread(ready.wait, 10)
            seen += [await to_thread.run_sync(refused, user) for user in ("ada", "bob", "ada")]
            done.set()
            return [*seen, await running, await to_thread.run_sync(refused, "ada"), current_fields()["principal"]]

    seen = asyncio.run(request())
    assert seen == [False, "service-account", False, "ada", True, False, True, "bob", False, "ada"]


def test_a_task_keeps_the_fields_of_the_block_that_it_was_started_in() -> None:
    async def later(ended: asyncio.Event) -> object:
        await ended.wait()
        return current_fields()

    async def outlives() -> tuple[object, object]:
        ended = asyncio.Event()
        with context(principal="42"):
            task = asyncio.create_task(later(ended))
        ended.set()
        return await task, current_fields()

    assert asyncio.run(outlives()) == ({"principal": "42"}, {})


def test_a_block_may_be_closed_in_another_context_and_is_over_then() -> None:
    with context(organization_id="7"):
        inside = context(principal="42")
        inside.__enter__()
        copied = contextvars.copy_context()
        copied.run(inside.__exit__, None, None, None)
        assert current_fields() == copied.run(current_fields) == {"organization_id": "7"}
    opened = context(principal="42")
    contextvars.copy_context().run(opened.__enter__)
    opened.__exit__(None, None, None)
    opened.__exit__(None, None, None)
    assert current_fields() == {}


def test_blocks_of_generators_that_end_in_any_order_leave_nothing_behind() -> None:
    def rows(**fields: Any) -> Iterator[int]:
        with context(**fields):
            yield 1

    first, second = rows(organization_id="7"), rows(workspace_id="9")
    assert [next(first), next(second)] == [1, 1]
    assert current_fields() == {"organization_id": "7", "workspace_id": "9"}
    assert list(first) == []
    assert current_fields() == {"workspace_id": "9"}
    assert list(second) == []
    assert current_fields() == {}


def test_what_a_request_leaves_open_ends_with_it() -> None:
    def rows() -> Generator[int]:
        with context(principal="42"):
            yield 1

    left = rows()
    with scope({}):
        next(left)
        assert current_fields() == {"principal": "42"}
    assert current_fields() == {}
    left.close()
    assert current_fields() == {}


def test_context_is_a_decorator_of_plain_and_coroutine_functions() -> None:
    @context(principal="42")
    def plain() -> object:
        return current_fields()["principal"]

    @context(principal="43")
    async def later() -> object:
        await asyncio.sleep(0)
        return current_fields()["principal"]

    async def both() -> tuple[object, object]:
        return await asyncio.gather(later(), later())

    assert [plain(), plain(), *asyncio.run(both())] == ["42", "42", "43", "43"]
    with pytest.raises(InvalidEntry, match="rows is a generator; open the context inside it"):

        @context(principal="42")
        def rows() -> Iterator[int]:
            yield 1


def retried(function: Callable[..., Any]) -> Callable[..., Any]:
    """A usual decorator: a plain function, whatever the one below it is."""

    @wraps(function)
    def again(*args: object) -> Any:
        return function(*args)

    return again


class Later:
    async def __call__(self) -> object:
        await asyncio.sleep(0)
        return current_fields()["principal"]


def test_a_decorated_function_that_returns_a_coroutine_runs_in_the_context() -> None:
    async def by_all() -> list[object]:
        with context(principal="the user of the request"):
            decorated: Any = [context(principal="job")(each) for each in (retried(Later()), Later(), Later().__call__)]
            task = context(principal="job")(lambda: asyncio.create_task(Later()()))()
            assert isinstance(task, asyncio.Task)
            return [*[await each() for each in decorated], await task, current_fields()["principal"]]

    assert asyncio.run(by_all()) == ["job", "job", "job", "job", "the user of the request"]


class Query:
    """As of a database driver: awaited, entered or built upon."""

    def filter(self) -> Query:
        return self

    def __await__(self) -> Generator[Any, Any, object]:
        return Later()().__await__()

    async def __aenter__(self) -> str:
        return "entered"

    async def __aexit__(self, *_: object) -> None:
        pass


def test_what_a_decorated_function_returns_to_be_used_in_more_ways_than_awaiting_stays_as_it_is() -> None:
    query = context(principal="job")(Query)

    async def used() -> list[object]:
        with context(principal="ada"):
            async with query() as entered:
                return [entered, await query().filter()]

    assert asyncio.run(used()) == ["entered", "ada"]


def rows() -> Iterator[object]:
    try:
        bind(target="x")
        yield current_fields()
        yield current_fields()
    finally:
        ENDED.append(current_fields())


async def later_rows() -> AsyncIterator[object]:
    try:
        bind(target="x")
        yield current_fields()
        await asyncio.sleep(0)
        yield current_fields()
    finally:
        ENDED.append(current_fields())


ENDED: list[object] = []
JOB = {"principal": "job", "organization_id": "7", "target": "x"}


async def that_returns_a_generator() -> Iterator[object]:
    return rows()


def as_context(function: Callable[[], Any]) -> Callable[[], Any]:
    return context(principal="job")(lambda: function())


def as_carried(function: Callable[[], Any]) -> Callable[[], Any]:
    with context(principal="job"):
        return carried(function)


@pytest.mark.parametrize("wrapped", [as_context, as_carried])
def test_a_generator_that_a_function_returns_runs_in_the_context(
    wrapped: Callable[[Callable[[], Any]], Callable[[], Any]],
) -> None:
    ENDED.clear()

    async def read() -> None:
        seen: list[object] = []
        with context(organization_id="7"):
            plain, later, dropped = wrapped(rows), wrapped(later_rows), wrapped(rows)
            parts, later_parts, rest = plain(), later(), dropped()
        with context(principal="ada"):
            seen += [next(rest), *parts]
            del rest
            async for part in later_parts:
                seen.append(part)
                assert current_fields() == {"principal": "ada"}
        assert seen == [JOB] * 5
        assert ENDED == [JOB] * 3

    asyncio.run(read())
    assert current_fields() == {}


def test_a_generator_that_a_coroutine_function_returns_runs_in_the_context() -> None:
    parts = asyncio.run(context(principal="job", organization_id="7")(that_returns_a_generator)())
    with context(principal="ada"):
        assert list(parts) == [JOB, JOB]


@pytest.mark.parametrize("function", [rows, later_rows, partial(rows)])
def test_a_context_is_no_decorator_of_generators(function: Callable[[], Any]) -> None:
    with pytest.raises(InvalidEntry, match="is a generator; open the context inside it"):
        context(principal="42")(function)


def test_a_coroutine_is_carried_to_where_it_is_awaited() -> None:
    async def work() -> list[object]:
        seen = [await Later()()]
        with context(principal="inner"):
            seen.append(await Later()())
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            seen.append(await Later()())
        return seen

    async def request() -> tuple[object, object]:
        with context(principal="job"):
            function = carried(work)
        with context(principal="ada"):
            task = asyncio.create_task(function())
            for _ in range(5):
                await asyncio.sleep(0)
            task.cancel()
            return await task, current_fields()["principal"]

    assert asyncio.run(request()) == (["job", "inner", "job"], "ada")


def test_a_context_can_be_entered_once() -> None:
    block = context(principal="42")
    with block:
        pass
    with pytest.raises(InvalidEntry, match="can be entered once"), block:
        pass


class SignalHandler:
    """Raises at point number `at` of the module: each call, line, return and single instruction is one."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self, frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code.co_filename != SOURCE:
            return None
        frame.f_trace_opcodes = True
        self.left -= 1
        if self.left == 0:
            sys.settrace(None)
            raise TimeoutError
        return self


def in_a_context() -> None:
    with context(principal="42"):
        pass


def in_a_context_that_binds() -> None:
    with context():
        bind(principal="42")


def in_a_request() -> None:
    with scope({"principal": "42"}), context(principal="43"):
        pass


def in_a_streamed_body() -> None:
    def body() -> Iterator[int]:
        with context(principal="43"):
            yield 1

    with scope({"principal": "42"}) as opened:
        pass
    assert list(Within(opened, body())) == [1]


@pytest.mark.parametrize("opens", [in_a_context, in_a_context_that_binds, in_a_request, in_a_streamed_body])
def test_a_block_that_a_signal_handler_cut_off_at_any_step_names_nobody_afterwards(
    opens: Callable[[], None],
) -> None:
    around: EntryFields = {"principal": "ada"}
    at, raised = 0, []
    with context(**around):
        while True:
            at += 1
            handler = SignalHandler(at)
            sys.settrace(handler)
            try:
                opens()
            except TimeoutError as error:
                raised.append(error)  # with the frames that it came through
                assert (at, current_fields()) == (at, around)
            finally:
                sys.settrace(None)
            with context(target="next"):
                assert current_fields() == {**around, "target": "next"}
            assert (at, current_fields()) == (at, around)
            if handler.left > 0:
                break
    assert current_fields() == {}
    assert len(raised) == at - 1 > 200
    with pytest.raises(InvalidEntry, match=r"bind\(\) needs an open block"):
        bind(principal="42")


def test_a_block_that_a_signal_handler_cut_off_is_over_in_the_frame_that_catches_it() -> None:
    def at_the_end(frame: FrameType, *_: object) -> None:
        if frame.f_code.co_name == "__exit__":
            sys.settrace(None)
            raise TimeoutError

    block = context(principal="42")
    try:
        with block:
            sys.settrace(at_the_end)
    except TimeoutError:
        assert current_fields() == {}
    assert current_fields() == {}


class CutOff:
    """The contextvar, with a signal handler that raises right after it was set."""

    def __init__(self, variable: Any) -> None:
        self._variable = variable
        self.armed = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._variable, name)

    def set(self, value: object) -> object:
        token = self._variable.set(value)
        if self.armed:
            self.armed = False
            raise TimeoutError
        return token


@pytest.mark.parametrize("opening", [context, lambda **fields: scope(fields)], ids=["context", "scope"])
def test_a_block_of_an_exit_stack_that_was_cut_off_while_it_was_opened_names_nobody_afterwards(
    monkeypatch: pytest.MonkeyPatch, opening: Any
) -> None:
    monkeypatch.setattr(sys.modules["whodid.recording.context"], "_scope", CutOff(_scope))
    with pytest.raises(TimeoutError), ExitStack() as stack:
        stack.enter_context(opening(principal="42"))
    assert current_fields() == {}
    with opening(principal="43"):
        assert current_fields() == {"principal": "43"}
    assert current_fields() == {}


def read_and_entered(block: context) -> Callable[..., object]:
    """As libraries do that take anything with both methods for a context manager."""
    try:
        enter, _exit = block.__enter__, block.__exit__
    except AttributeError:
        raise TypeError("not a context manager") from None
    enter()
    return lambda: block.__exit__(None, None, None)


def asked_and_entered(block: context) -> Callable[..., object]:
    assert hasattr(block, "__exit__")
    block.__enter__()
    return lambda: block.__exit__(None, None, None)


def entered_by_a_stack(block: context) -> Callable[..., object]:
    stack = ExitStack()
    stack.enter_context(block)
    return stack.close


def pushed_to_a_stack(block: context) -> Callable[..., object]:
    stack = ExitStack()
    stack.push(block.__exit__)
    block.__enter__()
    return stack.close


def entered_by_a_test(block: context) -> Callable[..., object]:
    case = unittest.TestCase()
    case.enterContext(block)
    return case.doCleanups


def entered_in_a_generator(block: context) -> Callable[..., object]:
    @contextmanager
    def wrapper() -> Iterator[None]:
        with block:
            yield

    return asked_and_entered(wrapper())  # type: ignore[arg-type] # any context manager


@pytest.mark.parametrize(
    "opened",
    [
        read_and_entered,
        asked_and_entered,
        entered_by_a_stack,
        pushed_to_a_stack,
        entered_by_a_test,
        entered_in_a_generator,
    ],
)
def test_a_block_that_no_with_statement_holds_applies_until_it_is_closed(
    opened: Callable[[context], Callable[..., object]],
) -> None:
    with context(principal="service-account"):
        close = opened(context(principal="42"))
        with context(target="x"):
            assert current_fields() == {"principal": "42", "target": "x"}
        assert current_fields() == {"principal": "42"}
        close()
        assert current_fields() == {"principal": "service-account"}
