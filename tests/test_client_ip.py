"""The client's address behind proxies: trusted hops peel from the right, forged ones never win."""

from __future__ import annotations

import pytest

from whodid.client_ip import client_ip, networks

TRUSTED = networks(["10.0.0.0/8", "fd00::/8"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("203.0.113.9", "", "203.0.113.9"),
        ("203.0.113.9", "1.2.3.4", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "1.1.1.1, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "1.1.1.1, 203.0.113.9, 10.9.9.9", "203.0.113.9"),
        ("10.0.0.1", "10.2.2.2, 10.3.3.3", "10.2.2.2"),
        ("10.0.0.1", "garbage", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9, garbage, 10.3.3.3", "10.3.3.3"),
        ("10.0.0.1", "203.0.113.9:4711", "203.0.113.9"),
        ("fd00::1", '"[2001:db8::7]:4711"', "2001:db8::7"),
        ("fe80::1%eth0", "", "fe80::1"),
        ("::ffff:203.0.113.9", "", "203.0.113.9"),
        ("", "203.0.113.9", None),
        (None, "203.0.113.9", None),
        ("/run/app.sock", "", None),
    ],
)
def test_the_first_hop_from_the_right_that_is_not_trusted_is_the_client(
    peer: str | None, forwarded: str, expected: str | None
) -> None:
    assert client_ip(peer, forwarded, TRUSTED) == expected


def test_by_default_nobody_is_trusted() -> None:
    assert client_ip("10.0.0.1", "203.0.113.9", ()) == "10.0.0.1"
