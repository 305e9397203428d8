"""No sequence of commands deletes an entry before its time, or one that is held: Hypothesis drives the stand-in.

Entries come, late ones too; days pass; people set retention, holds and partition lengths, run setup and the doctor, and
meddle with ISM by hand. Whenever ISM deletes a partition, each of its entries must be as old as the retention that was
set last, and no hold may cover it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from opensearchpy import OpenSearch

from tests.doctor.examined import examined
from tests.opensearch.ism_stand_in import IsmStandIn
from tests.opensearch.ism_stand_in.jobs import Index
from tests.opensearch.test_ism import NAME, THEIRS
from whodid.cluster.template import MARK
from whodid.entry import partition_name
from whodid.errors import OpenSearchError
from whodid.retention.enforcement import record_upcoming
from whodid.retention.holds import Hold, apply_holds, new_hold, release_hold, set_hold
from whodid.retention.ism import Ism
from whodid.retention.moves import set_retention
from whodid.settings import Settings, retention_days
from whodid.setup.setup import apply, plan

DAY = 86_400
_LATE = timedelta(days=45)
"""Entries come later than they were recorded by less than this."""
_UNSHRUNK = (Phase.explicit, Phase.reuse, Phase.generate)
"""Steps that fail are told as they were found: to make them fewer takes minutes."""


class RetentionMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.cluster = IsmStandIn()
        self.client = OpenSearch(hosts=[self.cluster.url], max_retries=0)
        self.settings = Settings(retention="30d", opensearch_hosts=(self.cluster.url,))
        self.entries: dict[str, list[datetime]] = {}
        self.holds: list[Hold] = []
        self.wrong: list[str] = []
        self.cluster.on_delete = self.deleted
        apply(plan(self.client, self.settings))
        Ism(self.client).put_policy("theirs", THEIRS, None)
        self.cluster.advance(1)

    def teardown(self) -> None:
        self.client.close()
        self.cluster.close()

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self.cluster.now / 1000, UTC)

    @property
    def floor(self) -> timedelta:
        return timedelta(days=retention_days(self.settings.retention) or 10_000)

    def deleted(self, index: Index) -> None:
        young = [entry for entry in self.entries.pop(index.name, []) if self.now - entry < self.floor]
        if young:
            self.wrong.append(f"{index.name} went on {self.now} with an entry of {max(young)}, floor {self.floor}")
        if any(hold.covers(self.settings.index_prefix, index.name) for hold in self.holds):
            self.wrong.append(f"{index.name} went on {self.now}, though held")

    def names(self) -> list[str]:
        return [name for name in self.cluster.indices if name in self.entries]

    def pick(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(sorted(self.names())))

    @rule(late=st.integers(1, 40))
    def a_late_entry_comes(self, late: int) -> None:
        self.an_entry_comes(late)

    def an_entry_comes(self, late: int) -> None:
        date = self.now - timedelta(days=late)
        if timedelta(days=late) > self.floor:
            return  # expired on arrival: the shipper refuses it
        name = partition_name(self.settings.index_prefix, self.settings.partition, date.strftime("%Y-%m-%dT%H:%M:%SZ"))
        if name not in self.cluster.indices:
            self.cluster.create_index(name, mark=MARK)
            self.cluster.sweep()
        dates = self.entries.setdefault(name, [])
        dates.append(date)
        index = self.cluster.indices[name]
        index.entries = len(dates)
        index.dates = tuple(f"{each:%Y-%m-%dT%H:%M:%SZ}" for each in (min(dates), max(dates)))  # type: ignore[assignment]

    @rule(days=st.integers(1, 45))
    def days_pass(self, days: int) -> None:
        """With an entry each day: the application goes on, and so does the daily `whodid retention enforce`.

        It is left out while no hold reaches partitions that are yet to be made, so that it cures nothing else.
        """
        for _ in range(days):
            self.cluster.advance(DAY)
            self.an_entry_comes(0)
            if any(
                hold.until and datetime.fromisoformat(hold.until) > self.now - timedelta(days=2) for hold in self.holds
            ):
                apply_holds(self.client, self.settings)

    @rule(days=st.sampled_from(["3d", "10d", "30d", "60d", "off"]), take_over=st.booleans())
    def retention_is_set(self, days: str, take_over: bool) -> None:
        before, wanted = self.settings, replace(self.settings, retention=days)
        # While it is followed, a partition may still go by the version that it runs.
        self.settings = min(before, wanted, key=_days)
        set_retention(
            self.client, wanted, tries=6, pause=lambda: self.cluster.advance(300), take_over=take_over, force=True
        )
        self.settings = wanted

    @rule(length=st.sampled_from(["month", "week", "day"]))
    def the_length_of_partitions_is_changed_and_setup_run(self, length: Any) -> None:
        self.settings = replace(self.settings, partition=length)
        apply(plan(self.client, self.settings))

    @precondition(lambda self: self.names())
    @rule(data=st.data(), over_days=st.booleans())
    def a_hold_is_set(self, data: st.DataObject, over_days: bool) -> None:
        if over_days:
            since = self.now - timedelta(days=data.draw(st.integers(0, 60)))
            hold = new_hold("case", "alice", since=since, until=since + timedelta(days=data.draw(st.integers(1, 60))))
        else:
            hold = new_hold("case", "alice", partitions=[self.pick(data)])
        assert set_hold(self.client, self.settings, hold).problems == {}
        self.holds.append(hold)

    @precondition(lambda self: self.holds)
    @rule()
    def a_hold_is_released(self) -> None:
        hold = self.holds.pop(0)
        assert release_hold(self.client, self.settings, hold.id, by="bob", reason="closed").problems == {}

    @rule()
    def setup_is_run(self) -> None:
        apply(plan(self.client, self.settings))

    @rule()
    def the_doctor_mends(self) -> None:
        for finding in examined(self.settings, "retention"):
            if finding.fix and "hold" not in finding.fix.says:
                finding.fix.make(self.client)

    @rule()
    def records_are_kept_ahead(self) -> None:
        record_upcoming(self.client, self.settings, self.now)

    @precondition(lambda self: self.names())
    @rule(data=st.data(), how=st.sampled_from(["remove", "theirs", "fail", "add", "lose the mark"]))
    def somebody_meddles(self, data: st.DataObject, how: str) -> None:
        name = self.pick(data)
        index = self.cluster.indices[name]
        held = any(hold.covers(self.settings.index_prefix, name) for hold in self.holds)
        if how == "remove":
            Ism(self.client).remove(name)
        elif how == "fail" and index.job:
            index.job.failed, index.job.enabled = True, False
        elif how in {"theirs", "add"} and not held:  # who puts what is held under a policy by hand has it deleted
            try:
                Ism(self.client).add(name, NAME if how == "add" else "theirs")
            except OpenSearchError:
                return  # it has one

    @invariant()
    def nothing_went_too_early(self) -> None:
        assert self.wrong == []


def _days(settings: Settings) -> int:
    return retention_days(settings.retention) or 10_000


@pytest.mark.longer
def test_no_sequence_of_commands_deletes_an_entry_before_its_time() -> None:
    run_state_machine_as_test(
        RetentionMachine,
        settings=settings(
            max_examples=200 if os.environ.get("WHODID_TEST_SOAK") else 20,
            stateful_step_count=20,
            phases=_UNSHRUNK,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@contextmanager
def _machine() -> Iterator[RetentionMachine]:
    machine = RetentionMachine()
    try:
        yield machine
    finally:
        machine.teardown()


def test_the_model_would_notice() -> None:
    """An index that somebody made too early, and one that is held and was put under a policy by hand."""
    with _machine() as machine:
        machine.an_entry_comes(0)
        [name] = machine.names()
        machine.cluster.indices[name].created -= 40 * DAY * 1000
        machine.days_pass(31)
        assert machine.wrong
    with _machine() as machine:
        machine.an_entry_comes(0)
        set_hold(machine.client, machine.settings, hold := new_hold("case", "alice", partitions=machine.names()))
        machine.holds.append(hold)
        machine.days_pass(70)
        assert machine.wrong == []
        Ism(machine.client).add(machine.names()[0], NAME)
        machine.days_pass(6)
        assert any("though held" in text for text in machine.wrong)
