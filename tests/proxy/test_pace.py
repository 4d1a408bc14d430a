"""A server that asks without end: so many questions, so many rows, and no more."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policylayer.proxy.limits import Limits
from policylayer.proxy.pace import MINUTE, Pace
from tests.proxy.fakes import FakeAnswer, event, proper, result, stream
from tests.proxy.rig import Rig, call

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
