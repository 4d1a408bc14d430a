"""Servers that mean harm, or are broken: nothing of theirs reaches another call, and each failure has its name."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress

import psutil
import pytest

from policylayer.core.errors import ProtocolFault, TimedOut, TooLarge, UpstreamError
from policylayer.upstream import Limits
from tests.support.recording import Recording
from tests.upstream.helpers import call, post, text_of, upstream_to, whole

pytestmark = pytest.mark.anyio


@pytest.mark.shows("proxy.5")
@pytest.mark.parametrize(
    "behaviour",
    [
        *("redirect_301", "redirect_302", "redirect_307", "redirect_308"),
        *("compressed", "deflated", "bomb"),
        *("garbage", "huge_header", "many_headers", "both_framings", "interim_flood"),
    ],
)
async def test_what_is_not_a_plain_answer_is_a_fault_and_the_next_call_is_well(behaviour: str) -> None:
    """UP-16, UP-24, UP-27."""
    async with Recording() as rec, upstream_to(rec.url, Limits(timeout=5)) as upstream:
        with pytest.raises(ProtocolFault):
            await whole(upstream, post(call(_rec=behaviour)))
        assert len(rec.received) == 1, "nothing was followed or repeated"
        assert await text_of(upstream, call()) == "safe done"


async def test_a_compressed_reply_is_not_inflated() -> None:
    """UP-24: 100 MB from 100 KB."""
    process = psutil.Process()
    async with Recording() as rec, upstream_to(rec.url, Limits(timeout=5)) as upstream:
        with pytest.raises(ProtocolFault):
            await whole(upstream, post(call(_rec="bomb")))
        before = process.memory_info().rss
        for _ in range(3):
            with pytest.raises(ProtocolFault):
                await whole(upstream, post(call(_rec="bomb")))
        assert process.memory_info().rss - before < 64 * 1024 * 1024


async def test_a_second_answer_to_one_request_reaches_nobody() -> None:
    """UP-27: it may come with the first, or while the connection waits for its next use."""
    async with Recording() as rec, upstream_to(rec.url, Limits(timeout=5)) as upstream:
        for _ in range(20):
            assert await text_of(upstream, call(_rec="twice")) == "done"
            assert await text_of(upstream, call(id="after")) == "safe done"


@pytest.mark.parametrize("settle", [True, False], ids=["read by the loop", "still in the socket"])
async def test_a_stray_answer_that_comes_late_reaches_nobody(settle: bool) -> None:
    """UP-27: the connection is idle when it comes; whether or not we have read it, nobody gets it."""
    send = asyncio.Event()
    sent = asyncio.Event()
    stray = b'{"stray":true}'

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(2)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await send.wait()
        os.write(writer.get_extra_info("socket").fileno(), b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n" + stray)
        sent.set()
        with suppress(ConnectionResetError):
            await reader.read()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server, upstream_to(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", Limits()) as upstream:
        await whole(upstream, post(b"{}"))
        send.set()
        await sent.wait()
        if settle:
            for _ in range(10):
                await asyncio.sleep(0)
        _, body = await whole(upstream, post(b"{}"))
        assert body == b"{}"


async def test_bodies_that_are_not_mcp_are_passed_up_to_be_judged() -> None:
    """UP-07: what a body says is the proxy's to judge; here it only has to be whole."""
    async with Recording() as rec, upstream_to(rec.url, Limits(timeout=5)) as upstream:
        for behaviour in ("not_json", "wrong_id", "missing_id", "result_and_error", "batch", "error_code_text"):
            answer, body = await whole(upstream, post(call(_rec=behaviour)))
            assert answer.status == 200
            assert body
        _, body = await whole(upstream, post(call(_rec="wrong_id")))
        assert json.loads(body)["id"] == 987654


async def test_an_endless_list_is_cut_off() -> None:
    """UP-06."""
    async with Recording() as rec, upstream_to(rec.url, Limits(timeout=10, max_answer_bytes=1 << 20)) as upstream:
        with pytest.raises(TooLarge, match="more than 1048576 bytes"):
            await whole(upstream, post(call(_rec="huge")))


async def test_a_server_that_does_not_read_holds_no_connection() -> None:
    """What is not yet sent is dropped with the call."""
    connected, go_on = asyncio.Event(), asyncio.Event()

    async def never_read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        connected.set()
        await go_on.wait()
        writer.close()

    def ours(port: int) -> int:
        return sum(bool(one.raddr) and one.raddr.port == port for one in psutil.Process().net_connections("tcp"))

    server = await asyncio.start_server(never_read, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, upstream_to(f"http://127.0.0.1:{port}/", Limits(timeout=0.3)) as upstream:
        asking = asyncio.get_running_loop().create_task(upstream.exchange(post(b"x" * (32 * 1024 * 1024))))
        await connected.wait()
        assert ours(port) == 1
        with pytest.raises(TimedOut):
            await asking
        for _ in range(10):
            await asyncio.sleep(0)
        assert ours(port) == 0
        go_on.set()


async def test_a_flood_of_failures_leaves_no_connection_and_no_task_behind() -> None:
    async with Recording() as rec, upstream_to(rec.url, Limits(timeout=0.2, breaker_failures=1000)) as upstream:
        await text_of(upstream, call())
        tasks = len(asyncio.all_tasks())
        for behaviour in ("hang", "garbage", "close_mid", "trickle", "interim_flood", "hang_in_stream"):
            for _ in range(2):
                with pytest.raises(UpstreamError):
                    await whole(upstream, post(call(_rec=behaviour)))
        await text_of(upstream, call())
        ours = [task for task in asyncio.all_tasks() if "Recording" not in repr(task.get_coro())]
        assert len(ours) <= tasks
