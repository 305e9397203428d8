"""The context: nested, task-safe, and one person's details never under another's name."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from whodid.context import bind, carried, context, current_fields, scope
from whodid.errors import InvalidEntry


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
    request = {"principal": "42", "client_ip": "203.0.113.9", "forwarded_for": "203.0.113.9, 10.0.0.1"}
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
    with context(organization_id="7"):
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
    with pytest.raises(InvalidEntry, match=f"{name}: not a field that a context can fill"), context(**{name: "x"}):
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

    with context(client_ip="203.0.113.9"), ThreadPoolExecutor(1) as pool:
        later = pool.submit(carried(work))
        assert started.wait(10)
        assert current_fields()["organization_id"] == "7"
        bind(principal="42")
        bound.set()
        assert later.result() == "42"


def test_what_is_bound_around_an_open_block_is_seen_within_it() -> None:
    with context(organization_id="7"):
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
