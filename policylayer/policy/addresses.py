"""Pure: IP addresses and networks; an IPv4 address mapped into IPv6 counts as IPv4.

Only the textual forms that every program reads alike: no leading zeros, no hexadecimal or shortened IPv4, no zones.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import (
    AddressValueError,
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    NetmaskValueError,
    ip_network,
)
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_LONGEST: Final = 64


def read(text: str) -> Address | None:
    """The address that `text` writes, or None."""
    if len(text) > _LONGEST or "%" in text or not text.isascii():
        return None
    try:
        if ":" not in text:
            return IPv4Address(text)
        address = IPv6Address(text)
    except AddressValueError:
        return None
    return address.ipv4_mapped or address


def read_network(text: str) -> Network | None:
    """The network that `text` writes in CIDR form (a bare address is its own), or None; host bits are refused."""
    _, slash, prefix = text.partition("/")
    if "%" in text or (slash and not (prefix.isascii() and prefix.isdigit())):
        return None
    try:
        network = ip_network(text)
    except (AddressValueError, NetmaskValueError, ValueError):
        return None
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        mapped = network.network_address.ipv4_mapped
        return IPv4Network((int(mapped or 0), network.prefixlen - 96))
    return network


def contains(networks: tuple[Network, ...]) -> Callable[[Address], bool]:
    """Whether an address lies in one of the networks."""
    return lambda address: any(address in network for network in networks)
