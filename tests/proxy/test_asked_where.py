"""Where a server may ask for input, and where an agent may answer: in three calls, and nowhere else."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from policylayer.core.call import Call
from tests.proxy.fakes import ALICE, TOOLS, FakeAnswer, event, result, stream
from tests.proxy.rig import MODERN, Rig, call, modern, modern_call, request

pytestmark = pytest.mark.anyio

ELICIT = {"method": "elicitation/create", "params": {"message": "who?", "requestedSchema": {"type": "object"}}}
ASKS = [
    {"resultType": "input_required", "inputRequests": {"name": ELICIT}, "requestState": "s"},
    {"resultType": "complete", "inputRequests": {"name": ELICIT}},
    {"inputRequests": {"name": ELICIT}},
    {"resultType": "complete", "requestState": "s"},
    {"resultType": "Input_Required"},
    {"resultType": ["input_required"]},
    {"resultType": "another"},
]


@pytest.mark.shows("proxy.5")
@pytest.mark.parametrize("asks", ASKS)
@pytest.mark.parametrize("streamed", [False, True])
async def test_lists_and_what_passes_without_a_decision_ask_nothing(rig: Rig, asks: Any, streamed: bool) -> None:
    value = {**asks, "tools": [], "prompts": [], "resources": [], "resourceTemplates": [], "tasks": []}
    made = [modern(f"{kind}/list") for kind in ("tools", "prompts", "resources", "resources/templates")]
    made += [modern("server/discover"), request("tools/list"), request("ping"), request("tasks/list")]
    made += [request("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}}), call()]
    for each in made:
        body = result(each, value)
        answers = stream(event(body), None)[0] if streamed else FakeAnswer(body=body)
        rig.upstream.answer = lambda exchange, message, answers=answers: answers
        answer = await rig.post(each)
        told = (answer.messages or [answer.json])[-1]
        assert told["error"]["code"] == 40502, each["method"]
        assert b"inputRequests" not in answer.body


async def test_a_result_of_an_unknown_type_is_not_relayed(rig: Rig) -> None:
    rig.deps.tools.learn("shop", {"tools": TOOLS})
    for kind in ("another", "Input_Required", None, ["complete"]):
        rig.upstream.answer = lambda exchange, message, kind=kind: FakeAnswer(
            body=result(message, {"resultType": kind})
        )
        answer = await rig.post(modern_call())
        assert answer.json["error"]["code"] == 40502


@pytest.mark.shows("proxy.5")
async def test_answers_go_only_where_a_server_may_ask(rig: Rig) -> None:
    for member in ({"inputResponses": {"s": {"secret": 1}}}, {"requestState": "s"}, {"InputResponses": {}}):
        made = [modern("tools/list", member), modern("server/discover", member), request("tools/list", member)]
        for each in [*made, request("ping", member), modern("completion/complete", member)]:
            answer = await rig.post(each)
            assert (answer.status, answer.json["error"]["code"]) == (400, -32602)
    assert rig.upstream.sent == []


@pytest.mark.shows("proxy.5")
async def test_what_is_told_of_a_task_does_not_end_in_a_question(rig: Rig) -> None:
    rig.deps.tasks.keep("t1", ALICE, Call("shop", "tools/call", "safe", {}, b"", b"", MODERN), "row-0", frozenset())
    inner = {"resultType": "input_required", "inputRequests": {"name": ELICIT}}
    state = {"taskId": "t1", "status": "completed", "result": inner}
    rig.upstream.answer = lambda exchange, message: FakeAnswer(
        body=result(message, {"resultType": "complete", **state})
    )
    answer = await rig.post(modern("tasks/get", {"taskId": "t1"}))
    assert answer.json["error"]["code"] == 40502
    told = [
        event(orjson.dumps({"jsonrpc": "2.0", "method": "notifications/tasks", "params": each}))
        for each in (state, {**state, "result": {"content": []}})
    ]
    rig.upstream.answer = lambda exchange, message: stream(*told, None)[0]
    answer = await rig.post(modern("subscriptions/listen", {"notifications": {"taskIds": ["t1"]}}))
    assert [message["params"]["result"] for message in answer.messages] == [{"content": []}]
