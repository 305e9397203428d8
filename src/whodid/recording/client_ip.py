"""The client's address behind a chain of proxies, from `X-Forwarded-For` or `Forwarded` (RFC 7239).

The chain is read from the right, because a client may send any header and each proxy appends its own element: first the
peer of the connection, then the last element of the header, and so on until an address is not a trusted proxy. That
address is the client. An element without an address (garbage, `unknown`, empty) ends the chain; the hop before it is
the client. Forged elements further left are never reached. By default no proxy is trusted, so the peer is the client.

`Forwarded` is parsed from the right too: an unclosed quote from the client would otherwise hide what the proxies wrote.
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
"""One `name=value` and the separator before it, reversed. The backslash of an escaped quote follows the quote there.
Quantifiers are possessive, so that the time is linear for any text."""

_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def nodes(header: str) -> Iterator[str]:
    """The `for` of each element, the last element first; empty if it has none. Stops at malformed text."""
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
"""The header that the proxies write. Only this one is read: a proxy may pass on the other as the client sent it."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
UNIX = "unix"
"""The word in `trusted_proxies` that trusts connections through the server's Unix socket, which have no address."""


@dataclass(frozen=True, slots=True)
class Proxies:
    """The trusted proxies, and the header in which they name the client."""

    networks: tuple[Network, ...] = ()
    unix: bool = False
    header: ForwardedHeader = "x-forwarded-for"

    @classmethod
    def of(cls, trusted_proxies: Iterable[str], forwarded_header: ForwardedHeader) -> Proxies:
        """Parses the settings `trusted_proxies` and `forwarded_header`. Raises `SettingsError`."""
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
        """Whether the address belongs to a trusted proxy."""
        ip = ipaddress.ip_address(address)
        return any(ip in network for network in self.networks)

    def hops(self, header: str) -> Iterable[str]:
        """The elements of a header, the last one first."""
        return nodes(header) if self.header == "forwarded" else reversed(header.split(","))


_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")


def network_of(text: str) -> Network:
    """Parses a network or a single address; IPv4 mapped into IPv6 (`::ffff:10.0.0.0/104`) becomes IPv4.

    Raises `ValueError`.
    """
    network = ipaddress.ip_network(text)
    if isinstance(network, ipaddress.IPv4Network) or not network.subnet_of(_MAPPED):
        return network
    return ipaddress.IPv4Network((int(network.network_address) & 0xFFFF_FFFF, network.prefixlen - _MAPPED.prefixlen))


def client_ip(peer: str | None, header: str, proxies: Proxies) -> str | None:
    """The client's address; `None` if the peer has none (a Unix socket) and no trusted proxy names one.

    `header` is the value of `proxies.header`; several lines are joined by commas.
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
    """The header with the peer appended, as a further proxy would pass it on; `None` without a header.

    Its content is not checked. A long value is cut on the left, because the proxies write on the right.
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
    """Whether the peer is a Unix socket, for which servers give no address, or its path."""
    return not peer or peer.startswith("/")


_WITH_PORT = re.compile(r"(?:\[([^\]]*)\]|([0-9.]+)(?=:))(?::(?:[0-9]{1,5}|_[0-9A-Za-z._-]+))?")


def _address(text: str) -> str | None:
    """The address in `text` without port, brackets and zone; IPv4 mapped into IPv6 becomes IPv4."""
    text = text.strip(' \t"')
    parts = _WITH_PORT.fullmatch(text)
    try:
        ip = ipaddress.ip_address((parts[1] or parts[2] or "") if parts else text)
    except ValueError:
        return None
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ip.ipv4_mapped or ipaddress.IPv6Address(int(ip)))
    return str(ip)
