"""Answers masked and cut on their way: whole, in streams, replayed, of tasks, and where it cannot be done."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from policylayer.core.decision import Mask, Obligations
from policylayer.core.errors import Lost, NotSent, TimedOut
from policylayer.proxy import treating
from policylayer.proxy.guards import MOST, NOTHING, Guard, Guards, guard_of
from policylayer.proxy.limits import Limits
from policylayer.proxy.sessions import Session
from policylayer.proxy.taking import Taking
from policylayer.wire.results import TOLD
from tests.proxy.fakes import ALLOW, DENY, FakeAnswer, event, proper, result, stream
from tests.proxy.rig import Rig, call, modern, modern_call, request

pytestmark = pytest.mark.anyio
ERAS = pytest.mark.parametrize("made", [call, modern_call], ids=["handshake", "modern"])
EMAIL = Mask(pattern="email")
GUARDED = replace(ALLOW, obligations=Obligations(mask=(EMAIL,)))
CAPPED = replace(ALLOW, obligations=Obligations(cap=500))
SECRET = {"content": [{"type": "text", "text": "mail a@b.io"}], "structuredContent": {"to": "a@b.io"}}
HIDDEN = {"content": [{"type": "text", "text": "mail [masked]"}], "structuredContent": {"to": "[masked]"}}


def saying(rig: Rig, value: Mapping[str, Any], tool: str = "crm") -> None:
    """The server answers this to calls of the tool."""

    def answer(exchange: Any, message: dict[str, Any]) -> Any:
        if message.get("params", {}).get("name") == tool or str(message.get("method")).startswith("tasks/"):
            modern = "_meta" in message["params"]
            return FakeAnswer(body=result(message, {**value, **({"resultType": "complete"} if modern else {})}))
        return proper(exchange, message)

    rig.upstream.answer = answer


def streamed(rig: Rig) -> None:
    """What the server answers it answers as a stream, of which it may come again."""
    whole = rig.upstream.answer or proper

    def answer(exchange: Any, message: dict[str, Any]) -> Any:
        said = whole(exchange, message)
        return said if message.get("method") in ("initialize", None) else stream(event(said._body, id="1"), None)[0]

    rig.upstream.answer = answer


def shown(answer: Any) -> dict[str, Any]:
    """The result without what is told beside it."""
    return {k: v for k, v in answer["result"].items() if k in ("content", "structuredContent")}


@ERAS
async def test_a_whole_answer_is_masked_and_the_record_says_so(rig: Rig, made: Any) -> None:
    rig.engine.says["crm"] = GUARDED
    saying(rig, SECRET)
    answer = await rig.post(made("crm"))
    assert shown(answer.json) == HIDDEN
    assert answer.json["result"]["_meta"][TOLD]["masked"] == ["/structuredContent/to", "/content/0/text"]
    outcome = rig.recorder.outcomes[0].outcome
    assert (outcome.state, outcome.detail, outcome.size) == ("executed", "masked", len(answer.body))
    assert outcome.succeeded


@ERAS
async def test_calls_without_such_a_duty_are_relayed_byte_for_byte(rig: Rig, made: Any) -> None:
    saying(rig, SECRET)
    answer = await rig.post(made("crm"))
    assert answer.body == rig.upstream.answers[-1]._body
    assert rig.recorder.outcomes[0].outcome.detail == ""


@ERAS
async def test_the_answer_of_a_stream_is_masked(rig: Rig, made: Any) -> None:
    rig.engine.says["crm"] = GUARDED
    message = made("crm")
    progress = b'{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}'
    answer, _ = stream(event(progress), event(result(message, {**SECRET, "resultType": "complete"})), None)
    rig.upstream.answer = lambda exchange, sent: answer if sent["method"] == "tools/call" else proper(exchange, sent)
    opened = await rig.post(message)
    first, last = opened.messages
    assert first["method"] == "notifications/progress"
    assert shown(last) == HIDDEN
    assert b"a@b.io" not in opened.body


@ERAS
async def test_an_error_of_the_server_is_masked(rig: Rig, made: Any) -> None:
    rig.engine.says["crm"] = GUARDED
    error = {"jsonrpc": "2.0", "id": 1, "error": {"code": -32000, "message": "no a@b.io"}}
    rig.upstream.answer = lambda exchange, message: FakeAnswer(body=json.dumps(error).encode())
    answer = await rig.post(made("crm"))
    assert answer.json["error"]["message"] == "no [masked]"
    assert rig.recorder.outcomes[0].outcome.detail == "error -32000, masked"


@ERAS
async def test_a_large_answer_is_cut_and_told(rig: Rig, made: Any) -> None:
    rig.engine.says["crm"] = CAPPED
    saying(rig, {"content": [{"type": "text", "text": "x" * 5000}]})
    answer = (await rig.post(made("crm"))).json["result"]
    assert answer["content"][-1]["text"].startswith("[Cut by policy: the whole result has 5")
    assert len(json.dumps(answer)) < 700
    assert rig.recorder.outcomes[0].outcome.detail == "cut"


@ERAS
async def test_what_cannot_be_cut_does_not_pass(rig: Rig, made: Any) -> None:
    rig.engine.says["crm"] = CAPPED
    saying(rig, {"other": "x" * 5000})
    answer = (await rig.post(made("crm"))).json
    assert answer["error"]["code"] == 40502
    assert "larger than policy" in answer["error"]["message"]
    outcome = rig.recorder.outcomes[0].outcome
    assert (outcome.state, outcome.succeeded) == ("executed", False)


@ERAS
async def test_a_failure_to_mask_lets_nothing_pass(rig: Rig, made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(treating, "treat", broken)
    rig.engine.says["crm"] = GUARDED
    saying(rig, SECRET)
    answer = await rig.post(made("crm"))
    assert answer.json["error"]["code"] == 40502
    assert b"a@b.io" not in answer.body


async def test_large_answers_are_masked_beside_the_event_loop(rig: Rig) -> None:
    rig.engine.says["crm"] = GUARDED
    saying(rig, {"content": [{"type": "text", "text": "a@b.io " * 20_000}]})
    answer = await rig.post(modern_call("crm"))
    assert answer.json["result"]["content"][0]["text"] == "[masked] " * 20_000


@ERAS
async def test_a_masked_result_fits_the_tools_schema_as_last_listed(rig: Rig, made: Any) -> None:
    hide = Mask(path="result.structuredContent.n")
    rig.engine.says["crm"] = replace(ALLOW, obligations=Obligations(mask=(hide,)))
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 5}, "s": {"enum": ["a"]}}}
    tools = [{"name": "crm", "inputSchema": {"type": "object"}, "outputSchema": schema}]

    def answer(exchange: Any, message: dict[str, Any]) -> FakeAnswer:
        if message["method"] == "tools/list":
            return FakeAnswer(body=result(message, {"tools": tools}))
        return FakeAnswer(body=result(message, {"content": [], "structuredContent": {"n": 77, "s": "a"}}))

    rig.upstream.answer = answer
    await rig.post(modern("tools/list") if made is modern_call else request("tools/list"))
    found = (await rig.post(made("crm"))).json["result"]["structuredContent"]
    assert found == {"n": 100, "s": "a"}


async def test_a_question_keeps_its_state(rig: Rig) -> None:
    """What the server asks is masked, and the round goes on."""
    rig.engine.says["crm"] = replace(ALLOW, obligations=Obligations(mask=(Mask(regex="[A-Za-z0-9_-]{40,}"), EMAIL)))
    form = {"mode": "form", "message": "send to a@b.io?", "requestedSchema": {"type": "object", "properties": {}}}
    asked = {"ask": {"method": "elicitation/create", "params": form}}

    def answer(exchange: Any, message: dict[str, Any]) -> FakeAnswer:
        if "requestState" in message["params"]:
            return FakeAnswer(body=result(message, {**SECRET, "resultType": "complete"}))
        return FakeAnswer(body=result(message, {"resultType": "input_required", "inputRequests": asked}))

    rig.upstream.answer = answer
    first = (await rig.post(modern_call("crm"))).json["result"]
    assert first["inputRequests"]["ask"]["params"]["message"] == "send to [masked]?"
    rig.upstream.answer = lambda exchange, message: FakeAnswer(
        body=result(message, {**SECRET, "resultType": "complete"})
    )
    more = {"requestState": first["requestState"], "inputResponses": {"ask": {"action": "accept"}}}
    answer_two = await rig.post(modern_call("crm", id=2, **more))
    assert shown(answer_two.json) == HIDDEN


# --- tasks ------------------------------------------------------------------------------------------------------------


async def test_the_result_of_a_task_is_masked_and_does_not_come_as_news(rig: Rig) -> None:
    rig.engine.says["crm"] = GUARDED
    saying(rig, {"resultType": "task", "taskId": "t1", "status": "working"})
    rig.upstream.answer = lambda exchange, message: FakeAnswer(
        body=result(message, {"resultType": "task", "taskId": "t1", "status": "working"})
    )
    await rig.post(modern_call("crm"))
    assert not rig.recorder.outcomes[0].outcome.succeeded
    saying(rig, {"taskId": "t1", "status": "completed", "result": SECRET})
    answer = (await rig.post(modern("tasks/get", {"taskId": "t1"}))).json["result"]
    assert {k: v for k, v in answer["result"].items() if k != "_meta"} == HIDDEN

    def news(**params: Any) -> bytes:
        told = {"jsonrpc": "2.0", "method": "notifications/tasks", "params": {"taskId": "t1", **params}}
        return event(json.dumps(told).encode())

    listening, queue = stream(news(status="working"), news(status="completed", result=SECRET))
    rig.upstream.answer = lambda exchange, message: listening
    opened = await rig.open(modern("subscriptions/listen", {"notifications": {"taskIds": ["t1"]}}))
    assert (await opened.event())["params"]["status"] == "working"
    queue.put_nowait(news(status="failed"))
    assert (await opened.event())["params"]["status"] == "failed"
    assert b"a@b.io" not in opened.body
    queue.put_nowait(None)
    await opened.whole()


# --- answers that come again ------------------------------------------------------------------------------------------


async def replayed(rig: Rig, id: int, value: Mapping[str, Any]) -> Any:
    """What the agent gets when an answer is replayed on the session's stream."""
    replay, queue = stream()
    before = rig.upstream.answer or proper
    rig.upstream.answer = lambda exchange, message: replay if exchange.verb == "GET" else before(exchange, message)
    opened = await rig.listen(Last_Event_ID="1")
    await opened.begun()
    queue.put_nowait(event(result({"id": id}, value), id="2"))
    queue.put_nowait(event(b'{"jsonrpc":"2.0","method":"notifications/message","params":{}}'))
    first = await opened.event()
    queue.put_nowait(None)
    await opened.whole()
    return first


async def test_an_answer_that_is_cut_off_is_masked_where_it_is_replayed(rig: Rig) -> None:
    rig.engine.says["crm"] = GUARDED
    rig.upstream.answer = lambda exchange, message: (
        stream(b"id: 1\ndata: \n\n", None)[0] if message.get("method") == "tools/call" else proper(exchange, message)
    )
    await rig.initialize()
    posted = await rig.open(call("crm", id=5))
    await posted.begun()
    answer = await replayed(rig, 5, SECRET)
    assert shown(answer) == HIDDEN
    await posted.whole()
    assert [outcome.outcome.detail for outcome in rig.recorder.outcomes] == ["masked"]


@pytest.mark.parametrize("again", [call("safe", id=5), request("ping", id=5)], ids=["call", "ping"])
async def test_an_id_used_again_lifts_no_mask(rig: Rig, again: dict[str, Any]) -> None:
    """Also where very many other requests came between."""
    rig.engine.says["crm"] = GUARDED
    saying(rig, SECRET)
    await rig.initialize()
    await rig.post(call("crm", id=5))
    streamed(rig)
    for number in range(10, 10 + rig.deps.limits.remembered // 64):
        await rig.post(request("ping", id=number))
    await rig.post(again)
    assert shown(await replayed(rig, 5, SECRET)) == HIDDEN


async def test_an_answer_to_an_unmasked_call_is_replayed_as_it_is(rig: Rig) -> None:
    rig.engine.says["crm"] = GUARDED
    saying(rig, SECRET)
    streamed(rig)
    await rig.initialize()
    await rig.post(call("crm", id=5))
    await rig.post(call("safe", id=6))
    assert shown(await replayed(rig, 6, SECRET)) == SECRET


async def test_an_answer_that_was_no_stream_comes_on_no_later_one(rig: Rig) -> None:
    """So that nothing of the call need be kept."""
    saying(rig, SECRET)
    await rig.initialize()
    await rig.post(call("crm", id=5))
    assert (await replayed(rig, 5, SECRET))["method"] == "notifications/message"
    (session,) = rig.deps.sessions._sessions.values()
    assert not session.requests


def bytes_kept(session: Session) -> int:
    """Of the requests that a session remembers: what they sent."""
    kept = 0
    for asked in session.requests.values():
        for take in (asked.take, *asked.lists.values()):
            tried = take._tried if isinstance(take, Taking) else None
            kept += 0 if tried is None else len(tried.raw + tried.message.raw)
            kept += (
                0 if tried is None else len(json.dumps([tried.message.params, tried.call.arguments, tried.call.input]))
            )
    return kept


@pytest.mark.shows("proxy.5")
async def test_a_session_keeps_little_of_calls_that_are_over(rig: Rig) -> None:
    """RES: neither of those that were denied, nor of those whose answers were streams and may come again."""
    rig.engine.says["danger"] = DENY
    streamed(rig)
    await rig.initialize()
    (session,) = rig.deps.sessions._sessions.values()
    for number in range(10, 30):
        await rig.post(call("danger", {"text": "x" * 10_000}, id=number))
        assert number < 20 or len(session.requests) == 0
    for number in range(30, 50):
        await rig.post(call("safe", {"text": "x" * 10_000}, id=number))
    assert len(session.requests) == 20
    assert bytes_kept(session) < 20 * 50
    await rig.post(request("tools/list", {"_meta": {"x": "y" * 10_000}}, id=60))
    assert bytes_kept(session) < 21 * 50


@pytest.mark.parametrize("ends", [None, Lost("gone"), TimedOut("late")])
async def test_no_call_has_the_id_of_one_whose_answer_may_still_come(rig: Rig, ends: Exception | None) -> None:
    """Servers find the answer's way by its id: the second call would be answered with what was to be masked."""
    rig.engine.says["crm"] = GUARDED
    answer, queue = stream()
    rig.upstream.answer = lambda exchange, message: (
        answer if message.get("params", {}).get("name") == "crm" else proper(exchange, message)
    )
    await rig.initialize()
    first = await rig.open(call("crm", id=7))
    await rig.upstream.wait_for(2)
    if ends is not None:
        queue.put_nowait(ends)
        await first.whole()
    assert (await rig.post(call("safe", id=7))).status == 400
    assert len(rig.upstream.sent) == 2
    if ends is None:
        queue.put_nowait(event(result({"id": 7}, SECRET)))
        queue.put_nowait(None)
        assert shown((await first.whole()).messages[0]) == HIDDEN
        assert (await rig.post(call("safe", id=7))).status == 200, "it is answered: its id is free"


async def test_what_was_never_sent_leaves_its_id_free(rig: Rig) -> None:
    rig.engine.says["danger"] = DENY
    await rig.initialize()
    rig.upstream.answer = lambda exchange, message: NotSent("nobody there")
    assert (await rig.post(call("safe", id=7))).json["error"]["code"] == 40502
    assert (await rig.post(call("danger", id=7))).json["result"]["isError"] is True
    rig.upstream.answer = None
    assert (await rig.post(call("safe", id=7))).status == 200


async def test_a_session_with_very_many_unanswered_calls_is_over(rig: Rig) -> None:
    rig = Rig(Limits(remembered=3))
    await rig.initialize()
    rig.upstream.answer = lambda exchange, message: Lost("gone")
    for number in range(4):
        assert (await rig.post(call(id=number))).status == 200
    assert (await rig.post(call(id=9))).status == 404


async def test_in_a_session_that_was_opened_elsewhere_only_what_is_awaited_is_replayed(rig: Rig) -> None:
    await rig.initialize()
    (session,) = rig.deps.sessions._sessions.values()
    session.reopened = True
    await rig.post(call("safe", id=5))
    assert (await replayed(rig, 5, SECRET))["method"] == "notifications/message"


def test_what_was_to_be_done_under_an_id_stays_to_be_done() -> None:
    guards = Guards()
    assert guards.of("a") is None
    guards.put("a", Guard((EMAIL,)))
    guards.put("a", Guard((Mask(pattern="card"), EMAIL), 500))
    guards.put("b", Guard(cap=900))
    assert guards.of("a") == Guard((EMAIL, Mask(pattern="card")), 500)
    assert guards.of("b") == Guard(cap=900)
    assert guards.of("c") is None
    for number in range(MOST):
        guards.put(number, Guard(cap=1000))
    assert guards.of("a") == guards.of("never seen") == Guard((EMAIL, Mask(pattern="card")), 500)


def test_most_decisions_ask_for_nothing() -> None:
    assert guard_of(Obligations(redact=("args.a",), label=frozenset({"x"}))) is None
    assert guard_of(Obligations(cap=1)) == NOTHING.joined(Guard(cap=1))


async def test_two_answers_at_once_keep_their_own_masks(rig: Rig) -> None:
    rig.engine.says["crm"] = GUARDED
    saying(rig, {"content": [{"type": "text", "text": "a@b.io " * 12_000}]})
    masked, plain = await asyncio.gather(rig.post(modern_call("crm")), rig.post(modern_call("safe")))
    assert b"a@b.io" not in masked.body
    assert plain.json["result"]["content"][0]["text"] == "done"
