"""Calls of several rounds at 2026-07-28: what servers ask back, sealed and judged; approvals polled for."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from policylayer.core.commands import Kind
from policylayer.core.decision import HoldRule
from policylayer.proxy.limits import Limits
from tests.proxy.fakes import DENY, DONE, HOLD, TOOLS, FakeAnswer, event, result, rule, stream
from tests.proxy.rig import Rig, call, modern, modern_call

pytestmark = pytest.mark.anyio

ELICIT = {"method": "elicitation/create", "params": {"message": "who?", "requestedSchema": {"type": "object"}}}
ANSWER = {"name": {"action": "accept", "content": {"name": "Alice"}}}


def asking(rig: Rig, state: str | None = "server-state", requests: Any = None, streamed: bool = False) -> None:
    """The server asks once, and is done when it is answered."""
    asked: dict[str, Any] = {"resultType": "input_required", "inputRequests": requests or {"name": ELICIT}}
    if state is not None:
        asked["requestState"] = state

    def answer(exchange: Any, message: dict[str, Any]) -> FakeAnswer:
        done = "inputResponses" in message["params"]
        body = result(message, DONE if done else asked)
        return stream(event(body), None)[0] if streamed else FakeAnswer(body=body)

    rig.upstream.answer = answer
    rig.deps.tools.learn("shop", {"tools": TOOLS})


def state_of(answer: Any) -> str:
    message = (answer.messages or [answer.json])[0]
    assert message["result"]["resultType"] == "input_required"
    state: str = message["result"]["requestState"]
    return state


def retry(tool: str = "safe", state: str | None = None, answers: Any = None, **arguments: Any) -> dict[str, Any]:
    more: dict[str, Any] = {"inputResponses": ANSWER if answers is None else answers}
    if state is not None:
        more["requestState"] = state
    return modern_call(tool, arguments, 2, **more)


# --- the server asks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("state", ["server-state", None])
async def test_a_round_and_its_retry(rig: Rig, streamed: bool, state: str | None) -> None:
    asking(rig, state, streamed=streamed)
    first = await rig.post(modern_call())
    assert (first.messages or [first.json])[0]["result"]["inputRequests"] == {"name": ELICIT}
    sealed = state_of(first)
    assert "server-state" not in sealed
    second = await rig.post(retry(state=sealed))
    assert (second.messages or [second.json])[0]["result"] == DONE
    sent = rig.upstream.bodies()[-1]["params"]
    assert sent.get("requestState") == state
    assert sent["inputResponses"] == ANSWER
    kinds = [(record.kind, record.parent, context.call.method) for record, context in rig.recorder.rows]
    assert kinds == [
        (Kind.DECISION, None, "tools/call"),
        (Kind.DECISION, "row-1", "elicitation/create"),
        (Kind.ROUND, "row-1", "tools/call"),
    ]
    assert rig.recorder.states == ["executed"] * 3
    assert rig.engine.asked[-1].call.input == ANSWER


async def test_a_round_is_answered_once(rig: Rig) -> None:
    asking(rig)
    sealed = state_of(await rig.post(modern_call()))
    await rig.post(retry(state=sealed))
    again = await rig.post(retry(state=sealed))
    assert again.json["result"]["_meta"]["io.policylayer/decision"]["reason_code"] == "rejected"
    assert len(rig.upstream.bodies()) == 2


async def test_an_altered_state_is_refused(rig: Rig) -> None:
    asking(rig)
    sealed = state_of(await rig.post(modern_call()))
    middle = len(sealed) // 2
    altered = sealed[:middle] + ("A" if sealed[middle] != "A" else "B") + sealed[middle + 1 :]
    for bad in (sealed + "-TAMPERED", altered, "server-state", "", "pls1."):
        answer = await rig.post(retry(state=bad))
        assert (answer.status, answer.json["error"]["code"]) == (400, -32602)
    assert len(rig.upstream.bodies()) == 1
    assert rig.recorder.refused[-1] == ("request_state", "agent:alice")


async def test_a_state_is_its_callers_own(rig: Rig) -> None:
    asking(rig)
    sealed = state_of(await rig.post(modern_call()))
    assert (await rig.post(retry(state=sealed), token="bob")).status == 400
    other = modern("prompts/get", {"name": "safe", "inputResponses": ANSWER, "requestState": sealed})
    assert (await rig.post(other)).status == 400


async def test_other_arguments_make_it_a_new_call(rig: Rig) -> None:
    """Nothing that earlier rounds earned counts: here, the approval."""
    asking(rig)
    rig.engine.says["gated"] = HOLD
    opened = await rig.open(modern_call("gated"))
    async with asyncio.timeout(5):
        while not rig.approvals.states:
            await asyncio.sleep(0.001)
    rig.approvals.settle("approved")
    sealed = state_of(await opened.whole())
    changed = await rig.open(retry("gated", sealed, amount=5))
    async with asyncio.timeout(5):
        while len(rig.approvals.states) < 2:
            await asyncio.sleep(0.001)
    rig.approvals.settle("denied")
    answer = await changed.whole()
    assert answer.json["result"]["isError"] is True
    assert len(rig.upstream.bodies()) == 1
    # Unchanged, it is covered by the first approval.
    covered = await rig.post(retry("gated", sealed))
    assert covered.json["result"] == DONE
    assert len(rig.approvals.states) == 2


@pytest.mark.parametrize("answers", [{}, {**ANSWER, "more": {}}, {"other": {}}])
async def test_other_answers_than_those_asked_for_make_it_a_new_call(rig: Rig, answers: Any) -> None:
    asking(rig)
    sealed = state_of(await rig.post(modern_call()))
    await rig.post(retry(state=sealed, answers=answers))
    record, _ = next(each for each in reversed(rig.recorder.rows) if each[1].call.method == "tools/call")
    assert (record.kind, record.redeem) == (Kind.DECISION, None)
    assert rig.upstream.bodies()[-1]["params"]["requestState"] == "server-state"


async def test_a_retry_without_the_state_is_a_new_call(rig: Rig) -> None:
    asking(rig)
    await rig.post(modern_call())
    assert (await rig.post(retry())).json["result"] == DONE
    assert [record.kind for record, _ in rig.recorder.rows] == [Kind.DECISION] * 3


async def test_a_denied_question_ends_the_call(rig: Rig) -> None:
    asking(rig)
    rig.engine.says["elicitation/create"] = DENY
    answer = await rig.post(modern_call())
    assert answer.json["result"]["isError"] is True
    assert answer.json["result"]["_meta"]["io.policylayer/decision"]["rule"] == "p/deny"
    assert b"inputRequests" not in answer.body
    assert rig.recorder.effects == ["allow", "deny"]


@pytest.mark.parametrize(
    "asked",
    [
        {"a": {"method": "tools/call", "params": {}}},
        {"a": {"method": "elicitation/create", "params": {"mode": "url", "url": "javascript:alert(1)"}}},
        {"a": {"method": "elicitation/create", "params": {"mode": "url", "url": "https://x.example"}}},
    ],
)
async def test_questions_that_no_client_should_see_end_the_call(rig: Rig, asked: Any) -> None:
    asking(rig, requests=asked)
    answer = await rig.post(modern_call())
    assert answer.json["result"]["isError"] is True


async def test_a_capability_that_was_not_declared_is_not_used(rig: Rig) -> None:
    asking(rig)
    message = modern_call()
    message["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = {"sampling": {}}
    answer = await rig.post(message)
    assert answer.json["result"]["isError"] is True
    assert b"inputRequests" not in answer.body


@pytest.mark.parametrize(
    "value",
    [
        {"resultType": "input_required"},
        {"resultType": "input_required", "inputRequests": []},
        {"resultType": "input_required", "inputRequests": {"a": 1}},
        {"resultType": "input_required", "inputRequests": {"a": {"method": 1}}},
        {"resultType": "input_required", "requestState": 1},
        {"resultType": "input_required", "inputRequests": {str(n): ELICIT for n in range(33)}},
        {"resultType": "input_required", "requestState": "x" * 300_000},
    ],
)
async def test_malformed_questions_are_the_servers_failure(rig: Rig, value: Any) -> None:
    rig.deps.tools.learn("shop", {"tools": TOOLS})
    rig.upstream.answer = lambda exchange, message: FakeAnswer(body=result(message, value))
    answer = await rig.post(modern_call())
    assert answer.json["error"]["code"] == 40502


async def test_only_three_methods_may_be_asked_back(rig: Rig) -> None:
    value = {"resultType": "input_required", "inputRequests": {"name": ELICIT}}
    rig.upstream.answer = lambda exchange, message: FakeAnswer(body=result(message, value))
    ref = {"type": "ref/prompt", "name": "p"}
    answer = await rig.post(modern("completion/complete", {"ref": ref, "argument": {"name": "a", "value": ""}}))
    assert answer.json["error"]["code"] == 40502


async def test_a_call_has_so_many_rounds() -> None:
    rig = Rig(Limits(rounds=2))
    asked = {"resultType": "input_required", "inputRequests": {"name": ELICIT}, "requestState": "s"}
    rig.deps.tools.learn("shop", {"tools": TOOLS})
    rig.upstream.answer = lambda exchange, message: FakeAnswer(body=result(message, asked))
    answer = await rig.post(modern_call())
    for _ in range(1):
        answer = await rig.post(retry(state=state_of(answer)))
    answer = await rig.post(retry(state=state_of(answer)))
    assert answer.json["error"]["code"] == 40502


# --- an approval is pending -------------------------------------------------------------------------------------------


def patient(**limits: Any) -> Rig:
    rig = Rig(Limits(**{"poll": 0.02, "beat": 0.01, **limits}))
    rig.deps.tools.learn("shop", {"tools": TOOLS})
    rig.engine.says["gated"] = HOLD
    return rig


async def test_a_held_call_is_sent_away_with_a_state_and_released_on_a_poll() -> None:
    rig = patient()
    first = await rig.post(modern_call("gated", {"a": 1}))
    sealed = state_of(first)
    assert "inputRequests" not in first.json["result"]
    assert first.json["result"]["_meta"]["io.policylayer/decision"]["reason_code"] == "pending"
    rig.approvals.settle("approved")
    second = await rig.post(modern_call("gated", {"a": 1}, 2, requestState=sealed))
    assert second.json["result"] == DONE
    assert "requestState" not in rig.upstream.bodies()[-1]["params"]
    assert [str(record.kind) for record, _ in rig.recorder.rows] == ["decision", "release"]


async def test_after_the_last_poll_the_agent_is_told_to_call_again() -> None:
    rig = patient(last_poll=2)
    answer = await rig.post(modern_call("gated"))
    for _ in range(2):
        answer = await rig.post(modern_call("gated", id=2, requestState=state_of(answer)))
    told = answer.json["result"]["_meta"]["io.policylayer/decision"]
    assert (told["reason_code"], told["retry"]) == ("pending", "same_call")
    assert answer.json["result"]["isError"] is True
    rig.approvals.settle("approved")
    assert (await rig.post(modern_call("gated", id=9))).json["result"] == DONE
    assert rig.upstream.bodies()[-1]["id"] == 9


async def test_a_chain_of_polls_has_an_end_in_time() -> None:
    rig = patient(hold_modern=0.03)
    answer = await rig.post(modern_call("gated"))
    await asyncio.sleep(0.03)
    answer = await rig.post(modern_call("gated", requestState=state_of(answer)))
    assert answer.json["result"]["isError"] is True


async def test_a_waiting_state_is_of_its_own_call() -> None:
    rig = patient()
    sealed = state_of(await rig.post(modern_call("gated", {"a": 1})))
    rig.approvals.settle("approved")
    other = await rig.post(modern_call("gated", {"a": 2}, requestState=sealed))
    state_of(other)
    assert rig.upstream.bodies() == []
    assert list(rig.approvals.states.values()) == ["approved", "pending"]


async def test_a_round_that_is_held_keeps_its_answers() -> None:
    """`each_round`: the answers are held for approval; the poll brings none, the state carries them."""
    rig = patient()
    asking(rig)
    each = replace(HOLD, holds=(HoldRule(rule("hold"), each_round=True),))
    rig.engine.says["gated"] = each
    opened = await rig.open(modern_call("gated"))
    async with asyncio.timeout(5):
        while not rig.approvals.states:
            await asyncio.sleep(0.001)
    rig.approvals.settle("approved")
    sealed = state_of(await opened.whole())
    waiting = state_of(await rig.post(retry("gated", sealed)))
    assert list(rig.approvals.states.values()) == ["consumed", "pending"]
    still = state_of(await rig.post(modern_call("gated", id=3, requestState=waiting)))
    rig.approvals.settle("approved")
    done = await rig.post(modern_call("gated", id=4, requestState=still))
    assert done.json["result"] == DONE
    sent = rig.upstream.bodies()[-1]
    assert (sent["id"], sent["params"]["inputResponses"]) == (4, ANSWER)
    assert sent["params"]["requestState"] == "server-state"
    assert rig.recorder.rows[-1][0].redeem is not None
    assert rig.recorder.rows[-1][0].consume == "apr-2"


async def test_a_modern_client_that_leaves_ends_its_wait_only() -> None:
    rig = patient(poll=5.0)
    opened = await rig.open(modern_call("gated"))
    async with asyncio.timeout(5):
        while not rig.approvals.waits:
            await asyncio.sleep(0.001)
    await opened.leave()
    await opened.whole()
    assert rig.approvals.states == {"apr-1": "pending"}
    assert rig.recorder.states == ["never_sent"]


async def test_a_handshake_hold_has_an_end() -> None:
    rig = patient(hold=0.03)
    answer = await rig.post(call("gated"))
    assert answer.headers["content-type"] == "text/event-stream"
    told = answer.messages[-1]["result"]["_meta"]["io.policylayer/decision"]
    assert (told["reason_code"], told["approval_id"]) == ("pending", "apr-1")
    assert answer.body.count(b": ping\n\n") >= 2
    rig.approvals.settle("approved")
    assert (await rig.post(call("gated"))).json["result"] == DONE


async def test_a_handshake_client_that_reads_no_streams_waits_quietly() -> None:
    rig = patient(hold=0.03)
    answer = await rig.post(call("gated"), Accept="application/json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json["result"]["isError"] is True


async def test_failures_after_a_hold_are_told_on_the_stream() -> None:
    rig = patient(hold=5.0)
    opened = await rig.open(call("gated"))
    await opened.begun()
    rig.recorder.fails = True
    rig.approvals.settle("approved")
    answered = await opened.event()
    assert answered["error"]["code"] == -32603
    assert answered["error"]["data"]["reason_code"] == "audit_unavailable"


async def test_of_identical_held_calls_one_runs() -> None:
    rig = patient(hold=5.0)
    both = [await rig.open(call("gated", id=n)) for n in (1, 2)]
    for opened in both:
        await opened.begun()
    async with asyncio.timeout(5):
        while rig.approvals.waits < 2:
            await asyncio.sleep(0.001)
    assert list(rig.approvals.states) == ["apr-1"]
    rig.approvals.settle("approved")
    async with asyncio.timeout(5):
        while len(rig.approvals.states) < 2:
            await asyncio.sleep(0.001)
    assert len(rig.upstream.bodies()) == 1
    rig.approvals.settle("denied")
    answers = [(await opened.whole()).messages[-1]["result"].get("isError") for opened in both]
    assert sorted(answers) == [False, True]
