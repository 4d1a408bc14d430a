"""Pure: the HTTP fields of a message on both sides, and which of them travel on.

An allow-list, since a deny-list would have to name every credential and routing trick anyone invents. End-to-end fields
that MCP and tracing use are forwarded; everything else - credentials, cookies, identities and addresses that the proxy
itself vouches for, hop-by-hop fields, method overrides, `X-*` - stays here. `Mcp-*` fields are dropped, and for the
modern era written again from the body. `Accept` is what the protocol wants. The content type is written anew: a
`charset` that is not UTF-8 would make the server read other text than was judged.

Must not know a credential (`upstream/` adds the server's own) or a connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from policylayer.wire.fields import Headers, decode_value, encode_value
from policylayer.wire.methods import ROUTED
from policylayer.wire.mirrors import Mirror, check_params, check_routing, mirrors, param_fields

if TYPE_CHECKING:
    from policylayer.wire.message import Message

__all__ = [
    "ACCEPT",
    "FORWARDED",
    "JSON",
    "Headers",
    "Mirror",
    "check_params",
    "check_routing",
    "decode_value",
    "encode_value",
    "forwardable",
    "mirrors",
    "outgoing",
]

JSON: Final = ("Content-Type", "application/json")
ACCEPT: Final = ("Accept", "application/json, text/event-stream")
"""With every message, whatever the agent takes: the protocol demands both, and what a server refuses for the lack of it
would be told as the server's failure. `proxy/downstream.py` gives an agent that reads no stream the answer whole."""

FORWARDED: Final = {
    "accept-language": "Accept-Language",
    "baggage": "baggage",
    "last-event-id": "Last-Event-ID",
    "mcp-protocol-version": "MCP-Protocol-Version",
    "traceparent": "traceparent",
    "tracestate": "tracestate",
    "user-agent": "User-Agent",
}
"""What travels on, as it is written on the way out."""

_LONGEST: Final = 8192


def outgoing(message: Message, inbound: Headers, params_schema: object = None) -> list[tuple[str, str]]:
    """The fields that go upstream with `message`: what travels on of `inbound`, and `Mcp-*` written from the body.

    `params_schema` is the tool's inputSchema, for `Mcp-Param-*`. A server's session id is not among them: whoever keeps
    the session adds it.
    """
    fields = [JSON, ACCEPT, *forwardable(inbound)]
    if message.era == "modern" and message.method is not None:
        fields.append(("Mcp-Method", encode_value(message.method)))
        if message.method in ROUTED and message.target is not None:
            fields.append(("Mcp-Name", encode_value(message.target)))
        if message.method == "tools/call" and params_schema is not None:
            fields.extend(param_fields(mirrors(params_schema) or (), message.arguments))
    return fields


def forwardable(inbound: Headers) -> list[tuple[str, str]]:
    """What travels on of a request's fields, also of one without a message (GET, DELETE)."""
    if inbound.travelling is None:
        inbound.travelling = _forwardable(inbound)
    return inbound.travelling


def _forwardable(inbound: Headers) -> list[tuple[str, str]]:
    dropped = _named_by_connection(inbound)
    return [
        (written, value)
        for name, written in FORWARDED.items()
        if name in inbound and name not in dropped
        for value in inbound.get_all(name)
        if len(value) <= _LONGEST and value.isascii() and value.isprintable()
    ]


def _named_by_connection(inbound: Headers) -> frozenset[str]:
    """The fields that the sender calls hop-by-hop. It cannot take the protocol's own away from us by that."""
    if "connection" not in inbound:
        return frozenset()
    named = {token.strip().lower() for value in inbound.get_all("connection") for token in value.split(",")}
    return frozenset(named - {"mcp-protocol-version"})
