"""The catalogue's attacks on parsing, at the level of decoding. Each test names the line it is for.

What needs a running proxy (nothing reaches the server, one row is written) is shown where a proxy runs.
"""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from policylayer.core.canonical import canonical
from policylayer.wire.calls import call_of
from policylayer.wire.message import Message, decode
from policylayer.wire.rejection import Rejection
from tests.wire.samples import META, NOVEMBER, accepted, call, fields, handshake, modern

pytestmark = pytest.mark.shows("proxy.5")


def both(raw: bytes) -> list[Message | Rejection]:
    """The same bytes in each era; the modern one with `_meta` put in."""
    meta = b'"params":{"_meta":' + orjson.dumps(META) + b","
    in_modern = raw.replace(b'"params":{', meta, 1)
    return [decode(raw, fields(NOVEMBER)), decode(in_modern, fields(META_VERSION, "tools/call", "safe"))]


META_VERSION = META["io.modelcontextprotocol/protocolVersion"]


def refusals(raw: bytes) -> set[tuple[int, int, str]]:
    found = set()
    for got in both(raw):
        assert isinstance(got, Rejection)
        found.add((got.status, got.code, got.reason))
    return found


def arguments(raw: bytes) -> bytes:
    return call(b'{"amount":' + raw + b"}")


@pytest.mark.parametrize(
    "names", [b'"name":"safe","name":"danger"', b'"name":"danger","name":"safe"', b'"name":"safe","name":"safe"']
)
def test_json_01_duplicate_name(names: bytes) -> None:
    raw = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{' + names + b',"arguments":{}}}'
    assert refusals(raw) == {(400, -32600, "duplicate_key")}
    for got in both(raw):
        assert isinstance(got, Rejection)
        assert got.message == "duplicate key"


@pytest.mark.parametrize(
    "members",
    [
        b'"method":"ping","method":"tools/call","params":{"name":"danger"}',
        b'"method":"tools/call","method":"ping","params":{"name":"danger"}',
        b'"method":"tools/call","meth\\u006fd":"ping","params":{"name":"danger"}',
        b'"method":"tools/call","params":{"name":"safe"},"params":{"name":"danger"}',
        b'"id":2,"method":"tools/call","params":{"name":"safe"}',
        b'"jsonrpc":"2.0","method":"tools/call","params":{"name":"safe"}',
    ],
)
def test_json_02_duplicate_members_of_the_envelope(members: bytes) -> None:
    assert refusals(b'{"jsonrpc":"2.0","id":1,' + members + b"}") == {(400, -32600, "duplicate_key")}


@pytest.mark.parametrize("depth", [0, 1, 5, 50])
def test_json_04_duplicate_keys_in_arguments(depth: int) -> None:
    inside = b'{"a":' * depth + b'{"path":"/ok","path":"/etc"}' + b"}" * depth
    assert refusals(call(inside)) == {(400, -32600, "duplicate_key")}
    escaped = b'{"a":' * depth + b'{"path":"/ok","\\u0070ath":"/etc"}' + b"}" * depth
    assert refusals(call(escaped)) == {(400, -32600, "duplicate_key")}


def test_json_06_keys_in_two_normal_forms_are_two_keys() -> None:
    for got in both(call('{"\u00e9":1,"e\u0301":2}'.encode())):
        assert isinstance(got, Message)
        assert got.arguments == {"\u00e9": 1, "e\u0301": 2}
        assert canonical(got.arguments) == '{"e\u0301":2,"\u00e9":1}'.encode()


@pytest.mark.parametrize("literal", [b"NaN", b"Infinity", b"-Infinity", b"nan", b"+Infinity", b"1e999", b"-1e999"])
def test_json_12_numbers_that_are_none(literal: bytes) -> None:
    assert all(isinstance(got, Rejection) for got in both(arguments(literal)))
    assert all(isinstance(got, Rejection) for got in both(arguments(b"[" + literal + b"]")))
    raw = b'{"jsonrpc":"2.0","id":' + literal + b',"method":"ping"}'
    assert isinstance(decode(raw, fields(NOVEMBER)), Rejection)


@pytest.mark.parametrize(
    ("literal", "same_as"),
    [
        (b"1E2", 100),
        (b"100.0", 100),
        (b"100.000", 100),
        (b"-0", 0),
        (b"-0.0", 0),
        (b"0.10", 0.1),
        (b"9007199254740993", 2**53 + 1),
    ],
)
def test_json_14_numbers_that_are_read_alike(literal: bytes, same_as: float) -> None:
    for got in both(arguments(literal)):
        assert isinstance(got, Message)
        assert got.arguments == {"amount": same_as}
        assert literal in got.raw
        assert canonical(got.arguments) == canonical({"amount": same_as})


@pytest.mark.parametrize(
    "literal", [b"100.00000000000000001", b"1e-400", b"1e400", b"9007199254740993.0", b"18446744073709551616"]
)
def test_json_14_numbers_that_are_not(literal: bytes) -> None:
    assert refusals(arguments(literal)) == {(400, -32600, "number")}


@pytest.mark.parametrize("value", [True, "50", "1e9", [50], {"$gt": 0}, None])
def test_json_16_types_stay_what_they_are(value: Any) -> None:
    for send in (modern, handshake):
        got = accepted(send("tools/call", {"name": "x", "arguments": {"amount": value}})).arguments["amount"]
        assert type(got) is type(value)
        assert got == value


@pytest.mark.parametrize("place", ["arguments", "_meta", "id", "params"])
@pytest.mark.parametrize("levels", [65, 500, 900, 100_000])
def test_json_17_deep_nesting(place: str, levels: int) -> None:
    deep = b"[" * levels + b"]" * levels
    raw = {
        "arguments": call(b'{"a":' + deep + b"}"),
        "_meta": b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","_meta":{"a":' + deep + b"}}}",
        "id": b'{"jsonrpc":"2.0","id":' + deep + b',"method":"ping"}',
        "params": b'{"jsonrpc":"2.0","id":1,"method":"ping","params":' + deep + b"}",
    }[place]
    got = decode(raw, fields(NOVEMBER))
    assert isinstance(got, Rejection)
    assert (got.code, got.reason) == (-32600, "depth")


@pytest.mark.parametrize(
    "encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
)
def test_json_21_only_utf8(encoding: str) -> None:
    raw = call(b'{"path":"/etc"}').decode().encode(encoding)
    assert refusals(raw) == {(400, -32700, "encoding")}


@pytest.mark.parametrize(
    "broken",
    [b"\xc0\xaf", b"\xed\xa0\x80", b"\xe2\x82", b"\xff", b"\xf8\x88\x80\x80\x80", b"\\ud800", b"\\udc00x", b"\x80"],
)
def test_json_22_broken_text(broken: bytes) -> None:
    assert refusals(call(b'{"path":"' + broken + b'"}')) == {(400, -32700, "encoding")}
    assert refusals(call(b'{"' + broken + b'":1}')) == {(400, -32700, "encoding")}
    assert refusals(call(b"{}", b'"' + broken + b'"')) == {(400, -32700, "encoding")}


def test_json_24_too_large() -> None:
    fits = call(b'{"a":"' + b"x" * (4 * 1024 * 1024 - len(call(b'{"a":""}'))) + b'"}')
    assert isinstance(decode(fits, fields(NOVEMBER)), Message)
    got = decode(fits + b" ", fields(NOVEMBER))
    assert isinstance(got, Rejection)
    assert (got.status, got.reason) == (413, "size")


def test_json_26_control_characters() -> None:
    assert refusals(call(b"{}", b'"safe\\u0000danger"')) == {(400, -32602, "name")}
    for got in both(call(b'{"a":"x\\u0000y","\\u0000":1}')):
        assert isinstance(got, Message)
        assert got.arguments == {"a": "x\x00y", "\x00": 1}
    for code in range(0x20):
        assert all(isinstance(got, Rejection) for got in both(call(b'{"a":"x' + bytes([code]) + b'"}')))


@pytest.mark.parametrize(
    "method", ["tools/call", "prompts/get", "resources/read", "initialize", "tools/list", "tasks/get"]
)
def test_json_29_requests_shaped_like_notifications(method: str) -> None:
    raw = orjson.dumps({"jsonrpc": "2.0", "method": method, "params": {"name": "danger", "_meta": META}})
    for version in (NOVEMBER, META_VERSION):
        got = decode(raw.replace(orjson.dumps(META), b"{}") if version == NOVEMBER else raw, fields(version))
        assert isinstance(got, Rejection)
        assert (got.status, got.code, got.reason, got.id) == (400, -32600, "notification", None)


@pytest.mark.parametrize("value", [b"[]", b'"x"', b"5", b"1.5", b"true", b"false", b'""', b"0"])
def test_json_32_arguments_that_are_no_object(value: bytes) -> None:
    assert refusals(call(value)) == {(400, -32602, "arguments")}


def test_json_32_null_is_no_arguments() -> None:
    made = {call_of(got, "s").digest for got in both(call(b"null")) + both(call(b"{}")) if isinstance(got, Message)}
    assert len(made) == 1
    assert made == {call_of(accepted(handshake("tools/call", {"name": "safe"})), "s").digest}


@pytest.mark.parametrize(
    "value",
    [
        b'{"a":1,}',
        b"{'a':1}",
        b"{a:1}",
        b'{"a":1} //x',
        b'/**/{"a":1}',
        b'{"a":0x1}',
        b'{"a":+1}',
        b'{"a":.5}',
        b'{"a":"\\\n"}',
        b'{"a":1;}',
        b"#",
        b'{"a":undefined}',
    ],
)
def test_json_36_nearly_json(value: bytes) -> None:
    assert refusals(call(value)) == {(400, -32700, "json")}


@pytest.mark.parametrize(
    "key", ["__proto__", "constructor", "$ref", "toJSON", "__class__", "hasOwnProperty", "prototype"]
)
def test_json_37_keys_that_mean_something_elsewhere(key: str) -> None:
    given = {key: {"name": "danger", "polluted": True}, "a": [{key: 1}]}
    for send in (modern, handshake):
        message = accepted(send("tools/call", {"name": "safe", "arguments": given}))
        assert message.arguments == given
        assert message.target == "safe"
        assert call_of(message, "s").arguments == given
