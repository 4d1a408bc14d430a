"""Where a server's name may lead: never to link-local or metadata addresses, and never further in than at first.

The URL comes from the operator's configuration, so private and loopback servers are normal; what is not normal is a
name that was public when it was first looked up and later resolves to a private or loopback address (DNS rebinding).
An address that the operator wrote as a literal is taken as meant. Knows nothing of HTTP; `pool.py` asks it, and
`connector.py`, as a resolver of aiohttp's, which is not loaded for it: that takes a tenth of a start.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, Literal, Protocol, TypedDict

Reach = Literal["public", "private", "loopback", "forbidden"]

METADATA: Final = frozenset({ip_address("100.100.100.200"), ip_address("fd00:ec2::254"), ip_address("168.63.129.16")})
"""Cloud metadata services outside the link-local range (Alibaba, AWS over IPv6, Azure)."""


def reach(address: str) -> Reach:
    """How far in an address lies."""
    parsed: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    if parsed in METADATA or parsed.is_link_local or parsed.is_unspecified or parsed.is_multicast:
        return "forbidden"
    if parsed.is_loopback:
        return "loopback"
    return "private" if parsed.is_private else "public"


class Address(TypedDict):
    """One address of a name."""

    hostname: str
    host: str
    port: int
    family: int
    proto: int
    flags: int


class Resolver(Protocol):
    """Finds the addresses of a name."""

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = ...) -> list[Address]: ...

    async def close(self) -> None: ...


class SystemResolver:
    """The system's own, asked in a thread."""

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[Address]:
        """The addresses of `host`, that this machine could reach."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family, flags=socket.AI_ADDRCONFIG)
        flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return [
            Address(hostname=host, host=str(at[0]), port=int(at[1]), family=kind, proto=proto, flags=flags)
            for kind, _, proto, _, at in found
        ]

    async def close(self) -> None:
        """Nothing is open."""


class GuardedResolver:
    """Resolves a name at each connect, and refuses addresses it may not lead to."""

    def __init__(self, inner: Resolver | None = None) -> None:
        self._inner = inner or SystemResolver()
        self._first: dict[str, frozenset[Reach]] = {}

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[Address]:
        """The addresses of `host`. Raises OSError where one of them may not be used."""
        found = await self._inner.resolve(host, port, family)
        self._check(host, [entry["host"] for entry in found])
        return found

    async def close(self) -> None:
        """Release the resolver beneath."""
        await self._inner.close()

    def _check(self, host: str, addresses: Sequence[str]) -> None:
        reaches = frozenset(map(reach, addresses))
        if "forbidden" in reaches:
            raise OSError(None, f"`{host}` resolves to a link-local, metadata or unusable address")
        first = self._first.setdefault(host, reaches)
        if not reaches <= first:
            raise OSError(
                None, f"`{host}` resolved to {_words(first)} addresses first, and now to {_words(reaches)} ones"
            )


def _words(reaches: frozenset[Reach]) -> str:
    return " and ".join(sorted(reaches))
