"""Pure: which protocol revision a message speaks, where header and body must agree.

A message is modern exactly when both its `MCP-Protocol-Version` header and its `_meta` say so. Servers choose by the
header alone or by the body alone; a message that says two things would be judged as one and executed as the other.

Must not know methods (`methods`), nor sessions: what was negotiated there is the proxy's to compare.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from policylayer.core.call import Json
from policylayer.wire.fields import Headers
from policylayer.wire.methods import ASSUMED, HANDSHAKE, MODERN, Kind
from policylayer.wire.rejection import (
    HEADER_MISMATCH,
    INVALID_PARAMS,
    INVALID_REQUEST,
    UNSUPPORTED_VERSION,
    Id,
    Rejection,
)

HEADER: Final = "mcp-protocol-version"
VERSION: Final = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES: Final = "io.modelcontextprotocol/clientCapabilities"
CLIENT: Final = "io.modelcontextprotocol/clientInfo"
LOG_LEVEL: Final = "io.modelcontextprotocol/logLevel"

SUPPORTED: Final = (MODERN,)
"""What a modern client is told to speak: the handshake revisions are not spoken its way."""

_LONGEST: Final = 64


def version_of(headers: Headers) -> str | Rejection:
    """The revision that the headers alone name, for requests without a body (GET, DELETE)."""
    if headers.repeated(HEADER):
        return Rejection(400, HEADER_MISMATCH, "header_mismatch", f"the {HEADER} header is repeated")
    said = headers.get(HEADER)
    if said is None:
        return ASSUMED
    if said == MODERN or said in HANDSHAKE:
        return said
    return Rejection(400, INVALID_REQUEST, "protocol_version", "the protocol version is not supported")


def agree(headers: Headers, meta: Mapping[str, Any], kind: Kind, id: Id | None) -> str | Rejection:
    """The revision that header and `_meta` agree on."""
    header = headers.single.get(HEADER)
    if header is None and HEADER in headers:
        return Rejection(400, HEADER_MISMATCH, "header_mismatch", f"the {HEADER} header is repeated", id)
    if header == MODERN:
        return _modern(header, meta, kind, id)
    if VERSION not in meta:
        return _handshake(header, id)
    if header is None or header != meta[VERSION]:
        return Rejection(400, HEADER_MISMATCH, "header_mismatch", f"the {HEADER} header does not match the body", id)
    return _unsupported(header, id)


def _modern(header: str, meta: Mapping[str, Any], kind: Kind, id: Id | None) -> str | Rejection:
    if VERSION not in meta and kind != "request":
        return header
    if VERSION not in meta or (kind == "request" and type(meta.get(CAPABILITIES)) is not dict):
        return Rejection(400, INVALID_PARAMS, "meta", f"_meta must have {VERSION} and {CAPABILITIES} (an object)", id)
    if meta[VERSION] != header:
        return Rejection(400, HEADER_MISMATCH, "header_mismatch", f"the {HEADER} header does not match the body", id)
    return header


def _handshake(header: str | None, id: Id | None) -> str | Rejection:
    if header is None:
        return ASSUMED
    if header in HANDSHAKE:
        return header
    return Rejection(400, INVALID_REQUEST, "protocol_version", "the protocol version is not supported", id)


def _unsupported(requested: str, id: Id | None) -> Rejection:
    # The one echo of input: the specification asks for it, so it is bounded.
    data: dict[str, Json] = {"supported": list(SUPPORTED), "requested": requested[:_LONGEST]}
    return Rejection(400, UNSUPPORTED_VERSION, "protocol_version", "the protocol version is not supported", id, data)
