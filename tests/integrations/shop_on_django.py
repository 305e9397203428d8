"""A shop on Django with two SQLite databases, to try `audit_on_commit` in: one scenario a process.

python shop_on_django.py SCENARIO      # in an empty folder; the journal is ./journal
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import django
from django.conf import settings

settings.configure(
    DATABASES={
        name: {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{name}.sqlite"} for name in ("default", "other")
    }
)
django.setup()

from django.db import IntegrityError, connection, connections, models, transaction  # noqa: E402 (needs the settings)

import whodid  # noqa: E402
from whodid.integrations.django import audit_on_commit  # noqa: E402
from whodid.journal import read_entries  # noqa: E402


class Order(models.Model):  # type: ignore[misc] # Django is untyped
    of = models.ForeignKey("self", null=True, on_delete=models.DO_NOTHING)  # deferred, as all of Django's are

    class Meta:
        app_label = "shop"


def pay(number: int, using: str = "default") -> None:
    Order.objects.using(using).create(id=number)
    with whodid.context(principal="42", client_ip="203.0.113.9"):
        audit_on_commit("credentials_created", target=str(number) if number else None, using=using)


def holds(*numbers: int) -> None:
    """The databases and the journal agree, and have these."""
    orders = [order.id for name in ("default", "other") for order in Order.objects.using(name).order_by("id")]
    assert [int(entry["target"]) for entry in read_entries("journal")] == list(numbers), list(read_entries("journal"))
    assert sorted(orders) == sorted(numbers), orders


def raises(error: type[BaseException], action: Callable[[], object]) -> BaseException:
    try:
        action()
    except error as raised:
        return raised
    raise AssertionError(f"no {error.__name__}")


def committed() -> None:
    with transaction.atomic():
        pay(1)
        assert list(read_entries("journal")) == []
    holds(1)


def outside_a_transaction() -> None:
    pay(1)
    holds(1)


def rolled_back() -> None:
    def broken() -> None:
        with transaction.atomic():
            pay(1)
            raise ZeroDivisionError

    raises(ZeroDivisionError, broken)
    with transaction.atomic():
        pay(2)
        transaction.set_rollback(True)
    pay(3)
    holds(3)


def savepoints() -> None:
    def broken(number: int) -> None:
        with transaction.atomic():
            pay(number)
            raise ZeroDivisionError

    with transaction.atomic():
        pay(1)
        raises(ZeroDivisionError, lambda: broken(2))
        with transaction.atomic():
            pay(3)
        with transaction.atomic():
            with transaction.atomic():
                pay(4)
            transaction.set_rollback(True)
        pay(5)
    holds(1, 3, 5)


def two_databases() -> None:
    with transaction.atomic(), transaction.atomic(using="other"):
        pay(1)
        pay(2, using="other")
        transaction.set_rollback(True, using="other")
    with transaction.atomic(using="other"):
        pay(3, using="other")
        pay(4)
    holds(1, 4, 3)


def commit_fails() -> None:
    def broken() -> None:
        with transaction.atomic():
            pay(1)
            Order.objects.create(id=2, of_id=99)

    raises(IntegrityError, broken)
    pay(3)
    holds(3)


def who() -> None:
    details = {"amount": 30}
    with whodid.context(client_ip="203.0.113.9"):
        whodid.bind(principal="42")
        with transaction.atomic():
            audit_on_commit("credentials_created", target="1", details=details)
            details["amount"] = 31
            whodid.bind(principal="43", organization_id="7")
    [entry] = read_entries("journal")
    assert (entry["principal"], entry["client_ip"], entry["details"]) == ("42", "203.0.113.9", {"amount": 30}), entry
    assert "organization_id" not in entry


def bad_call() -> None:
    with transaction.atomic():
        raises(whodid.InvalidEntry, lambda: audit_on_commit("credentials_created", target="1"))
        raises(whodid.InvalidEntry, lambda: audit_on_commit("no_such_type", target="1"))
    holds()


def recording_fails() -> None:
    whodid.configure(journal_dir="journal", max_bytes=1)

    def broken() -> None:
        with transaction.atomic():
            pay(1)

    raises(whodid.JournalFull, broken)
    assert Order.objects.count() == 1
    whodid.configure(journal_dir="journal")
    with transaction.atomic():
        audit_on_commit("credentials_created", target="2", principal="42", client_ip="203.0.113.9")
    [entry] = read_entries("journal")
    assert entry["target"] == "2"


def threads() -> None:
    from concurrent.futures import ThreadPoolExecutor

    def work(number: int) -> None:
        with whodid.context(principal=str(number), client_ip="203.0.113.9"), transaction.atomic():
            audit_on_commit("credentials_created", target=str(number))
            transaction.set_rollback(number % 2 == 1)
        connection.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(40)))
    found = {entry["target"]: entry["principal"] for entry in read_entries("journal")}
    assert found == {str(number): str(number) for number in range(0, 40, 2)}


SCENARIOS = {
    scenario.__name__: scenario
    for scenario in (
        committed,
        outside_a_transaction,
        rolled_back,
        savepoints,
        two_databases,
        commit_fails,
        who,
        bad_call,
        recording_fails,
        threads,
    )
}

if __name__ == "__main__":
    whodid.configure(journal_dir=Path("journal"))
    for each in connections.all():
        with each.schema_editor() as editor:
            editor.create_model(Order)
    SCENARIOS[sys.argv[1]]()
