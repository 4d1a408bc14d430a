"""Reading a POST: sizes, decoding, eras, unknown methods, notifications, load."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from dataclasses import dataclass

import pytest

from policylayer.core.errors import AuditUnavailable
from tests.proxy.fakes import HOLD
from tests.proxy.rig import Rig, call, modern, modern_call, request

pytestmark = pytest.mark.anyio


async def test_a_length_over_the_limit_is_refused_before_anything_is_read(rig: Rig) -> None:
    headers = [*rig.headers(call(), "alice", {}), ("Content-Length", str(4 * 1024 * 1024 + 1))]
    answer = await (await rig.request("POST", headers=headers, chunks=[b"never", b"read"])).whole()
    assert answer.status == 413
    assert rig.recorder.refused == [("size", "agent:alice")]


async def test_a_body_without_length_is_cut_off_at_the_limit(rig: Rig) -> None:
    pieces = deque([b" " * 65536] * 200)
    answer = await (await rig.request("POST", headers=rig.headers(call(), "alice", {}), chunks=pieces)).whole()
    assert answer.status == 413
    assert len(pieces) == 200 - 65


async def test_a_body_in_pieces_is_one_body(rig: Rig) -> None:
    body = json.dumps(call()).encode()
    pieces = [body[:10], b"", body[10:]]
    answer = await (await rig.request("POST", headers=rig.headers(call(), "alice", {}), chunks=pieces)).whole()
    assert answer.status == 200


async def test_what_cannot_be_read_is_refused_and_recorded(rig: Rig) -> None:
    for body, code in ((b"{", -32700), (b"[]", -32600), (b'{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}', -32600)):
        answer = await (await rig.request("POST", body, rig.headers(call(), "alice", {}))).whole()
        assert (answer.status, answer.json["error"]["code"]) == (400, code)
    assert rig.recorder.refused == [("json", "agent:alice"), ("batch", "agent:alice"), ("duplicate_key", "agent:alice")]
    assert rig.upstream.sent == []


async def test_headers_that_contradict_the_body_are_refused(rig: Rig) -> None:
    answer = await rig.post(modern_call("safe"), Mcp_Name="danger")
    assert (answer.status, answer.json["error"]["code"]) == (400, -32020)
    answer = await rig.post(modern_call("safe"), MCP_Protocol_Version="2025-11-25")
    assert answer.status == 400
    assert rig.upstream.bodies() == []


async def test_unknown_methods_are_denied_and_recorded(rig: Rig) -> None:
    answer = await rig.post(request("tools/callX", {"name": "safe"}))
    assert (answer.status, answer.json["error"]["code"]) == (200, 40301)
    assert answer.json["error"]["data"]["reason_code"] == "unknown_method"
    answer = await rig.post(modern("x/y"))
    assert (answer.status, answer.json["error"]["code"]) == (404, -32601)
    assert rig.recorder.effects == ["deny", "deny"]
    assert rig.upstream.sent == []


async def test_a_call_without_an_id_goes_nowhere(rig: Rig) -> None:
    body = {name: value for name, value in call().items() if name != "id"}
    answer = await rig.post(body)
    assert answer.status == 400
    assert rig.recorder.refused == [("notification", "agent:alice")]
    assert rig.upstream.sent == []


async def test_unknown_notifications_end_here(rig: Rig) -> None:
    answer = await rig.post({"jsonrpc": "2.0", "method": "notifications/strange"})
    assert (answer.status, answer.body) == (202, b"")
    assert rig.upstream.sent == []


async def test_known_notifications_pass(rig: Rig) -> None:
    answer = await rig.post({"jsonrpc": "2.0", "method": "notifications/initialized"})
    assert answer.status == 202
    assert rig.upstream.methods == ["notifications/initialized"]


async def test_pings_pass_without_a_row(rig: Rig) -> None:
    answer = await rig.post(request("ping"))
    assert answer.status == 200
    assert rig.recorder.rows == []
    assert rig.deps.metrics.of("requests", treatment="passed") == 1


async def test_frozen_pings_are_denied_with_a_row(rig: Rig) -> None:
    rig.freezes.names.add("shop")
    answer = await rig.post(request("ping"))
    assert answer.json["error"]["data"]["reason_code"] == "frozen"
    assert rig.recorder.effects == ["deny"]
    assert rig.upstream.sent == []


async def test_more_calls_than_may_be_under_way_are_turned_away(rig: Rig) -> None:
    for number in range(rig.deps.limits.calls):
        rig.deps.load.enter(("somebody", number))
    answer = await rig.post(call())
    assert answer.status == 503
    assert answer.headers["retry-after"]
    assert rig.upstream.sent == []


async def test_a_database_that_does_not_answer_lets_nobody_in(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise AuditUnavailable("gone")

    monkeypatch.setattr(rig.authenticator, "agent", broken)
    answer = await rig.post(call())
    assert answer.status == 503


async def test_a_client_that_leaves_while_it_sends_is_forgotten(rig: Rig) -> None:
    opened = await rig.request("POST", headers=rig.headers(call(), "alice", {}), chunks=[])
    await opened.leave()
    await opened.whole()
    assert opened.status == 0
    assert rig.recorder.refused == []


async def test_forged_and_private_headers_do_not_travel(rig: Rig) -> None:
    await rig.post(modern_call(), Mcp_Param_X="1", Cookie="a=b", X_Forwarded_For="9.9.9.9", X_API_Key="k")
    sent = {name.lower() for name, _ in rig.upstream.sent[-1].headers}
    assert sent == {"content-type", "accept", "mcp-protocol-version", "mcp-method", "mcp-name"}


async def test_routing_headers_of_handshake_calls_do_not_travel(rig: Rig) -> None:
    await rig.post(call(), Mcp_Method="tools/list", Mcp_Name="danger")
    sent = {name.lower() for name, _ in rig.upstream.sent[-1].headers}
    assert not {"mcp-method", "mcp-name"} & sent


async def test_whatever_fails_is_a_503_without_words(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("CANARY")

    monkeypatch.setattr("policylayer.proxy.rounds.attempt", broken)
    answer = await rig.post(call())
    assert answer.status == 503
    assert b"CANARY" not in answer.body
    assert rig.upstream.sent == []
    assert rig.deps.metrics.of("failures", place="endpoint") == 1


@dataclass
class Behind:
    """Freezes and labels in memory, which another replica has changed; `unreadable`: nobody can tell how."""

    rig: Rig
    stale: bool = True
    unreadable: bool = False

    async def refresh(self) -> None:
        if self.unreadable:
            raise AuditUnavailable("cut off")
        self.rig.freezes.names.add("agent:alice")
        self.stale = False


@pytest.mark.shows("audit.4")
async def test_what_others_may_have_frozen_is_looked_at_first(rig: Rig) -> None:
    rig.deps.current = Behind(rig)
    assert (await rig.post(call())).json["result"]["_meta"]["io.policylayer/decision"]["reason_code"] == "frozen"
    assert rig.upstream.sent == []


@pytest.mark.shows("audit.4")
async def test_where_nobody_can_tell_what_is_frozen_nothing_goes_on(rig: Rig) -> None:
    rig.deps.current = Behind(rig, unreadable=True)
    for message in (call(), request("ping"), request("tools/list")):
        answer = await rig.post(message)
        assert (answer.status, answer.json["error"]["data"]["reason_code"]) == (503, "audit_unavailable")
    assert rig.upstream.sent == []


@pytest.mark.shows("audit.4")
async def test_a_held_call_that_is_approved_looks_again(rig: Rig) -> None:
    rig.engine.says["gated"] = HOLD
    opened = await rig.open(call("gated"))
    async with asyncio.timeout(5):
        while not rig.approvals.states:
            await asyncio.sleep(0.01)
    rig.deps.current = Behind(rig, unreadable=True)
    rig.approvals.settle("approved")
    await opened.whole()
    assert rig.upstream.bodies() == []
    assert rig.recorder.effects == ["require_approval", "deny"]
    assert str(rig.recorder.rows[-1][0].decision.reason_code) == "audit_unavailable"
