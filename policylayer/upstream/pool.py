"""The kept connections to one HTTP server: opened where its name may lead, given out only while they are quiet.

Must not know requests; `connection.py` is one connection, `addresses.py` says where a name may lead.
"""

from __future__ import annotations

import asyncio
import ssl
from functools import lru_cache
from ipaddress import ip_address
from typing import Final

from policylayer.upstream.addresses import GuardedResolver
from policylayer.upstream.connection import Connection

IDLE: Final = 4.0
"""Seconds. Below the 5 s after which common servers (uvicorn, Node) close, so that we close first."""

NEXT: Final = 1.0
"""Seconds for an address, where there is another one to try."""


class Pool:
    """Connections to one host and port, with or without TLS."""

    def __init__(self, host: str, port: int, tls: bool, resolver: GuardedResolver) -> None:
        self._host = host
        self._port = port
        self._tls = tls
        self._resolver = resolver
        self._literal = _is_address(host)
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def take(self) -> Connection | None:
        """A kept connection on which nothing waits to be read, the last used first."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_quiet():
                return connection
            connection.close()
        return None

    async def connect(self) -> Connection:
        """A new connection, to the first address that accepts one. Raises OSError (of which ssl.SSLError is one)."""
        addresses = await self._addresses()
        for address in addresses[:-1]:
            try:
                async with asyncio.timeout(NEXT):
                    return await self._open(address)
            except (OSError, TimeoutError):
                continue
        return await self._open(addresses[-1])

    async def close(self) -> None:
        """End all connections, in use or not."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for connection in tuple(self._all):
            connection.close()
        self._idle.clear()
        # So that the transports have said goodbye when this returns.
        await asyncio.sleep(0)

    async def _addresses(self) -> list[str]:
        if self._literal:
            return [self._host]
        found = await self._resolver.resolve(self._host, self._port)
        if not found:
            raise OSError(None, "its name leads nowhere")
        return [entry["host"] for entry in found]

    async def _open(self, address: str) -> Connection:
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(self._free, self._gone),
            address,
            self._port,
            ssl=_context() if self._tls else None,
            server_hostname=self._host if self._tls else None,
        )
        self._all.add(connection)
        return connection

    def _free(self, connection: Connection) -> None:
        if self._closed:
            connection.close()
            return
        loop = connection.loop
        connection.idle_since = loop.time()
        self._idle.append(connection)
        if self._timer is None:
            self._timer = loop.call_later(IDLE / 2, self._sweep)

    def _gone(self, connection: Connection) -> None:
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def _sweep(self) -> None:
        """Close what nobody used for a while; the longest unused are first."""
        self._timer = None
        loop = asyncio.get_running_loop()
        oldest = loop.time() - IDLE / 2
        while self._idle and self._idle[0].idle_since < oldest:
            self._idle.pop(0).close()
        if self._idle:
            self._timer = loop.call_later(IDLE / 2, self._sweep)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=1)
def _context() -> ssl.SSLContext:
    """Certificates are always verified. Making it takes 44 ms: once, and only where a server wants it."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
