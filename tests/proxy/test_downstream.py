"""The agent's side of one exchange: bodies, whole answers, streams, what is held back, going away."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import pytest

from policylayer.proxy.downstream import Downstream, Gone, Oversize
from policylayer.proxy.patience import LONG
from policylayer.wire import sse
from policylayer.wire.replies import Reply

pytestmark = pytest.mark.anyio
JSON = (("Content-Type", "application/json"),)


class Wire:
    """A scripted peer."""

    def __init__(self, *pieces: dict[str, Any]) -> None:
        self.pieces = deque(pieces)
        self.sent: list[dict[str, Any]] = []
        self.left = asyncio.Event()
        self.receiving = 0
        self.down = Downstream(self.receive, self.send)

    async def receive(self) -> dict[str, Any]:
        self.receiving += 1
        if self.pieces:
            return self.pieces.popleft()
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, event: Any) -> None:
        self.sent.append(event)

    @property
    def body(self) -> bytes:
        return b"".join(event.get("body", b"") for event in self.sent)


def piece(body: bytes, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_a_body_up_to_the_limit() -> None:
    assert await Wire(piece(b"abc")).down.body("3", 3, 1) == b"abc"
    assert await Wire(piece(b"a", True), piece(b"bc")).down.body(None, 3, 1) == b"abc"
    assert await Wire(piece(b"")).down.body(None, 3, 1) == b""


async def test_a_client_that_reads_no_stream_gets_its_response_whole() -> None:
    wire = Wire()
    wire.down.streams = False
    await wire.down.begin()
    await wire.down.event(sse.comment("ping"))
    told = sse.encode(b'{"jsonrpc":"2.0","method":"notifications/progress"}', event="message")
    await wire.down.event(told)
    assert wire.sent == []
    await wire.down.last(told + sse.encode(b'{"jsonrpc":"2.0","id":1,"result":{}}', id="7") + told)
    assert (wire.sent[0]["status"], wire.body) == (200, b'{"jsonrpc":"2.0","id":1,"result":{}}')
    assert (b"content-type", b"application/json") in [(k.lower(), v) for k, v in wire.sent[0]["headers"]]


async def test_a_client_that_reads_no_stream_is_told_that_it_ended() -> None:
    wire = Wire()
    wire.down.streams = False
    await wire.down.begin()
    await wire.down.end()
    assert wire.sent[0]["status"] == 502


async def test_of_those_who_wait_for_it_to_be_long_each_is_told() -> None:
    told = []
    down = Wire().down

    def fails() -> None:
        raise RuntimeError("broken")

    for callback in (lambda: told.append(1), fails, lambda: told.append(2)):
        down.when_long(callback)
    down.is_long()
    assert told == [1, 2]
    down.close()


@pytest.mark.parametrize("length", ["4", "-1", "1e1", "+3", "999999999999999999999"])
async def test_a_length_over_the_limit_or_none_at_all(length: str) -> None:
    wire = Wire(piece(b"abc"))
    with pytest.raises(Oversize):
        await wire.down.body(length, 3, 1)
    assert wire.receiving == 0


async def test_a_body_over_the_limit() -> None:
    for pieces in ([piece(b"abcd")], [piece(b"ab", True), piece(b"cd", True), piece(b"e")]):
        with pytest.raises(Oversize):
            await Wire(*pieces).down.body(None, 3, 1)


async def test_a_body_that_takes_too_long_or_never_ends() -> None:
    with pytest.raises(TimeoutError):
        await Wire(piece(b"a", True)).down.body(None, 3, 0.01)
    wire = Wire(piece(b"a", True))
    wire.left.set()
    with pytest.raises(Gone):
        await wire.down.body(None, 3, 1)


async def test_a_whole_answer_is_sent_once() -> None:
    wire = Wire()
    await wire.down.reply(Reply(200, JSON, b"{}"))
    await wire.down.reply(Reply(500, JSON, b"again"))
    assert [event["type"] for event in wire.sent] == ["http.response.start", "http.response.body"]
    assert wire.sent[0]["headers"] == (
        (b"Content-Type", b"application/json"),
        (b"content-length", b"2"),
    )
    assert wire.down.ended


async def test_an_empty_answer() -> None:
    wire = Wire()
    await wire.down.reply(Reply(202, (), b""))
    assert wire.sent[0]["headers"] == ((b"content-length", b"0"),)


async def test_after_a_stream_has_begun_an_answer_is_its_last_event() -> None:
    wire = Wire()
    await wire.down.event(b"data: 1\n\n")
    await wire.down.reply(Reply(503, JSON, b"{}"))
    await wire.down.event(b"data: 3\n\n")
    assert wire.body == b"data: 1\n\nevent: message\ndata: {}\n\n"
    assert wire.sent[0]["status"] == 200
    assert dict(wire.sent[0]["headers"])[b"x-accel-buffering"] == b"no"
    assert wire.sent[-1] == {"type": "http.response.body", "body": b""}


async def test_what_is_held_back_leaves_when_it_is_released() -> None:
    wire = Wire()
    wire.down.hold_back = True
    await wire.down.reply(Reply(200, JSON, b"{}"))
    assert wire.sent == []
    await wire.down.release()
    assert wire.body == b"{}"
    wire = Wire()
    await wire.down.event(b"data: 1\n\n")
    wire.down.hold_back = True
    await wire.down.last(b"data: 2\n\n")
    assert wire.body == b"data: 1\n\n"
    await wire.down.release()
    await wire.down.release()
    assert wire.body == b"data: 1\n\ndata: 2\n\n"
    assert wire.down.ended


async def test_a_client_that_leaves_is_noticed_and_told_nothing_more() -> None:
    wire = Wire()
    noticed = asyncio.Event()
    wire.down.when_gone(noticed.set)
    undone = wire.down.when_gone(lambda: pytest.fail("undone"))
    undone()
    undone()
    wire.left.set()
    await asyncio.wait_for(noticed.wait(), 5)
    assert wire.down.gone
    await wire.down.event(b"data: 1\n\n")
    assert wire.sent == []
    late = asyncio.Event()
    wire.down.when_gone(late.set)
    assert late.is_set()


async def test_a_quick_answer_costs_no_watching() -> None:
    wire = Wire()
    wire.down.when_gone(lambda: pytest.fail("nobody left"))
    await wire.down.reply(Reply(200, JSON, b"{}"))
    await asyncio.sleep(LONG * 3)
    assert wire.receiving == 0


async def test_the_end_of_an_exchange_is_no_leaving() -> None:
    wire = Wire()
    wire.down.when_gone(lambda: pytest.fail("nobody left"))
    while not wire.receiving:
        await asyncio.sleep(LONG)
    wire.down.close()
    wire.left.set()
    await asyncio.sleep(0)
    assert not wire.down.gone
