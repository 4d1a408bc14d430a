"""A server that speaks without end: the events are all there and in order, and others have turns in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from policylayer.proxy.events import SLICE, events_of
from policylayer.proxy.faults import Unusable
from policylayer.wire import sse
from tests.proxy.fakes import DENY, FakeAnswer, event, proper, result, stream
from tests.proxy.rig import Rig, call

pytestmark = pytest.mark.anyio
CHUNK = 256 * 1024
UPDATE = b'data: {"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"file:///secret"}}\n\n'
SHORT = b":\n\n"
LARGEST = 1 << 20
LINES = 3000
EVENTS = 100
"""What may be read within one turn: of what is next to nothing, and of what is judged."""


class Turns:
    """How often another task has had its turn."""

    def __init__(self) -> None:
        self.had = 0

    @asynccontextmanager
    async def counted(self) -> AsyncIterator[Turns]:
        async def others() -> None:
            while True:
                await asyncio.sleep(0)
                self.had += 1

        task = asyncio.get_running_loop().create_task(others())
        await asyncio.sleep(0)
        yield self
        task.cancel()


async def read(answer: FakeAnswer, largest: int = LARGEST, got: list[sse.Event] | None = None) -> list[sse.Event]:
    """All events, also those before a failure, where `got` is to hold them."""
    got = [] if got is None else got
    async with aclosing(events_of(answer, largest)) as events:
        async for each in events:
            got += each
    return got


@pytest.mark.shows("proxy.5")
@pytest.mark.parametrize("said", [SHORT, UPDATE, b"data:\n", b":\r\r"])
async def test_others_have_turns_while_a_large_chunk_is_read(said: bytes) -> None:
    times = CHUNK // len(said)
    async with Turns().counted() as turns:
        events = await read(FakeAnswer(body=said * times))
    ends = said.count(b"\n") + said.count(b"\r")
    assert len(events) == (times if ends > 1 else 0)
    assert turns.had >= times * ends // LINES - 1


@pytest.mark.shows("proxy.5")
async def test_others_have_turns_while_what_has_come_is_read_piece_by_piece() -> None:
    """A process's messages are a chunk each; those that have come are taken without any wait."""
    async with Turns().counted() as turns:
        assert len(await read(stream(*[UPDATE] * 1000, None)[0])) == 1000
    assert turns.had >= 1000 // EVENTS - 1


async def test_an_ordinary_stream_waits_for_nobody() -> None:
    async with Turns().counted() as turns:
        assert len(await read(stream(*[UPDATE] * 20, None)[0])) == 20
    assert turns.had <= 1


async def test_what_is_read_is_what_was_sent() -> None:
    said = b"".join(event(b'"%d%s"' % (n, b"x" * (n * 97 % 9000)), id=str(n)) for n in range(100))
    events = await read(FakeAnswer(body=said))
    assert b"".join(each.raw for each in events) == said
    assert [each.id for each in events] == [str(n) for n in range(100)]


async def test_what_came_before_an_event_that_is_too_large_is_not_lost() -> None:
    got: list[sse.Event] = []
    answer = FakeAnswer(body=UPDATE + b": x" * SLICE + b"data: " + b"x" * 3 * SLICE)
    with pytest.raises(Unusable):
        await read(answer, 2 * SLICE, got)
    assert [each.raw for each in got] == [UPDATE]


async def most_at_once(rig: Rig, all: int) -> int:
    """The most events that were dropped within one turn, until all are."""
    most = last = 0
    while last < all:
        await asyncio.sleep(0)
        dropped = rig.deps.metrics.of("dropped", reason="resource_update")
        most, last = max(most, dropped - last), dropped
    return most


@pytest.mark.shows("proxy.5")
@pytest.mark.parametrize("verb", ["GET", "POST"])
async def test_a_flood_on_one_stream_leaves_others_their_turns(verb: str) -> None:
    rig = Rig()
    rig.engine.says["file:///secret"] = DENY
    flood = CHUNK // len(UPDATE)

    def answer(exchange: Any, message: dict[str, Any]) -> FakeAnswer:
        if exchange.verb == verb and message.get("method") in (None, "tools/call"):
            return stream(UPDATE * flood, event(result({"id": 1})), None)[0]
        return proper(exchange, message)

    rig.upstream.answer = answer
    await rig.initialize()
    opened = await (rig.listen() if verb == "GET" else rig.open(call()))
    async with asyncio.timeout(60):
        assert await most_at_once(rig, flood) <= EVENTS
    await opened.whole()
    assert [each["id"] for each in opened.messages] == ([] if verb == "GET" else [1])
