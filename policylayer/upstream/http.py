"""A server spoken to over Streamable HTTP.

One exchange is one request on one pooled connection, sent once. What goes wrong is told by how far it came: no
connection is `NotSent`; a connection that ended after the request began is `Lost`, since the server may have run it.
Redirects, encoded bodies and broken framing are `ProtocolFault`. Must not know JSON-RPC: bodies are bytes here.
"""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncIterator, Mapping
from typing import Final

import aiohttp
from yarl import URL

from policylayer.core.errors import Lost, NotSent, ProtocolFault, TimedOut, UpstreamError
from policylayer.upstream.interface import Answer, Exchange
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


LARGE: Final = 512 * 1024
"""Bytes of a body that are written in one go."""


class HttpUpstream:
    """One configured HTTP server; the session (the pool) is shared by all of them."""

    def __init__(self, settings: HttpServer, session: aiohttp.ClientSession) -> None:
        self._settings = settings
        self._session = session
        self._url = URL(settings.url, encoded=True)
        self._fixed = [*settings.headers, ("Accept-Encoding", "identity")]
        self._dropped = NOT_OURS_TO_SEND | {name.lower() for name, _ in settings.headers}

    @property
    def name(self) -> str:
        """Its name in the configuration."""
        return self._settings.name

    async def exchange(self, exchange: Exchange) -> Answer:
        """Send it once; answer when the head has arrived."""
        limits = self._settings.limits
        seconds = limits.timeout if exchange.timeout is None else min(exchange.timeout, limits.timeout)
        deadline = asyncio.get_running_loop().time() + seconds
        # A little before the deadline, so that what was never sent is told as such.
        connect = aiohttp.ClientTimeout(total=None, connect=min(limits.connect_timeout, seconds * 0.9))
        try:
            async with asyncio.timeout_at(deadline):
                response = await self._session.request(
                    exchange.verb,
                    self._url,
                    headers=self._headers(exchange),
                    data=_payload(exchange.body) if exchange.verb == "POST" else None,
                    allow_redirects=False,
                    timeout=connect,
                )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _told(self.name, error) from error
        except ValueError as error:
            raise NotSent(f"server `{self.name}` cannot be sent this: a header or the url is not valid") from error
        answer = HttpAnswer(self.name, response, None if exchange.endless else deadline, limits.max_answer_bytes)
        fault = _unusable(answer)
        if fault is not None:
            await answer.close()
            raise ProtocolFault(f"server `{self.name}` {fault}")
        return answer

    async def close(self) -> None:
        """Nothing of its own is open: the session is its maker's to close."""

    def _headers(self, exchange: Exchange) -> list[tuple[str, str]]:
        sent = [(name, value) for name, value in exchange.headers if name.lower() not in self._dropped]
        if exchange.verb == "POST" and not any(name.lower() == "content-type" for name, _ in sent):
            sent.append(("Content-Type", "application/json"))
        return sent + self._fixed


class HttpAnswer:
    """An answer whose head has arrived; see `interface.Answer`."""

    __slots__ = ("_deadline", "_most", "_name", "_response", "content_type", "headers", "status")

    def __init__(self, name: str, response: aiohttp.ClientResponse, deadline: float | None, most: int) -> None:
        self._name = name
        self._response = response
        self._deadline = deadline
        self._most = most
        self.status: int = response.status
        self.headers: Mapping[str, str] = _first_of_each(response)
        self.content_type: str = self.headers.get("content-type", "").partition(";")[0].strip().lower()

    async def read(self, limit: int) -> bytes:
        """The whole body."""
        limit = min(limit, self._most)
        parts: list[bytes] = []
        size = 0
        async for chunk in self.chunks():
            size += len(chunk)
            if size > limit:
                await self.close()
                raise ProtocolFault(f"server `{self._name}` answered with more than {limit} bytes")
            parts.append(chunk)
        return b"".join(parts)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives."""
        size = 0
        while chunk := await self._next():
            size += len(chunk)
            if self._deadline is not None and size > self._most:
                await self.close()
                raise ProtocolFault(f"server `{self._name}` answered with more than {self._most} bytes")
            yield chunk

    async def close(self) -> None:
        """Give the connection back where the body has ended, else abort it."""
        self._response.close()

    async def _next(self) -> bytes:
        """The next piece; empty at the end."""
        content = self._response.content
        if content.at_eof():
            return b""
        try:
            async with asyncio.timeout_at(self._deadline):
                return await content.readany()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._response.close()
            raise _told(self._name, error) from error


def _payload(body: bytes) -> bytes | io.BytesIO:
    """A large body goes out piece by piece, so that others have their turn."""
    return body if len(body) <= LARGE else io.BytesIO(body)


def _first_of_each(response: aiohttp.ClientResponse) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in response.headers.items():
        headers.setdefault(name.lower(), value)
    return headers


def _unusable(answer: HttpAnswer) -> str | None:
    """Why a head cannot be an MCP answer's, or None."""
    if 300 <= answer.status < 400 or answer.status < 200:
        return f"answered {answer.status}; redirects and upgrades are not followed"
    encoding = answer.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        return "answered with an encoded body, which was not asked for"
    return None


def _told(name: str, error: BaseException) -> UpstreamError:
    """Our word for what aiohttp or the system reports: how far did the call come?"""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return NotSent(f"server `{name}` did not accept a connection in time", "see whether it runs and can be reached")
    if isinstance(error, aiohttp.ClientSSLError):
        return NotSent(
            f"server `{name}` has no certificate that can be trusted",
            "certificates are always verified; SSL_CERT_FILE adds an authority of your own",
        )
    if isinstance(error, aiohttp.ClientConnectorError):
        return NotSent(
            f"server `{name}` cannot be reached: {_cause(error.os_error)}", "see whether it runs, and its url"
        )
    if isinstance(error, aiohttp.InvalidURL):
        return NotSent(f"server `{name}` has a url that cannot be used", "correct it in the configuration")
    if isinstance(error, TimeoutError):
        return TimedOut(f"server `{name}` did not answer in time")
    if isinstance(error, aiohttp.ClientResponseError):
        return ProtocolFault(f"server `{name}` answered something that is not HTTP")
    return Lost(f"the connection to server `{name}` ended before its answer did")


def _cause(error: OSError) -> str:
    """What the system says, without addresses and library names."""
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno).lower()
    return error.strerror or type(error).__name__
