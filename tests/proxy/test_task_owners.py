"""Tasks are asked for only by whom they belong to, and judged as the call they came from."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from policylayer.core.call import Call
from policylayer.core.decision import Charge
from policylayer.proxy.limits import Limits
from policylayer.proxy.task_owners import TaskOwners, TaskTakenError
from tests.proxy.fakes import ALICE, ALLOW, BOB, DENY, HOLD, TOOLS, FakeAnswer, event, proper, result, rule, stream
from tests.proxy.rig import Rig, call, modern, modern_call, request

pytestmark = pytest.mark.anyio
CALL = Call("shop", "tools/call", "safe", {}, b"d", b"d", "2026-07-28")


def test_a_task_is_found_by_its_owner_until_it_is_old() -> None:
    now = [0.0]
    owners = TaskOwners(lambda: now[0], Limits(task_life=10, tasks=2))
    assert owners.keep("t", ALICE, CALL, "row", frozenset())
    assert owners.find("shop", "t", ALICE) is not None
    assert owners.find("shop", "t", BOB) is None
    assert owners.find("files", "t", ALICE) is None
    with pytest.raises(TaskTakenError):
        owners.keep("t", BOB, CALL, "other", frozenset())
    assert not owners.keep(5, ALICE, CALL, "row", frozenset())
    assert not owners.keep("", ALICE, CALL, "row", frozenset())
    now[0] = 10.0
    assert owners.find("shop", "t", ALICE) is None
    for name in "abc":
        owners.keep(name, ALICE, CALL, "row", frozenset())
    assert len(owners) == 2


def test_a_living_task_keeps_its_name_but_for_its_own_call_and_in_other_sessions() -> None:
    owners = TaskOwners(lambda: 0.0, Limits())
    owners.keep("t", ALICE, CALL, "row", frozenset(), guarded=True, session="one")
    other = replace(CALL, digest=b"other")
    for taking, guarded in ((other, True), (CALL, False)):
        with pytest.raises(TaskTakenError):
            owners.keep("t", ALICE, taking, "later", frozenset(), guarded=guarded, session="one")
    assert owners.keep("t", ALICE, CALL, "later", frozenset(), guarded=True, session="one")
    assert owners.keep("t", ALICE, other, "row-2", frozenset(), session="two")
    found = [owners.find("shop", "t", ALICE, session) for session in ("one", "two", "")]
    assert [task.guarded if task else None for task in found] == [True, False, None]


@pytest.mark.shows("proxy.5")
def test_who_makes_many_tasks_loses_the_own_oldest_and_nobody_elses() -> None:
    owners = TaskOwners(lambda: 0.0, Limits(tasks=50, tasks_each=40, task_bytes=1000, task_bytes_each=500))
    owners.keep("kept", BOB, CALL, "b", frozenset(), size=100)
    for number in range(200):
        owners.keep(f"t{number}", ALICE, CALL, f"a{number}", frozenset(), size=number)
        assert owners.size <= 600
        assert len(owners) <= 41
    assert owners.find("shop", "kept", BOB) is not None
    assert owners.find("shop", "t199", ALICE) is not None
    assert owners.find("shop", "t0", ALICE) is None


def test_where_all_are_full_whoever_has_the_most_makes_room() -> None:
    owners = TaskOwners(lambda: 0.0, Limits(tasks=3, tasks_each=3))
    for number in range(3):
        owners.keep(f"a{number}", ALICE, CALL, f"a{number}", frozenset(), size=1)
    owners.keep("b", BOB, CALL, "b", frozenset(), size=1)
    assert owners.find("shop", "b", BOB) is not None
    assert [owners.find("shop", f"a{number}", ALICE) is not None for number in range(3)] == [False, True, True]


def test_anothers_task_is_known_by_its_name_whatever_the_session() -> None:
    owners = TaskOwners(lambda: 0.0, Limits())
    assert not owners.is_anothers("shop", "t", BOB)
    owners.keep("t", ALICE, CALL, "row", frozenset(), session="one")
    assert owners.is_anothers("shop", "t", BOB)
    assert not owners.is_anothers("shop", "t", ALICE)
    assert not owners.is_anothers("other", "t", BOB)
    owners.keep("t", BOB, CALL, "row2", frozenset(), session="two")
    assert not owners.is_anothers("shop", "t", BOB)


def with_tasks(rig: Rig) -> None:
    """Calls become tasks."""

    def answer(exchange: Any, message: dict[str, Any]) -> FakeAnswer:
        if message.get("method") != "tools/call":
            return proper(exchange, message)
        if "task" in message["params"]:
            return FakeAnswer(body=result(message, {"task": {"taskId": "t1", "status": "working"}}))
        return FakeAnswer(body=result(message, {"resultType": "task", "taskId": "t1", "status": "working"}))

    rig.upstream.answer = answer
    rig.deps.tools.learn("shop", {"tools": TOOLS})


async def make(rig: Rig, era: str, tool: str = "safe") -> Any:
    if era == "modern":
        return await rig.post(modern_call(tool, {"a": 1}))
    await rig.initialize()
    return await rig.post(call(tool, {"a": 1}, task={"ttl": 1000}))


def of(era: str) -> Any:
    return modern if era == "modern" else request


ERAS = pytest.mark.parametrize("era", ["handshake", "modern"])


@ERAS
async def test_a_task_is_judged_as_its_call(rig: Rig, era: str) -> None:
    with_tasks(rig)
    await make(rig, era)
    assert (await rig.post(of(era)("tasks/get", {"taskId": "t1"}))).status == 200
    asked = rig.engine.asked[-1].call
    assert (asked.method, asked.target, dict(asked.arguments)) == ("tools/call", "safe", {"a": 1})
    assert rig.recorder.rows[-1][1].call.method == "tasks/get"
    rig.engine.says["safe"] = DENY
    denied = await rig.post(of(era)("tasks/cancel", {"taskId": "t1"}))
    assert denied.json["error"]["code"] == 40301
    assert "tasks/cancel" not in rig.upstream.methods


@ERAS
async def test_anothers_task_does_not_exist(rig: Rig, era: str) -> None:
    with_tasks(rig)
    await make(rig, era)
    rig.session = None
    foreign = await rig.post(of(era)("tasks/get", {"taskId": "t1"}), token="bob")
    unknown = await rig.post(of(era)("tasks/get", {"taskId": "t2"}), token="bob")
    assert foreign.json["error"]["code"] == unknown.json["error"]["code"] == -32602
    assert foreign.json["error"]["message"] == unknown.json["error"]["message"]
    assert "tasks/get" not in rig.upstream.methods
    assert rig.recorder.effects[-2:] == ["deny", "deny"]


@pytest.mark.shows("proxy.5")
@ERAS
async def test_another_calls_task_of_the_same_id_is_not_passed_on(rig: Rig, era: str) -> None:
    """Its answer would be masked, and asking for it judged, as the first one's; or the first one's no more."""
    with_tasks(rig)
    await make(rig, era)
    session = rig.session
    again = await (rig.post(modern_call("other", {})) if era == "modern" else rig.post(call("other", task={}, id=9)))
    assert again.json["error"]["code"] == 40502
    if era == "handshake":
        rig.session = None
        assert "result" in (await make(rig, era, "other")).json, "another session counts for itself"
        rig.session = session
    await rig.post(of(era)("tasks/get", {"taskId": "t1"}))
    assert rig.engine.asked[-1].call.target == "safe"


async def test_asking_for_a_task_charges_nothing(rig: Rig) -> None:
    with_tasks(rig)
    charge = Charge("p/limit", "k", Decimal(1), Decimal(1), 60, rule("limit"))
    rig.engine.says["safe"] = replace(ALLOW, charges=(charge,))
    await make(rig, "modern")
    await rig.post(modern("tasks/get", {"taskId": "t1"}))
    assert [len(record.decision.charges) for record, _ in rig.recorder.rows] == [1, 0]


async def test_an_approval_covers_the_task_of_its_call() -> None:
    rig = Rig(Limits(beat=0.01))
    with_tasks(rig)
    rig.engine.says["gated"] = HOLD
    rig.approvals.states["apr-1"] = "approved"
    opened = await rig.open(modern_call("gated", {"a": 1}))
    async with asyncio.timeout(5):
        while not rig.approvals.waits:
            await asyncio.sleep(0.001)
    rig.approvals.settle("approved")
    await opened.whole()
    answer = await rig.post(modern("tasks/get", {"taskId": "t1"}))
    assert "result" in answer.json


async def test_only_own_tasks_are_listed(rig: Rig) -> None:
    with_tasks(rig)
    await make(rig, "handshake")
    tasks = {"tasks": [{"taskId": "t1"}, {"taskId": "t2"}]}
    rig.upstream.answer = lambda exchange, message: FakeAnswer(body=result(message, tasks))
    answer = await rig.post(request("tasks/list"))
    assert answer.json["result"] == {"tasks": [{"taskId": "t1"}]}


async def test_only_news_of_own_tasks_are_passed(rig: Rig) -> None:
    with_tasks(rig)
    await make(rig, "modern")

    def news(id: str) -> bytes:
        return event(json.dumps({"jsonrpc": "2.0", "method": "notifications/tasks", "params": {"taskId": id}}).encode())

    made, _ = stream(news("t2"), news("t1"), None)
    rig.upstream.answer = lambda exchange, message: made
    answer = await rig.post(modern("subscriptions/listen", {"notifications": {"taskIds": ["t1"]}}))
    assert [message["params"]["taskId"] for message in answer.messages] == ["t1"]
    refused = await rig.post(modern("subscriptions/listen", {"notifications": {"taskIds": ["t1", "t2"]}}))
    assert "error" in refused.json


ASKED = {"who": {"method": "elicitation/create", "params": {"message": "who?", "requestedSchema": {}}}}


def needing(rig: Rig, asked: Any) -> None:
    state = {"resultType": "complete", "taskId": "t1", "status": "input_required", "inputRequests": asked}
    rig.upstream.answer = lambda exchange, message: FakeAnswer(body=result(message, state))


async def test_what_a_task_asks_is_judged_once(rig: Rig) -> None:
    with_tasks(rig)
    await make(rig, "modern")
    needing(rig, ASKED)
    for _ in range(2):
        answer = await rig.post(modern("tasks/get", {"taskId": "t1"}))
        assert answer.json["result"]["inputRequests"] == ASKED
    methods = [context.call.method for _, context in rig.recorder.rows]
    assert methods == ["tools/call", "tasks/get", "elicitation/create", "tasks/get"]


@pytest.mark.parametrize(
    "asked", [{"who": {"method": "tools/call"}}, {"who": ASKED["who"], "x": {"method": "roots/x"}}]
)
async def test_what_a_task_may_not_ask_ends_the_poll(rig: Rig, asked: Any) -> None:
    with_tasks(rig)
    await make(rig, "modern")
    needing(rig, asked)
    answer = await rig.post(modern("tasks/get", {"taskId": "t1"}))
    assert answer.json["error"]["code"] == 40301
    needing(rig, {"who": 1})
    assert (await rig.post(modern("tasks/get", {"taskId": "t1"}))).json["error"]["code"] == 40502


async def test_only_tasks_ask_without_a_round(rig: Rig) -> None:
    rig.deps.tools.learn("shop", {"tools": TOOLS})
    needing(rig, ASKED)
    assert (await rig.post(modern_call())).json["error"]["code"] == 40502


async def test_answers_to_a_task_are_policys_to_see(rig: Rig) -> None:
    with_tasks(rig)
    await make(rig, "modern")
    answers = {"who": {"action": "accept", "content": {"name": "x"}}}
    await rig.post(modern("tasks/update", {"taskId": "t1", "inputResponses": answers}))
    assert rig.engine.asked[-1].call.input == answers
    assert dict(rig.engine.asked[-1].call.arguments) == {"a": 1}


async def test_news_of_a_task_that_ask_too_much_are_dropped(rig: Rig) -> None:
    with_tasks(rig)
    await make(rig, "modern")

    def news(asked: Any) -> bytes:
        params = {"taskId": "t1", "status": "input_required", "inputRequests": asked}
        return event(json.dumps({"jsonrpc": "2.0", "method": "notifications/tasks", "params": params}).encode())

    made, _ = stream(news({"x": {"method": "x/y"}}), news(1), news(ASKED), None)
    rig.upstream.answer = lambda exchange, message: made
    answer = await rig.post(modern("subscriptions/listen", {"notifications": {"taskIds": ["t1"]}}))
    assert [message["params"]["inputRequests"] for message in answer.messages] == [ASKED]


def many(number: int) -> dict[str, Any]:
    return {str(each): ASKED["who"] for each in range(number)}


def asking(*asked: Any) -> FakeAnswer:
    """News of the task, one after the other."""
    said = [
        {"jsonrpc": "2.0", "method": "notifications/tasks", "params": {"taskId": "t1", "inputRequests": each}}
        for each in asked
    ]
    return stream(*(event(json.dumps(each).encode()) for each in said), None)[0]


def judged(rig: Rig) -> int:
    return [context.call.method for _, context in rig.recorder.rows].count("elicitation/create")


async def listen(rig: Rig, *asked: Any) -> list[Any]:
    """The questions that come through, of a server that asks these in news of the task."""
    made = asking(*asked)
    rig.upstream.answer = lambda exchange, message: made
    answer = await rig.post(modern("subscriptions/listen", {"notifications": {"taskIds": ["t1"]}}))
    return [each["params"]["inputRequests"] for each in answer.messages if "params" in each]


async def test_a_task_asks_no_more_at_one_time_than_a_call(rig: Rig) -> None:
    """Each question is a row: none is judged where there are too many."""
    rig = Rig(Limits(asked=2))
    with_tasks(rig)
    await make(rig, "modern")
    needing(rig, many(3))
    assert (await rig.post(modern("tasks/get", {"taskId": "t1"}))).json["error"]["code"] == 40502
    assert await listen(rig, many(3), many(2)) == []
    assert judged(rig) == 0
    assert await listen(rig, many(2)) == [many(2)]
    assert judged(rig) == 2


async def test_a_task_asks_no_more_often_than_a_call(rig: Rig) -> None:
    """So what is remembered of it is bounded too."""
    rig = Rig(Limits(rounds=2))
    with_tasks(rig)
    await make(rig, "modern")
    for number in (1, 2, 3):
        needing(rig, many(number))
        answer = await rig.post(modern("tasks/get", {"taskId": "t1"}))
        assert ("error" in answer.json) == (number == 3), answer.json
    assert await listen(rig, many(1), many(4), many(2)) == [many(1)]
    assert judged(rig) == 3
    needing(rig, many(2))
    assert "result" in (await rig.post(modern("tasks/get", {"taskId": "t1"}))).json, "what was shown may be polled"


async def test_what_is_denied_in_news_of_a_task_counts_as_asked(rig: Rig) -> None:
    rig = Rig(Limits(questions=3))
    with_tasks(rig)
    await make(rig, "modern")
    rig.engine.says["elicitation/create"] = DENY
    await listen(rig, *([many(1)] * 5))
    assert judged(rig) == 3
