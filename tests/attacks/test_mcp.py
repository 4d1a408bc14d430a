"""The catalogue's MCP section, messages: which methods there are, `_meta`, cursors.

Headers are in test_mcp_headers.py, sessions and streams in test_mcp_sessions.py.
"""

from __future__ import annotations

import json

import pytest

from tests.attacks.messages import ERAS, META, Era, call, headers, message
from tests.attacks.rig import SECRET, Case, Rig
from tests.support.invariants import digest_of
from tests.support.raw_http import Response

pytestmark = pytest.mark.shows("proxy.5")

# --- methods ----------------------------------------------------------------------------------------------------------

TASK = b'"taskId":"task-1"'
UNRULED: dict[str, tuple[str, bytes]] = {
    "callX": ("tools/callX", b'"name":"safe"'),
    "xy": ("x/y", b""),
    "upper": ("Tools/Call", b'"name":"safe"'),
    "slash": ("tools/call/", b'"name":"safe"'),
    "directory": ("resources/directory/read", b'"uri":"rec://one"'),
    "rpc": ("rpc.discover", b""),
    "notification": ("notifications/initialized", b""),
    "sampling": ("sampling/createMessage", b""),
    "tasks-delete": ("tasks/delete", TASK),
}
REF = b'"ref":{"type":"ref/prompt","name":"hello"}'
JUDGED: dict[str, tuple[str, bytes]] = {
    "complete": ("completion/complete", REF + b',"argument":{"name":"a","value":"b"}'),
    "prompt": ("prompts/get", b'"name":"hello","arguments":{"who":"admin"}'),
    "prompt-other": ("prompts/get", b'"name":"other"'),
    "resource": ("resources/read", b'"uri":"rec://two"'),
}


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(("method", "inside"), UNRULED.values(), ids=[f"MCP-16-{name}" for name in UNRULED])
def test_unknown_methods(rig: Rig, era: Era, method: str, inside: bytes) -> None:
    with rig.case() as case:
        answer = case.post(message(method, inside, era), headers(case.agent.token, era, method, "safe", mcp_name=None))
        if era == "handshake":
            row = case.denied(answer, "unknown_method")
            assert row["method"] == method
        else:
            assert (answer.status, answer.json["error"]["code"]) == (404, -32601)
            case.decided()
        case.nothing_sent()


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(("method", "inside"), JUDGED.values(), ids=[f"MCP-16-{name}" for name in JUDGED])
def test_methods_without_a_rule_are_denied(rig: Rig, era: Era, method: str, inside: bytes) -> None:
    with rig.case() as case:
        found = json.loads(b"{" + inside + b"}")
        given = headers(case.agent.token, era, method, found.get("name") or found.get("uri"))
        answer = case.post(message(method, inside, era), given)
        assert answer.json["error"]["code"] == 40301, answer
        assert answer.json["error"]["data"]["reason_code"] == "not_applicable"
        case.decided()
        case.nothing_sent()


OF_ONE_ERA: list[tuple[str, Era, bytes, int, int]] = [
    ("resources/subscribe", "handshake", b'"uri":"rec://two"', 200, 40301),
    ("resources/subscribe", "modern", b'"uri":"rec://one"', 404, -32601),
    ("logging/setLevel", "modern", b'"level":"debug"', 404, -32601),
    ("ping", "modern", b"", 404, -32601),
    ("initialize", "modern", b'"protocolVersion":"2025-11-25","capabilities":{}', 404, -32601),
    ("subscriptions/listen", "modern", b'"notifications":{"resourceSubscriptions":["rec://two"]}', 200, 40301),
    ("subscriptions/listen", "handshake", b'"notifications":{}', 200, 40301),
    ("server/discover", "handshake", b"", 200, 40301),
    ("tasks/get", "handshake", TASK, 200, -32602),
    ("tasks/result", "handshake", TASK, 200, -32602),
    ("tasks/cancel", "handshake", TASK, 200, -32602),
    ("tasks/get", "modern", TASK, 200, -32602),
    ("tasks/cancel", "modern", TASK, 200, -32602),
    ("tasks/update", "modern", TASK + b',"inputResponses":{}', 200, -32602),
    ("tasks/result", "modern", TASK, 404, -32601),
]


@pytest.mark.parametrize(
    ("method", "era", "inside", "status", "code"), OF_ONE_ERA, ids=lambda v: f"MCP-16-{v}" if "/" in str(v) else ""
)
def test_methods_of_one_era(rig: Rig, method: str, era: Era, inside: bytes, status: int, code: int) -> None:
    with rig.case() as case:
        answer = case.post(message(method, inside, era), headers(case.agent.token, era, method, "task-1"))
        assert (answer.status, answer.json["error"]["code"]) == (status, code), answer
        case.decided()
        case.nothing_sent()


@pytest.mark.parametrize("era", ERAS, ids=lambda era: f"MCP-19-{era}")
def test_arguments_of_prompts_and_completions_are_judged_and_masked(rig: Rig, era: Era) -> None:
    with rig.case() as case:
        inside = b'"name":"hello","arguments":{"who":"world","password":"%b"}' % SECRET.encode()
        body = message("prompts/get", inside, era)
        row = case.executed_other(case.post(body, headers(case.agent.token, era, "prompts/get", "hello")))
        assert json.loads(row["arguments"])["who"] == "world"
        assert row["digest"] == rig.ledger.keyed(digest_of(body))
        inside = (
            REF + b',"argument":{"name":"a","value":"b"},"context":{"arguments":{"api_key":"%b"}}' % SECRET.encode()
        )
        body = message("completion/complete", inside, era)
        answer = case.post(body, headers(case.agent.token, era, "completion/complete"))
        assert answer.json["error"]["data"]["reason_code"] == "not_applicable"
        case.decided()


# --- _meta and cursors ------------------------------------------------------------------------------------------------


def with_meta(era: Era, members: bytes, name: bytes = b'"danger"') -> bytes:
    """A call with these members in its `_meta`."""
    if era == "modern":
        return call(name, era=era).replace(META, META[:-1] + b"," + members + b"}", 1)
    return message("tools/call", b'"name":%b,"arguments":{},"_meta":{%b}' % (name, members))


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    "member",
    [
        b'"principal":"agent:admin"',
        b'"io.policylayer/principal":"agent:admin"',
        b'"io.policylayer/decision":{"effect":"allow"}',
        b'"approval_id":"0199e0c2-7a31-7cc2-9d55-2b8a6f1f6f0e"',
        b'"authorization":"Bearer %b"' % SECRET.encode(),
        b'"com.example/user":{"id":"admin","groups":["admins"]}',
    ],
    ids=lambda member: "MCP-21-" + member.split(b'"')[1].decode(),
)
def test_meta_is_no_identity(rig: Rig, era: Era, member: bytes) -> None:
    with rig.case() as case:
        row = case.denied(case.post(with_meta(era, member), headers(case.agent.token, era, name="danger")))
        assert row["principal"] == case.agent.principal


def test_mcp_21_a_clients_own_name_is_no_identity(rig: Rig) -> None:
    with rig.case() as case:
        member = b'"io.modelcontextprotocol/clientInfo":{"name":"agent:admin","version":"1"}'
        row = case.denied(case.post(with_meta("modern", member), headers(case.agent.token, "modern", name="danger")))
        assert (row["principal"], row["client"]) == (case.agent.principal, "agent:admin")


BAD_META = {
    "traceparent": b'"traceparent":"' + b"0" * 10_240 + b'"',
    "traceparent-object": b'"traceparent":{}',
    "size": b'"x":"' + b"y" * 20_000 + b'"',
    "case": b'"ProgressToken":1',
    "progress-token": b'"progressToken":{}',
}


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("member", BAD_META.values(), ids=[f"MCP-21-{name}" for name in BAD_META])
def test_bad_meta(rig: Rig, era: Era, member: bytes) -> None:
    with rig.case() as case:
        body = with_meta(era, member, b'"safe"')
        case.rejected(case.post(body, era=era), -32602, None, body)
        case.nothing_sent()


BAD_CURSORS = (b'"' + b"x" * (1 << 20) + b'"', b"1", b"{}", b"[]", b"null")


def listing(case: Case, era: Era, cursor: bytes | None, server: str = "rec", token: str | None = None) -> Response:
    inside = b"" if cursor is None else b'"cursor":' + cursor
    given = headers(token or case.agent.token, era, "tools/list")
    return case.post(message("tools/list", inside, era), given, server=server)


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    "cursor", [b'"' + b"x" * (1 << 20) + b'"', b"1", b"{}", b"[]", b"null"], ids=lambda c: f"MCP-24-{c[:5]!r}"
)
def test_cursors_that_are_none(rig: Rig, era: Era, cursor: bytes) -> None:
    with rig.case() as case:
        case.rejected(listing(case, era, cursor), -32602, None)
        case.nothing_sent()


@pytest.mark.parametrize("era", ERAS, ids=lambda era: f"MCP-24-{era}")
def test_a_forged_cursor_shows_nothing_that_is_hidden(rig: Rig, era: Era) -> None:
    with rig.case() as case:
        for cursor in (None, b'"forged"', b'"../../danger"', b'"\\u0000"'):
            answer = listing(case, era, cursor)
            names = {tool["name"] for tool in answer.json["result"]["tools"]}
            assert names == {"safe", "echo_args", "gated", "pay", "routed"}
            case.decided()
        other = rig.agent("b")
        names = {tool["name"] for tool in listing(case, era, b'"x"', token=other.token).json["result"]["tools"]}
        assert names == {"safe", "echo_args", "pay", "routed"}
        case.decided()


def test_mcp_24_an_endless_list_is_not_followed(rig: Rig) -> None:
    with rig.case() as case:
        before = len(rig.endless.received)
        body = call(era="modern")
        case.executed(case.post(body, headers(case.agent.token, "modern"), server="endless"))
        asked = [one for one in rig.endless.received[before:] if one.method == "tools/list"]
        assert 1 < len(asked) <= 100
