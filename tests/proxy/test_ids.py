"""Ids that name what is not the sender's: answers to what was never sent, others' requests, others' tasks."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from policylayer.proxy.limits import Limits
from policylayer.upstream.guard import Guarded
from policylayer.upstream.settings import Limits as ServerLimits
from tests.proxy.fakes import DENY, HOLD, FakeAnswer, event, proper, result, stream
from tests.proxy.rig import Rig, call, modern, request
from tests.upstream.scripted import stdio

pytestmark = pytest.mark.anyio

TOLD = event(b'{"jsonrpc":"2.0","method":"notifications/message","params":{}}')
RELATED = "io.modelcontextprotocol/related-task"


def notified(method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": method, "params": params}


def at_modern(message: dict[str, Any]) -> dict[str, Any]:
    meta = modern("ping")["params"]["_meta"]
    return {**message, "params": {**message["params"], "_meta": meta}}


async def of_session(rig: Rig) -> tuple[Any, asyncio.Queue[Any]]:
    """A session with an open GET stream."""
    answer, queue = stream()
    rig.upstream.answer = lambda exchange, message: answer if exchange.verb == "GET" else proper(exchange, message)
    await rig.initialize()
    opened = await rig.listen()
    await opened.begun()
    return opened, queue


@pytest.mark.shows("proxy.5")
async def test_what_was_not_sent_cannot_be_answered(rig: Rig) -> None:
    rig.engine.says |= {"danger": DENY, "gated": HOLD}
    opened, queue = await of_session(rig)
    assert (await rig.post(call("danger", id=5))).json["result"]["isError"]
    held = await rig.open(call("gated", id=6))
    await held.begun()
    for id in (5, 6):
        queue.put_nowait(event(result({"id": id}, {"content": [{"type": "text", "text": "forged"}]})))
    queue.put_nowait(TOLD)
    assert (await opened.event())["method"] == "notifications/message"
    assert rig.deps.metrics.of("dropped", reason="foreign_response") == 2
    rig.approvals.settle("approved")
    assert (await held.event())["result"]["content"][0]["text"] == "done"
    await opened.leave()


@pytest.mark.shows("proxy.5")
async def test_what_never_reached_the_server_cannot_be_answered(rig: Rig) -> None:
    from policylayer.core.errors import NotSent

    opened, queue = await of_session(rig)
    answers = rig.upstream.answer
    rig.upstream.answer = lambda exchange, message: NotSent("shop", "no")
    await rig.post(call(id=5))
    rig.upstream.answer = answers
    queue.put_nowait(event(result({"id": 5})) + TOLD)
    assert (await opened.event())["method"] == "notifications/message"
    await opened.leave()


@pytest.mark.shows("proxy.5")
@pytest.mark.parametrize("id", [77, "77", None, [77]])
async def test_only_ones_own_requests_are_cancelled_at_the_server(rig: Rig, id: Any) -> None:
    """The server goes by ids alone, and every caller comes to it with the same credential."""
    busy = stream()[0]
    rig.upstream.answer = lambda exchange, message: busy if message.get("id") == 77 else proper(exchange, message)
    await rig.initialize()
    victim = await rig.open(call(id=77))
    await rig.upstream.wait_for(2)
    cancel = notified("notifications/cancelled", requestId=id)
    rig.session = None
    for each in (cancel, at_modern(cancel)):
        assert (await rig.post(each, token="bob")).status == 202
    await rig.initialize("bob")
    assert (await rig.post(cancel, token="bob")).status == 202
    assert "notifications/cancelled" not in rig.upstream.methods
    assert rig.deps.metrics.of("dropped", reason="foreign_notification") == 3
    await victim.leave()
    victim.task.cancel()


async def test_ones_own_request_is_cancelled_in_its_session(rig: Rig) -> None:
    busy, queue = stream()
    rig.upstream.answer = lambda exchange, message: busy if message.get("id") == 7 else proper(exchange, message)
    await rig.initialize()
    opened = await rig.open(call(id=7))
    await rig.upstream.wait_for(2)
    cancel = notified("notifications/cancelled", requestId=7, reason="x")
    assert (await rig.post(cancel)).status == 202
    assert rig.upstream.bodies("notifications/cancelled") == [cancel]
    queue.put_nowait(event(result({"id": 7})))
    queue.put_nowait(None)
    await opened.whole()
    await rig.post(cancel)
    assert len(rig.upstream.bodies("notifications/cancelled")) == 1


@pytest.mark.shows("proxy.5")
@pytest.mark.parametrize("kind", ["nothing", "a stream", "a stream to come back to"])
async def test_a_cancelled_request_that_its_server_does_not_answer_ends_without_an_answer(kind: str) -> None:
    rig = Rig(Limits(cancelled=0.0))
    await rig.endpoint.start()
    pieces = {"nothing": (), "a stream": (TOLD,), "a stream to come back to": (b"id: 1\ndata: \n\n", None)}
    busy, _ = stream(*pieces[kind])
    if kind == "nothing":
        busy.content_type = "application/json"
    rig.upstream.answer = lambda exchange, message: busy if message.get("id") == 7 else proper(exchange, message)
    await rig.initialize()
    opened = await rig.open(call(id=7))
    await rig.upstream.wait_for(2)
    if kind != "nothing":
        await opened.begun()
    assert (await rig.post(notified("notifications/cancelled", requestId=7))).status == 202
    assert rig.upstream.methods[-1] == "notifications/cancelled"
    ended = await opened.whole()
    assert (ended.status, b"jsonrpc" in ended.body) == (202 if kind == "nothing" else 200, kind == "a stream")
    assert [(each.outcome.state, each.outcome.detail) for each in rig.recorder.outcomes] == [
        ("cancelled", "its client cancelled it")
    ]
    assert busy.closed.is_set()
    assert (await rig.post(call(id=7))).status == 400, "its answer may still come"
    assert (await rig.post(call(id=8))).status == 200
    await rig.endpoint.close()


async def test_what_is_cancelled_and_answered_all_the_same_is_relayed() -> None:
    rig = Rig(Limits(cancelled=60.0))
    await rig.endpoint.start()
    busy, queue = stream()
    rig.upstream.answer = lambda exchange, message: busy if message.get("id") == 7 else proper(exchange, message)
    await rig.initialize()
    opened = await rig.open(call(id=7))
    await opened.begun()
    await rig.post(notified("notifications/cancelled", requestId=7))
    queue.put_nowait(event(result({"id": 7})))
    queue.put_nowait(None)
    assert (await (await opened.whole()).event())["result"]
    assert rig.recorder.states == ["executed"]
    await rig.endpoint.close()


@pytest.mark.shows("proxy.5")
async def test_cancelled_calls_to_a_process_say_nothing_of_the_server() -> None:
    rig = Rig(Limits(cancelled=0.0))
    await rig.endpoint.start()
    async with stdio(limits=ServerLimits(timeout=60, breaker_failures=1)) as upstream:
        rig.upstream = upstream  # type: ignore[assignment]
        await rig.initialize()
        posts = [await rig.open(call("hang", id=id)) for id in (7, 8)]
        assert (await rig.post(call("echo", id=9))).json["id"] == 9
        for id in (7, 8):
            await rig.post(notified("notifications/cancelled", requestId=id))
        assert [(await each.whole()).status for each in posts] == [202, 202]
        assert json.loads((await rig.post(call("cancelled", id=10))).json["result"]["content"][0]["text"]) == [7, 8]
        assert isinstance(upstream, Guarded)
        assert (upstream.condition.breaker, upstream.condition.calls) == ("closed", 0)
    assert rig.recorder.states == ["executed", "cancelled", "cancelled", "executed"]
    await rig.endpoint.close()


async def of_task(rig: Rig, token: str) -> None:
    """A session of this caller's, and a task `t-alice` of Alice's in hers."""

    def answer(exchange: Any, message: dict[str, Any]) -> FakeAnswer:
        if message.get("method") == "tools/call" and "task" in message["params"]:
            return FakeAnswer(body=result(message, {"task": {"taskId": "t-alice", "status": "working"}}))
        return proper(exchange, message)

    rig.upstream.answer = answer
    await rig.initialize()
    await rig.post(call(task={}))
    rig.session = None
    await rig.initialize(token)


@pytest.mark.shows("proxy.5")
async def test_anothers_task_is_not_named(rig: Rig) -> None:
    await of_task(rig, "bob")
    status = notified("notifications/tasks/status", taskId="t-alice", status="cancelled")
    assert (await rig.post(status, token="bob")).status == 202
    assert rig.deps.metrics.of("dropped", reason="foreign_notification") == 1
    related = {"_meta": {RELATED: {"taskId": "t-alice"}}}
    for each in (
        call(**related),
        request("ping", related),
        notified("notifications/progress", progressToken=1, **related),
    ):
        sent = len(rig.upstream.sent)
        answer = await rig.post(each, token="bob")
        assert (answer.status, answer.json["error"]["code"]) == (400, -32602)
        assert len(rig.upstream.sent) == sent
    rig.session = None
    for each in (status, notified("notifications/progress", progressToken=1, progress=1)):
        assert (await rig.post(each, token="bob")).status == 202
        assert each["method"] not in rig.upstream.methods


async def test_ones_own_task_is(rig: Rig) -> None:
    await of_task(rig, "alice")
    related = {"_meta": {RELATED: {"taskId": "t-alice"}}}
    assert (await rig.post(call(**related))).status == 200
    own = notified("notifications/tasks/status", taskId="of the client's own", status="working")
    assert (await rig.post(own)).status == 202
    assert rig.upstream.bodies("notifications/tasks/status") == [own]
    told = notified("notifications/progress", progressToken=1, progress=1)
    assert (await rig.post(told)).status == 202
    assert rig.upstream.bodies("notifications/progress") == [told]
