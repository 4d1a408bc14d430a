"""The calls in a message: target, arguments and digest, by method."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policylayer.core import strict_json
from policylayer.core.canonical import canonical, digest
from policylayer.wire.calls import call_of, call_of_server_request, calls_of
from policylayer.wire.fields import Headers
from policylayer.wire.methods import MODERN
from tests.wire.samples import META, NOVEMBER, accepted, fields, handshake, modern

VECTORS = json.loads((Path(__file__).resolve().parents[1] / "cases" / "canonical" / "calls.json").read_text())["cases"]


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case["name"])
def test_vectors(case: dict[str, str]) -> None:
    params: Any = strict_json.parse(case["params"].encode())
    call = call_of_server_request(case["method"], params, "s", MODERN)
    assert (call.digest.hex(), call.asked_digest.hex()) == (case["digest"], case["asked_digest"])


def test_a_tool_call() -> None:
    call = call_of(accepted(modern("tools/call", {"name": "refund", "arguments": {"amount": 5}})), "shop")
    assert (call.server, call.method, call.target, call.protocol) == ("shop", "tools/call", "refund", MODERN)
    assert call.arguments == {"amount": 5}
    assert call.input == {}
    assert call.digest == call.asked_digest


def test_a_later_round() -> None:
    first = call_of(accepted(modern("tools/call", {"name": "x", "arguments": {"a": 1}})), "s")
    answers = {"q": {"action": "accept", "content": {"yes": True}}}
    params = {"name": "x", "arguments": {"a": 1}, "inputResponses": answers, "requestState": "opaque"}
    later = call_of(accepted(modern("tools/call", params)), "s")
    assert later.input == answers
    assert later.asked_digest == first.digest
    assert later.digest != first.digest
    params["requestState"] = "other"
    assert call_of(accepted(modern("tools/call", params)), "s") == later


def test_no_responses_are_not_the_same_as_none() -> None:
    first = call_of(accepted(modern("tools/call", {"name": "x"})), "s")
    empty = call_of(accepted(modern("tools/call", {"name": "x", "inputResponses": {}})), "s")
    assert empty.asked_digest == first.digest
    assert empty.digest != first.digest


@pytest.mark.parametrize(
    ("method", "params", "target", "arguments"),
    [
        ("prompts/get", {"name": "p", "arguments": {"a": "1"}}, "p", {"a": "1"}),
        ("prompts/get", {"name": "p", "arguments": None}, "p", {}),
        ("resources/read", {"uri": "file:///a"}, "file:///a", {"uri": "file:///a"}),
        ("tools/list", {"cursor": "c"}, None, {"cursor": "c"}),
        ("tools/list", {}, None, {}),
        ("tasks/get", {"taskId": "t"}, "t", {"taskId": "t"}),
        (
            "completion/complete",
            {"ref": {"type": "ref/prompt", "name": "p"}, "argument": {"name": "a", "value": "v"}},
            "p",
            {"ref": {"type": "ref/prompt", "name": "p"}, "argument": {"name": "a", "value": "v"}},
        ),
        ("x/y", {"arguments": [1], "inputResponses": 5}, None, {"arguments": [1]}),
    ],
)
def test_what_policy_reads(method: str, params: dict[str, Any], target: str | None, arguments: dict[str, Any]) -> None:
    for send in (modern, handshake):
        call = call_of(accepted(send(method, params)), "s")
        assert call.target == target
        assert call.arguments == arguments
        assert call.input == {}


def test_answers_to_a_task_are_input() -> None:
    params = {"taskId": "t", "inputResponses": {"q": {"action": "decline"}}}
    call = call_of(accepted(modern("tasks/update", params)), "s")
    assert (call.target, call.arguments, call.input) == ("t", {"taskId": "t"}, {"q": {"action": "decline"}})


def test_listening_is_a_call_per_resource() -> None:
    wanted = {"resourceSubscriptions": ["b", "a", "b"], "toolsListChanged": True}
    message = accepted(modern("subscriptions/listen", {"notifications": wanted}))
    calls = calls_of(message, "s")
    assert [call.target for call in calls] == ["b", "a"]
    assert len({call.digest for call in calls}) == 1
    assert all(call.arguments == {"notifications": wanted} for call in calls)
    assert call_of(message, "s") == calls[0]
    for wanted in ({}, {"toolsListChanged": True}, {"resourceSubscriptions": []}):
        (call,) = calls_of(accepted(modern("subscriptions/listen", {"notifications": wanted})), "s")
        assert call.target is None


def test_listening_where_it_is_not_known() -> None:
    (call,) = calls_of(accepted(handshake("subscriptions/listen", {"notifications": 5})), "s")
    assert (call.target, call.arguments) == (None, {"notifications": 5})


def test_a_response_is_no_call() -> None:
    message = accepted((b'{"jsonrpc":"2.0","id":1,"result":{}}', Headers()))
    with pytest.raises(ValueError, match="not a call"):
        call_of(message, "s")


def test_what_servers_ask() -> None:
    params = {"mode": "url", "url": "https://example.com", "message": "open", "_meta": {"x": 1}}
    call = call_of_server_request("elicitation/create", params, "s", NOVEMBER)
    assert (call.method, call.target, call.protocol) == ("elicitation/create", None, NOVEMBER)
    assert call.arguments == {"mode": "url", "url": "https://example.com", "message": "open"}
    assert call_of_server_request("roots/list", None, "s", MODERN).arguments == {}


def test_meta_and_number_forms_and_order_do_not_change_a_call() -> None:
    def told(raw: bytes) -> bytes:
        text = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":' + raw + b"}"
        return call_of(accepted((text, fields(NOVEMBER))), "s").digest

    same = {
        told(b'{"name":"x","arguments":{"a":100,"b":[1.5]}}'),
        told(b'{"arguments":{"b":[1.50],"a":1E2},"name":"x"}'),
        told(b' { "_meta" : {"progressToken":1}, "name":"\\u0078","arguments":{"\\u0061":100.0,"b":[15e-1]}}'),
    }
    assert len(same) == 1
    other = {
        told(b'{"name":"x","arguments":{"a":100,"b":[1.6]}}'),
        told(b'{"name":"x","arguments":{"a":"100","b":[1.5]}}'),
        told(b'{"name":"x","arguments":{"a":100,"b":1.5}}'),
        told(b'{"name":"y","arguments":{"a":100,"b":[1.5]}}'),
    }
    assert len(same | other) == 5


@given(st.dictionaries(st.text(), st.integers(-(2**53), 2**53) | st.text() | st.none() | st.booleans(), max_size=4))
def test_the_digest_covers_exactly_the_arguments(arguments: dict[str, Any]) -> None:
    call = call_of(accepted(modern("tools/call", {"name": "x", "arguments": arguments})), "s")
    assert call.digest == digest({"method": "tools/call", "params": {"name": "x", "arguments": arguments}})
    assert orjson.loads(canonical(call.arguments)) == arguments
    assert META["io.modelcontextprotocol/protocolVersion"] == call.protocol
