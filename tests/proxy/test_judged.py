"""tools/call in both eras: allowed, denied, held, undecided, unrecorded."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from policylayer.core.commands import Kind
from tests.proxy.fakes import DENY, HOLD
from tests.proxy.rig import Rig, call, modern_call

pytestmark = pytest.mark.anyio
CALLS = pytest.mark.parametrize("made", [call, modern_call], ids=["handshake", "modern"])


def told(message: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = message["result"]["_meta"]["io.policylayer/decision"]
    return told


@CALLS
async def test_an_allowed_call_is_recorded_then_sent_then_closed(rig: Rig, made: Any) -> None:
    rig.upstream.answer = None
    answer = await rig.post(made("safe", {"a": 1}))
    assert (answer.status, answer.json["result"]["content"][0]["text"]) == (200, "done")
    assert rig.upstream.bodies() == [made("safe", {"a": 1})]
    assert rig.recorder.effects == ["allow"]
    assert rig.recorder.states == ["executed"]
    assert rig.recorder.outcomes[0].row_id == "row-1"


@CALLS
async def test_the_judged_bytes_are_the_sent_bytes(rig: Rig, made: Any) -> None:
    body = json.dumps(made("safe", {"n": 9007199254740993})).replace(": ", " :  ").encode()
    await (await rig.request("POST", body, rig.headers(made("safe"), "alice", {}))).whole()
    assert [each.body for each in rig.upstream.sent if b"tools/call" in each.body] == [body]


@CALLS
async def test_a_denied_call_never_reaches_the_server(rig: Rig, made: Any) -> None:
    rig.engine.says["danger"] = DENY
    answer = await rig.post(made("danger"))
    assert answer.status == 200
    assert answer.json["result"]["isError"] is True
    assert told(answer.json)["rule"] == "p/deny"
    assert told(answer.json)["decision_id"] == "row-1"
    assert rig.upstream.bodies() == []
    assert (rig.recorder.effects, rig.recorder.outcomes) == (["deny"], [])


@CALLS
async def test_no_decision_is_a_503_and_nothing_is_sent(rig: Rig, made: Any) -> None:
    rig.engine.fails = True
    answer = await rig.post(made())
    assert answer.status == 503
    assert answer.headers["retry-after"]
    assert answer.json["error"]["code"] == -32603
    assert answer.json["error"]["data"]["reason_code"] == "engine_error"
    assert rig.upstream.bodies() == []
    assert rig.recorder.effects == ["deny"]


@CALLS
async def test_no_row_is_a_503_and_nothing_is_sent(rig: Rig, made: Any) -> None:
    rig.recorder.fails = True
    answer = await rig.post(made())
    assert answer.status == 503
    assert answer.json["error"]["data"]["reason_code"] == "audit_unavailable"
    assert rig.upstream.bodies() == []


@CALLS
async def test_frozen_calls_are_denied_whatever_policy_says(rig: Rig, made: Any) -> None:
    rig.freezes.names.add("agent:alice")
    answer = await rig.post(made())
    assert told(answer.json)["reason_code"] == "frozen"
    assert rig.upstream.sent == []
    assert rig.engine.asked == []


async def test_a_held_call_waits_on_its_stream_and_is_released(rig: Rig) -> None:
    rig.engine.says["gated"] = HOLD
    message = call("gated", {"a": 1})
    message["params"]["_meta"] = {"progressToken": "t"}
    opened = await rig.open(message)
    progress = await opened.event()
    assert progress["method"] == "notifications/progress"
    assert progress["params"]["progressToken"] == "t"
    assert rig.upstream.bodies() == []
    rig.approvals.settle("approved")
    answered = await opened.event()
    assert answered["result"]["content"][0]["text"] == "done"
    await opened.whole()
    assert [row.kind for row, _ in rig.recorder.rows] == [Kind.DECISION, Kind.RELEASE]
    assert rig.recorder.rows[1][0].consume == "apr-1"
    assert rig.recorder.rows[1][0].parent == "row-1"
    assert len(rig.upstream.bodies()) == 1
    assert rig.recorder.states == ["executed"]


@pytest.mark.shows("proxy.8")
@CALLS
@pytest.mark.parametrize("how", ["frozen", "revoked"])
async def test_a_held_call_that_loses_its_right_is_told_that(rig: Rig, made: Any, how: str) -> None:
    rig.engine.says["gated"] = HOLD
    opened = await rig.open(made("gated"))
    async with asyncio.timeout(5):
        while not rig.approvals.waits:
            await asyncio.sleep(0)
    if how == "frozen":
        rig.freezes.names.add("agent:alice")
    else:
        del rig.authenticator.tokens[b"Bearer alice"]
    # The approval is not yet known to have ended: the stream is stopped first.
    await rig.endpoint.deps.streams.recheck()
    answer = await opened.event() if opened.headers.get("content-type") == "text/event-stream" else None
    await opened.whole()
    found = told(answer or opened.json)
    assert (found["effect"], found["retry"], found["rule"]) == ("deny", "never", None)
    assert found["reason_code"] == ("frozen" if how == "frozen" else "unauthenticated")
    assert rig.recorder.states == ["never_sent"]
    assert rig.upstream.bodies() == []


async def test_a_refused_hold_is_told_with_its_note_on_the_stream(rig: Rig) -> None:
    rig.engine.says["gated"] = HOLD
    opened = await rig.open(call("gated"))
    await opened.begun()
    rig.approvals.settle("denied")
    answered = await opened.event()
    assert told(answered)["reason_code"] == "approval_denied"
    assert told(answered)["note"] == "the note"
    assert rig.upstream.bodies() == []
    again = await rig.post(call("gated"))
    assert told(again.json)["reason_code"] == "approval_denied"
