"""No bytes and no headers make decoding raise, and what is accepted keeps the promises of a message."""

from __future__ import annotations

import json
import random
from typing import Any, Final

import orjson
from hypothesis import example, given, settings
from hypothesis import strategies as st

from policylayer.core.call import Call
from policylayer.wire import headers, lists, replies, server_messages
from policylayer.wire.calls import calls_of
from policylayer.wire.fields import Headers
from policylayer.wire.headers import check_params, outgoing
from policylayer.wire.message import Message, decode
from policylayer.wire.methods import HANDSHAKE, MODERN
from policylayer.wire.rejection import Rejection
from policylayer.wire.sse import EventTooLarge, Parser
from tests.wire.samples import META, NOVEMBER, body

SCHEMA: Final = {"properties": {"a": {"type": "string", "x-mcp-header": "A"}}}
METHODS: Final = [
    *("tools/call", "prompts/get", "resources/read", "resources/subscribe", "completion/complete", "tools/list"),
    *("subscriptions/listen", "tasks/get", "tasks/update", "initialize", "server/discover", "ping"),
    *("notifications/cancelled", "x/y"),
]
PARAMS: Final[dict[str, Any]] = {
    "name": "x",
    "uri": "file:///a",
    "taskId": "t",
    "arguments": {"a": "b", "n": [1, 1.5, None, True]},
    "ref": {"type": "ref/prompt", "name": "p"},
    "argument": {"name": "a", "value": "v"},
    "notifications": {"resourceSubscriptions": ["u"], "toolsListChanged": True},
    "inputResponses": {"q": {}},
    "requestState": "s",
    "protocolVersion": NOVEMBER,
    "cursor": "c",
}
ODD: Final[list[Any]] = [None, True, 0, -1, 1.5, 2**63, "", "x", "\x00", "\u200b", [], [1], {}, {"a": 1}, "x" * 300]


def check(raw: bytes, fields: Headers) -> Message | Rejection:
    """Decode, and hold an accepted message to what the rest of the program relies on."""
    got = decode(raw, fields)
    if isinstance(got, Rejection):
        assert got.status in (400, 413)
        assert orjson.loads(replies.rejected(got).body)["error"]["code"] == got.code
        return got
    sent = orjson.loads(raw)
    assert type(sent) is dict
    assert sent["jsonrpc"] == "2.0"
    assert sent.get("id") == got.id
    assert sent.get("method") == got.method
    assert got.protocol in (*HANDSHAKE, MODERN)
    assert (got.era == "modern") == (got.protocol == MODERN) == (fields.get("mcp-protocol-version") == MODERN)
    if got.kind == "request":
        assert type(got.id) in (int, str)
        assert (got.era == "modern") == ("io.modelcontextprotocol/protocolVersion" in got.meta)
    if got.kind != "response":
        calls = calls_of(got, "s")
        assert all(type(call) is Call and len(call.digest) == 32 for call in calls)
        if got.treatment == "judged" and got.method in ("tools/call", "prompts/get", "resources/read"):
            assert got.target == sent["params"].get("name", sent["params"].get("uri"))
            assert calls[0].target == got.target
        refused = check_params(got, fields, SCHEMA)
        if refused is None:
            written = outgoing(got, fields, SCHEMA)
            names = [name.lower() for name, _ in written]
            assert all(value.isascii() and value.isprintable() for _, value in written)
            assert not {"authorization", "cookie", "host", "mcp-session-id"} & set(names)
            if got.era == "handshake":
                assert not any(name.startswith("mcp-") and name != "mcp-protocol-version" for name in names)
    return got


header_fields = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "MCP-Protocol-Version",
                "Mcp-Method",
                "Mcp-Name",
                "Mcp-Param-A",
                "Authorization",
                "Connection",
                "Accept",
                "X",
            ]
        ),
        st.sampled_from([MODERN, NOVEMBER, *METHODS, "x", "b", "=?base64?eA==?=", "=?base64?x?=", "", "\x00", "\xff"])
        | st.text(st.characters(max_codepoint=255), max_size=10),
    ),
    max_size=6,
).map(Headers)


@st.composite
def messages(draw: st.DrawFn) -> tuple[dict[str, Any], Headers]:
    """A message that is nearly right: some members of params, sometimes an odd value, the headers that belong to it."""
    method = draw(st.sampled_from(METHODS))
    names = draw(st.sets(st.sampled_from(sorted(PARAMS))))
    params = {name: PARAMS[name] for name in sorted(names)}
    for name in draw(st.sets(st.sampled_from([*sorted(PARAMS), "Name", "_meta", "task", "name\x00"]), max_size=2)):
        params[name] = draw(st.sampled_from(ODD))
    protocol = draw(st.sampled_from([MODERN, MODERN, *HANDSHAKE, None]))
    if protocol == MODERN and "_meta" not in params:
        params["_meta"] = META
    whole = body(method, params)
    if draw(st.booleans()):
        whole[draw(st.sampled_from(["id", "jsonrpc", "params", "result", "extra", "Method"]))] = draw(
            st.sampled_from(ODD)
        )
    pairs = [("MCP-Protocol-Version", protocol), ("Mcp-Method", method), ("Mcp-Name", params.get("name"))]
    if method in ("resources/read", "tasks/get", "tasks/update"):
        pairs[2] = ("Mcp-Name", params.get("uri" if method == "resources/read" else "taskId"))
    return whole, Headers([(name, value) for name, value in pairs if type(value) is str])


@given(st.binary(max_size=200), header_fields)
@example(b"", Headers())
def test_random_bytes(raw: bytes, fields: Headers) -> None:
    check(raw, fields)


@settings(max_examples=600)
@given(messages())
def test_messages_that_are_nearly_right(sent: tuple[dict[str, Any], Headers]) -> None:
    check(orjson.dumps(sent[0], option=orjson.OPT_PASSTHROUGH_SUBCLASS), sent[1])


@settings(max_examples=300)
@given(messages(), header_fields, st.randoms(use_true_random=False))
def test_mutated_messages(sent: tuple[dict[str, Any], Headers], fields: Headers, source: random.Random) -> None:
    raw = bytearray(json.dumps(sent[0]).encode())
    for _ in range(source.randrange(4)):
        at = source.randrange(len(raw) + 1)
        kind = source.randrange(4)
        if kind == 0 and at < len(raw):
            raw[at] = source.randrange(256)
        elif kind == 1:
            raw[at:at] = source.choice([b",", b'"', b"{", b"}", b"\\u0000", b"\xef\xbb\xbf", b"1e999", b'"name":"y",'])
        elif kind == 2:
            del raw[at : at + source.randrange(20)]
        else:
            raw[at:at] = raw[at : at + source.randrange(30)]
    check(bytes(raw), fields if source.random() < 0.5 else sent[1])


def test_most_of_what_is_right_is_accepted() -> None:
    """The generator would prove nothing if everything it makes were refused."""
    source = random.Random(5)
    accepted = 0
    for _ in range(300):
        method = source.choice(METHODS[:2])
        raw = orjson.dumps(body(method, {"name": "x", "arguments": {"a": source.choice(ODD)}, "_meta": META}))
        fields = Headers([("mcp-protocol-version", MODERN), ("mcp-method", method), ("mcp-name", "x")])
        accepted += isinstance(check(raw, fields), Message)
    assert accepted > 250


@given(st.binary(max_size=200) | messages().map(lambda sent: orjson.dumps(sent[0])))
def test_what_servers_send(raw: bytes) -> None:
    got = server_messages.decode(raw)
    if not isinstance(got, Rejection):
        assert got.treatment(NOVEMBER) in ("judged", "filtered", "passed", "denied")
        assert got.is_error in (True, False)
        assert got.result_type is None or got.result is not None
        for method in lists.LISTS:
            lists.filter_list(got, method, lambda _: True, True)
    parser = Parser(100)
    try:
        events = parser.feed(raw)
    except EventTooLarge:
        return
    assert b"".join(event.raw for event in events) + parser.pending == raw


@given(header_fields)
def test_headers(fields: Headers) -> None:
    told = {name.lower() for name, _ in headers.forwardable(fields)}
    assert told <= headers.FORWARDED.keys()
