"""What comes back: answers and streams, byte for byte; what is no answer; servers that fail; clients that leave."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from policylayer.core.decision import Obligations
from policylayer.core.errors import Lost, NotSent, Overrun, ProtocolFault, TimedOut, TooLarge
from policylayer.proxy.limits import Limits
from policylayer.upstream.interface import Exchange, Overloaded, Unsent
from tests.proxy.fakes import ALLOW, DONE, TOOLS, FakeAnswer, event, result, stream
from tests.proxy.rig import Rig, call, modern, modern_call

pytestmark = pytest.mark.anyio
CALLS = pytest.mark.parametrize("made", [call, modern_call], ids=["handshake", "modern"])


def failed(message: dict[str, Any]) -> bool:
    return bool(message["error"]["code"] == 40502)


async def test_a_whole_answer_is_relayed_byte_for_byte(rig: Rig) -> None:
    body = b'{"result" : {"content":[], "n": 1.0e5, "big": 123456789012345678901},\n "id":1,"jsonrpc":"2.0" }'
    rig.upstream.answer = lambda exchange, message: FakeAnswer(body=body)
    answer = await rig.post(call())
    assert answer.body == body
    assert answer.headers == {"content-type": "application/json", "content-length": str(len(body))}


async def test_a_stream_is_relayed_byte_for_byte(rig: Rig) -> None:
    pieces = [
        b": hello\n\n",
        b"id: 1\ndata: \n\n",
        b"retry: 500\n\n",
        b'event: message\r\nid: 2\r\ndata: {"jsonrpc":"2.0","method":"notifications/message", "params":{}}\r\n\r\n',
        event(result(call()), id="3"),
    ]
    rig.upstream.answer = lambda exchange, message: stream(*pieces, None)[0]
    answer = await rig.post(call())
    assert answer.body == b"".join(pieces)
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.headers["x-accel-buffering"] == "no"
    assert rig.recorder.states == ["executed"]


async def test_events_leave_when_they_come(rig: Rig) -> None:
    answer, queue = stream()
    rig.upstream.answer = lambda exchange, message: answer
    opened = await rig.open(call())
    await opened.begun()
    half = event(b'{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}')
    queue.put_nowait(half[:20])
    queue.put_nowait(half[20:])
    assert (await opened.event())["method"] == "notifications/progress"
    queue.put_nowait(event(result(call())))
    assert (await opened.event())["result"] == DONE
    queue.put_nowait(None)
    await opened.whole()
    assert answer.closed.is_set()


@CALLS
@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"",
        b"[]",
        b"null",
        b'{"jsonrpc":"2.0","id":2,"result":{}}',
        b'{"jsonrpc":"2.0","id":"1","result":{}}',
        b'{"jsonrpc":"2.0","result":{}}',
        b'{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"x"}}',
        b'{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":"x"}}',
        b'{"jsonrpc":"2.0","id":1,"error":{"code":"1","message":"x"}}',
        b'{"jsonrpc":"2.0","id":1,"result":{},"id":1}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":1,"result":{}}{"jsonrpc":"2.0","id":1,"result":{}}',
        b'[{"jsonrpc":"2.0","id":1,"result":{}}]',
    ],
)
async def test_what_is_no_answer_is_the_servers_failure(rig: Rig, made: Any, body: bytes) -> None:
    rig.upstream.answer = lambda exchange, message: FakeAnswer(body=body)
    answer = await rig.post(made())
    assert answer.status == 200
    assert failed(answer.json)
    assert rig.recorder.states == ["failed"]


@CALLS
@pytest.mark.parametrize("status", [401, 403, 500, 502, 503, 202, 204])
async def test_statuses_between_us_and_the_server_stay_there(rig: Rig, made: Any, status: int) -> None:
    headers = {"www-authenticate": 'Bearer resource_metadata="https://evil.example"'}
    rig.upstream.answer = lambda exchange, message: FakeAnswer(status, b"secret", "text/plain", headers)
    answer = await rig.post(made())
    assert answer.status == 200
    assert failed(answer.json)
    assert "www-authenticate" not in answer.headers
    assert b"secret" not in answer.body


@CALLS
async def test_errors_of_the_server_are_relayed_with_their_status(rig: Rig, made: Any) -> None:
    body = b'{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"bad","data":{"x":1}}}'
    rig.upstream.answer = lambda exchange, message: FakeAnswer(400, body)
    answer = await rig.post(made())
    assert (answer.status, answer.body) == (400, body)
    assert rig.recorder.states == ["upstream_refused"]
    assert rig.recorder.outcomes[0].outcome.is_error


async def test_a_failed_tool_is_executed_and_an_error(rig: Rig) -> None:
    rig.upstream.answer = lambda exchange, message: FakeAnswer(body=result(message, {**DONE, "isError": True}))
    await rig.post(call())
    assert rig.recorder.states == ["executed"]
    assert rig.recorder.outcomes[0].outcome.is_error


@CALLS
@pytest.mark.parametrize(
    ("error", "state"),
    [
        (NotSent("x"), "never_sent"),
        (Lost("x"), "unknown"),
        (TimedOut("x"), "timed_out"),
        (ProtocolFault("x"), "failed"),
        (TooLarge("x"), "failed"),
        (Overrun("x"), "unknown"),
    ],
)
async def test_how_far_a_failed_call_came_is_recorded(rig: Rig, made: Any, error: Exception, state: str) -> None:
    rig.upstream.answer = lambda exchange, message: error
    answer = await rig.post(made())
    assert failed(answer.json)
    assert rig.recorder.states == [state]


async def test_a_server_that_is_asked_too_much_is_a_503(rig: Rig) -> None:
    rig.upstream.answer = lambda exchange, message: Overloaded("full", retry_after=3)
    answer = await rig.post(call())
    assert answer.status == 503
    assert answer.headers["retry-after"] == "3"
    assert failed(answer.json)
    assert rig.recorder.states == ["never_sent"]


async def test_a_fault_of_ours_is_no_secret_and_no_hang(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.upstream.answer = lambda exchange, message: RuntimeError("CANARY")
    answer = await rig.post(call())
    assert failed(answer.json)
    assert b"CANARY" not in answer.body
    assert rig.recorder.states == ["unknown"]


async def test_an_answer_to_another_request_on_a_stream_is_dropped(rig: Rig) -> None:
    foreign = event(b'{"jsonrpc":"2.0","id":2,"result":{"secret":1}}')
    rig.upstream.answer = lambda exchange, message: stream(foreign, event(result(message)), None)[0]
    answer = await rig.post(call())
    assert b"secret" not in answer.body
    assert [message["id"] for message in answer.messages] == [1]


async def test_of_two_answers_the_first_is_it(rig: Rig) -> None:
    second = event(b'{"jsonrpc":"2.0","id":1,"result":{"second":1}}')
    rig.upstream.answer = lambda exchange, message: stream(event(result(message)) + second, None)[0]
    answer = await rig.post(call())
    assert b"second" not in answer.body


@pytest.mark.parametrize("piece", [event(b"garbage"), event(b"[]"), event(b'{"jsonrpc":"2.0","id":1,"id":1}')])
async def test_garbage_on_a_stream_ends_it_with_an_error(rig: Rig, piece: bytes) -> None:
    rig.upstream.answer = lambda exchange, message: stream(piece, event(result(message)), None)[0]
    answer = await rig.post(call())
    assert failed(answer.messages[-1])
    assert len(answer.messages) == 1
    assert rig.recorder.states == ["failed"]


@CALLS
async def test_a_stream_without_an_answer_is_a_failure(rig: Rig, made: Any) -> None:
    rig.upstream.answer = lambda exchange, message: stream(b": hi\n\n", None)[0]
    answer = await rig.post(made())
    assert failed(answer.messages[-1])
    assert rig.recorder.states == ["unknown"]


@CALLS
async def test_a_stream_that_breaks_is_told_on_the_stream(rig: Rig, made: Any) -> None:
    rig.upstream.answer = lambda exchange, message: stream(b": hi\n\n", Lost("x"))[0]
    answer = await rig.post(made())
    assert answer.status == 200
    assert failed(answer.messages[-1])
    assert rig.recorder.states == ["unknown"]


async def test_unnamed_kinds_of_events_are_dropped(rig: Rig) -> None:
    odd = b'event: odd\ndata: {"jsonrpc":"2.0","method":"notifications/message"}\n\n'
    rig.upstream.answer = lambda exchange, message: stream(odd, event(result(message)), None)[0]
    assert b"odd" not in (await rig.post(call())).body


async def test_unknown_notifications_of_servers_are_dropped(rig: Rig) -> None:
    odd = event(b'{"jsonrpc":"2.0","method":"notifications/strange"}')
    rig.upstream.answer = lambda exchange, message: stream(odd, event(result(message)), None)[0]
    assert b"strange" not in (await rig.post(call())).body


async def test_a_modern_client_that_leaves_cancels(rig: Rig) -> None:
    answer, _ = stream()
    rig.upstream.answer = lambda exchange, message: answer
    rig.deps.tools.learn("shop", {"tools": TOOLS})
    opened = await rig.open(modern_call())
    await opened.begun()
    await opened.leave()
    await asyncio.wait_for(answer.closed.wait(), 5)
    await opened.whole()
    assert rig.recorder.states == ["cancelled"]


async def test_a_modern_client_that_leaves_before_its_call_is_sent_has_sent_nothing(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = asyncio.Event()

    async def waits_for_its_turn(exchange: Any) -> Any:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as left:
            raise Unsent from left

    monkeypatch.setattr(rig.upstream, "exchange", waits_for_its_turn)
    rig.deps.tools.learn("shop", {"tools": TOOLS})
    opened = await rig.open(modern_call())
    await asyncio.wait_for(begun.wait(), 5)
    await opened.leave()
    await opened.whole()
    assert rig.recorder.states == ["never_sent"]


async def test_a_handshake_client_that_leaves_does_not(rig: Rig) -> None:
    answer, queue = stream()
    rig.upstream.answer = lambda exchange, message: answer
    opened = await rig.open(call())
    await opened.begun()
    await opened.leave()
    queue.put_nowait(event(result(call())))
    queue.put_nowait(None)
    await opened.whole()
    assert rig.recorder.states == ["executed"]


async def test_a_caller_who_is_no_longer_let_in_gets_nothing_more() -> None:
    rig = Rig(Limits(recheck=0.01))
    await rig.endpoint.start()
    answer, _ = stream()
    rig.upstream.answer = lambda exchange, message: answer
    opened = await rig.open(call())
    await opened.begun()
    rig.authenticator.tokens.clear()
    ended = await opened.whole()
    told = ended.messages[-1]["error"]
    assert told["code"] == 40301
    # It was sent: an agent that took this for a denial would do it again.
    assert "may have run" in told["message"]
    assert told["data"]["decision_id"]
    assert answer.closed.is_set()
    assert rig.recorder.states == ["unknown"]
    assert rig.deps.metrics.of("streams_closed") == 1
    await rig.endpoint.close()


async def test_what_a_call_earns_is_recorded_before_its_answer_leaves(rig: Rig) -> None:
    rig.engine.says["safe"] = replace(ALLOW, obligations=Obligations(earn={"tests-passed": 60}))
    original, seen = rig.recorder.outcome, []

    async def outcome(cmd: Any) -> Any:
        seen.append(opened.done)
        return await original(cmd)

    rig.recorder.outcome = outcome  # type: ignore[method-assign]
    for answer in (FakeAnswer(body=result(call())), stream(event(result(call())), None)[0]):
        rig.upstream.answer = lambda exchange, message, answer=answer: answer  # type: ignore[misc]
        opened = await rig.open(call())
        await opened.whole()
        assert json.loads(result(call())) in (opened.messages or [opened.json])
    assert seen == [False, False]


# --- clients that read no stream, servers that want a session ---------------------------------------------------------


@pytest.mark.parametrize("accept", ["application/json", None])
@CALLS
async def test_who_reads_no_stream_is_answered_whole(rig: Rig, made: Any, accept: str | None) -> None:
    def answer(exchange: Exchange, message: dict[str, Any]) -> FakeAnswer:
        assert dict(exchange.headers)["Accept"] == "application/json, text/event-stream"
        progress = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": 1, "progress": 1}}
        return stream(event(json.dumps(progress).encode()), event(result(message)), None)[0]

    rig.upstream.answer = answer
    answered = await rig.post(made(), Accept=accept)
    assert answered.status == 200
    if accept is None:
        assert answered.headers["content-type"] == "text/event-stream"
        return
    assert answered.headers["content-type"] == "application/json"
    assert answered.json["result"]["content"][0]["text"] == "done"
    assert rig.recorder.states == ["executed"]


async def test_who_reads_no_stream_may_not_listen(rig: Rig) -> None:
    listen = modern("subscriptions/listen", {"notifications": {}})
    answered = await rig.post(listen, Accept="application/json")
    assert answered.status == 406
    assert rig.upstream.sent == []


@pytest.mark.parametrize("id", [None, "server-error"])
async def test_a_server_that_wants_a_session_is_heard(rig: Rig, id: str | None) -> None:
    error = {"code": -32600, "message": "Bad Request: Missing session ID"}
    body = json.dumps({"jsonrpc": "2.0", "id": id, "error": error}).encode()
    rig.upstream.answer = lambda exchange, message: FakeAnswer(400, body)
    answered = await rig.post(call())
    assert answered.status == 400
    assert "session" in answered.json["error"]["message"].lower()
    assert rig.recorder.states == ["upstream_refused"]
    if id is None:
        assert answered.json["id"] == 1
        assert (await rig.post(modern_call())).status == 400


async def test_a_page_that_says_no_is_the_servers_failure(rig: Rig) -> None:
    rig.upstream.answer = lambda exchange, message: FakeAnswer(400, b"<html>", kind="text/html")
    answered = await rig.post(call())
    assert (answered.status, answered.json["error"]["code"]) == (200, 40502)


@pytest.mark.parametrize(
    ("theirs", "ours"), [(400, 400), (404, 404), (503, 503), (202, 200), (205, 200), (407, 400), (499, 400), (599, 500)]
)
async def test_an_errors_status_is_one_that_clients_know(rig: Rig, theirs: int, ours: int) -> None:
    body = b'{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"no"}}'
    rig.upstream.answer = lambda exchange, message: FakeAnswer(status=theirs, body=body)
    answered = await rig.post(call())
    assert (answered.status, answered.json["error"]["code"]) == (ours, -32000)
