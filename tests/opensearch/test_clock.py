"""The cluster's clock: asked now and then, and not moved by ours."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.live.corner import Corner
from whodid.cluster import clock as module
from whodid.cluster.clock import ClusterClock, deletion_time
from whodid.errors import NotAuthorized, OpenSearchError, OpenSearchUnavailable
from whodid.shipping.service import connected_shipper

REAL = datetime


class Machine:
    """Our own clock, which somebody sets, and the seconds that really pass; the cluster's clock is right."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wrong = timedelta(0)
        self.passed = 0.0
        self.asked = 0
        self.away = False
        monkeypatch.setattr(module, "datetime", self)
        monkeypatch.setattr(module, "clock_ahead", self._ahead)
        self.clock = ClusterClock(lambda: Any, steady=lambda: self.passed)  # type: ignore[arg-type, return-value] # never used

    @property
    def right(self) -> datetime:
        return REAL(2026, 11, 23, 8, tzinfo=UTC) + timedelta(seconds=self.passed)

    def now(self, _zone: object) -> datetime:
        return self.right + self.wrong

    def _ahead(self, _client: object) -> timedelta:
        self.asked += 1
        if self.away:
            raise OpenSearchUnavailable("away")
        return -self.wrong


@pytest.mark.parametrize("jump", [timedelta(days=365), timedelta(days=-365)])
def test_a_jump_of_our_clock_moves_nothing(monkeypatch: pytest.MonkeyPatch, jump: timedelta) -> None:
    machine = Machine(monkeypatch)
    for passed, wrong, away in ((0, timedelta(0), False), (60, jump, False), (4000, jump, True), (9000, jump, False)):
        machine.passed, machine.wrong, machine.away = passed, wrong, away
        assert machine.clock.now() == machine.right
    assert machine.asked == 3


def test_without_an_answer_our_own_clock_has_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    machine.away, machine.wrong = True, timedelta(hours=1)
    assert machine.clock.now() == machine.right + timedelta(hours=1)
    machine.away = False
    assert machine.clock.now() == machine.right


@pytest.mark.parametrize("error", [NotAuthorized("no right"), OpenSearchUnavailable("away")])
def test_nothing_is_deleted_by_our_own_clock_where_the_cluster_refuses_to_tell_its_own(
    monkeypatch: pytest.MonkeyPatch, error: OpenSearchError
) -> None:
    def refuse(_: object) -> timedelta:
        raise error

    monkeypatch.setattr(module, "clock_ahead", refuse)
    with pytest.raises(type(error)):
        deletion_time(Any)  # type: ignore[arg-type] # never asked
    error = OpenSearchError("no handler found")
    assert abs(deletion_time(Any) - datetime.now(UTC)) < timedelta(hours=1)  # type: ignore[arg-type] # never asked


@pytest.mark.live
@pytest.mark.parametrize("jump", [timedelta(days=366), timedelta(days=-366)])
def test_entries_recorded_before_our_clock_jumped_are_shipped(
    place: Corner, monkeypatch: pytest.MonkeyPatch, jump: timedelta
) -> None:
    entries = place.record(5)

    class Jumped(REAL):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return REAL.now(tz) + jump

    monkeypatch.setattr(module, "datetime", Jumped)
    progress = connected_shipper(replace(place.settings, retention="365d"), notify=lambda text: None).run_once(10)
    assert (progress.shipped, progress.dead_letters) == (5, 0)
    assert len(place.stored()) == len(entries)
