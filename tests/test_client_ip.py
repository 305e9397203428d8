"""The client's address behind proxies: trusted hops peel from the right, forged ones never win."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whodid.errors import SettingsError
from whodid.recording.client_ip import ForwardedHeader, Proxies, client_ip, forwarded_for, nodes

X_FORWARDED_FOR = Proxies.of(["10.0.0.0/8", "fd00::/8", "fe80::/10"], "x-forwarded-for")
FORWARDED = Proxies.of(["10.0.0.0/8", "fd00::/8", "fe80::/10"], "forwarded")
PEERS = [
    ("203.0.113.9", "203.0.113.9"),
    ("10.0.0.1", "10.0.0.1"),
    ("fe80::1%eth0", "fe80::1"),
    ("::ffff:203.0.113.9", "203.0.113.9"),
    ("::ffff:10.0.0.1", "10.0.0.1"),
    ("", None),
    (None, None),
    ("/run/app.sock", None),
    ("testclient", None),
]
HOPS = [
    # What an element names, and whom that makes the client when 10.0.0.1 said it.
    ("203.0.113.9", "203.0.113.9"),
    ("203.0.113.9:4711", "203.0.113.9"),
    ("203.0.113.9:_port", "203.0.113.9"),
    ("2001:db8::7", "2001:db8::7"),
    ("2001:0DB8:0:0::7", "2001:db8::7"),
    ("[2001:db8::7]", "2001:db8::7"),
    ("[2001:db8::7]:4711", "2001:db8::7"),
    ("2001:db8::7%eth0", "2001:db8::7"),
    ("[2001:db8::7%eth0]:4711", "2001:db8::7"),
    ("::ffff:203.0.113.9", "203.0.113.9"),
    ("[::ffff:203.0.113.9]:4711", "203.0.113.9"),
    ("10.2.2.2", "10.2.2.2"),
    *((nobody, "10.0.0.1") for nobody in ("", "unknown", "_hidden", "unix:", "example.org", "203.0.113", "999.1.1.1")),
    *((nobody, "10.0.0.1") for nobody in ("203.0.113.9:port", "203.0.113.9:4711:1", "203.0.113.9%eth0", "[::1", "[]")),
    *((nobody, "10.0.0.1") for nobody in ("[::1]x", "[::1]:123456", "[[::1]]", "203.0.113.9 x", "\0", "\ud800", "é")),
]


def x_forwarded_for(peer: str | None, header: str) -> str | None:
    return client_ip(peer, header, X_FORWARDED_FOR)


def forwarded(peer: str | None, header: str) -> str | None:
    return client_ip(peer, header, FORWARDED)


def element(node: str) -> str:
    return 'for="' + node.replace("\\", "\\\\").replace('"', '\\"') + '"'


@pytest.mark.parametrize(("peer", "expected"), PEERS)
def test_without_a_header_the_peer_is_the_client(peer: str | None, expected: str | None) -> None:
    assert x_forwarded_for(peer, "") == forwarded(peer, "") == expected


@pytest.mark.parametrize("peer", ["203.0.113.9", "", None, "/run/app.sock", "testclient"])
def test_a_peer_that_is_not_trusted_can_say_nothing(peer: str | None) -> None:
    nothing = x_forwarded_for(peer, "")
    assert x_forwarded_for(peer, "1.2.3.4") == forwarded(peer, "for=1.2.3.4") == nothing


def test_by_default_nobody_is_trusted() -> None:
    assert client_ip("10.0.0.1", "203.0.113.9", Proxies()) == "10.0.0.1"
    assert client_ip(None, "203.0.113.9", Proxies()) is None


@pytest.mark.parametrize(("node", "expected"), HOPS)
def test_an_element_is_an_address_in_any_notation_or_names_nobody(node: str, expected: str) -> None:
    assert x_forwarded_for("10.0.0.1", node) == expected
    assert forwarded("10.0.0.1", element(node)) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("1.1.1.1, 203.0.113.9", "203.0.113.9"),
        ("1.1.1.1,203.0.113.9\t,  10.9.9.9", "203.0.113.9"),
        ("10.2.2.2, 10.3.3.3", "10.2.2.2"),
        ("203.0.113.9, garbage, 10.3.3.3", "10.3.3.3"),
        ("203.0.113.9, , 10.3.3.3", "10.3.3.3"),
        ("203.0.113.9,", "10.0.0.1"),
        (",203.0.113.9", "203.0.113.9"),
        (", ,", "10.0.0.1"),
        ('"[2001:db8::7]:4711"', "2001:db8::7"),
        ("for=203.0.113.9", "10.0.0.1"),
    ],
)
def test_of_x_forwarded_for_the_first_from_the_right_that_is_not_trusted_is_the_client(
    header: str, expected: str
) -> None:
    assert x_forwarded_for("10.0.0.1", header) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("for=1.1.1.1, for=203.0.113.9", "203.0.113.9"),
        ("for=1.1.1.1,for=203.0.113.9\t,  for=10.9.9.9", "203.0.113.9"),
        ("for=10.2.2.2, for=10.3.3.3", "10.2.2.2"),
        ("FOR=203.0.113.9;Proto=https;BY=10.0.0.1", "203.0.113.9"),
        ("proto=https ; for=203.0.113.9 ; by=_me", "203.0.113.9"),
        (";for=203.0.113.9;", "203.0.113.9"),
        ("for=203.0.113.9:4711", "203.0.113.9"),
        ("for=[2001:db8::7]:4711", "2001:db8::7"),
        ('for="\\[2001:db8::7]"', "2001:db8::7"),
        ('for="203.0.113.9";host="a, for=6.6.6.6"', "203.0.113.9"),
        ('for="203.0.113.9";host="a\\", for=\\"6.6.6.6"', "203.0.113.9"),
        ('for="203.0.113.9";host="\\\\", for=10.9.9.9', "203.0.113.9"),
        ("for=203.0.113.9, for=_hidden, for=10.3.3.3", "10.3.3.3"),
        ("for=203.0.113.9, proto=https, for=10.3.3.3", "10.3.3.3"),
        ("for=203.0.113.9, , for=10.3.3.3", "10.3.3.3"),
        ("for=203.0.113.9, garbage, for=10.3.3.3", "10.3.3.3"),
        ("for=203.0.113.9,", "10.0.0.1"),
        (",for=203.0.113.9", "203.0.113.9"),
        ("for=6.6.6.6;for=203.0.113.9", "10.0.0.1"),
        ("for=203.0.113.9 x", "10.0.0.1"),
        ("for = 203.0.113.9", "10.0.0.1"),
        ('for="203.0.113.9', "10.0.0.1"),
        ('for=203.0.113.9"', "10.0.0.1"),
        ("for", "10.0.0.1"),
        ("203.0.113.9", "10.0.0.1"),
        ('for=6.6.6.6;host="open, for=203.0.113.9', "203.0.113.9"),
        ('for="6.6.6.6\\, for="203.0.113.9"', "203.0.113.9"),
    ],
)
def test_of_forwarded_the_first_from_the_right_that_is_not_trusted_is_the_client(header: str, expected: str) -> None:
    assert forwarded("10.0.0.1", header) == expected


def test_hundreds_of_elements_are_gone_through() -> None:
    hops = [f"10.{n % 256}.{n // 256}.1" for n in range(2000)]
    assert x_forwarded_for("10.0.0.1", ", ".join(["6.6.6.6", "203.0.113.9", *hops])) == "203.0.113.9"
    assert forwarded("10.0.0.1", ", ".join(map(element, ["6.6.6.6", "203.0.113.9", *hops]))) == "203.0.113.9"


def test_who_comes_through_a_unix_socket_is_believed_if_that_is_said() -> None:
    for header, text in (("x-forwarded-for", "6.6.6.6, 203.0.113.9"), ("forwarded", "for=6.6.6.6, for=203.0.113.9")):
        proxies = Proxies.of(["unix", "10.0.0.0/8"], header)  # type: ignore[arg-type] # both are in the Literal
        for peer in (None, "", "/run/nginx.sock"):
            assert client_ip(peer, text, proxies) == "203.0.113.9"
            assert client_ip(peer, "", proxies) is None
            assert client_ip(peer, "unix:", proxies) is None
        assert client_ip("192.0.2.1", text, proxies) == "192.0.2.1"
        assert client_ip("testclient", text, proxies) is None


@pytest.mark.parametrize(
    ("trusted", "header", "says"),
    [
        (["10.0.0.1/8"], "forwarded", "trusted_proxies must hold networks such as 10.0.0.0/8, or unix"),
        (["Unix"], "forwarded", "trusted_proxies must hold networks"),
        ("10.0.0.0/8", "forwarded", "trusted_proxies must hold networks"),
        ([], "Forwarded", "forwarded_header must be one of x-forwarded-for, forwarded, not 'Forwarded'"),
    ],
)
def test_proxies_that_mean_nothing_are_an_error_that_says_what_to_write(
    trusted: list[str], header: ForwardedHeader, says: str
) -> None:
    with pytest.raises(SettingsError, match=says):
        Proxies.of(trusted, header)


@pytest.mark.parametrize(
    ("peer", "header", "proxies", "expected"),
    [
        ("10.0.0.1", "6.6.6.6, 203.0.113.9", X_FORWARDED_FOR, "6.6.6.6, 203.0.113.9, 10.0.0.1"),
        ("192.0.2.1", "garbage", Proxies(), "garbage, 192.0.2.1"),
        ("fd00::1", "203.0.113.9", X_FORWARDED_FOR, "203.0.113.9, fd00::1"),
        (None, "203.0.113.9", X_FORWARDED_FOR, "203.0.113.9, unknown"),
        ("10.0.0.1", "for=203.0.113.9;by=_b", FORWARDED, "for=203.0.113.9;by=_b, for=10.0.0.1"),
        ("fd00::1%eth0", "for=203.0.113.9", FORWARDED, 'for=203.0.113.9, for="[fd00::1]"'),
        ("", "for=203.0.113.9", FORWARDED, "for=203.0.113.9, for=unknown"),
        ("10.0.0.1", "", X_FORWARDED_FOR, None),
        ("10.0.0.1", "", FORWARDED, None),
    ],
)
def test_the_chain_is_the_header_as_it_came_and_the_peer_behind_it(
    peer: str | None, header: str, proxies: Proxies, expected: str | None
) -> None:
    assert forwarded_for(peer, header, proxies) == expected


def test_of_a_long_chain_the_end_is_kept_where_the_proxies_wrote() -> None:
    chain = forwarded_for("10.0.0.1", "6" * 2000 + ", 203.0.113.9", X_FORWARDED_FOR)
    assert chain is not None
    assert (len(chain), chain[:2], chain[-24:]) == (1024, "…6", "66, 203.0.113.9, 10.0.0.1"[-24:])
    assert len(forwarded_for("10.0.0.1", "6" * 1014, X_FORWARDED_FOR) or "") == 1024


_TEXT = st.text() | st.text(alphabet=' ,;="\\[]:.%_10f/abcdefor\t')
_FAR = st.ip_addresses().map(str).filter(lambda address: x_forwarded_for(address, "1.1.1.1") != "1.1.1.1")
_NEAR = st.sampled_from(["10.0.0.2", "10.255.3.4", "fd00::2", "fe80::9"])
_PEER = st.sampled_from(["10.0.0.1", "fd00::1"])


@given(forged=_TEXT, client=_FAR, proxies=st.lists(_NEAR), peer=_PEER, host=_TEXT)
def test_whatever_a_client_sends_its_address_is_the_one_that_the_outermost_trusted_proxy_saw(
    forged: str, client: str, proxies: list[str], peer: str, host: str
) -> None:
    seen = x_forwarded_for(client, "")
    assert x_forwarded_for(peer, ", ".join([forged, client, *proxies])) == seen
    quoted = element(host).replace("for=", "host=", 1)
    elements = [f"{element(client)};{quoted}", *(f"proto=https;{element(proxy)}" for proxy in proxies)]
    assert forwarded(peer, ", ".join([forged, *elements])) == seen


@given(header=_TEXT, peer=st.none() | _TEXT | st.ip_addresses().map(str) | _PEER, unix=st.booleans())
def test_whatever_a_header_holds_the_client_is_none_the_peer_or_whom_a_trusted_hop_named(
    header: str, peer: str | None, unix: bool
) -> None:
    for proxies, named in ((X_FORWARDED_FOR, header.split(",")[::-1]), (FORWARDED, list(nodes(header)))):
        own = Proxies(proxies.networks, unix, proxies.header)
        found, at_the_socket = client_ip(peer, header, own), client_ip(peer, "", own)
        if found in (None, at_the_socket):
            continue
        assert str(ipaddress.ip_address(found)) == found
        addresses = [at_the_socket, *(x_forwarded_for(hop, "") for hop in named)]
        before = addresses[: addresses.index(found, 1)]
        assert all(hop and own.trust(hop) for hop in before[1:])
        assert own.trust(at_the_socket) if at_the_socket else unix


@pytest.mark.parametrize("network", ["10.0.0.0/8", "::ffff:10.0.0.0/104", "::ffff:a00:0/104"])
@pytest.mark.parametrize("peer", ["10.1.2.3", "::ffff:10.1.2.3"])
def test_a_trusted_network_of_ipv4_may_be_written_as_ipv6(network: str, peer: str) -> None:
    proxies = Proxies.of((network,), "x-forwarded-for")
    assert client_ip(peer, "203.0.113.9", proxies) == "203.0.113.9"
    assert client_ip("11.0.0.1", "203.0.113.9", proxies) == "11.0.0.1"
