"""A server that asks, or says what nobody may hear, without end: so much of it, so many rows, and no more."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policylayer.proxy.limits import Limits
from policylayer.proxy.pace import MINUTE, Pace
from tests.proxy.fakes import DENY, FakeAnswer, event, proper, result, stream
from tests.proxy.rig import Rig, call, modern_call

pytestmark = pytest.mark.anyio


@given(st.lists(st.floats(0, 300), max_size=60).map(sorted))
def test_no_minute_holds_more_than_two_counts_of_it(moments: list[float]) -> None:
    pace, most = Pace(), 5
    passed = [now for now in moments if pace.another(now) <= most]
    for begun in passed:
        assert sum(begun <= now < begun + MINUTE for now in passed) <= 2 * most


def asks(method: str, id: Any) -> bytes:
    return event(json.dumps({"jsonrpc": "2.0", "id": id, "method": method}).encode())


def flooded(rig: Rig, method: str, count: int) -> None:
    def answer(exchange: Any, message: dict[str, Any]) -> FakeAnswer:
        if message.get("method") != "tools/call":
            return proper(exchange, message)
        return stream(*(asks(method, f"q{number}") for number in range(count)), event(result(message)), None)[0]

    rig.upstream.answer = answer


@pytest.mark.shows("proxy.5")
@pytest.mark.parametrize("method", ["roots/list", "sampling/createMessage", "ping", "x/y"])
@pytest.mark.parametrize("session", [True, False])
async def test_a_flood_of_questions_leaves_few_rows(method: str, session: bool) -> None:
    rig = Rig(Limits(questions=30, questions_a_minute=20, outstanding=5))
    if session:
        await rig.initialize(roots={})
    flooded(rig, method, 999)
    answer = await rig.post(call())
    assert answer.messages[-1]["error"]["code"] == 40502
    assert len(rig.recorder.rows) <= 1 + 20
    assert [kind for kind, _, _ in rig.recorder.events].count("server.asks_too_much") == 1
    assert rig.deps.metrics.of("dropped", reason="question_flood") == 1


@pytest.mark.shows("proxy.5")
async def test_the_flood_is_the_sessions_whatever_stream_it_comes_on() -> None:
    rig = Rig(Limits(questions_a_minute=20))
    await rig.initialize(roots={})
    flooded(rig, "roots/list", 15)
    codes = [(await rig.post(call(id=number))).messages[-1].get("error", {}).get("code") for number in range(1, 5)]
    assert codes == [None, 40502, 40502, 40502]
    assert len(rig.recorder.rows) <= 4 + 20
    assert [kind for kind, _, _ in rig.recorder.events].count("server.asks_too_much") == 1
    rig.session = None
    await rig.initialize(roots={})
    assert "result" in (await rig.post(call())).messages[-1]


async def test_one_stream_has_so_many_questions_and_pings_are_none() -> None:
    rig = Rig(Limits(questions=10))
    await rig.initialize(roots={})
    flooded(rig, "ping", 11)
    assert "result" in (await rig.post(call())).messages[-1]
    flooded(rig, "roots/list", 11)
    assert (await rig.post(call(id=2))).messages[-1]["error"]["code"] == 40502


@pytest.mark.shows("proxy.5")
async def test_an_error_wants_few_pages_opened(rig: Rig) -> None:
    await rig.initialize(elicitation={"url": {}})
    page = {"mode": "url", "url": "https://x.example", "elicitationId": "1", "message": "m"}

    def answer(exchange: Any, message: dict[str, Any]) -> FakeAnswer:
        error = {"code": -32042, "message": "m", "data": {"elicitations": [page] * 1000}}
        return FakeAnswer(body=json.dumps({"jsonrpc": "2.0", "id": message["id"], "error": error}).encode())

    rig.upstream.answer = answer
    assert (await rig.post(call())).json["error"]["code"] == 40502
    assert len(rig.recorder.rows) == 1


# --- what is dropped --------------------------------------------------------------------------------------------------


def note(method: str, **params: Any) -> bytes:
    return event(json.dumps({"jsonrpc": "2.0", "method": method, "params": params}).encode())


DROPPED = {
    "event_type": b"event: x\ndata: 1\n\n",
    "foreign_response": event(result({"id": "another"})),
    "notification": note("notifications/strange"),
    "folded_member": note("notifications/message", level="info", Level="x"),
    "task_update": note("notifications/tasks/status", taskId="another"),
    "resource_update": note("notifications/resources/updated", uri="file:///secret"),
    "odd_lines": b"Data: x\n\n",
}
HEARD = [
    b": ping\n\n",
    b":\n\n",
    b": ping\r\r",
    b": ping\x0b\n\n",
    b"retry: 1\n\n",
    note("notifications/progress", progressToken=1, progress=1),
    note("notifications/message", level="info", data="x"),
]


def saying(rig: Rig, *said: bytes) -> None:
    """On every stream, before the answer."""
    rig.engine.says["file:///secret"] = DENY

    def answer(exchange: Any, message: dict[str, Any]) -> FakeAnswer:
        if exchange.verb == "GET":
            return stream(*said, None)[0]
        if message.get("method") != "tools/call":
            return proper(exchange, message)
        return stream(*said, event(result(message)), None)[0]

    rig.upstream.answer = answer


def floods(rig: Rig) -> int:
    """How often it was noted."""
    noted = [kind for kind, _, _ in rig.recorder.events].count("server.says_too_much")
    assert noted == rig.deps.metrics.of("dropped", reason="flood")
    return noted


@pytest.mark.shows("proxy.5")
@pytest.mark.parametrize("reason", DROPPED)
@pytest.mark.parametrize("made", [call, modern_call])
async def test_too_much_that_is_dropped_ends_the_stream(reason: str, made: Any) -> None:
    rig = Rig(Limits(dropped_a_minute=20))
    if made is call:
        await rig.initialize()
    saying(rig, DROPPED[reason] * 20)
    assert "result" in (await rig.post(made())).messages[-1]
    assert floods(rig) == 0
    saying(rig, DROPPED[reason] * 21)
    assert (await rig.post(made(id=2))).messages[-1]["error"]["code"] == 40502
    assert rig.recorder.states[-1] == "failed"
    assert floods(rig) == 1
    kind, actor, detail = rig.recorder.events[-1]
    assert (kind, actor, set(detail)) == ("server.says_too_much", "agent:alice", {"server", "parent"})
    assert rig.deps.metrics.of("dropped") == 20 + 21 + 1


@pytest.mark.shows("proxy.5")
async def test_so_it_does_the_sessions_own_stream() -> None:
    rig = Rig(Limits(dropped_a_minute=20))
    await rig.initialize()
    saying(rig, DROPPED["notification"] * 999, HEARD[-1])
    opened = await (await rig.listen()).whole()
    assert opened.messages == []
    assert floods(rig) == 1
    assert rig.upstream.answers[-1].closed.is_set()


@pytest.mark.parametrize("said", HEARD)
async def test_what_is_heard_and_comments_may_come_as_often_as_they_like(said: bytes) -> None:
    rig = Rig(Limits(dropped_a_minute=20))
    await rig.initialize()
    saying(rig, said * 999)
    assert "result" in (await rig.post(call())).messages[-1]
    assert floods(rig) == 0


async def test_what_is_dropped_counts_by_the_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    rig, now = Rig(Limits(dropped_a_minute=20)), [0.0]
    monkeypatch.setattr(rig.deps.clock, "monotonic", lambda: now[0], raising=False)
    await rig.initialize()
    answer, queue = stream()
    rig.upstream.answer = lambda exchange, message: answer
    opened = await rig.open(call())
    for _ in range(5):
        queue.put_nowait(DROPPED["notification"] * 20)
        queue.put_nowait(HEARD[-1])
        await opened.event()
        now[0] += MINUTE
    queue.put_nowait(event(result({"id": 1})))
    assert "result" in await opened.event()
    assert floods(rig) == 0
    await opened.leave()
