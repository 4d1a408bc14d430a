"""What a client does on one kept connection, over the real one: no request waits for what an answered one leaves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from policylayer.proxy.limits import Limits
from tests.proxy.fakes import FakeAnswer, event, proper, result, stream
from tests.proxy.rig import Rig, call
from tests.support.raw_http import Field, messages_of, request
from tests.support.serving import serving

pytestmark = pytest.mark.anyio


def post(rig: Rig, message: Mapping[str, Any]) -> bytes:
    fields: list[Field] = [*rig.headers(message, "alice", {})]
    return request("POST", "/mcp/shop", fields, json.dumps(message).encode())


def get(rig: Rig, last: str) -> bytes:
    fields: list[Field] = [*rig.headers({}, "alice", {"Content-Type": None, "Last-Event-ID": last})]
    return request("GET", "/mcp/shop", fields, length=False)


async def test_a_client_that_polls_gets_its_answer() -> None:
    """The server ends the POST's stream after an event with an id; the answer comes on the GET that follows it."""
    rig = Rig()

    def answer(exchange: Any, message: dict[str, Any]) -> FakeAnswer:
        if exchange.verb == "GET":
            assert ("Last-Event-ID", "1") in exchange.headers
            return stream(event(result({"id": 7}), id="2"), None)[0]
        return stream(b"id: 1\ndata: \n\n", None)[0] if message["method"] == "tools/call" else proper(exchange, message)

    rig.upstream.answer = answer
    await rig.initialize()
    async with serving(rig.endpoint) as server, server.connect() as raw:
        await raw.send(post(rig, call(id=7)))
        assert (await raw.answer())[2] == b"id: 1\ndata: \n\n"
        await raw.send(get(rig, "1"))
        (answered,) = messages_of((await raw.answer())[2])
        assert answered["id"] == 7
        async with asyncio.timeout(5):
            while rig.recorder.states != ["executed"]:
                await asyncio.sleep(0)
    assert rig.deps.load.inside == 0


async def test_a_stream_that_is_left_open_after_its_response_keeps_nobody_waiting() -> None:
    rig = Rig(Limits(linger=60))
    opened: list[asyncio.Queue[Any]] = []

    def answer(exchange: Any, message: dict[str, Any]) -> FakeAnswer:
        made, queue = stream(event(result(message)))
        opened.append(queue)
        return made

    rig.upstream.answer = answer
    async with serving(rig.endpoint) as server, server.connect() as raw:
        for id in range(3):
            await raw.send(post(rig, call(id=id)))
            assert [each["id"] for each in messages_of((await raw.answer())[2])] == [id]
        assert rig.deps.load.inside == 3
        for queue in opened:
            queue.put_nowait(None)
        async with asyncio.timeout(5):
            while rig.deps.load.inside:
                await asyncio.sleep(0)
    assert rig.recorder.states == ["executed"] * 3


async def test_so_is_the_id_of_its_request_free() -> None:
    """Some clients have one id for all that they ask, one after the other."""
    rig = Rig(Limits(linger=60))
    ends: list[asyncio.Queue[Any]] = []

    def answer(exchange: Any, message: dict[str, Any]) -> FakeAnswer:
        if message["method"] != "tools/call":
            return proper(exchange, message)
        made, queue = stream(*([event(result(message))] if len(ends) < 2 else []))
        ends.append(queue)
        return made

    rig.upstream.answer = answer
    await rig.initialize()
    async with serving(rig.endpoint) as server, server.connect() as raw, server.connect() as other:
        for _ in range(2):
            await raw.send(post(rig, call(id=7)))
            assert (await raw.answer())[0] == 200
        # What is left of the first two takes nothing from the third: it is the only one of its id.
        await raw.send(post(rig, call(id=7)))
        async with asyncio.timeout(5):
            while len(ends) < 3:
                await asyncio.sleep(0)
            for queue in ends[:2]:
                queue.put_nowait(None)
            while rig.deps.load.inside > 1:
                await asyncio.sleep(0)
        await other.send(post(rig, call(id=7)))
        assert (await other.answer())[0] == 400
        for piece in (event(result({"id": 7})), None):
            ends[2].put_nowait(piece)
        assert (await raw.answer())[0] == 200
    assert rig.recorder.refused == [("id_in_use", "agent:alice")]
