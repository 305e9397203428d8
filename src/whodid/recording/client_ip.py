"""The client's address: which hop of a chain of proxies is the user's own.

Only hops that the operator trusts are believed, from the right: the peer of the connection, then the last element of
the one header that the proxies write, and so on leftwards until one is not a trusted proxy. An element that names no
address (garbage, `unknown`, empty) ends the way: the hop before it is the client. Forged elements further left never
win. The default trusts nobody, so the peer is the client.

The header `Forwarded` of RFC 7239: who each proxy says it got the request from, read from the right.

A client may send any text, and each proxy puts its own element behind it, so only the right end can be relied on. Read
from the left, a quote that a client leaves open would swallow what the proxies wrote.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from ..entry import FIELDS
from ..errors import SettingsError

__all__ = ["ForwardedHeader", "Proxies", "client_ip", "forwarded_for", "network_of", "nodes"]

_PAIR_BACKWARDS = re.compile(
    r"""[ \t]*+
        (?:(?P<value> "(?:[^"]|"\\)*+" | [^\s"=;,]*+ ) = (?P<name> [!#$%&'*+.^_`|~0-9A-Za-z-]++ ))?
        [ \t]*+ (?P<end> [;,] | \Z)""",
    re.VERBOSE,
)
"""One `name=value`, each letter of it from the last to the first, and what stands in front of it. A quote inside quotes
is escaped, and backwards its backslash comes after it. Possessive, so that no text takes more than one look."""

_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def nodes(header: str) -> Iterator[str]:
    """`for` of each element, the last one first; empty for an element without one. Ends at what can't be read."""
    backwards, at, found = header[::-1], 0, []
    while pair := _PAIR_BACKWARDS.match(backwards, at):
        at = pair.end()
        if (pair["name"] or "").lower() == "rof":
            found.append(_plain(pair["value"][::-1]))
        if pair["end"] == ";":
            continue
        yield found[0] if len(found) == 1 else ""
        if not pair["end"]:
            return
        found = []


def _plain(value: str) -> str:
    return _ESCAPED.sub(r"\1", value[1:-1]) if value.startswith('"') else value


ForwardedHeader = Literal["x-forwarded-for", "forwarded"]
"""The header that the proxies write. Only one is read: a proxy may pass on the other as a client sent it."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
UNIX = "unix"
"""Stands in `trusted_proxies` for whoever connects through the server's Unix socket, and so has no address."""


@dataclass(frozen=True, slots=True)
class Proxies:
    """Who may say where a request came from, and in which header."""

    networks: tuple[Network, ...] = ()
    unix: bool = False
    header: ForwardedHeader = "x-forwarded-for"

    @classmethod
    def of(cls, trusted_proxies: Iterable[str], forwarded_header: ForwardedHeader) -> Proxies:
        """From the settings `trusted_proxies` and `forwarded_header`. Raises `SettingsError`."""
        words = tuple(trusted_proxies)
        try:
            networks = tuple(network_of(word) for word in words if word != UNIX)
        except ValueError as error:
            raise SettingsError(f"trusted_proxies must hold networks such as 10.0.0.0/8, or {UNIX}: {error}") from None
        if forwarded_header not in get_args(ForwardedHeader):
            allowed = ", ".join(get_args(ForwardedHeader))
            raise SettingsError(f"forwarded_header must be one of {allowed}, not {forwarded_header!r}")
        return cls(networks, UNIX in words, forwarded_header)

    def trust(self, address: str) -> bool:
        ip = ipaddress.ip_address(address)
        return any(ip in network for network in self.networks)

    def hops(self, header: str) -> Iterable[str]:
        """What the elements of a header name, the last one first."""
        return nodes(header) if self.header == "forwarded" else reversed(header.split(","))


_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")


def network_of(text: str) -> Network:
    """The network, or the address as one of itself; IPv4 written as IPv6 (`::ffff:10.0.0.0/104`) is IPv4.

    Raises `ValueError`.
    """
    network = ipaddress.ip_network(text)
    if isinstance(network, ipaddress.IPv4Network) or not network.subnet_of(_MAPPED):
        return network
    return ipaddress.IPv4Network((int(network.network_address) & 0xFFFF_FFFF, network.prefixlen - _MAPPED.prefixlen))


def client_ip(peer: str | None, header: str, proxies: Proxies) -> str | None:
    """The client's address, or `None` when the peer has none (a Unix socket) and no trusted proxy names one.

    `header` is the value of `proxies.header`; of several lines, joined by commas.
    """
    address = _address(peer or "")
    if not (proxies.trust(address) if address else proxies.unix and is_unix(peer)):
        return address
    for hop in proxies.hops(header):
        found = _address(hop)
        if found is None:
            return address
        address = found
        if not proxies.trust(address):
            return address
    return address


def forwarded_for(peer: str | None, header: str, proxies: Proxies) -> str | None:
    """The header as it came, and behind it the peer, as a next proxy would pass it on; `None` without a header.

    Nothing in it is checked. Of a long one the right end is kept: that is where the proxies wrote.
    """
    if not header:
        return None
    address = _address(peer or "") or "unknown"
    if proxies.header == "forwarded":
        address = f'for="[{address}]"' if ":" in address else f"for={address}"
    chain = f"{header}, {address}"
    return chain if len(chain) <= _LONGEST_CHAIN else "…" + chain[1 - _LONGEST_CHAIN :]


_LONGEST_CHAIN = FIELDS["forwarded_for"].max_length


def is_unix(peer: str | None) -> bool:
    """Whether servers describe the other end of a Unix socket like that: not at all, or by its path."""
    return not peer or peer.startswith("/")


_WITH_PORT = re.compile(r"(?:\[([^\]]*)\]|([0-9.]+)(?=:))(?::(?:[0-9]{1,5}|_[0-9A-Za-z._-]+))?")


def _address(text: str) -> str | None:
    """The address in `text`, without port, brackets and zone; an IPv4 address mapped into IPv6 as IPv4."""
    text = text.strip(' \t"')
    parts = _WITH_PORT.fullmatch(text)
    try:
        ip = ipaddress.ip_address((parts[1] or parts[2] or "") if parts else text)
    except ValueError:
        return None
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ip.ipv4_mapped or ipaddress.IPv6Address(int(ip)))
    return str(ip)
