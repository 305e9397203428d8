"""The client's address: which hop of a chain of proxies is the user's own.

Only hops that the operator trusts are believed, from the right: the peer of the connection, then the last element of
`X-Forwarded-For`, and so on leftwards until one is not a trusted proxy. Forged elements further left never win. The
default trusts nobody, so the peer is the client.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

__all__ = ["client_ip", "networks"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def networks(trusted_proxies: Iterable[str]) -> tuple[Network, ...]:
    """The networks of the setting `trusted_proxies`. Raises `ValueError`."""
    return tuple(ipaddress.ip_network(network) for network in trusted_proxies)


def client_ip(peer: str | None, forwarded_for: str, trusted: Sequence[Network]) -> str | None:
    """The client's address, or `None` when the peer has none (a Unix socket) and no trusted proxy names one."""
    address = _address(peer or "")
    if address is None or not _within(address, trusted):
        return address
    for hop in reversed(forwarded_for.split(",")):
        found = _address(hop)
        if found is None:
            return address
        address = found
        if not _within(address, trusted):
            return address
    return address


def _within(address: str, trusted: Sequence[Network]) -> bool:
    ip = ipaddress.ip_address(address)
    return any(ip in network for network in trusted)


def _address(text: str) -> str | None:
    """The address in `text`, without port, brackets and zone; an IPv4 address mapped into IPv6 as IPv4."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].split("]")[0]
    elif text.count(":") == 1:
        text = text.split(":")[0]
    try:
        ip = ipaddress.ip_address(text.split("%")[0])
    except ValueError:
        return None
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return str(mapped or ip)
