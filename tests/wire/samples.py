"""Messages as agents send them, in both eras, for the tests of this package; and JSON texts in odd but legal forms."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any, Final

import orjson

from policylayer.wire.fields import Headers, encode_value
from policylayer.wire.message import Message, decode
from policylayer.wire.methods import MODERN, ROUTED, target_of
from policylayer.wire.rejection import Rejection

VERSION: Final = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES: Final = "io.modelcontextprotocol/clientCapabilities"
NOVEMBER: Final = "2025-11-25"
META: Final[dict[str, Any]] = {VERSION: MODERN, CAPABILITIES: {}}


def body(method: str, params: dict[str, Any] | None = None, **members: Any) -> dict[str, Any]:
    """A request's body; `members` change or add members of the envelope, `None` takes one away."""
    whole = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params, **members}
    return {name: value for name, value in whole.items() if value is not None}


def fields(protocol: str | None, method: str | None = None, name: str | None = None, **more: str) -> Headers:
    """The header fields that go with a body."""
    pairs = {"MCP-Protocol-Version": protocol, "Mcp-Method": method, "Mcp-Name": name}
    pairs.update({key.replace("_", "-"): value for key, value in more.items()})
    return Headers([(key, value) for key, value in pairs.items() if value is not None])


def modern(method: str, params: dict[str, Any] | None = None, **members: Any) -> tuple[bytes, Headers]:
    """A request of the modern era, with the header fields that belong to it."""
    given = {"_meta": META, **(params or {})}
    target = target_of(method, given) if method in ROUTED else None
    headers = fields(MODERN, method, None if target is None else encode_value(target))
    return orjson.dumps(body(method, given, **members)), headers


def handshake(method: str, params: dict[str, Any] | None = None, **members: Any) -> tuple[bytes, Headers]:
    """A request of the handshake era."""
    return orjson.dumps(body(method, params, **members)), fields(NOVEMBER)


def accepted(sent: tuple[bytes, Headers]) -> Message:
    """The decoded message, which must not be refused."""
    message = decode(*sent)
    assert isinstance(message, Message), message
    return message


def refused(sent: tuple[bytes, Headers]) -> Rejection:
    """The rejection; the bytes must not be accepted."""
    rejection = decode(*sent)
    assert isinstance(rejection, Rejection), rejection
    return rejection


def call(arguments: bytes, name: bytes = b'"safe"') -> bytes:
    """The body of a tools/call around raw bytes."""
    return (
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":' + name + b',"arguments":' + arguments + b"}}"
    )


def odd_text(source: random.Random, depth: int = 0) -> str:
    """One JSON text, with the spellings that readers are known to differ about."""
    kind = source.randrange(4 if depth > 3 else 7)
    if kind < 2:
        return source.choice(_ODD["numbers"]) if source.random() < 0.6 else _number(source)
    if kind < 4:
        return source.choice(["true", "false", "null"]) if source.random() < 0.3 else _string(source)
    space = source.choice(["", "", " ", "\n", "\t\r"])
    entries = [odd_text(source, depth + 1) for _ in range(source.randrange(4))]
    if kind == 4:
        return "[" + space + f"{space},{space}".join(entries) + space + "]"
    return "{" + space + ",".join(f"{_string(source)}{space}:{space}{entry}" for entry in entries) + "}"


_ODD: Final = json.loads((Path(__file__).resolve().parents[1] / "cases" / "wire" / "odd_json.json").read_text())


def _number(source: random.Random) -> str:
    value = source.choice(
        [
            source.random(),
            source.uniform(-1e6, 1e6),
            source.random() * 10.0 ** source.randint(-300, 300),
            source.randint(-(2**53), 2**53),
        ]
    )
    text = json.dumps(value)
    return text + source.choice(["", "", "", "0", "00", "1"]) if "." in text and "e" not in text else text


def _string(source: random.Random) -> str:
    pieces = [source.choice(_ODD["legal" if source.random() < 0.95 else "illegal"]) for _ in range(source.randrange(4))]
    return '"' + "".join(pieces) + '"'
