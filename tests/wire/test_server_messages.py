"""What servers send: one message, or why it is none; and what a result says of itself."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from policylayer.wire.limits import Limits
from policylayer.wire.methods import MODERN
from policylayer.wire.rejection import Rejection
from policylayer.wire.server_messages import ServerMessage, decode
from tests.wire.samples import NOVEMBER


def got(value: Any) -> ServerMessage:
    raw = value if isinstance(value, bytes) else orjson.dumps({"jsonrpc": "2.0", **value})
    message = decode(raw)
    assert isinstance(message, ServerMessage), message
    assert message.raw is raw
    return message


def reason(raw: bytes, limits: Limits | None = None) -> str:
    rejection = decode(raw) if limits is None else decode(raw, limits)
    assert isinstance(rejection, Rejection), rejection
    assert rejection.status == 502
    return rejection.reason


def test_results() -> None:
    message = got({"id": "a", "result": {"content": []}})
    assert (message.kind, message.id, message.method, message.error) == ("response", "a", None, None)
    assert message.result == {"content": []}
    assert message.result_type == "complete"
    assert message.input_requests is None
    assert not message.is_error
    assert message.treatment(NOVEMBER) == "passed"


def test_results_that_ask() -> None:
    asked = {"q": {"method": "elicitation/create", "params": {}}}
    message = got({"id": 1, "result": {"resultType": "input_required", "inputRequests": asked, "requestState": "s"}})
    assert message.result_type == "input_required"
    assert message.input_requests == asked
    assert got({"id": 1, "result": {"resultType": 5, "inputRequests": [1]}}).result_type is None
    assert got({"id": 1, "result": {"resultType": 5, "inputRequests": [1]}}).input_requests is None


def test_errors() -> None:
    message = got({"id": 1, "error": {"code": -32602, "message": "no", "data": {"x": 1}}})
    assert message.is_error
    assert (message.result_type, message.input_requests) == (None, None)
    assert got({"error": {"code": 1, "message": ""}}).id is None
    assert got({"id": 1, "result": {"isError": True}}).is_error
    assert not got({"id": 1, "result": {"isError": "true"}}).is_error


@pytest.mark.parametrize(
    ("method", "in_handshake", "in_modern"),
    [
        ("sampling/createMessage", "judged", "denied"),
        ("elicitation/create", "judged", "denied"),
        ("roots/list", "judged", "denied"),
        ("ping", "passed", "denied"),
        ("tools/call", "denied", "denied"),
        ("x/y", "denied", "denied"),
    ],
)
def test_requests(method: str, in_handshake: str, in_modern: str) -> None:
    message = got({"id": 0, "method": method, "params": {"a": 1.50}})
    assert (message.kind, message.params) == ("request", {"a": 1.5})
    assert message.treatment(NOVEMBER) == in_handshake
    assert message.treatment(MODERN) == in_modern


@pytest.mark.parametrize(
    ("method", "in_handshake", "in_modern"),
    [
        ("notifications/resources/updated", "filtered", "filtered"),
        ("notifications/progress", "passed", "passed"),
        ("notifications/tools/list_changed", "passed", "passed"),
        ("notifications/subscriptions/acknowledged", "denied", "passed"),
        ("notifications/elicitation/complete", "passed", "denied"),
        ("notifications/x", "denied", "denied"),
        ("sampling/createMessage", "denied", "denied"),
    ],
)
def test_notifications(method: str, in_handshake: str, in_modern: str) -> None:
    message = got({"method": method})
    assert (message.kind, message.id) == ("notification", None)
    assert message.treatment(NOVEMBER) == in_handshake
    assert message.treatment(MODERN) == in_modern


def test_numbers_and_members_may_be_any() -> None:
    raw = b'{"jsonrpc":"2.0","id":1,"result":{"n":[100.00000000000000001,123456789012345678901234567890]},"extra":[]}'
    assert got(raw).result == {"n": [100.0, 123456789012345678901234567890]}


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "json"),
        (b"[]", "batch"),
        (b'[{"jsonrpc":"2.0","id":1,"result":{}}]', "batch"),
        (b'"x"', "envelope"),
        (b"\xef\xbb\xbf{}", "encoding"),
        (b'{"jsonrpc":"2.0","id":1,"result":{"a":1,"a":2}}', "duplicate_key"),
        (b'{"jsonrpc":"2.0","id":1,"result":{"a":1e999}}', "number"),
        (b'{"jsonrpc":"2.0","id":1,"result":' + b"[" * 150 + b"]" * 150 + b"}", "depth"),
        (b'{"jsonrpc":"1.0","id":1,"result":{}}', "jsonrpc"),
        (b'{"jsonrpc":"2.0","id":1.5,"result":{}}', "id"),
        (b'{"jsonrpc":"2.0","id":null,"result":{}}', "id"),
        (b'{"jsonrpc":"2.0","result":{}}', "response"),
        (b'{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":""}}', "envelope"),
        (b'{"jsonrpc":"2.0","id":1,"Result":{}}', "folded_member"),
        (b'{"jsonrpc":"2.0","id":1,"result":{},"Error":{}}', "folded_member"),
        (b'{"jsonrpc":"2.0","id":1,"result":{"resulttype":"complete","resultType":"input_required"}}', "folded_member"),
        (b'{"jsonrpc":"2.0","id":1,"result":{"InputRequests":{}}}', "folded_member"),
        (b'{"jsonrpc":"2.0","id":1,"result":{"iserror":true}}', "folded_member"),
        (b'{"jsonrpc":"2.0","id":1,"result":{"content":[],"Content":[]}}', "folded_member"),
        (b'{"jsonrpc":"2.0","id":1,"result":{"TaskId":"t"}}', "folded_member"),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}', "request_and_response"),
    ],
)
def test_what_is_no_message(raw: bytes, why: str) -> None:
    assert reason(raw) == why


def test_the_caps_are_limits() -> None:
    raw = b'{"jsonrpc":"2.0","id":1,"result":{"a":[1,2,3]}}'
    assert reason(raw, Limits(size=10)) == "size"
    assert reason(raw, Limits(nodes=5)) == "nodes"
    assert reason(raw, Limits(depth=2)) == "depth"


def described(number: int) -> dict[str, object]:
    """A tool with many parameters, each of them described."""
    parameters = {
        f"p{n}": {"type": "string", "description": "d", "enum": ["a", "b"], "default": "a"} for n in range(15)
    }
    results = {f"r{n}": {"type": ["string", "null"], "description": "d"} for n in range(15)}
    return {
        "name": f"tool_{number}",
        "description": "d",
        "inputSchema": {"type": "object", "properties": parameters, "required": ["p1", "p2"]},
        "outputSchema": {"type": "object", "properties": results, "required": ["r1", "r2"]},
        "annotations": {"readOnlyHint": True, "destructiveHint": False, "idempotentHint": True},
    }


def test_a_list_of_two_thousand_well_described_tools_is_read() -> None:
    tools = [described(number) for number in range(2000)]
    message = decode(orjson.dumps({"jsonrpc": "2.0", "id": 1, "result": {"tools": tools}}))
    assert isinstance(message, ServerMessage)
    assert message.result == {"tools": tools}


@pytest.mark.shows("proxy.5")
def test_what_has_more_values_than_any_honest_answer_is_not() -> None:
    assert reason(b'{"jsonrpc":"2.0","id":1,"result":{"a":[' + b",".join([b"1"] * 500_000) + b"]}}") == "nodes"
