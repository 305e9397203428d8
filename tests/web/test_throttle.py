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
        assert throttle.attempt("192.0.2.1", f"user{n}").wait == 0
        clock.now += 1
    assert throttle.attempt("192.0.2.1", "somebody").wait == WINDOW - PER_ADDRESS
    assert throttle.attempt("192.0.2.2", "somebody").wait == 0
    clock.now += WINDOW - PER_ADDRESS
    assert throttle.attempt("192.0.2.1", "somebody").wait == 0


def test_an_ipv6_address_counts_as_its_network() -> None:
    throttle = Throttle(Clock())
    for n in range(PER_ADDRESS):
        throttle.attempt(f"2001:db8::{n:x}", f"user{n}")
    assert throttle.attempt("2001:db8::ffff", "somebody").wait > 0
    assert throttle.attempt("2001:db8:0:1::1", "somebody").wait == 0


def test_a_user_name_waits_whatever_the_address_and_its_case() -> None:
    throttle = Throttle(Clock())
    for n in range(PER_USER):
        assert throttle.attempt(f"192.0.2.{n}", "Root").wait == 0
    assert throttle.attempt("198.51.100.1", "root").wait == WINDOW


def test_what_is_refused_does_not_count() -> None:
    throttle = Throttle(Clock())
    for _ in range(PER_ADDRESS + PER_USER):
        throttle.attempt("192.0.2.1", "root")
    assert throttle.attempt("198.51.100.1", "root").wait == 0


def test_a_success_takes_back_its_own_attempt_and_no_failure_of_its_address() -> None:
    throttle = Throttle(Clock())
    tried = 0
    for n in range(200):
        attempt = throttle.attempt("192.0.2.1", "own" if n % 10 == 9 else f"user{n}")
        if not attempt.wait and n % 10 == 9:
            throttle.succeeded(attempt)
        tried += not attempt.wait and n % 10 != 9
    assert tried == PER_ADDRESS


def test_a_success_does_not_count() -> None:
    throttle = Throttle(Clock())
    for _ in range(PER_ADDRESS + PER_USER):
        attempt = throttle.attempt("192.0.2.1", "root")
        assert attempt.wait == 0
        throttle.succeeded(attempt)
    assert len(throttle._by_address._moments) == len(throttle._by_user._moments) == 0


def test_an_attempt_that_is_taken_back_late_leaves_the_failures_after_it() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    slow = throttle.attempt("192.0.2.1", "own")
    clock.now += 1
    for n in range(PER_ADDRESS - 1):
        throttle.attempt("192.0.2.1", f"user{n}")
    throttle.take_back(slow)
    throttle.attempt("192.0.2.1", "one")
    assert throttle.attempt("192.0.2.1", "another").wait == WINDOW


def test_an_ipv4_address_in_ipv6_form_counts_as_itself() -> None:
    throttle = Throttle(Clock())
    for n in range(PER_ADDRESS):
        assert throttle.attempt(("192.0.2.1", "::ffff:192.0.2.1")[n % 2], f"user{n}").wait == 0
    assert throttle.attempt("::ffff:192.0.2.1", "somebody").wait > 0
    assert throttle.attempt("::ffff:192.0.2.2", "somebody").wait == 0


def test_other_addresses_and_names_do_not_make_a_limit_forgotten() -> None:
    throttle = Throttle(Clock())
    for n in range(PER_USER):
        throttle.attempt(f"10.0.0.{n}", "root")
    for n in range(PER_ADDRESS):
        throttle.attempt("192.0.2.1", f"user{n}")
    for n in range(10_100):
        assert throttle.attempt(f"2001:db8:0:{n:x}::1", f"other{n}").wait == 0
    assert throttle.attempt("198.51.100.1", "root").wait > 0
    assert throttle.attempt("192.0.2.1", "somebody").wait > 0


def test_memory_is_bounded() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    for n in range(10_100):
        throttle.attempt(f"10.0.{n // 250}.{n % 250}", f"u{n}" + "x" * 1000)
    for failures in (throttle._by_address._moments, throttle._by_user._moments):
        assert len(failures) == 10_000
        assert max(map(len, failures)) <= 256
    clock.now += WINDOW
    throttle.attempt("192.0.2.1", "root")
    assert list(throttle._by_user._moments) == ["root"]


def test_many_behind_one_address_may_each_mistype_before_they_succeed() -> None:
    throttle = Throttle(Clock())
    for n in range(300):
        for _ in range(2):
            attempt = throttle.attempt("192.0.2.1", f"user{n}")
            assert attempt.wait == 0
        throttle.succeeded(attempt)
    assert not throttle._by_address._moments
