"""The ladder from bytes and headers to one message: which rung refuses what, and in which order."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from policylayer.wire.fields import Headers
from policylayer.wire.limits import Limits
from policylayer.wire.message import Message, decode
from policylayer.wire.methods import HANDSHAKE, MODERN
from policylayer.wire.rejection import Rejection
from tests.wire.samples import META, NOVEMBER, accepted, body, call, fields, handshake, modern, refused

EVERY_ERA = pytest.mark.parametrize("send", [modern, handshake])


@EVERY_ERA
def test_a_tool_call(send: Any) -> None:
    sent = send("tools/call", {"name": "refund", "arguments": {"amount": 5}})
    message = accepted(sent)
    assert message.kind == "request"
    assert message.id == 1
    assert message.method == "tools/call"
    assert message.target == "refund"
    assert message.arguments == {"amount": 5}
    assert message.treatment == "judged"
    assert message.raw is sent[0]
    assert (message.result, message.error) == (None, None)


def test_modern_requests_say_who_they_are() -> None:
    meta = {
        **META,
        "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"url": {}}},
        "io.modelcontextprotocol/clientInfo": {"name": "some-client", "version": "1"},
        "progressToken": "p-1",
    }
    message = accepted(modern("tools/call", {"name": "x", "_meta": meta}))
    assert (message.era, message.protocol) == ("modern", MODERN)
    assert message.client_capabilities == {"elicitation": {"url": {}}}
    assert message.client == "some-client"
    assert message.progress_token == "p-1"
    assert message.meta == meta


def test_handshake_requests_do_not() -> None:
    message = accepted(handshake("tools/call", {"name": "x", "_meta": {"progressToken": 7}}))
    assert (message.era, message.protocol) == ("handshake", NOVEMBER)
    assert message.client_capabilities is None
    assert message.client is None
    assert message.progress_token == 7


def test_initialize_says_who_opens_the_session() -> None:
    params = {
        "protocolVersion": NOVEMBER,
        "capabilities": {"roots": {}},
        "clientInfo": {"name": "c" * 1000, "version": "1"},
    }
    message = accepted((orjson.dumps(body("initialize", params)), Headers()))
    assert message.treatment == "passed"
    assert message.protocol == "2025-03-26"
    assert message.client_capabilities == {"roots": {}}
    assert message.client == "c" * 128


@pytest.mark.parametrize("info", [None, "x", [], {}, {"name": 5}])
def test_a_client_without_a_name(info: Any) -> None:
    params = {"protocolVersion": NOVEMBER, "clientInfo": info}
    assert accepted(handshake("initialize", params)).client is None


@pytest.mark.parametrize("arguments", [{}, {"arguments": None}, {"arguments": {}}])
@EVERY_ERA
def test_json_32_absent_and_null_arguments_are_none(send: Any, arguments: dict[str, Any]) -> None:
    assert accepted(send("tools/call", {"name": "x", **arguments})).arguments == {}


def test_a_response_of_a_session() -> None:
    result = {"action": "accept", "content": {"ok": True}}
    message = accepted((orjson.dumps({"jsonrpc": "2.0", "id": "s-1", "result": result}), fields(NOVEMBER)))
    assert (message.kind, message.id, message.method) == ("response", "s-1", None)
    assert message.treatment == "passed"
    assert message.result == result
    error = {"code": -1, "message": "no", "data": [1]}
    message = accepted((orjson.dumps({"jsonrpc": "2.0", "id": 5, "error": error}), fields(NOVEMBER)))
    assert (message.result, message.error) == (None, error)


def test_modern_clients_send_no_responses() -> None:
    rejection = refused((b'{"jsonrpc":"2.0","id":1,"result":{}}', fields(MODERN)))
    assert (rejection.status, rejection.code, rejection.reason) == (400, -32600, "response")


@pytest.mark.parametrize("protocol", [*HANDSHAKE, MODERN, None])
def test_notifications(protocol: str | None) -> None:
    sent = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1, "reason": "x"}}
    message = accepted((orjson.dumps(sent), fields(protocol)))
    assert (message.kind, message.id, message.treatment) == ("notification", None, "passed")


@pytest.mark.parametrize("method", ["notifications/unknown", "notifications/initialized"])
def test_notifications_that_are_not_known_are_denied(method: str) -> None:
    message = accepted((orjson.dumps({"jsonrpc": "2.0", "method": method}), fields(MODERN)))
    assert message.treatment == "denied"


def test_unknown_methods_are_decoded_and_denied() -> None:
    params = {"arguments": [1], "inputResponses": 5, "name": [], "notifications": 3, "Name": 1}
    for send in (modern, handshake):
        message = accepted(send("tools/callX", params))
        assert message.treatment == "denied"
        assert message.target is None
        assert message.arguments == {}


def test_the_order_of_the_ladder() -> None:
    # A body that is wrong everywhere is told its first fault only.
    wrong = {"jsonrpc": "1.0", "id": None, "method": "tools/call", "params": {"_meta": 5}}
    headers = fields("2099-01-01")
    assert refused((b"{" + orjson.dumps(wrong), headers)).reason == "json"
    assert refused((orjson.dumps(wrong), headers)).reason == "jsonrpc"
    wrong["jsonrpc"] = "2.0"
    assert refused((orjson.dumps(wrong), headers)).reason == "id"
    wrong["id"] = 1
    assert refused((orjson.dumps(wrong), headers)).reason == "meta"
    wrong["params"] = {}
    assert refused((orjson.dumps(wrong), headers)).reason == "protocol_version"
    assert refused((orjson.dumps(wrong), fields(MODERN))).reason == "meta"
    wrong["params"] = {"_meta": META}
    assert refused((orjson.dumps(wrong), fields(MODERN))).reason == "name"
    wrong["params"] = {"_meta": META, "name": "x"}
    assert refused((orjson.dumps(wrong), fields(MODERN))).reason == "header_mismatch"
    assert accepted((orjson.dumps(wrong), fields(MODERN, "tools/call", "x")))


def test_statuses_and_codes() -> None:
    limits = Limits(size=200)
    large = decode(call(b'"' + b"x" * 200 + b'"'), fields(NOVEMBER), limits)
    assert large == Rejection(413, -32600, "size", "the message is too large")
    for raw, code in ((b"{", -32700), (b"\xff", -32700), (call(b'{"a":1,"a":2}'), -32600), (call(b"[1e400]"), -32600)):
        rejection = refused((raw, fields(NOVEMBER)))
        assert (rejection.status, rejection.code, rejection.id) == (400, code, None)


@pytest.mark.parametrize("id", [0, -1, 2**53 - 1, 1 - 2**53, "a", "x" * 256, "\u00e9" * 128, "\x00", "null"])
def test_a_rejection_carries_the_id_it_could_read(id: Any) -> None:
    for wrong in ({"name": 5}, {"name": "x", "Name": "y"}, {"_meta": 5}):
        assert refused(handshake("tools/call", wrong, id=id)).id == id
    assert refused((orjson.dumps(body("tools/call", {"name": "x"}, id=id)), fields("1999-01-01"))).id == id


def test_no_rejection_repeats_what_was_sent() -> None:
    canary = "CANARY-7f3a"
    bodies: list[Any] = [
        body(canary + " "),
        body("tools/call", {canary: 1}),
        body("tools/call", {"name": canary + "\u200b"}),
        body("tools/call", {"name": "x", "arguments": [canary]}),
        body("tools/call", {"name": "x", "_meta": {"Traceparent": canary}}),
        body("tools/call", {"name": "x", "_meta": {"progressToken": [canary]}}),
        {**body("ping"), canary: 1},
        body("ping", id=[canary]),
        body("ping", jsonrpc=canary),
        [canary],
        canary,
    ]
    for protocol in (NOVEMBER, MODERN, canary):
        for sent in bodies:
            rejection = decode(orjson.dumps(sent), fields(protocol, canary, canary))
            if isinstance(rejection, Rejection):
                assert canary not in rejection.message
                assert canary not in json.dumps(rejection.data)
                assert canary not in str(rejection.id)


def test_messages_are_values() -> None:
    sent = modern("tools/call", {"name": "x"})
    assert accepted(sent) == accepted(sent)
    with pytest.raises(AttributeError):
        accepted(sent).other = "ping"  # type: ignore[attr-defined]
    assert isinstance(decode(b"", Headers()), Rejection)
    assert isinstance(decode(*sent), Message)
