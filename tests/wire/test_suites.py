"""Whole collections of hostile input, at the level of decoding: the JSON test suite and the list of naughty strings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from policylayer.core import strict_json
from policylayer.core.canonical import digest
from policylayer.core.strict_json import Fault
from policylayer.core.text import is_name
from policylayer.wire import replies
from policylayer.wire.calls import call_of
from policylayer.wire.envelope import is_id
from policylayer.wire.fields import Headers, decode_value, encode_value
from policylayer.wire.limits import DEFAULT
from policylayer.wire.message import Message, decode
from policylayer.wire.rejection import Rejection
from tests.support import shared
from tests.wire.samples import NOVEMBER, accepted, call, fields, handshake, modern

pytestmark = pytest.mark.shows("proxy.4")

ROOT = Path(__file__).resolve().parents[2]

REFUSED_ON_PURPOSE = {"y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json"}
"""Legal by the grammar, but two readers of them may see two messages."""


def suite(*kinds: str) -> list[Path]:
    return [path for path in sorted(shared.data("json-test-suite").glob("*.json")) if path.name[0] in kinds]


def naughty() -> list[str]:
    strings: list[str] = orjson.loads(shared.data("naughty-strings.json").read_bytes())
    return strings


def decoded(raw: bytes) -> Message | Rejection:
    return decode(raw, fields(NOVEMBER))


def test_what_must_be_read_is_read_as_an_argument() -> None:
    for path in suite("y"):
        got = decoded(call(b'{"value":' + path.read_bytes() + b"}"))
        if path.name in REFUSED_ON_PURPOSE:
            assert isinstance(got, Rejection), path.name
            assert got.reason == "duplicate_key"
        else:
            assert isinstance(got, Message), path.name
            assert got.arguments == {"value": orjson.loads(path.read_bytes())}


def test_what_must_not_be_read_is_not() -> None:
    files = suite("n")
    assert len(files) > 150
    for path in files:
        for wrapped in (call(b'{"value":' + path.read_bytes() + b"}"), call(path.read_bytes()), path.read_bytes()):
            got = decoded(wrapped)
            assert isinstance(got, Rejection), path.name
            assert got.code in (-32700, -32600)


def test_what_may_be_read_is_refused_here() -> None:
    # Each of these is read differently by different readers: numbers beyond range, broken Unicode, a BOM, depth.
    for path in suite("i"):
        for wrapped in (call(b'{"value":' + path.read_bytes() + b"}"), path.read_bytes()):
            assert isinstance(decoded(wrapped), Rejection), path.name


def test_as_a_whole_body_none_is_a_message() -> None:
    for path in suite("y", "n", "i"):
        raw = path.read_bytes()
        got = decoded(raw)
        assert isinstance(got, Rejection)
        assert got.status == 400
        reply = replies.rejected(got)
        assert orjson.loads(reply.body)["error"]["code"] == got.code
        assert (got.code == -32700) == (isinstance(fault := strict_json.parse(raw), Fault) and fault.parse)


def test_naughty_arguments_arrive_as_they_were_sent() -> None:
    for text in naughty():
        arguments: dict[str, Any] = {"value": text, text or "empty": [text]}
        for send in (modern, handshake):
            message = accepted(send("tools/call", {"name": "safe", "arguments": arguments}))
            assert message.arguments == arguments
            made = call_of(message, "s")
            assert made.digest == digest({"method": "tools/call", "params": {"name": "safe", "arguments": arguments}})


def test_naughty_names_are_names_or_refused() -> None:
    taken = 0
    for text in naughty():
        for send in (modern, handshake):
            got = decode(*send("tools/call", {"name": text}))
            assert isinstance(got, Message) == is_name(text, 128), text
            if isinstance(got, Message):
                taken += 1
                assert got.target == text
                assert text == text.strip()
    assert taken > 200


def test_naughty_ids_are_echoed_escaped_or_refused() -> None:
    for text in naughty():
        got = decoded(handshake("tools/call", {"name": "safe"}, id=text)[0])
        assert isinstance(got, Message) == is_id(text, DEFAULT)
        reply = replies.error(got.id, 1, "x")
        assert orjson.loads(reply.body)["id"] == (text if isinstance(got, Message) else None)


def test_naughty_members_and_headers() -> None:
    for text in naughty():
        raw = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping", text or "\x00": 1})
        assert isinstance(decoded(raw), Rejection)
        raw = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": text or " ", "params": {text: text}})
        decoded(raw)
        for name in ("MCP-Protocol-Version", "Mcp-Method", "Mcp-Name"):
            value = text.encode(errors="replace").decode("latin-1")
            decode(modern("tools/call", {"name": "safe"})[0], Headers([(name, value), ("Mcp-Session-Id", value)]))
        assert decode_value(encode_value(text)) == text
