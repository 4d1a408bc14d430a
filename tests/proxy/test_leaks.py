"""After anything, in any order, with clients leaving at any time: nothing is left open, and every row is closed."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from policylayer.core.decision import Effect
from policylayer.core.errors import Lost, NotSent
from policylayer.proxy.limits import Limits
from tests.proxy.fakes import DENY, HOLD, TOOLS, FakeAnswer, event, proper, result, stream
from tests.proxy.rig import Rig, call, modern, modern_call, request

pytestmark = pytest.mark.anyio

LIMITS = Limits(recheck=0.01, poll=0.02, hold=0.05, beat=0.01, resume=0.02, linger=0.01, list_timeout=0.05)
TOOLS_CALLED = ("safe", "danger", "gated")


def server(chance: random.Random) -> Any:
    """A server that does anything."""

    def answer(exchange: Any, message: dict[str, Any]) -> Any:
        if message.get("method") == "initialize":
            return proper(exchange, message)
        if exchange.verb == "GET" or message.get("method") == "subscriptions/listen":
            return stream(b": hi\n\n", *([None] if chance.random() < 0.5 else []))[0]
        if "id" not in message or "method" not in message:
            return FakeAnswer(202, kind="")
        body = event(result(message))
        return chance.choice(
            [
                proper(exchange, message),
                stream(body, None)[0],
                stream(b": hi\n\n", body, None)[0],
                stream(b"id: 1\ndata:\n\n", None)[0],
                stream(b": hi\n\n")[0],
                stream(b": hi\n\n", Lost("x"))[0],
                FakeAnswer(500, b"oops"),
                NotSent("x"),
                RuntimeError("x"),
            ]
        )

    return answer


async def one(rig: Rig, chance: random.Random, number: int) -> None:
    """One agent's exchange; it leaves at some time, or when it is answered."""
    tool = chance.choice(TOOLS_CALLED)
    made = chance.choice(
        [
            call(tool, {"n": chance.randrange(3)}, number),
            modern_call(tool, {"n": chance.randrange(3)}, number),
            request("tools/list", id=number),
            modern("tools/list", id=number),
            modern("subscriptions/listen", {"notifications": {"toolsListChanged": True}}, number),
            request("ping", id=number),
            None,
        ]
    )
    opened = await (rig.listen() if made is None else rig.open(made))
    await asyncio.wait({opened.task}, timeout=chance.random() * 0.1)
    await opened.leave()
    opened.task.add_done_callback(lambda task: task.exception())


@pytest.mark.parametrize("seed", range(4))
async def test_nothing_is_left_open(seed: int) -> None:
    chance = random.Random(seed)
    before = asyncio.all_tasks()
    rig = Rig(LIMITS)
    rig.deps.tools.learn("shop", {"tools": TOOLS})
    rig.engine.says |= {"danger": DENY, "gated": HOLD}
    rig.upstream.answer = server(chance)
    await rig.endpoint.start()
    await rig.initialize(roots={})
    for round in range(8):
        await asyncio.gather(*(one(rig, chance, 100 * round + n) for n in range(12)))
        if rig.approvals.states:
            rig.approvals.settle(chance.choice(["approved", "denied"]))
    await _quiet(rig)
    assert rig.deps.load.inside == 0
    assert len(rig.deps.streams) == 0
    assert all(answer.closed.is_set() for answer in rig.upstream.answers)
    await rig.endpoint.close()
    await asyncio.sleep(0)
    assert {task.get_name() for task in asyncio.all_tasks() - before} <= {"end session", "end idle session"}
    _each_row_is_closed(rig)


async def _quiet(rig: Rig) -> None:
    async with asyncio.timeout(10):
        while rig.deps.load.inside or len(rig.deps.streams):
            rig.freezes.names.add("shop")
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)


def _each_row_is_closed(rig: Rig) -> None:
    """Rows that let a call through, or hold it without release, have one outcome each."""
    rows = {f"row-{number}": record for number, (record, _) in enumerate(rig.recorder.rows, 1)}
    released = {record.parent for record in rows.values()}
    open_rows = [
        id
        for id, record in rows.items()
        if record.decision.enforced is not Effect.DENY and not (record.hold and id in released)
    ]
    assert sorted(open_rows) == sorted(outcome.row_id for outcome in rig.recorder.outcomes)
