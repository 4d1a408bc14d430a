"""Large messages are read beside the event loop, whoever sent them, and nothing else is."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from policylayer.core.decision import Obligations
from policylayer.proxy import ask, endpoint, relay, sift, treating
from policylayer.proxy.aside import INLINE, aside
from tests.proxy.fakes import ALLOW, TOOLS, FakeAnswer, event, proper, result, stream
from tests.proxy.rig import MODERN, Rig, call, modern_call

pytestmark = pytest.mark.anyio
LARGE = {"content": [{"type": "text", "text": "x" * INLINE}]}
SMALL = {"content": [{"type": "text", "text": "x"}]}
READ = {"whole": (relay, "heard"), "streamed": (sift, "heard")}


class Reads:
    """Where something was read, each time: on the loop or aside; each but `begun` waits until it `may_end`."""

    def __init__(self, work: Callable[..., Any]) -> None:
        self._work = work
        self._loop = threading.current_thread()
        self.aside: list[bool] = []
        self.begun = threading.Event()
        self.may_end = threading.Event()
        self.may_end.set()

    def __call__(self, *args: Any) -> Any:
        self.aside.append(threading.current_thread() is not self._loop)
        self.begun.set()
        assert self.may_end.wait(30), "what it waits for cannot come: it is on the loop itself"
        return self._work(*args)


def watched(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> Reads:
    reads = Reads(getattr(module, name))
    monkeypatch.setattr(module, name, reads)
    return reads


def answering(rig: Rig, how: str, value: dict[str, Any]) -> None:
    def answer(exchange: Any, message: dict[str, Any]) -> FakeAnswer:
        if message.get("method") != "tools/call":
            return proper(exchange, message)
        body = result(message, value)
        return FakeAnswer(body=body) if how == "whole" else stream(event(body), None)[0]

    rig.upstream.answer = answer


async def until_begun(reads: Reads) -> None:
    async with asyncio.timeout(30):
        while not reads.begun.is_set():
            await asyncio.sleep(0.001)


@pytest.fixture
def held() -> Iterator[threading.Event]:
    """What keeps the thread busy until it is set."""
    until = threading.Event()
    yield until
    until.set()


@pytest.mark.shows("proxy.5")
@pytest.mark.parametrize("how", READ)
@pytest.mark.parametrize("value", [SMALL, LARGE], ids=["small", "large"])
async def test_a_large_answer_is_read_aside(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, how: str, value: dict[str, Any]
) -> None:
    reads = watched(monkeypatch, *READ[how])
    answering(rig, how, value)
    answer = await rig.post(call())
    assert (answer.messages or [answer.json])[0]["result"] == value
    assert reads.aside == [value is LARGE]


@pytest.mark.shows("proxy.5")
@pytest.mark.parametrize("how", READ)
async def test_others_are_answered_meanwhile(rig: Rig, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    reads = watched(monkeypatch, *READ[how])
    reads.may_end.clear()
    answering(rig, how, LARGE)
    opened = await rig.open(call())
    await until_begun(reads)
    assert (await rig.post({"jsonrpc": "2.0", "method": "notifications/initialized"})).status == 202
    reads.may_end.set()
    assert "result" in ((await opened.whole()).messages or [opened.json])[0]


@pytest.mark.shows("proxy.5")
@pytest.mark.parametrize("arguments", [{}, {"x": "x" * INLINE}], ids=["small", "large"])
async def test_a_large_message_of_an_agent_is_read_aside(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any]
) -> None:
    reads = watched(monkeypatch, endpoint, "decode")
    assert "result" in (await rig.post(call(arguments=arguments))).json
    assert reads.aside == [bool(arguments)]
    assert rig.upstream.bodies()[0]["params"]["arguments"] == arguments


async def test_a_credential_that_is_taken_back_meanwhile_opens_nothing(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("policylayer.proxy.visit.FRESH", 0)
    reads = watched(monkeypatch, endpoint, "decode")
    reads.may_end.clear()
    opened = await rig.open(call(arguments={"x": "x" * INLINE}))
    await until_begun(reads)
    rig.authenticator.tokens.clear()
    reads.may_end.set()
    assert (await opened.whole()).status == 401
    assert rig.upstream.sent == []


async def test_the_order_of_events_stays(rig: Rig) -> None:
    await rig.initialize()
    said = [{"level": "info", "data": "x" * size} for size in (1, INLINE, 2, INLINE + 1, 3)]
    notes = [
        event(json.dumps({"jsonrpc": "2.0", "method": "notifications/message", "params": p}).encode()) for p in said
    ]
    rig.upstream.answer = lambda exchange, message: stream(b"".join(notes), event(result(message)), None)[0]
    answer = await rig.post(call())
    assert [each.get("params") for each in answer.messages] == [*said, None]
    assert answer.body == b"".join(notes) + event(result({"id": 1}))


@pytest.mark.parametrize("how", READ)
async def test_who_leaves_meanwhile_gets_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    reads = watched(monkeypatch, *READ[how])
    reads.may_end.clear()
    answering(rig, how, LARGE)
    opened = await rig.open(modern_call())
    await until_begun(reads)
    opened.task.cancel()
    await asyncio.wait({opened.task}, timeout=30)
    assert opened.task.cancelled()
    assert rig.upstream.answers[-1].closed.is_set()
    reads.may_end.set()
    assert b"xxx" not in opened.body
    monkeypatch.undo()
    answering(rig, how, LARGE)
    assert "result" in ((again := await rig.post(modern_call(id=2))).messages or [again.json])[0]


async def test_what_nobody_waits_for_any_more_is_not_begun(held: threading.Event) -> None:
    done: list[int] = []
    busy = asyncio.ensure_future(aside(held.wait, 30))
    waits = [asyncio.ensure_future(aside(done.append, number)) for number in range(3)]
    await asyncio.sleep(0)
    waits[1].cancel()
    for _ in range(10):
        # Until word of it has reached the queue.
        await asyncio.sleep(0)
    held.set()
    await asyncio.gather(busy, *waits, return_exceptions=True)
    assert done == [0, 2]


async def test_a_large_masked_answer_is_read_again_aside(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = watched(monkeypatch, treating.server_messages, "decode")
    rig.engine.says["safe"] = replace(ALLOW, obligations=Obligations(cap=INLINE // 2))
    answering(rig, "whole", LARGE)
    assert "result" in (await rig.post(call())).json
    assert reads.aside
    assert all(reads.aside)


async def test_a_large_list_that_we_ask_for_is_read_aside(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = watched(monkeypatch, ask.server_messages, "decode")
    tools = [*TOOLS, {"name": "x", "inputSchema": {}, "description": "x" * INLINE}]
    rig.upstream.answer = lambda exchange, message: (
        FakeAnswer(body=result(message, {"tools": tools}))
        if message.get("method") == "tools/list"
        else proper(exchange, message)
    )
    await rig.post(modern_call(), MCP_Protocol_Version=MODERN)
    assert reads.aside == [True]
