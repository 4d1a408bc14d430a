"""The HTTP side of the stdio front: posts messages to the proxy, reads what comes back, follows its streams.

Speaks as a client of either era does; which one is the message's own matter (`Said`). Must not know standard input
and output (`front.py`), nor policy: the proxy behind the URL judges.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import orjson
from yarl import URL

from policylayer.core.immutable import immutable
from policylayer.upstream.glance import Glance, glance
from policylayer.wire.fields import encode_value
from policylayer.wire.methods import ROUTED, target_of
from policylayer.wire.mirrors import Mirror, param_fields
from policylayer.wire.sse import EventTooLarge, Parser

VERSION: Final = "io.modelcontextprotocol/protocolVersion"
LARGEST: Final = 64 * 1024 * 1024
MOST_RESUMES: Final = 50
CONNECT: Final = aiohttp.ClientTimeout(total=None, sock_connect=10)

NOT_LET_IN: Final = 40101
NOT_REACHED: Final = 50301
BROKE_OFF: Final = 50201
"""JSON-RPC error codes of the front's own, outside the reserved range."""


class LinkError(Exception):
    """A message did not get its answer. `code` is for the client, `help` for whoever reads standard error."""

    def __init__(self, code: int, message: str, help: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.help = help


@immutable
class Said:
    """One message of the client: its bytes, and what its headers repeat of it."""

    raw: bytes
    glance: Glance
    params: dict[str, Any]
    revision: str | None
    """What the message itself says it speaks: set at 2026-07-28, None in the handshake era."""

    @classmethod
    def of(cls, raw: bytes) -> Said | None:
        """None where it is no message."""
        seen = glance(raw)
        if seen is None:
            return None
        params = orjson.loads(raw).get("params")
        params = params if isinstance(params, dict) else {}
        meta = params.get("_meta")
        revision = meta.get(VERSION) if isinstance(meta, dict) else None
        return cls(raw, seen, params, revision if isinstance(revision, str) else None)


@dataclass(slots=True)
class _Cursor:
    """How far a stream was read, and when to come back."""

    last: str | None = None
    retry: float = 1.0


class Link:
    """The connection to one server behind the proxy."""

    def __init__(self, http: aiohttp.ClientSession, url: str, server: str, token: str | None) -> None:
        self._http = http
        self._url = URL(f"{url.rstrip('/')}/mcp/{server}")
        self._token = token
        self.session: str | None = None
        self.revision: str | None = None
        """What the handshake agreed on."""

    async def send(self, said: Said, mirrors: tuple[Mirror, ...] = ()) -> AsyncGenerator[bytes, None]:
        """Post a message; yield what comes back, the answer last. Raises `LinkError`."""
        cursor = _Cursor()
        try:
            async with self._http.post(
                self._url, data=said.raw, headers=self._headers(said, mirrors), timeout=CONNECT, allow_redirects=False
            ) as response:
                self.session = response.headers.get("mcp-session-id", self.session)
                if response.content_type != "text/event-stream":
                    if (body := await self._whole(response, said)) is not None:
                        yield body
                    return
                async with aclosing(self._events(response, cursor)) as events:
                    async for message in events:
                        yield message
                        if _answers(message, said):
                            return
        except aiohttp.ClientConnectorError as error:
            raise _not_reached(self._url, error) from error
        except (aiohttp.ClientError, EventTooLarge, OSError) as error:
            if cursor.last is None:
                raise _broke_off() from error
        async with aclosing(self._resumed(said, cursor)) as messages:
            async for message in messages:
                yield message

    async def listen(self) -> AsyncGenerator[bytes, None]:
        """The session's own stream, for as long as it can be had; yield each message."""
        cursor = _Cursor()
        while True:
            try:
                async with self._get(cursor) as response:
                    if response.status != 200 or response.content_type != "text/event-stream":
                        return
                    async with aclosing(self._events(response, cursor)) as events:
                        async for message in events:
                            yield message
            except (aiohttp.ClientError, EventTooLarge, OSError):
                cursor.retry = min(cursor.retry * 2, 30.0)
            await asyncio.sleep(cursor.retry)

    async def leave(self) -> None:
        """End the session, if there is one."""
        if self.session is not None:
            async with self._http.delete(self._url, headers=self._session_headers(), timeout=CONNECT):
                self.session = None

    # --- reading ------------------------------------------------------------------------------------------------------

    async def _whole(self, response: aiohttp.ClientResponse, said: Said) -> bytes | None:
        """The message that an answer's body is, with the id of what it answers; None where there is none."""
        body = await response.read()
        if response.status == 401:
            raise LinkError(NOT_LET_IN, "the proxy did not accept the credential", "see POLICYLAYER_GRANT")
        if said.glance.kind != "request":
            if response.status == 404 and self.session is None and self.revision is None:
                raise self._no_server()
            if response.status >= 400:
                raise LinkError(BROKE_OFF, f"the proxy answered {response.status} to `{said.glance.method}`")
            return None
        seen = glance(body)
        if seen is None or seen.kind != "response":
            raise LinkError(BROKE_OFF, f"the proxy answered {response.status} without a message")
        if seen.id is None:
            error = orjson.loads(body).get("error")
            return orjson.dumps({"jsonrpc": "2.0", "id": said.glance.id, "error": error})
        return body

    def _no_server(self) -> LinkError:
        """Nothing was agreed on before this: it is not a session that is over."""
        name = self._url.name
        help = "`policylayer grant list` shows which servers each grant opens; names are as in the configuration"
        return LinkError(BROKE_OFF, f"the grant opens no server `{name}` at {self._url.origin()}", help)

    async def _events(self, response: aiohttp.ClientResponse, cursor: _Cursor) -> AsyncGenerator[bytes, None]:
        parser = Parser(LARGEST)
        async for chunk in response.content.iter_any():
            for event in parser.feed(chunk):
                if event.id is not None:
                    cursor.last = event.id
                if event.retry is not None:
                    cursor.retry = min(event.retry / 1000, 30.0)
                if event.data:
                    yield event.data

    async def _resumed(self, said: Said, cursor: _Cursor) -> AsyncGenerator[bytes, None]:
        """The rest of a stream that ended before the answer, where its events had ids (handshake era)."""
        if said.glance.kind != "request":
            return
        for _ in range(MOST_RESUMES):
            if cursor.last is None or said.revision is not None:
                break
            await asyncio.sleep(cursor.retry)
            try:
                async with self._get(cursor) as response:
                    if response.status != 200:
                        break
                    async with aclosing(self._events(response, cursor)) as events:
                        async for message in events:
                            yield message
                            if _answers(message, said):
                                return
            except (aiohttp.ClientError, EventTooLarge, OSError):
                continue
        raise _broke_off()

    def _get(self, cursor: _Cursor) -> Any:
        headers = self._session_headers() | {"Accept": "text/event-stream"}
        if cursor.last is not None:
            headers["Last-Event-ID"] = cursor.last
        return self._http.get(self._url, headers=headers, timeout=CONNECT, allow_redirects=False)

    # --- headers ------------------------------------------------------------------------------------------------------

    def _headers(self, said: Said, mirrors: tuple[Mirror, ...]) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        if said.revision is None:
            return headers | self._session_headers()
        headers |= self._credential() | {"MCP-Protocol-Version": said.revision}
        method = said.glance.method
        if method:
            headers["Mcp-Method"] = method
        target = target_of(method, said.params)
        if method in ROUTED and target is not None:
            headers["Mcp-Name"] = encode_value(target)
        arguments = said.params.get("arguments")
        return headers | dict(param_fields(mirrors, arguments if isinstance(arguments, dict) else {}))

    def _session_headers(self) -> dict[str, str]:
        headers = self._credential()
        if self.session is not None:
            headers["Mcp-Session-Id"] = self.session
        if self.revision is not None:
            headers["MCP-Protocol-Version"] = self.revision
        return headers

    def _credential(self) -> dict[str, str]:
        return {} if self._token is None else {"Authorization": f"Bearer {self._token}"}


def _answers(message: bytes, said: Said) -> bool:
    seen = glance(message)
    return seen is not None and seen.kind == "response" and seen.id == said.glance.id


def _not_reached(url: URL, error: aiohttp.ClientConnectorError) -> LinkError:
    return LinkError(
        NOT_REACHED,
        f"the proxy at {url.origin()} cannot be reached",
        f"see whether `policylayer serve` runs there, and --url ({error.os_error.strerror or error.os_error})",
    )


def _broke_off() -> LinkError:
    return LinkError(BROKE_OFF, "the connection to the proxy ended before the answer came; it may have run")
