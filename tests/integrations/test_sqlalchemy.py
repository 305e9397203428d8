"""SQLAlchemy: an entry is recorded after the commit of what it tells of, and never without it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey, create_engine, event, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, scoped_session, sessionmaker

import whodid
from tests.recording import WHO, configured, recorded
from whodid.integrations.sqlalchemy import audit_on_commit
from whodid.journal.directory import JournalDirectory


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    of: Mapped[int | None] = mapped_column(ForeignKey("orders.id", deferrable=True, initially="DEFERRED"))


@pytest.fixture
def journal_dir(tmp_path: Path) -> Path:
    return configured(tmp_path)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{tmp_path / 'shop.sqlite'}")
    event.listen(engine, "connect", _leave_transactions_to_sqlalchemy)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


def _leave_transactions_to_sqlalchemy(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # else Python's sqlite3 begins late, and savepoints are not within
    connection.execute("PRAGMA foreign_keys=ON")


def pay(session: Any, number: int) -> None:
    """An order is paid: in the database, and in the audit log."""
    session.add(Order(id=number))
    with whodid.context(**WHO):
        audit_on_commit(session, "credentials_created", target=str(number))


def paid(engine: Engine) -> list[str]:
    with Session(engine) as session:
        return [str(number) for number in session.scalars(select(Order.id).order_by(Order.id))]


def targets(journal_dir: Path) -> list[str]:
    return [entry["target"] for entry in recorded(journal_dir)]


def test_an_entry_is_recorded_after_the_commit_and_not_before(journal_dir: Path, engine: Engine) -> None:
    with Session(engine) as session:
        pay(session, 1)
        session.flush()
        assert targets(journal_dir) == []
        session.commit()
    [entry] = recorded(journal_dir)
    assert {name: entry[name] for name in WHO} == WHO
    assert (entry["type"], entry["target"]) == ("credentials_created", "1")


def test_a_rollback_leaves_no_entry_and_the_session_goes_on(journal_dir: Path, engine: Engine) -> None:
    with Session(engine) as session:
        pay(session, 1)
        session.flush()
        session.rollback()
        pay(session, 2)
        session.commit()
        session.commit()
        pay(session, 3)
        session.commit()
    assert targets(journal_dir) == paid(engine) == ["2", "3"]


def test_a_session_closed_without_a_commit_leaves_no_entry(journal_dir: Path, engine: Engine) -> None:
    with Session(engine) as session:
        pay(session, 1)
        session.flush()
        session.close()
        pay(session, 2)
        with session.begin_nested():
            pay(session, 3)
            session.close()
        session.commit()
    assert targets(journal_dir) == paid(engine) == []


def test_an_exception_in_the_block_leaves_no_entry(journal_dir: Path, engine: Engine) -> None:
    with pytest.raises(ZeroDivisionError), Session(engine) as session, session.begin():
        pay(session, 1)
        raise ZeroDivisionError
    assert targets(journal_dir) == paid(engine) == []


def test_before_the_first_statement_a_commit_records_and_a_rollback_or_close_drops(
    journal_dir: Path, engine: Engine
) -> None:
    def audit(session: Session, target: str) -> None:
        with whodid.context(**WHO):
            audit_on_commit(session, "credentials_created", target=target)

    with Session(engine) as session:
        audit(session, "rolled back")
        session.rollback()
        audit(session, "closed")
        session.close()
        audit(session, "committed")
        session.commit()
    assert targets(journal_dir) == ["committed"]


def test_a_savepoint_rolled_back_drops_its_own_entries_only(journal_dir: Path, engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        pay(session, 1)
        savepoint = session.begin_nested()
        pay(session, 2)
        savepoint.rollback()
        with pytest.raises(ZeroDivisionError), session.begin_nested():
            pay(session, 3)
            raise ZeroDivisionError
        with session.begin_nested():
            pay(session, 4)
            session.flush()
        pay(session, 5)
    assert targets(journal_dir) == paid(engine) == ["1", "4", "5"]


def test_a_released_savepoint_belongs_to_the_one_around_it(journal_dir: Path, engine: Engine) -> None:
    with Session(engine) as session:
        outer = session.begin_nested()
        with session.begin_nested():
            pay(session, 1)
        outer.rollback()
        outer = session.begin_nested()
        session.begin_nested()
        pay(session, 2)
        outer.rollback()
        outer = session.begin_nested()
        session.begin_nested()
        pay(session, 3)
        outer.commit()
        session.begin_nested()
        pay(session, 4)
        session.commit()
        with session.begin_nested():
            pay(session, 5)
        session.rollback()
    assert targets(journal_dir) == paid(engine) == ["3", "4"]


def test_a_commit_that_fails_leaves_no_entry(journal_dir: Path, engine: Engine) -> None:
    with Session(engine) as session:
        pay(session, 1)
        session.add(Order(id=2, of=99))  # refused by COMMIT, as the constraint is deferred
        session.flush()
        with pytest.raises(IntegrityError):
            session.commit()
        session.rollback()
        pay(session, 3)
        with pytest.raises(IntegrityError):
            session.add(Order(id=3))  # refused by the flush
            session.commit()
        session.rollback()
        pay(session, 4)
        session.commit()
    assert targets(journal_dir) == paid(engine) == ["4"]


def test_two_sessions_at_once_keep_apart(journal_dir: Path, engine: Engine) -> None:
    with Session(engine) as one, Session(engine) as other:
        pay(one, 1)
        pay(other, 2)
        one.commit()
        assert targets(journal_dir) == ["1"]
        other.rollback()
        pay(other, 3)
        other.commit()
    assert targets(journal_dir) == paid(engine) == ["1", "3"]


def test_who_and_what_are_those_of_the_call(journal_dir: Path, engine: Engine) -> None:
    details: dict[str, object] = {"amount": 30}
    with whodid.context(client_ip="203.0.113.9"), Session(engine) as session:
        whodid.bind(principal="42", principal_name="Ada")
        audit_on_commit(session, "credentials_created", target="1", details=details)
        details["amount"] = 31
        whodid.bind(principal="43", organization_id="7")
        with whodid.context(workspace_id="9", target="2"):
            session.commit()
    [entry] = recorded(journal_dir)
    assert (entry["principal"], entry["principal_name"], entry["client_ip"]) == ("42", "Ada", "203.0.113.9")
    assert (entry["target"], entry["details"]) == ("1", {"amount": 30})
    assert {"organization_id", "workspace_id"} & entry.keys() == set()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"target": "1"}, "principal"),
        ({"target": "1", "principal": "42", "client_ip": "203.0.113.9", "nope": 1}, "nope is not a field"),
        ({"target": "1", "principal": "42", "client_ip": "203.0.113.9", "details": {"at": object()}}, "not JSON"),
    ],
)
def test_a_bad_call_raises_at_the_call(journal_dir: Path, engine: Engine, fields: dict[str, Any], message: str) -> None:
    with Session(engine) as session:
        with pytest.raises(whodid.InvalidEntry, match=message):
            audit_on_commit(session, "credentials_created", **fields)
        with pytest.raises(whodid.InvalidEntry, match="no_such_type"):
            audit_on_commit(session, "no_such_type", target="1")
        session.commit()
    assert targets(journal_dir) == []


def test_where_bad_calls_are_quarantined_one_is_so_at_once_and_nothing_follows(tmp_path: Path, engine: Engine) -> None:
    journal_dir = configured(tmp_path, on_invalid="quarantine")
    with Session(engine) as session:
        audit_on_commit(session, "no_such_type", target="1")
        kept = JournalDirectory(journal_dir).rejected
        before = kept.read_bytes()
        session.commit()
        assert kept.read_bytes() == before
    assert b"no_such_type" in before
    assert targets(journal_dir) == []


def test_an_error_from_recording_reaches_the_committer_whose_session_stays_usable(
    tmp_path: Path, engine: Engine
) -> None:
    journal_dir = configured(tmp_path, max_bytes=1)
    with Session(engine) as session, pytest.raises(whodid.JournalFull) as raised, session.begin():
        pay(session, 1)
        pay(session, 2)
    assert raised.value.__notes__ == ["the transaction is committed; 2 of its 2 audit entries are missing"]
    with pytest.raises(whodid.JournalFull):
        pay(session, 3)
        session.commit()
    assert session.get(Order, 1) is not None
    session.commit()
    session.close()
    assert paid(engine) == ["1", "2", "3"]
    assert targets(journal_dir) == []


def test_entries_made_while_flushing_are_recorded_too(journal_dir: Path, engine: Engine) -> None:
    def audit_new(session: Session, _context: object) -> None:
        for made in session.new:
            with whodid.context(**WHO):
                audit_on_commit(session, "credentials_created", target=str(made.id))

    with Session(engine) as session:
        event.listen(session, "after_flush", audit_new)
        session.add(Order(id=1))
        session.commit()
        with session.begin_nested():
            session.add(Order(id=2))
        session.rollback()
    assert targets(journal_dir) == paid(engine) == ["1"]


def test_a_scoped_session_is_the_session_of_its_thread(journal_dir: Path, engine: Engine) -> None:
    session = scoped_session(sessionmaker(engine))
    pay(session, 1)
    session.commit()
    pay(session, 2)
    session.remove()
    pay(session, 3)
    session.commit()
    session.remove()
    assert targets(journal_dir) == paid(engine) == ["1", "3"]


def test_an_async_session_records_and_drops_likewise(journal_dir: Path, engine: Engine, tmp_path: Path) -> None:
    async def work() -> None:
        async_engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'shop.sqlite'}")
        async with AsyncSession(async_engine) as session:
            pay(session, 1)
            await session.commit()
            pay(session, 2)
            await session.rollback()
            async with session.begin():
                pay(session, 3)
        scoped = async_scoped_session(async_sessionmaker(async_engine), asyncio.current_task)
        pay(scoped, 4)
        await scoped.commit()
        await scoped.remove()
        await async_engine.dispose()

    asyncio.run(work())
    assert targets(journal_dir) == paid(engine) == ["1", "3", "4"]


def test_an_async_session_is_the_session_behind_it(journal_dir: Path, engine: Engine) -> None:
    """Without an async driver: the session behind it does the work."""
    session = AsyncSession(sync_session_class=lambda **_: Session(engine))  # type: ignore[arg-type]
    pay(session, 1)
    session.sync_session.commit()
    pay(session, 2)
    session.sync_session.rollback()
    session.sync_session.close()
    assert targets(journal_dir) == paid(engine) == ["1"]


def test_many_entries_of_one_transaction_keep_the_order_of_their_calls(journal_dir: Path, engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        for number in range(0, 30, 3):
            pay(session, number)
            with session.begin_nested():
                pay(session, number + 1)
            pay(session, number + 2)
        assert session.scalar(select(func.count()).select_from(Order)) == 30
    assert targets(journal_dir) == [str(number) for number in range(30)]
