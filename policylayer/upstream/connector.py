"""The front's connections to the proxy: aiohttp's, made strict about what a connection may carry between answers.

Four things that aiohttp does by itself are undone here: it parses bytes that arrive on an idle connection and hands
them to the next request as its answer; it reads interim (1xx) answers without end; it keeps a connection that was given
up until its peer has read all; and it repeats a GET or DELETE whose reused connection broke. Here a connection that
carries a stray byte is dropped, interim answers are counted, what is given up is cut, and nothing is repeated.

Knows nothing of MCP; `front.py` is its only user (the proxy's own connections are `pool.py`'s). The hooks are internals
of aiohttp, which is why its version is bounded in the project file.
"""

from __future__ import annotations

import select
from typing import Any, Final, cast

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError

from policylayer.upstream.addresses import GuardedResolver

IDLE: Final = 4.0
"""Seconds. Below the 5 s after which common servers (uvicorn, Node) close, so that we close first."""

MOST_INTERIM: Final = 16
"""Interim answers to one request."""

HEADER_LINE: Final = 16 * 1024
MOST_HEADERS: Final = 100


class _Handler(ResponseHandler):
    """One connection."""

    _interim = 0

    def set_response_params(self, **params: Any) -> None:
        """A request begins on this connection."""
        self._interim = 0
        super().set_response_params(**params)

    def close(self) -> None:
        """End the connection now: one whose peer does not read would otherwise wait for it for ever."""
        if self.transport is not None and self.transport.get_write_buffer_size():
            self.abort()
        else:
            super().close()

    def feed_data(self, data: Any, size: int = 0) -> None:
        """An answer's head arrived."""
        if 100 <= data[0].code < 200:
            self._interim += 1
            if self._interim > MOST_INTERIM:
                self.close()
                self.set_exception(HttpProcessingError(message="too many interim answers"))
                return
        super().feed_data(data, size)


class CleanConnector(aiohttp.TCPConnector):
    """A pool that gives out only connections on which nothing is waiting to be read."""

    def __init__(self) -> None:
        resolver = cast(AbstractResolver, GuardedResolver())
        super().__init__(limit=0, keepalive_timeout=IDLE, resolver=resolver, use_dns_cache=False, ssl=True)
        self._factory = lambda: _Handler(loop=self._loop)  # type: ignore[assignment]

    async def _get(self, key: Any, traces: Any) -> Connection | None:
        while True:
            connection = await super()._get(key, traces)
            if connection is None or _is_quiet(connection):
                return connection
            connection.close()


def _is_quiet(connection: Connection) -> bool:
    """Whether the last answer was whole, and nothing (a stray answer, the server's close) came after it."""
    protocol, transport = connection.protocol, connection.transport
    if protocol is None or transport is None or protocol.should_close:
        return False
    poll = select.poll()
    poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
    return not poll.poll(0)


def open_session() -> aiohttp.ClientSession:
    """The one client session of the process; needs a running event loop."""
    session = aiohttp.ClientSession(
        connector=CleanConnector(),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        auto_decompress=False,
        trust_env=False,
        max_line_size=HEADER_LINE,
        max_field_size=HEADER_LINE,
        max_headers=MOST_HEADERS,
        skip_auto_headers=("User-Agent", "Accept-Encoding", "Content-Type"),
    )
    session._retry_connection = False
    return session
