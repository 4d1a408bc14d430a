"""Handshake sessions: our ids over the servers', bound to their caller, over when either side says so."""

from __future__ import annotations

import asyncio

import pytest

from policylayer.core.errors import NotSent
from policylayer.keys import Keys
from policylayer.proxy.limits import Limits
from policylayer.proxy.sessions import Request, Sessions, TooManySessions
from tests.proxy.fakes import ALICE, BOB, FakeAnswer, event, proper, result, stream
from tests.proxy.rig import LATEST, Rig, call, request

pytestmark = pytest.mark.anyio


# --- the store of them ------------------------------------------------------------------------------------------------


class Hand:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_session_is_found_by_its_own_caller_and_server_only() -> None:
    sessions = Sessions(Hand(), Limits())
    opened = sessions.open(ALICE, "shop", "up", LATEST, None, {})
    assert len(opened.id) >= 32
    assert sessions.find(opened.ticket, ALICE, "shop") is opened
    assert sessions.find(opened.ticket, BOB, "shop") is None
    assert sessions.find(opened.ticket, ALICE, "files") is None
    assert sessions.find("x", ALICE, "shop") is None


def test_an_idle_session_is_over() -> None:
    hand = Hand()
    sessions = Sessions(hand, Limits(session_idle=10))
    opened = sessions.open(ALICE, "shop", "up", LATEST, None, {})
    hand.now = 9
    assert sessions.find(opened.ticket, ALICE, "shop")
    with opened.in_use():
        hand.now = 30
        assert sessions.sweep() == []
    assert sessions.sweep() == [opened]
    assert sessions.find(opened.ticket, ALICE, "shop") is None


@pytest.mark.shows("audit.4")
def test_a_ticket_is_opened_by_every_process_with_the_key() -> None:
    keys = Keys([bytes(range(32))])
    here, there = Sessions(Hand(), Limits(), keys, shared=True), Sessions(Hand(), Limits(), keys, shared=True)
    opened = here.open(ALICE, "shop", "up-1", LATEST, "a client", {"roots": {}})
    assert "up-1" not in opened.ticket
    found = there.find(opened.ticket, ALICE, "shop", LATEST)
    assert found is not None
    assert (found.id, found.upstream_id, found.protocol, found.client) == (opened.id, "up-1", LATEST, "a client")
    assert found.capabilities == {"roots": {}}
    assert there.find(opened.ticket, ALICE, "shop") is found
    assert there.find(opened.ticket, BOB, "shop") is None
    assert there.find(opened.ticket, ALICE, "files") is None
    there.forget(found)
    assert there.find(opened.ticket, ALICE, "shop") is None
    assert Sessions(Hand(), Limits(), Keys([bytes(range(1, 33))])).find(opened.ticket, ALICE, "shop") is None
    assert there.find(opened.ticket[:-2] + "AA", ALICE, "shop") is None


def test_a_session_that_is_idle_here_may_be_in_use_elsewhere() -> None:
    hand = Hand()
    sessions = Sessions(hand, Limits(session_idle=10), Keys([bytes(range(32))]), shared=True)
    opened = sessions.open(ALICE, "shop", "up", LATEST, None, {})
    hand.now = 30
    assert sessions.sweep() == []
    assert len(sessions) == 0
    assert sessions.find(opened.ticket, ALICE, "shop") is not None


def test_what_a_client_says_at_length_is_not_in_the_ticket() -> None:
    sessions = Sessions(Hand(), Limits(), Keys([bytes(range(32))]))
    assert len(sessions.open(ALICE, "shop", "up", LATEST, "x" * 10_000, {}).ticket) < 400


def test_there_is_room_for_so_many_and_for_so_many_of_one_caller() -> None:
    sessions = Sessions(Hand(), Limits(sessions=3, sessions_per_owner=2))
    for _ in range(2):
        sessions.make_room(("g1", "agent:alice", ""))
        sessions.open(ALICE, "shop", "up", LATEST, None, {})
    with pytest.raises(TooManySessions):
        sessions.make_room(("g1", "agent:alice", ""))
    sessions.make_room(("g2", "agent:bob", ""))
    sessions.open(BOB, "shop", "up", LATEST, None, {})
    with pytest.raises(TooManySessions):
        sessions.make_room(("g3", "agent:carol", ""))


def test_requests_are_remembered_up_to_a_number_and_by_the_type_of_their_id() -> None:
    opened = Sessions(Hand(), Limits()).open(ALICE, "shop", "up", LATEST, None, {})
    for id in (1, "1", 2):
        opened.remember(id, Request(str(id)), most=2)
    assert opened.asked(1) is None
    assert opened.asked("1") is not None
    assert opened.asked(2) is not None


def test_an_answer_is_taken_once_and_only_where_it_was_asked() -> None:
    opened = Sessions(Hand(), Limits()).open(ALICE, "shop", "up", LATEST, None, {})
    assert opened.show(1, "roots/list", most=1)
    assert not opened.show(2, "roots/list", most=1)
    assert not opened.settle("1")
    assert opened.settle(1)
    assert not opened.settle(1)
    assert not opened.settle(None)


# --- on the wire ------------------------------------------------------------------------------------------------------


async def test_the_servers_own_id_stays_behind_ours(rig: Rig) -> None:
    answer = await rig.initialize(roots={})
    assert rig.session is not None
    assert "server-secret" not in str(answer.headers)
    await rig.post(call())
    assert ("Mcp-Session-Id", "server-secret") in rig.upstream.sent[-1].headers
    assert rig.session not in str(rig.upstream.sent)
    ((type, actor, detail),) = rig.recorder.events
    assert (type, actor) == ("session.opened", "agent:alice")
    assert detail["server"] == "shop"
    assert rig.recorder.rows[0][1].session == detail["session"] != rig.session
    assert rig.recorder.rows[0][1].client == "test"


async def test_unknown_foreign_and_doubled_sessions_are_one_not_found(rig: Rig) -> None:
    await rig.initialize()
    before = len(rig.upstream.sent)
    foreign = await rig.post(call(), token="bob")
    unknown = await rig.post(call(), Mcp_Session_Id="x" * 32)
    assert foreign.status == unknown.status == 404
    assert foreign.body == unknown.body
    headers = [*rig.headers(call(), "alice", {}), ("Mcp-Session-Id", str(rig.session))]
    assert (
        await (await rig.request("POST", b'{"jsonrpc":"2.0","id":1,"method":"ping"}', headers)).whole()
    ).status == 404
    assert len(rig.upstream.sent) == before
    assert [reason for reason, _ in rig.recorder.refused] == ["session"] * 3


async def test_nobody_ends_anothers_session(rig: Rig) -> None:
    await rig.initialize()
    headers = rig.headers({}, "bob", {})
    assert (await (await rig.request("DELETE", headers=headers)).whole()).status == 404
    assert (await rig.post(call())).status == 200
    assert rig.recorder.refused == [("session", "agent:bob")]


async def test_ending_a_session_ends_it_at_the_server(rig: Rig) -> None:
    await rig.initialize()
    answer = await (await rig.request("DELETE", headers=rig.headers({}, "alice", {}))).whole()
    assert answer.status == 200
    assert rig.upstream.sent[-1].verb == "DELETE"
    assert ("Mcp-Session-Id", "server-secret") in rig.upstream.sent[-1].headers
    assert (await rig.post(call())).status == 404


async def test_a_server_may_refuse_to_end_sessions(rig: Rig) -> None:
    await rig.initialize()
    rig.upstream.answer = lambda exchange, message: FakeAnswer(405)
    answer = await (await rig.request("DELETE", headers=rig.headers({}, "alice", {}))).whole()
    assert answer.status == 405
    rig.upstream.answer = None
    assert (await rig.post(call())).status == 200


async def test_a_server_that_lost_the_session_lets_the_client_begin_again(rig: Rig) -> None:
    await rig.initialize()
    rig.upstream.answer = lambda exchange, message: FakeAnswer(404, b'{"jsonrpc":"2.0","id":1,"error":{}}')
    answer = await rig.post(call())
    assert answer.status == 404
    assert rig.recorder.states == ["upstream_refused"]
    rig.upstream.answer = None
    assert (await rig.post(call())).status == 404
    assert (await rig.initialize()).status == 200


async def test_a_server_without_sessions_has_none_here(rig: Rig) -> None:
    def stateless(exchange: object, message: dict[str, object]) -> FakeAnswer:
        made = proper(exchange, message)  # type: ignore[arg-type]
        return FakeAnswer(made.status, made._body)

    rig.upstream.answer = stateless
    answer = await rig.initialize()
    assert "mcp-session-id" not in answer.headers
    assert (await rig.post(call())).status == 200
    assert len(rig.deps.sessions) == 0


async def test_an_initialize_that_fails_opens_nothing(rig: Rig) -> None:
    headers = {"mcp-session-id": "s"}
    error = b'{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"no"}}'
    for answer in (FakeAnswer(body=error, headers=headers), NotSent("x"), FakeAnswer(body=b"{", headers=headers)):
        rig.upstream.answer = lambda exchange, message, answer=answer: answer  # type: ignore[misc]
        await rig.initialize()
        assert len(rig.deps.sessions) == 0
    assert rig.recorder.events == []


async def test_no_row_no_session(rig: Rig) -> None:
    rig.recorder.fails = True
    answer = await rig.initialize()
    assert answer.status == 503
    assert len(rig.deps.sessions) == 0
    await rig.upstream.wait_for(2)
    assert rig.upstream.sent[-1].verb == "DELETE"


async def test_too_many_sessions_are_a_503() -> None:
    rig = Rig(Limits(sessions=1))
    await rig.initialize()
    answer = await rig.initialize()
    assert answer.status == 503
    assert answer.headers["retry-after"]


async def test_an_initialize_may_be_answered_by_a_stream(rig: Rig) -> None:
    answer = {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {}}
    made, _ = stream(event(result(request("initialize"), answer)), None)
    made.headers = {**made.headers, "mcp-session-id": "s"}
    rig.upstream.answer = lambda exchange, message: made
    await rig.initialize()
    session = rig.deps.sessions.find(str(rig.session), ALICE, "shop")
    assert session is not None
    assert session.protocol == "2025-06-18"


async def test_each_request_of_a_session_shows_its_credential_again(rig: Rig) -> None:
    await rig.initialize()
    rig.authenticator.tokens.clear()
    assert (await rig.post(call())).status == 401


async def test_answers_to_questions_are_taken_only_where_they_were_asked(rig: Rig) -> None:
    await rig.initialize(roots={})
    answer = await rig.post({"jsonrpc": "2.0", "id": 7, "result": {"roots": []}})
    assert answer.status == 400
    assert rig.recorder.refused == [("response", "agent:alice")]
    assert "response" not in rig.upstream.methods


async def test_a_cancelled_wait_is_not_answered_and_not_forwarded(rig: Rig) -> None:
    from tests.proxy.fakes import HOLD

    await rig.initialize()
    rig.engine.says["gated"] = HOLD
    opened = await rig.open(call("gated", id=5))
    await opened.begun()
    await asyncio.sleep(0)
    cancelled = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 5}}
    assert (await rig.post(cancelled)).status == 202
    ended = await opened.whole()
    assert ended.messages == []
    assert "notifications/cancelled" not in rig.upstream.methods
    assert rig.approvals.states == {"apr-1": "pending"}
    assert (await rig.post(cancelled)).status == 202
    assert "notifications/cancelled" not in rig.upstream.methods
