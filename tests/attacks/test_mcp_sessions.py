"""The catalogue's MCP section, what lasts longer than a request: sessions, streams, tasks, rounds of questions."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.attacks.messages import ERAS, LATEST, Era, call, headers, message, notification
from tests.attacks.rig import Agent, Case, Rig
from tests.support.raw_http import Response, messages_of, request
from tests.support.running import until

pytestmark = pytest.mark.shows("proxy.5")


def initialize(case: Case, agent: Agent, version: str = LATEST, server: str = "rec") -> str:
    """A handshake session of an agent."""
    params = b'"protocolVersion":"%b","capabilities":{"roots":{}},"clientInfo":{"name":"t","version":"1"}'
    given = headers(agent.token, mcp_protocol_version=None)
    answer = case.post(message("initialize", params % version.encode()), given, server=server)
    assert answer.status == 200, answer
    session = answer.header("mcp-session-id")
    assert session is not None
    assert not session.startswith("rec-"), "the server's own id"
    return session


def within(case: Case, agent: Agent, session: str, name: bytes = b'"safe"', server: str = "rec") -> Response:
    """A call within a session."""
    return case.post(call(name), headers(agent.token, mcp_session_id=session), server=server)


# --- whose a session is -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("whose", ["other", "same-principal", "other-server"], ids=lambda whose: f"MCP-09-{whose}")
def test_a_session_is_its_grants_and_its_servers(rig: Rig, whose: str) -> None:
    with rig.case() as case:
        session = initialize(case, case.agent)
        thief = {
            "other": lambda: rig.agent("b"),
            "same-principal": lambda: Agent(case.agent.principal, rig.proxy.grant(case.agent.principal, "rec", "rec2")),
            "other-server": lambda: case.agent,
        }[whose]()
        server = "rec2" if whose == "other-server" else "rec"
        stolen = within(case, thief, session, server=server)
        unknown = within(case, thief, "x" * len(session), server=server)
        assert (stolen.status, stolen.body) == (unknown.status, unknown.body)
        case.rejected(stolen, -32600, "session", status=404)
        for verb in ("GET", "DELETE"):
            given = headers(thief.token, mcp_session_id=session)
            assert case.raw(request(verb, f"/mcp/{server}", given, length=False)).status == 404
        case.executed(within(case, case.agent, session))


@pytest.mark.parametrize("id", ["", "x", "rec-1", "../x", "x" * 8000, "\xe9"], ids=lambda id: f"MCP-09-{id[:6]!r}")
def test_sessions_that_are_none(rig: Rig, id: str) -> None:
    with rig.case() as case:
        answer = case.post(call(), headers(case.agent.token, mcp_session_id=id))
        case.rejected(answer, -32600, "session", status=404)
        case.nothing_sent()


def test_mcp_09_two_session_headers(rig: Rig) -> None:
    with rig.case() as case:
        session = initialize(case, case.agent)
        given = [*headers(case.agent.token), ("mcp-session-id", session), ("mcp-session-id", session)]
        case.rejected(case.post(call(), given), -32600, "session", status=404)


def test_mcp_09_a_session_means_nothing_to_the_other_era(rig: Rig) -> None:
    with rig.case() as case:
        session = initialize(case, case.agent)
        case.executed(case.post(call(era="modern"), headers(case.agent.token, "modern", mcp_session_id=session)))
        assert rig.rec.calls[-1].header("mcp-session-id") is None


@pytest.mark.parametrize("then", ["none", "garbage", "revoked", "other", "basic"], ids=lambda then: f"MCP-11-{then}")
def test_each_request_shows_its_credential_anew(rig: Rig, then: str) -> None:
    with rig.case() as case:
        session = initialize(case, case.agent)
        case.executed(within(case, case.agent, session))
        if then == "revoked":
            revoke(rig, case.agent)
        given = headers(case.agent.token, mcp_session_id=session)
        shown = {
            "none": None,
            "garbage": "Bearer plg_xxxxxxxx_garbage",
            "revoked": f"Bearer {case.agent.token}",
            "other": f"Bearer {rig.good.token}",
            "basic": "Basic eDp5",
        }[then]
        given = [field for field in given if field[0] != "authorization"]
        answer = case.post(call(), given if shown is None else [*given, ("authorization", shown)])
        if then == "other":
            assert answer.status == 404
        else:
            case.unauthenticated(answer)


def test_an_id_is_one_request_at_a_time(rig: Rig) -> None:
    """Servers find an answer's way by its id: of two requests with one id, either may get the other's."""
    with rig.case() as case, rig.wire(case.agent.source) as held:
        given = headers(case.agent.token, mcp_session_id=initialize(case, case.agent))
        held.send(request("POST", "/mcp/rec", given, call(b'"gated"', id=b"7")))
        until(lambda: bool(case.decisions()), lambda: "it is not held")
        for body in (call(id=b"7"), message("ping", id=b"7"), message("tools/list", id=b"7")):
            case.rejected(case.post(body, given), -32600, "id_in_use", body)
        case.denied(case.saw(held.response()), "pending")
        case.executed(case.post(call(id=b"7"), given))


def revoke(rig: Rig, agent: Agent) -> None:
    """End an agent's grant; when this returns, it has been written."""
    grants = rig.proxy.ask("GET", "/grants")["items"]
    found = next(each["id"] for each in grants if each["principal"] == agent.principal)
    rig.proxy.ask("DELETE", f"/grants/{found}")


# --- streams ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["get", "post", "held"], ids=lambda kind: f"MCP-12-{kind}")
def test_a_revoked_identitys_streams_end(rig: Rig, kind: str) -> None:
    with rig.case() as case, rig.wire(case.agent.source) as wire:
        rig.rec.said = (b'{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}',)
        if kind == "get":
            session = initialize(case, case.agent)
            given = headers(case.agent.token, mcp_session_id=session)
            wire.send(request("GET", "/mcp/rec", given, length=False))
        else:
            name = b'"gated"' if kind == "held" else b'"safe"'
            body = call(name, b"{}" if kind == "held" else b'{"_rec":"hang_in_stream"}')
            wire.send(request("POST", "/mcp/rec", headers(case.agent.token), body))
            case.decided()
        status, _ = wire.head()
        assert status == 200
        revoke(rig, case.agent)
        at = time.monotonic()
        rest = wire.rest_of_stream()
        assert time.monotonic() - at < 5
        assert not [one for one in messages_of(rest) if "result" in one and not one["result"].get("isError")]
        case.unauthenticated(case.post(call(), headers(case.agent.token)))


def test_mcp_12_a_stream_is_only_its_own_sessions(rig: Rig) -> None:
    """What a server says on one session's stream reaches nobody else."""
    with rig.case() as case:
        rig.rec.said = (b'{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"CANARY-OF-ANOTHER"}]}}',)
        session = initialize(case, case.agent)
        with rig.wire(case.agent.source) as wire:
            wire.send(request("GET", "/mcp/rec", headers(case.agent.token, mcp_session_id=session), length=False))
            wire.head()
            # An answer to nothing that this session asked: dropped.
            assert b"CANARY" not in wire.piece()
            assert wire.quiet(0.2)
        rig.rec.said = ()


# --- answers to what was never asked ----------------------------------------------------------------------------------


@pytest.mark.parametrize("era", ERAS, ids=lambda era: f"MCP-12-response-{era}")
@pytest.mark.parametrize("inside", [b'"result":{}', b'"error":{"code":1,"message":"x"}'])
def test_responses_to_nothing(rig: Rig, era: Era, inside: bytes) -> None:
    with rig.case() as case:
        body = b'{"jsonrpc":"2.0","id":1,%b}' % inside
        case.rejected(case.post(body, era=era), -32600, "response", body)
        session = initialize(case, case.agent)
        case.rejected(case.post(body, headers(case.agent.token, mcp_session_id=session)), -32600, "response", body)
        assert not [one for one in rig.rec.received if one.body == body]


@pytest.mark.parametrize("method", ["notifications/x", "notifications/tasks", "x"], ids=lambda m: f"MCP-16-{m}")
@pytest.mark.parametrize("era", ERAS)
def test_unknown_notifications_go_no_further(rig: Rig, era: Era, method: str) -> None:
    with rig.case() as case:
        answer = case.post(notification(method, era=era), headers(case.agent.token, era, method))
        assert answer.status == 202
        case.nothing_sent()


# --- tasks ------------------------------------------------------------------------------------------------------------


def task_of(case: Case, agent: Agent, name: bytes = b'"safe"') -> str:
    body = message("tools/call", b'"name":%b,"arguments":{},"task":{"ttl":60000}' % name)
    answer = case.post(body, headers(agent.token))
    assert answer.status == 200, answer
    case.decided()
    task: str = answer.json["result"]["task"]["taskId"]
    return task


def about(case: Case, agent: Agent, method: str, task: str) -> Response:
    answer = case.post(message(method, b'"taskId":' + json.dumps(task).encode()), headers(agent.token))
    case.decided()
    return answer


def test_mcp_17_a_task_is_its_callers_alone(rig: Rig) -> None:
    with rig.case() as case:
        task = task_of(case, case.agent)
        assert about(case, case.agent, "tasks/result", task).json["result"]["content"][0]["text"] == "the task's result"
        before = len(rig.rec.received)
        for method in ("tasks/get", "tasks/result", "tasks/cancel"):
            answer = about(case, rig.agent("b"), method, task)
            assert answer.json["error"]["code"] == -32602, answer
        assert len(rig.rec.received) == before


def test_mcp_17_a_gated_call_as_a_task_is_held_all_the_same(rig: Rig) -> None:
    with rig.case() as case:
        body = message("tools/call", b'"name":"gated","arguments":{},"task":{"ttl":60000}')
        case.denied(case.post(body), "pending")
        body = message("tools/call", b'"name":"danger","arguments":{},"task":{"ttl":60000}')
        case.denied(case.post(body), "rule", "attacks/no-danger")
        case.nothing_sent()


def test_mcp_17_a_task_is_judged_again_as_its_call(rig: Rig) -> None:
    """A task of a held call that was approved stays its caller's to read; after a freeze it does not."""
    with rig.case() as case:
        task = task_of(case, case.agent)
        frozen = {"scope": "principal", "name": case.agent.principal}
        rig.proxy.ask("POST", "/freezes", {**frozen, "reason": "for a test"})

        def result() -> dict[str, Any]:
            told: dict[str, Any] = about(case, case.agent, "tasks/result", task).json
            return told

        # Both are noticed within a second.
        until(lambda: result().get("error", {}).get("data", {}).get("reason_code") == "frozen", lambda: "not frozen", 5)
        rig.proxy.ask("POST", "/thaw", frozen)
        until(lambda: "result" in result(), lambda: "it stays frozen", 5)


# --- rounds -----------------------------------------------------------------------------------------------------------


def test_mcp_14_answers_with_other_arguments_are_a_new_call(rig: Rig) -> None:
    with rig.case() as case:
        given = headers(case.agent.token, "modern", name="pay")
        asks = b'{"amount":1,"_rec":"three_rounds"}'
        first = case.post(call(b'"pay"', asks, "modern"), given).json["result"]
        case.decided(2)  # the call, and the question
        assert first["resultType"] == "input_required"
        for arguments, state in ((b'{"amount":101}', first["requestState"]), (b'{"amount":101}', None)):
            inside = b'"name":"pay","arguments":%b,"inputResponses":{"q1":{"action":"accept","content":{}}}' % arguments
            if state is not None:
                inside += b',"requestState":' + json.dumps(state).encode()
            case.denied(case.post(message("tools/call", inside, "modern"), given), "not_applicable")


STATES = {
    "empty": '""',
    "text": '"x"',
    "servers-own": '"round-1"',
    "prefix": '"pls1.AAAA"',
    "number": "5",
    "object": "{}",
}


@pytest.mark.parametrize("state", STATES.values(), ids=[f"MCP-14-{name}" for name in STATES])
def test_states_that_are_not_ours(rig: Rig, state: str) -> None:
    with rig.case() as case:
        inside = b'"name":"safe","arguments":{},"requestState":' + state.encode()
        body = message("tools/call", inside, "modern")
        case.rejected(case.post(body, era="modern"), -32602, None, body)
        case.nothing_sent()


def test_mcp_14_a_state_is_its_callers_alone(rig: Rig) -> None:
    with rig.case() as case:
        asks = call(b'"echo_args"', b'{"_rec":"three_rounds"}', "modern")
        first = case.post(asks, headers(case.agent.token, "modern", name="echo_args")).json["result"]
        case.decided(2)
        inside = b'"name":"echo_args","arguments":{"_rec":"three_rounds"},"requestState":%b,"inputResponses":{"q1":{}}'
        body = message("tools/call", inside % json.dumps(first["requestState"]).encode(), "modern")
        other = rig.agent("b")
        before = len(rig.rec.received)
        answer = case.post(body, headers(other.token, "modern", name="echo_args"))
        case.rejected(answer, -32602, "request_state")
        assert len(rig.rec.received) == before
