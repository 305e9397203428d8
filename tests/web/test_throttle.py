"""The throttle, with a clock of the test's own."""

from __future__ import annotations

from whodid.web.limits import PER_ADDRESS, PER_USER, WINDOW, Throttle


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_an_address_waits_after_too_many_failures_until_the_window_has_passed() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    for n in range(PER_ADDRESS):
        assert throttle.attempt("192.0.2.1", f"user{n}") == 0
        clock.now += 1
    assert throttle.attempt("192.0.2.1", "somebody") == WINDOW - PER_ADDRESS
    assert throttle.attempt("192.0.2.2", "somebody") == 0
    clock.now += WINDOW - PER_ADDRESS
    assert throttle.attempt("192.0.2.1", "somebody") == 0


def test_an_ipv6_address_counts_as_its_network() -> None:
    throttle = Throttle(Clock())
    for n in range(PER_ADDRESS):
        throttle.attempt(f"2001:db8::{n:x}", f"user{n}")
    assert throttle.attempt("2001:db8::ffff", "somebody") > 0
    assert throttle.attempt("2001:db8:0:1::1", "somebody") == 0


def test_a_user_name_waits_whatever_the_address_and_its_case() -> None:
    throttle = Throttle(Clock())
    for n in range(PER_USER):
        assert throttle.attempt(f"192.0.2.{n}", "Root") == 0
    assert throttle.attempt("198.51.100.1", "root") == WINDOW


def test_what_is_refused_does_not_count() -> None:
    throttle = Throttle(Clock())
    for _ in range(PER_ADDRESS + PER_USER):
        throttle.attempt("192.0.2.1", "root")
    assert throttle.attempt("198.51.100.1", "root") == 0


def test_success_clears_the_address_but_not_the_user() -> None:
    throttle = Throttle(Clock())
    for _ in range(PER_ADDRESS):
        throttle.attempt("192.0.2.1", "root")
    throttle.succeeded("192.0.2.1", "root")
    assert throttle.attempt("192.0.2.1", "root") == 0
    for n in range(PER_USER - PER_ADDRESS):
        throttle.attempt(f"198.51.100.{n}", "root")
    assert throttle.attempt("192.0.2.1", "root") > 0


def test_an_attempt_that_the_cluster_could_not_answer_does_not_count() -> None:
    throttle = Throttle(Clock())
    for _ in range(PER_ADDRESS + PER_USER):
        assert throttle.attempt("192.0.2.1", "root") == 0
        throttle.unanswered("192.0.2.1", "root")


def test_memory_is_bounded() -> None:
    throttle = Throttle(Clock())
    for n in range(20_000):
        throttle.attempt(f"10.0.{n // 250}.{n % 250}", f"u{n}" + "x" * 1000)
    assert len(throttle._failures) <= 10_000
    assert max(len(name) for _, name in throttle._failures) <= 256
