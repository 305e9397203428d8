"""Celery: in a real worker, entries have whoever queued the task, and nobody else."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, chain, chord, group

import whodid
from tests.integrations.shop_on_celery import make
from tests.live.corner import eventually
from tests.recording import WHO, configured, recorded
from whodid.integrations.celery import CARRIED, install
from whodid.recording.context import CALLER_FIELDS, bind, current_fields, scope

ROOT = Path(__file__).parents[2]

POOLS = {
    "prefork": ["--pool=prefork", "--concurrency=2", "--max-tasks-per-child=20"],
    "threads": ["--pool=threads", "--concurrency=8"],
    "solo": ["--pool=solo"],
}

EVERYTHING: dict[str, Any] = {
    **WHO,
    "principal_name": "Ada",
    "principal_email": "ada@example.org",
    "on_behalf_of": ["43", "44"],
    "roles": ["admin", "auditor"],
    "access_token_id": "t1",
    "principal_type": "user",
    "session_id": "s1",
    "auth_method": "oidc",
    "organization_name": "Seven",
    "workspace_id": "9",
    "workspace_name": "Nine",
    "user_agent": "curl",
    "forwarded_for": "203.0.113.9, 10.0.0.1",
    "correlation_id": "c1",
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
}


@pytest.fixture(scope="module", params=POOLS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where a worker runs that is stopped when the tests are through with it."""
    folder = tmp_path_factory.mktemp(request.param)
    make(folder)
    environment = {**os.environ, "SHOP_FOLDER": str(folder), "WHODID_JOURNAL_DIR": str(folder / "journal")}
    command = [sys.executable, "-m", "celery", "--app", "tests.integrations.shop_on_celery:app", "worker"]
    command += ["--without-gossip", "--without-mingle", "--without-heartbeat", *POOLS[request.param]]
    with (
        (folder / "worker.log").open("w") as log,
        subprocess.Popen(command, env=environment, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT) as worker,
    ):
        try:
            yield folder
            worker.terminate()
            assert worker.wait(timeout=60) == 0, (folder / "worker.log").read_text()
        finally:
            worker.kill()


@pytest.fixture
def shop(folder: Path) -> Any:
    configured(folder)
    return make(folder)


@pytest.fixture
def entries(folder: Path) -> Callable[[str, int], dict[str, dict[str, Any]]]:
    """The entries whose target begins so, by target, once there are so many."""

    def wait(target: str, number: int) -> dict[str, dict[str, Any]]:
        deadline = time.monotonic() + 60
        while len(found := [entry for entry in _so_far(folder) if entry["target"].startswith(target)]) < number:
            assert time.monotonic() < deadline, (found, (folder / "worker.log").read_text())
            time.sleep(0.02)
        assert len(found) == number
        return {entry["target"]: entry for entry in found}

    return wait


def _so_far(folder: Path) -> list[dict[str, Any]]:
    return recorded(folder / "journal")


def get(result: Any) -> Any:
    return result.get(timeout=60, interval=0.02)


Entries = Callable[[str, int], dict[str, dict[str, Any]]]


def test_two_users_at_once_are_never_swapped_and_every_receipt_is_in_the_journal_once(shop: Any, folder: Path) -> None:
    def queue(number: int) -> Any:
        user = ("ada", "bob")[number % 2]
        with whodid.context(principal=user, client_ip=f"203.0.113.{number % 2}", request_id=f"r{number}"):
            return shop.tasks["record"].delay(f"{user}-{number}")

    with ThreadPoolExecutor(8) as pool:
        results = [get(result) for result in list(pool.map(queue, range(120)))]
    receipts = {entry_id: task_id for entry_id, _, task_id in results}
    processes = {process for _, process, _ in results}
    assert len(receipts) == 120
    found = [entry for entry in _so_far(folder) if entry["target"].split("-")[0] in {"ada", "bob"}]
    assert len(found) == 120
    for entry in found:
        user, number = entry["target"].split("-")
        assert (entry["principal"], entry["client_ip"]) == (user, f"203.0.113.{int(number) % 2}")
        assert entry["correlation_id"] == f"r{number}"
        assert receipts.pop(f"{entry['journal']}-{entry['seq']:012d}-{entry['hash'][:16]}") == entry["request_id"]
    assert len(processes) > 2 if "prefork" in folder.name else len(processes) == 1


def test_who_and_from_where_go_along_and_the_request_is_the_task(shop: Any) -> None:
    with whodid.context(**EVERYTHING, target="6Yk2", status="aws", request_id="r1", details={"a": 1}):
        result = shop.tasks["seen"].delay()
    found = get(result)
    assert EVERYTHING.keys() == set(CARRIED)
    assert {name: value for name, value in found.items() if name != "headers"} == {
        **EVERYTHING,
        "request_id": result.id,
    }


def test_nested_tasks_share_the_cascade_and_the_user(shop: Any, entries: Entries) -> None:
    with whodid.context(**WHO):
        shop.tasks["nest"].delay("nested", 3)
        cascade = current_fields()["correlation_id"]
    found = entries("nested-", 4)
    assert {(entry["principal"], entry["correlation_id"]) for entry in found.values()} == {("42", cascade)}
    assert len({entry["request_id"] for entry in found.values()}) == 4


def test_a_retry_is_the_same_task_whatever_the_try_before_has_bound(shop: Any, entries: Entries) -> None:
    with whodid.context(**WHO):
        result = shop.tasks["flaky"].delay("flaky")
    found = entries("flaky-", 3)
    assert get(result) == "done"
    fields = ("principal", "organization_id", "client_ip", "request_id")
    assert {tuple(entry[name] for name in fields) for entry in found.values()} == {
        ("42", "7", "203.0.113.9", result.id)
    }
    assert len({entry["correlation_id"] for entry in found.values()}) == 1


def test_chains_groups_and_chords_share_the_cascade_and_the_user(shop: Any, entries: Entries) -> None:
    record = shop.tasks["record"]
    with whodid.context(**WHO):
        get(chain(record.si("canvas-1"), record.si("canvas-2"), record.si("canvas-3")).apply_async())
        get(group(record.si("canvas-4"), record.si("canvas-5") | record.si("canvas-6")).apply_async())
        get(chord([record.si("canvas-7"), record.si("canvas-8")], record.si("canvas-9")).apply_async())
    found = entries("canvas-", 9)
    assert len({(entry["principal"], entry["correlation_id"]) for entry in found.values()}) == 1
    assert len({entry["request_id"] for entry in found.values()}) == 9


def test_callbacks_of_success_and_failure_have_the_user_too(shop: Any, entries: Entries) -> None:
    record, leak = shop.tasks["record"], shop.tasks["leak"]
    with whodid.context(**WHO):
        record.apply_async(("link-1",), link=record.si("link-2"))
        get(shop.tasks["seen"].delay())
        leak.apply_async((True,), link_error=record.si("error-1"))
    assert entries("link-", 2)["link-2"]["principal"] == "42"
    # Within the task that failed, and after what it has bound: so are its callbacks.
    assert entries("error-", 1)["error-1"]["principal"] == "leaked"


def test_what_is_queued_by_the_system_stays_the_system_s(shop: Any, entries: Entries) -> None:
    with whodid.context(**WHO), whodid.system():
        shop.tasks["complete"].delay("system-1")
    with whodid.context(**WHO):
        shop.tasks["by_system"].delay("system-2")
    found = entries("system-", 3)
    assert {entry["principal"] for entry in found.values()} == {"system"}
    assert [entry for entry in found.values() if "client_ip" in entry] == []
    assert found["system-2"]["correlation_id"] == found["system-2-nested"]["correlation_id"]


def test_a_task_that_nobody_queued_has_no_principal_unless_the_resolver_or_the_task_names_one(
    shop: Any, entries: Entries
) -> None:
    seen = shop.tasks["seen"]
    result = seen.delay()
    assert get(result) == {"correlation_id": result.id, "request_id": result.id, "headers": {"whodid": None}}
    assert "principal" in get(shop.tasks["refused"].delay())
    assert get(seen.delay(user="44"))["principal"] == "44"
    with pytest.raises(whodid.InvalidEntry, match="resolver returned 'system'"):
        get(seen.delay(user="system"))
    shop.tasks["by_system"].delay("nobody")
    assert {entry["principal"] for entry in entries("nobody", 2).values()} == {"system"}


def test_a_name_or_token_without_a_principal_does_not_become_another_s(shop: Any) -> None:
    with whodid.context(principal_name="Ada", access_token_id="t1", client_ip="203.0.113.9"):
        found = get(shop.tasks["seen"].delay(user="44"))
    assert found.keys() == {"principal", "client_ip", "correlation_id", "request_id", "headers"}
    assert found["principal"] == "44"


def test_the_resolver_is_not_asked_about_a_task_that_came_with_a_principal(shop: Any) -> None:
    with whodid.context(**WHO):
        assert get(shop.tasks["seen"].delay(user="44"))["principal"] == "42"


def test_the_cascade_of_a_group_that_nobody_queued_is_the_group(shop: Any) -> None:
    seen = shop.tasks["seen"]
    first, second = get(group(seen.si(), seen.si()).apply_async())
    assert first["correlation_id"] == second["correlation_id"]
    assert first["request_id"] != second["request_id"]
    result = (seen.s() | seen.s()).apply_async()
    assert get(result)["correlation_id"] == get(result.parent)["correlation_id"] == result.parent.id


@pytest.mark.parametrize(
    "header",
    [
        *("42", 42, [], {}, True, {"principal": "42"}, {"principal": "42", "correlation_id": 1}),
        *({"principal": None}, {"principal": {"$ne": 1}, "correlation_id": "c"}, {"version": 9, "who": "42"}),
    ],
    ids=repr,
)
def test_a_header_that_cannot_be_read_names_nobody_and_fails_no_task(shop: Any, header: object) -> None:
    def queue(name: str) -> Any:
        return Celery.send_task(shop, name, kwargs={"user": "44"}, headers={"whodid": header})

    result = queue("seen")
    assert get(result) == {"correlation_id": result.id, "request_id": result.id, "headers": {"whodid": None}}
    assert "principal" in get(queue("refused"))


def test_the_worker_says_that_a_header_cannot_be_read(shop: Any, folder: Path) -> None:
    get(Celery.send_task(shop, "seen", headers={"whodid": "42"}))
    said = "the whodid header of a task seen is malformed; the task has no principal"
    eventually(lambda: said in (folder / "worker.log").read_text())


def test_fields_that_this_version_does_not_know_are_left_out(shop: Any) -> None:
    header = {"principal": "42", "correlation_id": "c", "target": "6Yk2", "seq": "1", "invented": {}}
    found = get(Celery.send_task(shop, "seen", headers={"whodid": header}))
    assert found.keys() == {"principal", "correlation_id", "request_id", "headers"}


def test_headers_that_a_user_passes_arrive_and_cannot_say_who(shop: Any) -> None:
    seen, forged = shop.tasks["seen"], {"principal": "43", "correlation_id": "c"}
    with whodid.context(**WHO):
        found = get(seen.apply_async(headers={"tenant": "x", "whodid": forged}))
        assert (found["principal"], found["headers"]["tenant"]) == ("42", "x")
        found = get(seen.apply_async(headers={"headers": {"tenant": "x"}}))  # a habit from Celery 4
        assert (found["principal"], found["headers"]["tenant"]) == ("42", "x")
    found = get(seen.apply_async(headers={"tenant": "x", "whodid": forged}))
    assert (found.get("principal"), found["headers"]["tenant"]) == (None, "x")


def test_what_a_task_binds_is_gone_in_the_next(shop: Any) -> None:
    for number in range(12):
        leaked = shop.tasks["leak"].delay(bool(number % 2))
        leaked.get(timeout=60, interval=0.02, propagate=False)
        found = get(shop.tasks["seen"].delay())
        assert found.keys() == {"correlation_id", "request_id", "headers"}


def test_a_task_queued_by_its_name_carries_the_context_as_well(shop: Any) -> None:
    with whodid.context(**WHO):
        assert get(shop.send_task("seen"))["principal"] == "42"
        assert get(shop.signature("seen").apply_async())["principal"] == "42"


@pytest.fixture
def eager(tmp_path: Path) -> Any:
    configured(tmp_path)
    app = make(tmp_path)
    app.conf.update(task_always_eager=True, task_store_eager_result=False, task_eager_propagates=True)
    return app


def test_eager_tasks_see_what_they_would_in_a_worker(eager: Any) -> None:
    with whodid.context(**WHO, target="6Yk2", request_id="r1"):
        result = eager.tasks["seen"].delay()
        assert current_fields() == {**WHO, "target": "6Yk2", "request_id": "r1", "correlation_id": "r1"}
    del result.result["headers"]
    assert result.result == {**WHO, "correlation_id": "r1", "request_id": result.id}
    assert eager.tasks["seen"].delay(user="44").result["principal"] == "44"
    with whodid.context(**WHO):
        assert eager.tasks["leak"].apply((True,), throw=False).failed()
        assert current_fields()["principal"] == "42"
    assert current_fields() == {}


def test_eager_cascades_and_retries_keep_the_user(eager: Any, tmp_path: Path) -> None:
    eager.conf.task_eager_propagates = False  # a retry is an exception, too
    record = eager.tasks["record"]
    with whodid.context(**WHO):
        eager.tasks["nest"].delay("a", 2)
        eager.tasks["flaky"].delay("b")
        chain(record.si("c"), record.si("d")).apply_async()
        eager.tasks["by_system"].delay("e")
    found = recorded(tmp_path / "journal")
    assert len(found) == 10
    assert len({entry["correlation_id"] for entry in found}) == 1
    assert {entry["target"]: entry["principal"] for entry in found} == {
        **dict.fromkeys(("a-2", "a-1", "a-0", "b-0", "b-1", "b-2", "c", "d"), "42"),
        **dict.fromkeys(("e", "e-nested"), "system"),
    }


@pytest.fixture
def sent(tmp_path: Path) -> tuple[Any, list[dict[str, Any]]]:
    """An application whose messages go nowhere, and the headers that they would have."""
    configured(tmp_path)
    app, sent = Celery("sending", broker="memory://", set_as_current=False), []
    app.send_task = lambda name, *_, **options: sent.append(options["headers"])
    install(app)
    return app, sent


def test_where_the_context_cannot_say_who_the_header_names_nobody(sent: tuple[Any, list[dict[str, Any]]]) -> None:
    app, headers = sent

    def fails() -> str:
        raise LookupError

    for resolver in (fails, lambda: "system"):
        with scope({}, resolver), pytest.warns(RuntimeWarning, match="a task was queued without a principal"):
            app.send_task("seen")
    no_string: Any = 42
    warned = pytest.warns(RuntimeWarning, match="principal of the context must be strings")
    with whodid.context(principal=no_string), warned:
        app.send_task("seen")
    assert headers == [{"whodid": {"principal": None}}] * 3


def test_the_resolver_of_a_request_is_asked_when_the_task_is_queued(sent: tuple[Any, list[dict[str, Any]]]) -> None:
    app, headers = sent
    with scope({"request_id": "r1"}, lambda: {"principal": "42", "organization_id": "7"}):
        app.send_task("seen")
        bind(principal="43")
        app.send_task("seen")
    assert headers == [
        {"whodid": {"principal": "42", "organization_id": "7", "correlation_id": "r1"}},
        {"whodid": {"principal": "43", "organization_id": "7", "correlation_id": "r1"}},
    ]


def test_installed_twice_it_sends_one_header_and_asks_the_later_resolver(eager: Any) -> None:
    install(eager, principal=lambda task: "45")
    assert eager.tasks["seen"].delay(user="44").result["principal"] == "45"
    with whodid.context(**WHO):
        assert eager.tasks["seen"].delay().result["principal"] == "42"


def test_without_an_application_it_is_the_current_one(eager: Any) -> None:
    eager.set_current()
    install(principal=lambda task: "46")
    assert eager.tasks["seen"].delay().result["principal"] == "46"


def test_another_application_of_the_process_is_left_alone(eager: Any) -> None:
    other = Celery("other", set_as_current=False)
    other.conf.task_always_eager = True
    seen = other.task(current_fields, name="seen", shared=False)
    with whodid.context(**WHO):
        assert seen.delay().result == WHO
        assert eager.tasks["seen"].delay().result["request_id"]
    assert type(other.send_task.__self__) is Celery


def test_of_each_field_it_is_decided_whether_it_goes_along() -> None:
    of_one_entry = {"type", "target", "target_name", "targets", "status", "operation", "phase", "outcome"}
    of_one_entry |= {"before", "after", "details", "occurred_at", "imported_from"}
    assert CALLER_FIELDS - set(CARRIED) == of_one_entry | {"request_id", "method", "route"}
