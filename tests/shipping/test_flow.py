"""The flow: sizes that follow the cluster's answers, pauses that end early, a rate that holds."""

from __future__ import annotations

import threading

import pytest

from tests.live.corner import eventually
from whodid.cluster.bulk import Cause, Document
from whodid.shipping.delivery import FlowControl


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def documents(*sizes: int) -> list[Document]:
    return [Document(str(n), "p", b"x" * size) for n, size in enumerate(sizes)]


def test_a_request_holds_at_most_its_size_and_at_least_one_entry() -> None:
    flow = FlowControl(100)
    assert flow.fitting(documents(40, 60, 1)) == 2
    assert flow.fitting(documents(40, 61)) == 1
    assert flow.fitting(documents(101, 1)) == 1
    assert flow.fitting(documents(1)) == 1


@pytest.mark.parametrize("cause", ["throttled", "too_large", "time_out"])
def test_too_much_halves_the_size_to_a_floor(cause: Cause) -> None:
    flow = FlowControl(1_000_000)
    flow.failed(cause, 600_000)
    assert flow.size == 300_000
    for _ in range(20):
        flow.failed(cause, 600_000)
    assert flow.size == (1 if cause == "too_large" else 16 * 1024)


@pytest.mark.parametrize("cause", ["no_connection", "unavailable", "blocked", "no_rights", "answer"])
def test_what_no_smaller_request_mends_leaves_the_size(cause: Cause) -> None:
    flow = FlowControl(1_000_000)
    flow.failed(cause, 600_000)
    assert flow.size == 1_000_000


def test_the_size_grows_again_but_not_past_what_was_too_large_once() -> None:
    throttled, too_large = FlowControl(1_000_000), FlowControl(1_000_000)
    throttled.failed("throttled", 1_000_000)
    too_large.failed("too_large", 1_000_000)
    for _ in range(20):
        throttled.succeeded()
        too_large.succeeded()
    assert (throttled.size, too_large.size) == (1_000_000, 500_000)


def paused(flow: FlowControl, cause: Cause) -> tuple[threading.Thread, list[bool]]:
    said: list[bool] = []
    thread = threading.Thread(target=lambda: said.append(flow.pause(10, cause)))
    thread.start()
    return thread, said


@pytest.fixture
def _long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whodid.shipping.delivery.random.uniform", lambda _low, high: high)


@pytest.mark.usefixtures("_long_pauses")
@pytest.mark.parametrize("cause", ["no_connection", "unavailable", "time_out"])
def test_an_answer_to_one_ends_the_pause_of_all_who_found_the_cluster_away(cause: Cause) -> None:
    flow = FlowControl(1000)
    thread, said = paused(flow, cause)

    def answered() -> list[bool]:
        flow.answered()
        return said

    eventually(answered)
    thread.join(10)
    assert said == [True]


@pytest.mark.usefixtures("_long_pauses")
def test_who_was_told_to_slow_down_pauses_whatever_others_hear_and_the_end_ends_it() -> None:
    flow = FlowControl(1000)
    thread, said = paused(flow, "throttled")
    for _ in range(50):
        flow.answered()
    thread.join(0.1)
    assert said == []
    flow.end()
    thread.join(10)
    assert said == [False]


def test_patience_counts_from_the_last_answer() -> None:
    clock = Clock()
    flow = FlowControl(1000, monotonic=clock)
    flow.begin(patience=30)
    clock.now += 29
    flow.answered()
    clock.now += 29
    assert flow.pause(0, "unavailable")
    clock.now += 1
    assert not flow.pause(0, "unavailable")


def test_a_rate_lets_so_many_entries_go_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    flow = FlowControl(1000, rate=100, monotonic=clock)
    monkeypatch.setattr(flow, "wait", lambda seconds: setattr(clock, "now", clock.now + seconds))
    for _ in range(11):
        flow.admit(50)
    assert clock.now == pytest.approx(105)
