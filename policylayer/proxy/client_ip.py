"""The address a request came from: the peer's, or what a configured proxy in front says of it.

`X-Forwarded-For` is believed only as far as each hop that wrote it is one of ours. Must not know who asks.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, TypeAlias

_WITH_PORT: Final = re.compile(r"([0-9.]{7,15}):[0-9]{1,5}|\[([0-9A-Fa-f:.]{2,45})\](?::[0-9]{1,5})?")
LONGEST: Final = 64
"""Characters of an address, with its zone. What is longer is none, and is not remembered as such."""

Network: TypeAlias = "IPv4Network | IPv6Network"


def client_ip(peer: str | None, forwarded: tuple[str, ...], proxies: tuple[Network, ...]) -> str | None:
    """The nearest address that is not a proxy's of ours. Behind an entry that cannot be read it is not known: to take
    our own proxy's for it would let in whoever rules let in from there."""
    if not proxies:
        return _plain(peer or "")
    address = _read(peer or "")
    if address is None:
        return None
    hops = [hop.strip() for line in forwarded for hop in line.split(",")]
    while hops and any(address in network for network in proxies if network.version == address.version):
        hop = hops.pop()
        before = _read(_without_port(hop)) if len(hop) <= LONGEST else None
        if before is None:
            return None
        address = before
    return str(address)


def _without_port(hop: str) -> str:
    """An entry as some proxies write it: `1.2.3.4:5555`, `[2001:db8::1]:443`, `[2001:db8::1]`."""
    found = _WITH_PORT.fullmatch(hop)
    return hop if found is None else found[1] or found[2]


@lru_cache(maxsize=1024)
def _plain(text: str) -> str | None:
    address = _read(text)
    return None if address is None else str(address)


@lru_cache(maxsize=1024)
def _read(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
