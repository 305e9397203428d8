"""The throttle, with a clock of the test's own."""

from __future__ import annotations

from whodid.web.throttle import PER_ADDRESS, PER_USER, WINDOW, Throttle


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_an_address_waits_after_too_many_failures_until_the_window_has_passed() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    for n in range(PER_ADDRESS):
        assert throttle.wait("192.0.2.1", f"user{n}") == 0
        throttle.failed("192.0.2.1", f"user{n}")
        clock.now += 1
    assert throttle.wait("192.0.2.1", "somebody") == WINDOW - PER_ADDRESS
    assert throttle.wait("192.0.2.2", "somebody") == 0
    clock.now += WINDOW - PER_ADDRESS
    assert throttle.wait("192.0.2.1", "somebody") == 0


def test_an_ipv6_address_counts_as_its_network() -> None:
    throttle = Throttle(Clock())
    for n in range(PER_ADDRESS):
        throttle.failed(f"2001:db8::{n:x}", f"user{n}")
    assert throttle.wait("2001:db8::ffff", "somebody") > 0
    assert throttle.wait("2001:db8:0:1::1", "somebody") == 0


def test_a_user_name_waits_whatever_the_address_and_its_case() -> None:
    throttle = Throttle(Clock())
    for n in range(PER_USER):
        throttle.failed(f"192.0.2.{n}", "Root")
    assert throttle.wait("198.51.100.1", "root") == WINDOW


def test_success_clears_the_address_but_not_the_user() -> None:
    throttle = Throttle(Clock())
    for _ in range(PER_ADDRESS):
        throttle.failed("192.0.2.1", "root")
    throttle.succeeded("192.0.2.1", "root")
    assert throttle.wait("192.0.2.1", "root") == 0
    for n in range(PER_USER - PER_ADDRESS):
        throttle.failed(f"198.51.100.{n}", "root")
    assert throttle.wait("192.0.2.1", "root") > 0


def test_memory_is_bounded(monkeypatch: object) -> None:
    throttle = Throttle(Clock())
    for n in range(20_000):
        throttle.failed(f"10.0.{n // 250}.{n % 250}", f"u{n}")
    assert len(throttle._failures) <= 10_000
