"""Where a server's name may lead: never to link-local or metadata addresses, and never elsewhere than at first.

The URL comes from the operator's configuration, so private and loopback servers are normal; what is not normal is a
name that was public when it was first looked up and later resolves to a private or loopback address (DNS rebinding).
Nor may a name that was inside lead out later: a credential meant for a server here would go to a stranger.
An address that the operator wrote as a literal is taken as meant. Knows nothing of HTTP; `pool.py` asks it, and
`connector.py`, as a resolver of aiohttp's, which is not loaded for it: that takes a tenth of a start.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Final, Literal, Protocol, TypeAlias, TypedDict

Reach = Literal["public", "private", "loopback", "forbidden"]

_Key: TypeAlias = tuple[str, int]
"""A name and the family of addresses that is wanted."""

_Found: TypeAlias = Sequence[Any] | Exception
"""What the system says of a name."""

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
    """The system's own. A name is looked up once at a time, in a thread of its own, for all who wait for it.

    While a name server is down, the system takes long for its names and cannot be told to stop. In a pool of threads
    a few such lookups hold up every other name; here a name holds up itself. There are as many threads as names.
    """

    def __init__(self, look: Callable[..., Sequence[Any]] = socket.getaddrinfo) -> None:
        self._look = look
        self._running: dict[_Key, asyncio.Future[_Found]] = {}

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[Address]:
        """The addresses of `host`, that this machine could reach."""
        # Who gives up stops waiting, and no more: others may wait too, and whoever asks next is to begin no other.
        found = await asyncio.shield(self._running.get((host, family)) or self._begin((host, family)))
        if isinstance(found, Exception):
            raise found.with_traceback(None)
        flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return [
            Address(hostname=host, host=str(at[0]), port=port, family=kind, proto=proto, flags=flags)
            for kind, _, proto, _, at in found
        ]

    async def close(self) -> None:
        """Tell those who still wait; the threads are left to the system."""
        for key, waited in tuple(self._running.items()):
            self._end(key, waited, OSError(None, "its name is no longer looked up"))

    def _begin(self, key: _Key) -> asyncio.Future[_Found]:
        loop = asyncio.get_running_loop()
        waited: asyncio.Future[_Found] = loop.create_future()

        def run() -> None:
            found = self._ask(key)
            # The loop is closed where the program ended before the system answered: nobody waits any more.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._end, key, waited, found)

        try:
            threading.Thread(target=run, name="lookup", daemon=True).start()
        except RuntimeError:
            raise OSError(errno.EAGAIN, "no thread could be started to look its name up") from None
        self._running[key] = waited
        return waited

    def _ask(self, key: _Key) -> _Found:
        host, family = key
        try:
            return self._look(host, None, type=socket.SOCK_STREAM, family=family, flags=socket.AI_ADDRCONFIG)
        except Exception as error:
            return error

    def _end(self, key: _Key, waited: asyncio.Future[_Found], found: _Found) -> None:
        if self._running.get(key) is waited:
            del self._running[key]
        # Errors are results too: one that nobody waits for any more is nothing to complain of.
        if not waited.done():
            waited.set_result(found)


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
        if not addresses:
            return
        now = frozenset(map(reach, addresses))
        if "forbidden" in now:
            raise OSError(None, f"`{host}` resolves to a link-local, metadata or unusable address")
        first = self._first.setdefault(host, now)
        if not now <= first:
            raise OSError(None, f"`{host}` resolved to {_words(first)} addresses first, and now to {_words(now)} ones")


def _words(reaches: frozenset[Reach]) -> str:
    return " and ".join(sorted(reaches))
