"""The GET stream of a session: sifted like any other, resumable, open only as long as its caller may have it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from policylayer.proxy.limits import Limits
from policylayer.wire.server_messages import ServerMessage, decode
from tests.proxy.fakes import DENY, HOLD, TOOLS, FakeAnswer, event, proper, result, stream
from tests.proxy.rig import MODERN, Rig, call, request

pytestmark = pytest.mark.anyio


def served(rig: Rig, get: FakeAnswer) -> None:
    """The server answers GET with this."""
    rig.upstream.answer = lambda exchange, message: get if exchange.verb == "GET" else proper(exchange, message)


def ask(method: str, params: dict[str, Any] | None = None, id: int | str = "s1") -> bytes:
    return event(json.dumps({"jsonrpc": "2.0", "id": id, "method": method, "params": params or {}}).encode())


async def listening(rig: Rig, **capabilities: Any) -> tuple[Any, asyncio.Queue[Any]]:
    answer, queue = stream()
    served(rig, answer)
    await rig.initialize(**capabilities)
    opened = await rig.listen()
    await opened.begun()
    return opened, queue


async def refused_by(rig: Rig, count: int) -> list[dict[str, Any]]:
    """What the server was told of its requests."""
    async with asyncio.timeout(5):
        while (
            len(told := [body for each in rig.upstream.sent if "error" in (body := json.loads(each.body or "{}"))])
            < count
        ):
            await asyncio.sleep(0.001)
    return told


async def test_what_the_server_says_on_its_own_is_passed(rig: Rig) -> None:
    opened, queue = await listening(rig)
    queue.put_nowait(event(b'{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}', id="9"))
    assert (await opened.event())["method"] == "notifications/tools/list_changed"
    assert b"id: 9" in opened.body
    queue.put_nowait(None)
    await opened.whole()


async def test_where_the_server_has_no_stream_neither_have_we(rig: Rig) -> None:
    await rig.initialize()
    answer = await (await rig.listen()).whole()
    assert answer.status == 405
    assert answer.headers["allow"]


async def test_the_modern_revision_has_no_streams_of_sessions(rig: Rig) -> None:
    for verb in ("GET", "DELETE"):
        headers = rig.headers({}, "alice", {"MCP-Protocol-Version": MODERN})
        answer = await (await rig.request(verb, headers=headers)).whole()
        assert answer.status == 405
    assert rig.upstream.sent == []


async def test_a_client_that_leaves_closes_the_servers_stream(rig: Rig) -> None:
    opened, _ = await listening(rig)
    await opened.leave()
    await asyncio.wait_for(rig.upstream.answers[-1].closed.wait(), 5)
    await opened.whole()
    assert len(rig.deps.streams) == 0


async def test_a_question_is_judged_shown_and_answered(rig: Rig) -> None:
    opened, queue = await listening(rig, sampling={})
    queue.put_nowait(ask("sampling/createMessage", {"messages": [], "maxTokens": 1}))
    assert (await opened.event())["id"] == "s1"
    record, context = rig.recorder.rows[-1]
    assert context.call.method == "sampling/createMessage"
    assert str(record.decision.enforced) == "allow"
    answer = {"jsonrpc": "2.0", "id": "s1", "result": {"role": "assistant"}}
    assert (await rig.post(answer)).status == 202
    assert rig.upstream.methods[-1] == "response"
    assert (await rig.post(answer)).status == 400


async def test_a_denied_question_is_answered_by_the_proxy(rig: Rig) -> None:
    rig.engine.says["sampling/createMessage"] = DENY
    opened, queue = await listening(rig, sampling={})
    queue.put_nowait(ask("sampling/createMessage", {"messages": []}))
    (told,) = await refused_by(rig, 1)
    assert told["id"] == "s1"
    assert told["error"]["code"] == 40301
    assert opened.messages == []
    assert rig.recorder.effects == ["deny"]


@pytest.mark.parametrize(
    ("method", "params", "capabilities", "code"),
    [
        ("sampling/createMessage", {}, {}, 40301),
        ("roots/list", {}, {"sampling": {}}, 40301),
        ("elicitation/create", {"mode": "url", "url": "https://x.example"}, {"elicitation": {}}, 40301),
        ("elicitation/create", {"mode": "url", "url": "javascript:x"}, {"elicitation": {"url": {}}}, 40301),
        ("elicitation/create", {"mode": "url", "url": "http://x.example"}, {"elicitation": {"url": {}}}, 40301),
        ("elicitation/create", {"mode": "url", "url": "https://a@x.example"}, {"elicitation": {"url": {}}}, 40301),
        ("elicitation/create", {"mode": "other"}, {"elicitation": {"url": {}}}, 40301),
        ("elicitation/create", {}, {"elicitation": {"url": {}}}, 40301),
        ("tools/call", {"name": "x"}, {"sampling": {}}, -32601),
    ],
)
async def test_what_the_client_did_not_declare_is_refused(
    rig: Rig, method: str, params: dict[str, Any], capabilities: dict[str, Any], code: int
) -> None:
    opened, queue = await listening(rig, **capabilities)
    queue.put_nowait(ask(method, params))
    (told,) = await refused_by(rig, 1)
    assert told["error"]["code"] == code
    assert opened.messages == []
    assert rig.recorder.effects == ["deny"]


async def test_a_declared_url_elicitation_is_shown(rig: Rig) -> None:
    opened, queue = await listening(rig, elicitation={"url": {}})
    queue.put_nowait(ask("elicitation/create", {"mode": "url", "url": "https://x.example/a"}))
    assert (await opened.event())["params"]["url"] == "https://x.example/a"


async def test_pings_of_servers_pass(rig: Rig) -> None:
    opened, queue = await listening(rig)
    queue.put_nowait(ask("ping"))
    assert (await opened.event())["method"] == "ping"
    assert (await rig.post({"jsonrpc": "2.0", "id": "s1", "result": {}})).status == 202


async def test_more_questions_than_may_be_open_are_refused() -> None:
    rig = Rig(Limits(outstanding=1))
    opened, queue = await listening(rig)
    queue.put_nowait(ask("ping", id=1) + ask("ping", id=2))
    assert (await opened.event())["id"] == 1
    (told,) = await refused_by(rig, 1)
    assert told["id"] == 2


async def test_a_question_that_its_server_takes_back_is_not_answered() -> None:
    rig = Rig(Limits(outstanding=1))
    opened, queue = await listening(rig)
    queue.put_nowait(ask("ping", id=1))
    assert (await opened.event())["id"] == 1
    cancelled = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
    queue.put_nowait(event(json.dumps(cancelled).encode()) + ask("ping", id=2))
    assert (await opened.event())["method"] == "notifications/cancelled"
    assert (await opened.event())["id"] == 2
    assert (await rig.post({"jsonrpc": "2.0", "id": 1, "result": {}})).status == 400


async def test_the_session_says_which_revision_is_spoken(rig: Rig) -> None:
    """Without the header a request counts as 2025-03-26, which knows no elicitation; the session does."""
    answer, queue = stream()
    served(rig, answer)
    await rig.initialize(elicitation={})
    opened = await rig.listen(MCP_Protocol_Version=None)
    await opened.begun()
    queue.put_nowait(ask("elicitation/create", {"message": "x", "requestedSchema": {}}))
    assert (await opened.event())["method"] == "elicitation/create"
    await opened.leave()


async def test_a_held_question_waits_for_its_approval(rig: Rig) -> None:
    rig.engine.says["sampling/createMessage"] = HOLD
    opened, queue = await listening(rig, sampling={})
    queue.put_nowait(ask("sampling/createMessage", {"messages": []}))
    async with asyncio.timeout(5):
        while not rig.approvals.states:
            await asyncio.sleep(0.001)
    assert opened.messages == []
    rig.approvals.settle("approved")
    assert (await opened.event())["method"] == "sampling/createMessage"


async def test_updates_of_resources_are_shown_as_policy_says(rig: Rig) -> None:
    rig.engine.says["file:///secret"] = DENY
    opened, queue = await listening(rig)
    for uri in ("file:///secret", "file:///open"):
        message = {"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": uri}}
        queue.put_nowait(event(json.dumps(message).encode()))
    assert (await opened.event())["params"]["uri"] == "file:///open"
    assert rig.deps.metrics.of("dropped", reason="resource_update") == 1


async def test_a_cut_answer_is_filtered_where_it_is_replayed(rig: Rig) -> None:
    """The POST is cut after an event with an id; the list comes on the GET stream."""
    rig.engine.says["danger"] = DENY
    cut, _ = stream(b"id: 1\ndata: \n\n", None)
    replay, queue = stream()

    def answer(exchange: Any, message: dict[str, Any]) -> FakeAnswer:
        if exchange.verb == "GET":
            assert ("Last-Event-ID", "1") in exchange.headers
            return replay
        return cut if message.get("method") == "tools/list" else proper(exchange, message)

    rig.upstream.answer = answer
    await rig.initialize()
    posted = await rig.open(request("tools/list", id=4))
    await posted.begun()
    async with asyncio.timeout(5):
        while not posted.done:
            await asyncio.sleep(0.001)
    assert posted.messages == []
    opened = await rig.listen(Last_Event_ID="1")
    queue.put_nowait(event(result({"id": 4}, {"tools": TOOLS}), id="2"))
    names = [tool["name"] for tool in (await opened.event())["result"]["tools"]]
    assert names == ["safe", "gated"]
    await posted.whole()
    assert rig.recorder.states == ["executed"]
    # Replayed once more, it is filtered once more.
    queue.put_nowait(event(result({"id": 4}, {"tools": TOOLS}), id="3"))
    assert len((await opened.event())["result"]["tools"]) == 2


async def test_an_id_used_again_lifts_no_filter(rig: Rig) -> None:
    """The list is answered; its id is used for a call; the list is replayed under that id."""
    rig.engine.says["danger"] = DENY
    replay, queue = stream()
    served(rig, replay)
    await rig.initialize()
    assert len((await rig.post(request("tools/list", id=4))).json["result"]["tools"]) == 2
    assert (await rig.post(call(id=4))).status == 200
    opened = await rig.listen(Last_Event_ID="1")
    queue.put_nowait(event(result({"id": 4}, {"tools": TOOLS})))
    assert [tool["name"] for tool in (await opened.event())["result"]["tools"]] == ["safe", "gated"]
    await opened.leave()


async def test_the_id_of_an_answer_that_may_still_come_is_not_used_again(rig: Rig) -> None:
    """The list's POST is cut: what its id is used for next could be answered with that list, unfiltered."""
    rig.upstream.answer = lambda exchange, message: (
        stream(b"id: 1\ndata: \n\n", None)[0] if message.get("method") == "tools/list" else proper(exchange, message)
    )
    await rig.initialize()
    posted = await rig.open(request("tools/list", id=4))
    await posted.begun()
    for refused in (request("ping", id=4), request("tools/list", id=4), call(id=4)):
        answer = await rig.post(refused)
        assert (answer.status, answer.json["error"]["code"]) == (400, -32600)
    assert rig.recorder.refused == [("id_in_use", "agent:alice")] * 3
    assert (await rig.post(call(id="4"))).status == (await rig.post(call(id=5))).status == 200
    await posted.leave()
    posted.task.cancel()


async def test_answers_that_nobody_asked_for_are_dropped(rig: Rig) -> None:
    opened, queue = await listening(rig)
    queue.put_nowait(event(result({"id": 99}, {"secret": 1})))
    queue.put_nowait(event(b'{"jsonrpc":"2.0","method":"notifications/message","params":{}}'))
    assert (await opened.event())["method"] == "notifications/message"
    assert b"secret" not in opened.body


async def test_a_cut_answer_that_nobody_fetches_is_unknown() -> None:
    rig = Rig(Limits(resume=0.01))
    rig.upstream.answer = lambda exchange, message: (
        stream(b"id: 1\ndata: \n\n", None)[0] if message.get("method") == "tools/call" else proper(exchange, message)
    )
    await rig.initialize()
    await rig.post(call())
    assert rig.recorder.states == ["unknown"]


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("answered", ""),
        ("session over", "the session ended before its answer"),
        ("revoked", "it was no longer allowed"),
        ("proxy over", "the proxy ended"),
    ],
)
async def test_what_ends_the_wait_for_a_cut_answer_is_recorded(how: str, why: str) -> None:
    rig = Rig(Limits(recheck=60))
    cut, queue = stream(b"id: 1\ndata: \n\n")
    rig.upstream.answer = lambda exchange, message: (
        cut if message.get("method") == "tools/call" else proper(exchange, message)
    )
    await rig.endpoint.start()
    await rig.initialize()
    posted = await rig.open(call(id=5))
    await posted.begun()
    # Long enough that its right to be open is looked after.
    await asyncio.sleep(0.1)
    queue.put_nowait(None)
    async with asyncio.timeout(5):
        while not posted.done:
            await asyncio.sleep(0)
    await asyncio.sleep(0)
    (session,) = rig.deps.sessions._sessions.values()
    if how == "answered":
        request = session.asked(5)
        assert request is not None
        assert request.late is not None
        message = decode(result({"id": 5}))
        assert isinstance(message, ServerMessage)
        request.late.set_result((message, b"{}"))
    elif how == "session over":
        rig.deps.sessions.forget(session)
    elif how == "revoked":
        rig.authenticator.tokens.clear()
        rig.deps.streams.changed()
    else:
        posted.task.cancel()
    async with asyncio.timeout(5):
        await asyncio.wait({posted.task})
    await asyncio.sleep(0)
    assert posted.task.cancelled() == (how == "proxy over")
    assert [(each.outcome.state, each.outcome.detail) for each in rig.recorder.outcomes] == [
        ("executed" if how == "answered" else "unknown", why)
    ]
    await rig.endpoint.close()


@pytest.mark.parametrize("how", ["revoked", "frozen", "other servers"])
async def test_a_stream_is_closed_when_its_caller_may_no_longer_have_it(how: str) -> None:
    rig = Rig(Limits(recheck=60))
    await rig.endpoint.start()
    opened, _ = await listening(rig)
    if how == "revoked":
        rig.authenticator.tokens.clear()
    elif how == "frozen":
        rig.freezes.names.add("agent:alice")
    else:
        from policylayer.core.call import Caller, Grant
        from tests.proxy.fakes import ALICE

        rig.authenticator.tokens[b"Bearer alice"] = Caller(ALICE.subject, grant=Grant("g1", "alice", frozenset()))
    rig.deps.streams.changed()
    ended = await opened.whole()
    assert ended.done
    assert rig.upstream.answers[-1].closed.is_set()
    await rig.endpoint.close()


async def test_a_frozen_caller_opens_no_stream(rig: Rig) -> None:
    await rig.initialize()
    rig.freezes.names.add("shop")
    answer = await (await rig.listen()).whole()
    assert answer.status == 403
    assert rig.upstream.sent[-1].verb == "POST"


async def test_a_caller_has_so_many_streams() -> None:
    rig = Rig(Limits(streams_per_owner=1))
    opened, _ = await listening(rig)
    answer = await (await rig.listen()).whole()
    assert answer.status == 503
    await opened.leave()
    await opened.whole()
    again = await rig.listen()
    await again.begun()
    assert again.status == 200
    await again.leave()


async def test_an_idle_stream_is_heard() -> None:
    rig = Rig(Limits(recheck=0.005, ping=0.01))
    await rig.endpoint.start()
    opened, _ = await listening(rig)
    async with asyncio.timeout(5):
        while b": ping\n\n" not in opened.body:
            await asyncio.sleep(0.005)
    await rig.endpoint.close()
    await opened.whole()


async def test_a_client_that_takes_no_streams_is_not_asked_and_the_server_is_told(rig: Rig) -> None:
    """On the stream of a POST: before, the question was recorded as shown, and its server waited for the answer."""
    await rig.initialize(roots={})
    answer, queue = stream(ask("roots/list"))
    rig.upstream.answer = lambda exchange, message: (
        answer if message.get("method") == "tools/call" else proper(exchange, message)
    )
    posted = await rig.open(call(), Accept="application/json")
    (told,) = await refused_by(rig, 1)
    assert (told["id"], told["error"]["code"]) == ("s1", 40301)
    queue.put_nowait(event(result(call())))
    queue.put_nowait(None)
    assert "result" in (await posted.whole()).json
    assert [context.call.method for _, context in rig.recorder.rows] == ["tools/call"]
