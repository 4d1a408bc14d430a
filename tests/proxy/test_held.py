"""Bytes of large requests under way, and of large answers that nobody reads: bounded, and for each principal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from policylayer.proxy.aside import aside
from policylayer.proxy.downstream import LARGE
from policylayer.proxy.limits import Limits
from policylayer.proxy.load import Load
from tests.proxy.fakes import FakeAnswer, event, result, stream
from tests.proxy.rig import Rig, modern_call

pytestmark = pytest.mark.anyio
MIB = 1024 * 1024
LIMITS = Limits(held=3 * MIB, held_each=2 * MIB)
TEXT = {"resultType": "complete", "content": [{"type": "text", "text": "x" * MIB}]}


def test_each_principal_has_a_share_of_what_is_held() -> None:
    load = Load(1, 10, 6)
    assert load.take("a", 6)
    assert not load.take("a", 1)
    assert load.take("b", 4)
    assert not load.take("c", 1), "all together are full"
    load.give("a", 6)
    assert load.take("c", 6)
    load.give("c", 6)
    load.give("b", 4)
    assert (load.held, load._bytes) == (0, {})


class Peer:
    """A client that sends `sent` and no more, and reads an answer only when it is told to."""

    def __init__(self, rig: Rig, message: dict[str, Any], sent: int | None = None, token: str = "alice") -> None:
        self.status, self.body = 0, b""
        self._reads, self._goes = asyncio.Event(), asyncio.Event()
        raw = orjson.dumps(message)
        self._pieces = [raw[at : at + 64 * 1024] for at in range(0, len(raw) if sent is None else sent, 64 * 1024)]
        self._whole = sent is None
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/mcp/shop",
            "headers": [(k.lower().encode(), v.encode()) for k, v in rig.headers(message, token, {})],
            "client": ("127.0.0.1", 5000),
        }
        self.task = asyncio.create_task(rig.endpoint(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        if self._pieces:
            piece = self._pieces.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(self._pieces) or not self._whole}
        await self._goes.wait()
        return {"type": "http.disconnect"}

    async def _send(self, event: Any) -> None:
        if len(self.body) > LARGE and not self._goes.is_set():
            await self._reads.wait()
        self.status = event.get("status", self.status)
        self.body += event.get("body", b"")

    async def over(self) -> Peer:
        self._reads.set()
        self._goes.set()
        async with asyncio.timeout(5):
            await self.task
        return self


@asynccontextmanager
async def peers(*each: Peer) -> AsyncIterator[None]:
    for _ in range(3):
        for _ in range(500):
            await asyncio.sleep(0)
        # What was being read beside the loop, a request or an answer, is so no longer.
        await aside(int)
    yield
    for peer in each:
        await peer.over()


def large(token: str = "alice") -> dict[str, Any]:
    return modern_call("safe", {"text": "x" * MIB})


@pytest.mark.shows("proxy.5")
async def test_bodies_that_never_end_keep_out_only_their_sender() -> None:
    """RES: 200 connections that each send nearly 4 MiB, and stall."""
    rig = Rig(LIMITS)
    stalled = [Peer(rig, large(), sent=MIB) for _ in range(10)]
    async with peers(*stalled):
        refused = [peer for peer in stalled if peer.status]
        assert {peer.status for peer in refused} == {503}
        assert len(refused) >= 7
        assert b"overloaded" in refused[0].body
        assert rig.deps.load.held <= LIMITS.held_each
        assert (await Peer(rig, modern_call("safe", {"a": 1})).over()).status == 200, "small ones still pass"
        assert (await Peer(rig, large(), token="bob").over()).status == 200, "and others' large ones"
    assert rig.deps.load.held == 0


@pytest.mark.shows("proxy.5")
@pytest.mark.parametrize("streamed", [False, True])
async def test_answers_that_nobody_reads_keep_out_only_their_caller(streamed: bool) -> None:
    """RES: 60 connections that ask for 16 MiB each and read none of it."""
    rig = Rig(LIMITS)

    def answer(exchange: Any, message: dict[str, Any]) -> FakeAnswer:
        body = result(message, TEXT)
        return stream(event(body), None)[0] if streamed else FakeAnswer(body=body)

    rig.deps.tools.learn("shop", {"tools": [{"name": "safe"}]})
    rig.upstream.answer = answer
    waiting = [Peer(rig, modern_call("safe", {"a": number})) for number in range(10)]
    async with peers(*waiting):
        assert rig.deps.load.held <= LIMITS.held_each
        assert rig.deps.load.inside == 0 or streamed
        told = [peer for peer in waiting if b"have not been read" in peer.body]
        assert len(told) == 9
        other = Peer(rig, modern_call("safe", {"a": 1}), token="bob")
        async with peers(other):
            assert len(other.body) > MIB
    assert rig.deps.load.held == 0
    assert [outcome.outcome.state for outcome in rig.recorder.outcomes] == ["executed"] * 11


async def test_a_reader_that_leaves_holds_nothing() -> None:
    rig = Rig(LIMITS)
    peer = Peer(rig, large(), sent=MIB)
    async with peers(peer):
        assert rig.deps.load.held > 0
    assert rig.deps.load.held == 0
