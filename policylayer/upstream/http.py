"""A server spoken to over Streamable HTTP.

One exchange is one request on one pooled connection, sent once. What goes wrong is told by how far it came: no
connection is `NotSent`; a connection that ended after the request began is `Lost`, since the server may have run it.
Redirects, encoded bodies and broken framing are `ProtocolFault`. Must not know JSON-RPC: bodies are bytes here; nor how
bytes become answers (`connection.py`).
"""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from collections.abc import AsyncIterator, Awaitable
from functools import lru_cache
from typing import Final

from yarl import URL

from policylayer.core.errors import Lost, NotSent, ProtocolFault, TimedOut, TooLarge, UpstreamError
from policylayer.upstream.addresses import GuardedResolver
from policylayer.upstream.connection import Connection, Fault, Reply
from policylayer.upstream.interface import Answer, Exchange
from policylayer.upstream.pool import Pool
from policylayer.upstream.settings import HttpServer

NOT_OURS_TO_SEND: Final = frozenset(
    {
        "accept-encoding",
        "authorization",
        "connection",
        "content-length",
        "cookie",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
    }
)
"""Never taken from an exchange: the agent's credentials, and what belongs to the agent's own connection."""


HEADS: Final = 128
"""Heads that are kept; each is a few hundred bytes, or a few KiB where somebody sends long fields."""

_FIELDS: Final = re.compile(r"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+: [\t\x20-\x7e\x80-\xff]*\r\n)*")


class HttpUpstream:
    """One configured HTTP server, with connections of its own."""

    def __init__(self, settings: HttpServer, resolver: GuardedResolver) -> None:
        self._settings = settings
        self._fixed = [*settings.headers, ("Accept-Encoding", "identity")]
        self._dropped = NOT_OURS_TO_SEND | {name.lower() for name, _ in settings.headers}
        url = URL(settings.url, encoded=True)
        self._usable = url.scheme in ("http", "https") and bool(url.raw_host) and url.port is not None
        self._target = url.raw_path_qs or "/"
        self._host = url.host_port_subcomponent or ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._made = lru_cache(maxsize=HEADS)(self._make)
        self._pool = Pool(url.raw_host or "", url.port or 0, url.scheme == "https", resolver)

    @property
    def name(self) -> str:
        """Its name in the configuration."""
        return self._settings.name

    async def exchange(self, exchange: Exchange) -> Answer:
        """Send it once; answer when the head has arrived."""
        limits = self._settings.limits
        seconds = limits.timeout if exchange.timeout is None else min(exchange.timeout, limits.timeout)
        loop = self._loop = self._loop or asyncio.get_running_loop()
        deadline = loop.time() + seconds
        head = self._head(exchange)
        connection = self._pool.take()
        if connection is None:
            # A little before the deadline, so that what was never sent is told as such.
            connection = await self._connect(min(limits.connect_timeout, seconds * 0.9))
        reply = connection.send(head, exchange.body if exchange.verb == "POST" else b"", deadline)
        try:
            while not reply.begun and reply.fault is None:
                await reply.more()
        except BaseException:
            reply.close()
            raise
        if not reply.begun:
            raise _told(self.name, reply.fault)
        if exchange.endless:
            reply.endless()
        answer = HttpAnswer(self.name, reply, exchange.endless, limits.max_answer_bytes)
        fault = _unusable(answer)
        if fault is not None:
            reply.close()
            raise ProtocolFault(f"server `{self.name}` {fault}")
        return answer

    async def close(self) -> None:
        """End all connections."""
        await self._pool.close()

    async def _connect(self, seconds: float) -> Connection:
        if not self._usable:
            raise NotSent(f"server `{self.name}` has a url that cannot be used", "correct it in the configuration")
        try:
            async with asyncio.timeout(seconds):
                return await self._pool.connect()
        except (OSError, ValueError) as error:
            raise _unreached(self.name, error) from error

    def _head(self, exchange: Exchange) -> bytes:
        """The request's head. Raises `NotSent` where something in it could be read as something else."""
        head = self._made(exchange.verb, tuple(exchange.headers))
        if exchange.verb == "POST":
            return b"%bContent-Length: %d\r\n\r\n" % (head, len(exchange.body))
        return head + b"\r\n"

    def _make(self, verb: str, headers: tuple[tuple[str, str], ...]) -> bytes:
        """A head but for its length and end. Most calls have the same, so the latest are kept."""
        dropped = self._dropped
        fields = [f"{name}: {value}\r\n" for name, value in headers if name.lower() not in dropped]
        if verb == "POST" and not any(name.lower() == "content-type" for name, _ in headers):
            fields.append("Content-Type: application/json\r\n")
        fields += [f"{name}: {value}\r\n" for name, value in self._fixed]
        text = "".join(fields)
        if text.count("\n") != len(fields) or not _FIELDS.fullmatch(text):
            raise NotSent(f"server `{self.name}` cannot be sent this: a header or the url is not valid")
        return f"{verb} {self._target} HTTP/1.1\r\nHost: {self._host}\r\n{text}".encode("latin-1")


class HttpAnswer:
    """An answer whose head has arrived; see `interface.Answer`."""

    __slots__ = ("_endless", "_most", "_name", "_reply", "content_type", "headers", "status")

    def __init__(self, name: str, reply: Reply, endless: bool, most: int) -> None:
        self._name = name
        self._reply = reply
        self._endless = endless
        self._most = most
        self.status = reply.status
        self.headers = reply.headers
        self.content_type = self.headers.get("content-type", "").partition(";")[0].strip().lower()

    async def read(self, limit: int) -> bytes:
        """The whole body."""
        limit = min(limit, self._most)
        reply = self._reply
        parts: list[bytes] = []
        size = 0
        while True:
            size += reply.buffered
            if size > limit:
                self.close()
                raise TooLarge(f"server `{self._name}` answered with more than {limit} bytes")
            if reply.parts:
                parts.append(reply.take())
            if reply.complete:
                return parts[0] if len(parts) == 1 else b"".join(parts)
            await self._more()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives."""
        size = 0
        reply = self._reply
        while True:
            if reply.parts:
                size += reply.buffered
                if not self._endless and size > self._most:
                    self.close()
                    raise TooLarge(f"server `{self._name}` answered with more than {self._most} bytes")
                yield reply.take()
            elif reply.complete:
                return
            else:
                await self._more()

    def close(self) -> None:
        """Without its end, the connection ends here."""
        self._reply.close()

    def _more(self) -> Awaitable[None]:
        if self._reply.fault is not None:
            raise _told(self._name, self._reply.fault)
        return self._reply.more()


def _unusable(answer: HttpAnswer) -> str | None:
    """Why a head cannot be an MCP answer's, or None."""
    if 300 <= answer.status < 400:
        return f"answered {answer.status}; redirects are not followed"
    encoding = answer.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        return "answered with an encoded body, which was not asked for"
    return None


def _told(name: str, fault: Fault | None) -> UpstreamError:
    """Our word for how an exchange failed."""
    if fault is Fault.TIMED_OUT:
        return TimedOut(f"server `{name}` did not answer in time")
    if fault is Fault.NOT_HTTP:
        return ProtocolFault(f"server `{name}` answered something that is not HTTP")
    return Lost(f"the connection to server `{name}` ended before its answer did")


def _unreached(name: str, error: Exception) -> NotSent:
    """Our word for why there is no connection."""
    if isinstance(error, TimeoutError):
        return NotSent(f"server `{name}` did not accept a connection in time", "see whether it runs and can be reached")
    if isinstance(error, ssl.CertificateError):
        return NotSent(
            f"server `{name}` has no certificate that can be trusted",
            "certificates are always verified; SSL_CERT_FILE adds an authority of your own",
        )
    return NotSent(f"server `{name}` cannot be reached: {_cause(error)}", "see whether it runs, and its url")


def _cause(error: Exception) -> str:
    """What the system says, without addresses and library names."""
    if isinstance(error, ssl.SSLError):
        return "it does not speak TLS as we do"
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno).lower()
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
