"""The members of params, and the form of those that the proxy reads."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from policylayer.wire.limits import Limits
from policylayer.wire.message import decode
from policylayer.wire.methods import HANDSHAKE
from policylayer.wire.rejection import Rejection
from tests.wire.samples import META, accepted, body, fields, handshake, modern, refused

EVERY_ERA = pytest.mark.parametrize("send", [modern, handshake])
REF = {"type": "ref/prompt", "name": "p"}
ARGUMENT = {"name": "a", "value": "v"}


def reason(sent: Any) -> str:
    rejection = refused(sent)
    assert (rejection.status, rejection.code) == (400, -32602)
    return rejection.reason


@EVERY_ERA
@pytest.mark.parametrize(
    ("method", "params", "why"),
    [
        ("tools/call", {}, "name"),
        ("tools/call", {"name": None}, "name"),
        ("tools/call", {"name": 5}, "name"),
        ("tools/call", {"name": ""}, "name"),
        ("tools/call", {"name": "safe\x00danger"}, "name"),
        ("tools/call", {"name": " safe"}, "name"),
        ("tools/call", {"name": "sa\u200bfe"}, "name"),
        ("tools/call", {"name": "x" * 129}, "name"),
        ("tools/call", {"name": "x", "arguments": []}, "arguments"),
        ("tools/call", {"name": "x", "arguments": "x"}, "arguments"),
        ("tools/call", {"name": "x", "arguments": 5}, "arguments"),
        ("tools/call", {"name": "x", "arguments": False}, "arguments"),
        ("tools/call", {"name": "x", "arguments": ""}, "arguments"),
        ("tools/call", {"name": "x", "task": 5}, "task"),
        ("prompts/get", {"name": "x\n"}, "name"),
        ("prompts/get", {"name": "x", "arguments": 1}, "arguments"),
        ("prompts/get", {"arguments": {}}, "name"),
        ("resources/read", {}, "uri"),
        ("resources/read", {"uri": None}, "uri"),
        ("resources/read", {"uri": "x" * 8193}, "uri"),
        ("resources/read", {"uri": "file:///a\nb"}, "uri"),
        ("tools/list", {"cursor": 5}, "cursor"),
        ("tools/list", {"cursor": "x" * 8193}, "cursor"),
        ("tasks/get", {}, "taskId"),
        ("tasks/get", {"taskId": "x" * 257}, "taskId"),
        ("tasks/cancel", {"taskId": 5}, "taskId"),
        ("completion/complete", {"ref": REF}, "argument"),
        ("completion/complete", {"argument": ARGUMENT}, "ref"),
        ("completion/complete", {"ref": "p", "argument": ARGUMENT}, "ref"),
        ("completion/complete", {"ref": {"type": "ref/tool", "name": "p"}, "argument": ARGUMENT}, "ref"),
        ("completion/complete", {"ref": {"type": ["ref/prompt"], "name": "p"}, "argument": ARGUMENT}, "ref"),
        ("completion/complete", {"ref": {"name": "p"}, "argument": ARGUMENT}, "ref"),
        ("completion/complete", {"ref": {**REF, "uri": "u"}, "argument": ARGUMENT}, "ref"),
        ("completion/complete", {"ref": {**REF, "Name": "q"}, "argument": ARGUMENT}, "ref"),
        ("completion/complete", {"ref": {"type": "ref/prompt", "name": "p\x00"}, "argument": ARGUMENT}, "ref"),
        ("completion/complete", {"ref": {"type": "ref/resource", "uri": " u"}, "argument": ARGUMENT}, "ref"),
        (
            "completion/complete",
            {"ref": {"type": "ref/resource", "uri": "u", "name": "p"}, "argument": ARGUMENT},
            "ref",
        ),
        ("completion/complete", {"ref": REF, "argument": {**ARGUMENT, "Value": "w"}}, "argument"),
        ("completion/complete", {"ref": REF, "argument": []}, "argument"),
        ("completion/complete", {"ref": REF, "argument": ARGUMENT, "context": {"arguments": {}, "x": 1}}, "context"),
    ],
)
def test_params_that_are_not_in_their_form(send: Any, method: str, params: dict[str, Any], why: str) -> None:
    assert reason(send(method, params)) == why


@pytest.mark.parametrize(
    ("params", "why"),
    [
        ({}, "notifications"),
        ({"notifications": None}, "notifications"),
        ({"notifications": {"toolsListChanged": 1}}, "notifications"),
        ({"notifications": {"somethingElse": True}}, "notifications"),
        ({"notifications": {"ResourceSubscriptions": ["u"]}}, "notifications"),
        ({"notifications": {"resourceSubscriptions": "u"}}, "notifications"),
        ({"notifications": {"resourceSubscriptions": [5]}}, "notifications"),
        ({"notifications": {"resourceSubscriptions": ["a\x00"]}}, "notifications"),
        ({"notifications": {"resourceSubscriptions": [f"u{number}" for number in range(65)]}}, "notifications"),
        ({"notifications": {"taskIds": [None]}}, "notifications"),
    ],
)
def test_what_a_stream_may_carry(params: dict[str, Any], why: str) -> None:
    assert reason(modern("subscriptions/listen", params)) == why


@pytest.mark.parametrize(
    ("method", "params", "why"),
    [
        ("tools/call", {"name": "x", "inputResponses": []}, "inputResponses"),
        ("tools/call", {"name": "x", "inputResponses": None}, "inputResponses"),
        ("tools/call", {"name": "x", "requestState": {}}, "requestState"),
        ("tasks/update", {"taskId": "t"}, "inputResponses"),
        ("initialize", {"protocolVersion": 5}, "protocolVersion"),
        ("initialize", {}, "protocolVersion"),
        ("initialize", {"protocolVersion": "2025-11-25", "capabilities": []}, "capabilities"),
        ("logging/setLevel", {"level": 5}, "level"),
    ],
)
def test_members_of_one_era(method: str, params: dict[str, Any], why: str) -> None:
    send = handshake if method in ("initialize", "logging/setLevel") else modern
    assert reason(send(method, params)) == why


@EVERY_ERA
@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("tools/call", {"name": "x", "arguments": {"Name": 1, "_meta": 2, "__proto__": {}, "toJSON": 1, "$ref": "#"}}),
        ("tools/call", {"name": "x", "arguments": {"a": "\x00", "": None, "\u200b": 1}, "task": {"ttl": 1}}),
        ("resources/read", {"uri": "file:///../etc/passwd"}),
        ("resources/read", {"uri": "x" * 8192}),
        ("tools/list", {"cursor": ""}),
        ("tools/list", {"cursor": "\x00 any text"}),
        ("tools/list", {"unknown": 1}),
        ("completion/complete", {"ref": {**REF, "title": "P"}, "argument": ARGUMENT, "context": {"arguments": {}}}),
        ("completion/complete", {"ref": {"type": "ref/resource", "uri": "file:///{path}"}, "argument": ARGUMENT}),
        ("tasks/get", {"taskId": "786512e2-9e0d-44bd-8f29-789f320fe840"}),
    ],
)
def test_params_in_their_form(send: Any, method: str, params: dict[str, Any]) -> None:
    message = accepted(send(method, params))
    assert {name: value for name, value in message.params.items() if name != "_meta"} == params


def test_streams_in_their_form() -> None:
    wanted = {
        "toolsListChanged": True,
        "promptsListChanged": False,
        "resourceSubscriptions": ["a", "b"],
        "taskIds": ["t"],
    }
    assert accepted(modern("subscriptions/listen", {"notifications": wanted})).treatment == "judged"


@EVERY_ERA
@pytest.mark.parametrize("name", ["extra", "", "uri", "argument", "cursor", "args"])
def test_unknown_members_of_judged_methods(send: Any, name: str) -> None:
    assert reason(send("tools/call", {"name": "x", name: 1})) == "unknown_member"


@pytest.mark.shows("proxy.5")
@EVERY_ERA
@pytest.mark.parametrize(
    "name",
    [
        "Name",
        "NAME",
        "Arguments",
        "ARGUMENTS",
        "name\x00",
        "na\u200bme",
        "\uff4eame",
        "_Meta",
        "_meta\x00",
        "argument\u017f",
    ],
)
def test_json_07_members_that_look_like_the_methods(send: Any, name: str) -> None:
    for value in ("danger", {"a": 1}, None):
        assert reason(send("tools/call", {"name": "x", name: value})) == "folded_member"
        assert reason(send("tools/call", {name: value})) == "folded_member"


@EVERY_ERA
def test_methods_that_are_not_judged_keep_what_they_do_not_know(send: Any) -> None:
    accepted(send("tools/list", {"limit": 5}))
    assert reason(send("tools/list", {"Cursor": "x"})) == "folded_member"
    assert reason(send("tools/list", {"\uff3fmeta": {}})) == "folded_member"


@EVERY_ERA
def test_params_are_few(send: Any) -> None:
    members = {f"m{number}": number for number in range(65)}
    assert reason(send("tools/list", members)) == "members"
    assert reason(send("tools/call", {"name": "x", **members})) == "members"
    accepted(send("tools/call", {"name": "x", "arguments": members}))


def test_members_belong_to_revisions() -> None:
    assert reason(handshake("tools/call", {"name": "x", "requestState": "s"})) == "unknown_member"
    assert reason(handshake("tools/call", {"name": "x", "inputResponses": {}})) == "unknown_member"
    accepted(modern("tools/call", {"name": "x", "requestState": "s", "inputResponses": {}}))
    sent = orjson.dumps(body("tools/call", {"name": "x", "task": {"ttl": 1}}))
    for revision in HANDSHAKE:
        decoded = decode(sent, fields(revision))
        assert isinstance(decoded, Rejection) == (revision != "2025-11-25")


@EVERY_ERA
@pytest.mark.parametrize("meta", [None, [], "x", 5, True])
def test_meta_is_an_object(send: Any, meta: Any) -> None:
    assert reason(send("tools/call", {"name": "x", "_meta": meta})) == "meta"
    assert reason(send("x/y", {"_meta": meta})) == "meta"


@pytest.mark.shows("proxy.5")
@EVERY_ERA
@pytest.mark.parametrize(
    ("meta", "why"),
    [
        ({"x": "y" * 16_384}, "meta_size"),
        ({"traceparent": "0" * 10_000}, "trace"),
        ({"traceparent": {"id": "canary"}}, "trace"),
        ({"tracestate": "x" * 2049}, "trace"),
        ({"baggage": "x" * 8193}, "trace"),
        ({"progressToken": 1.5}, "progress_token"),
        ({"progressToken": True}, "progress_token"),
        ({"progressToken": "x" * 257}, "progress_token"),
        ({"progressToken": None}, "progress_token"),
        ({"ProgressToken": 1}, "folded_member"),
        ({"IO.modelcontextprotocol/protocolVersion": "2025-11-25"}, "folded_member"),
        ({"io.modelcontextprotocol/clientinfo": {"name": "admin"}}, "folded_member"),
        ({"io.modelcontextprotocol/protocolVersion\x00": "2025-11-25"}, "folded_member"),
    ],
)
def test_mcp_21_meta_is_no_place_to_hide(send: Any, meta: dict[str, Any], why: str) -> None:
    given = {**META, **meta} if send is modern else meta
    assert reason(send("tools/call", {"name": "x", "_meta": given})) == why


@EVERY_ERA
def test_meta_may_hold_what_applications_put_there(send: Any) -> None:
    meta = {
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01",
        "com.example/user": "admin",
        "io.modelcontextprotocol/related-task": {"taskId": "t"},
        "x": "y" * 15_000,
    }
    given = {**META, **meta} if send is modern else meta
    assert accepted(send("tools/call", {"name": "x", "_meta": given})).meta == given


def test_the_caps_are_limits() -> None:
    sent = orjson.dumps(body("tools/call", {"name": "longer", "_meta": {"a": "b" * 50}}))
    assert decode(sent, fields(None), Limits(name=6, meta=60))
    for limits, why in ((Limits(name=5), "method"), (Limits(meta=57), "meta_size")):
        rejection = decode(sent, fields(None), limits)
        assert isinstance(rejection, Rejection)
        assert rejection.reason == why
