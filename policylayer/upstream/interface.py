"""What the proxy sees of a server, however it is spoken to: one exchange in, one answer out.

The face is that of Streamable HTTP, since that is what the agent's side speaks; `stdio` puts it on for its processes.
Failures are those of `core.errors`, and say how far the call came.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Literal, Protocol

from policylayer.core.errors import NotSent
from policylayer.core.immutable import immutable

Verb = Literal["POST", "GET", "DELETE"]


@immutable
class Exchange:
    """One request to a server.

    `headers` are the protocol's and the client's end-to-end ones; credentials and hop-by-hop headers among them are
    not sent. `owner` says whose process a stdio server may use where there is no session: the grant, or the local
    principal. `endless` marks a stream that lasts as long as its client (GET, subscriptions/listen): no deadline
    applies after it has begun. `timeout` shortens the server's own.
    """

    verb: Verb
    headers: list[tuple[str, str]]
    body: bytes = b""
    owner: str = ""
    endless: bool = False
    timeout: float | None = None


class Answer(Protocol):
    """A server's answer, of which the head has arrived. Whoever gets one closes it, in a `finally`."""

    @property
    def status(self) -> int:
        """The HTTP status."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers by lower-case name; of repeated ones the first."""

    @property
    def content_type(self) -> str:
        """The media type, lower case, without parameters; empty where there is none."""

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises `TooLarge` where it is longer than `limit`, else as `chunks` does."""

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives, nothing kept back. Raises `Lost`, `TimedOut` or `ProtocolFault`."""

    def close(self) -> None:
        """End it. Before its end this aborts the connection, or cancels the request."""


class Upstream(Protocol):
    """One configured server."""

    @property
    def name(self) -> str:
        """Its name in the configuration."""

    async def exchange(self, exchange: Exchange) -> Answer:
        """Send it once. Raises `NotSent` (and its kinds below), `Lost`, `TimedOut` or `ProtocolFault`.

        Where its caller is cancelled, `Unsent` if it is known that nothing was sent.
        """

    async def close(self) -> None:
        """End all that is open."""


class Overloaded(NotSent):
    """As much is open to this server as may be; the call was not sent. `retry_after` is in seconds."""

    code = "upstream_overloaded"

    def __init__(self, message: str, help: str = "", retry_after: float = 1.0) -> None:
        super().__init__(message, help)
        self.retry_after = retry_after


class Unsent(asyncio.CancelledError):
    """The caller left before a byte of the call was sent: a cancellation like any other, but nothing can have run."""


class CircuitOpen(Overloaded):
    """The server failed several times in a row, and is left alone for `retry_after` seconds."""

    code = "upstream_circuit_open"
