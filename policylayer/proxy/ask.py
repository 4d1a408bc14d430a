"""Ask a server something of the proxy's own: one request, one response, nothing of it for the agent.

Used where the proxy must know before it can decide (which arguments a tool wants repeated in headers), and to tell a
server that its request was denied. Must not know why it is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from typing import Any, Final

import orjson

from policylayer import __version__
from policylayer.core.errors import ProtocolFault
from policylayer.proxy import aside
from policylayer.proxy.events import events_of
from policylayer.proxy.faults import Unusable
from policylayer.proxy.limits import Limits
from policylayer.upstream.interface import Answer, Exchange, Upstream
from policylayer.wire import server_messages
from policylayer.wire.era import CAPABILITIES, CLIENT, VERSION
from policylayer.wire.headers import ACCEPT, JSON
from policylayer.wire.methods import MODERN
from policylayer.wire.rejection import Rejection
from policylayer.wire.server_messages import ServerMessage

ID: Final = "policylayer"
_META: Final = {
    VERSION: MODERN,
    CAPABILITIES: {},
    CLIENT: {"name": "policylayer", "version": __version__},
}


async def ask_modern(
    upstream: Upstream, owner: str, method: str, params: Mapping[str, Any], limits: Limits
) -> ServerMessage:
    """A modern request of our own; its response. Raises `UpstreamError`."""
    body = orjson.dumps({"jsonrpc": "2.0", "id": ID, "method": method, "params": {**params, "_meta": _META}})
    headers = [
        JSON,
        ACCEPT,
        ("MCP-Protocol-Version", MODERN),
        ("Mcp-Method", method),
    ]
    answer = await upstream.exchange(Exchange("POST", headers, body, owner, timeout=limits.list_timeout))
    try:
        return await response_of(answer, limits)
    finally:
        answer.close()


async def response_of(answer: Answer, limits: Limits) -> ServerMessage:
    """The response to our request, however it comes. Raises `UpstreamError`."""
    if answer.content_type == "text/event-stream":
        return await _streamed(answer, limits)
    message = await _read(await answer.read(limits.answer), limits)
    if not isinstance(message, ServerMessage) or message.kind != "response" or message.id != ID:
        raise ProtocolFault("the server did not answer what it was asked")
    return message


async def _streamed(answer: Answer, limits: Limits) -> ServerMessage:
    try:
        async with aclosing(events_of(answer, limits.event)) as stream:
            async for events in stream:
                for event in events:
                    message = await _read(event.data, limits) if event.data else None
                    if isinstance(message, ServerMessage) and message.kind == "response" and message.id == ID:
                        return message
    except Unusable as error:
        raise ProtocolFault(error.detail) from None
    raise ProtocolFault("the stream ended without an answer")


async def _read(raw: bytes, limits: Limits) -> ServerMessage | Rejection:
    return await aside.read(len(raw), server_messages.decode, raw, limits.server_message)
