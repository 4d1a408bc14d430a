"""A server over HTTP: what is sent, what comes back and when, and how each failure is told."""

from __future__ import annotations

import asyncio
import json
import os

import pytest

from policylayer.core.errors import Lost, NotSent, TimedOut, TooLarge
from policylayer.upstream import Exchange, Limits
from tests.support.ports import free_port
from tests.support.recording import Recording
from tests.upstream.helpers import QUICK, call, post, text_of, upstream_to, whole

pytestmark = pytest.mark.anyio


@pytest.mark.shows("proxy.5")
async def test_the_bytes_that_were_given_are_the_bytes_that_arrive() -> None:
    body = b'{ "jsonrpc":"2.0","id":7 , "method":"tools/call","params":{"name":"echo_args","arguments":{"n":1.10}}}'
    async with Recording() as rec, upstream_to(rec.url) as upstream:
        answer, raw = await whole(upstream, post(body))
    assert (answer.status, answer.content_type) == (200, "application/json")
    assert json.loads(raw)["id"] == 7
    assert rec.received[0].body == body


async def test_a_large_body_arrives_whole() -> None:
    body = call("echo_args", text="x" * 3_000_000)
    async with Recording() as rec, upstream_to(rec.url, Limits(timeout=5)) as upstream:
        await whole(upstream, post(body))
        await whole(upstream, post(call()))
    assert rec.received[0].body == body
    assert rec.received[0].header("content-length") == str(len(body))
    assert len(rec.connections) == 1


async def test_only_end_to_end_headers_and_our_own_credentials_are_sent() -> None:
    agents = [
        ("Authorization", "Bearer CANARY-AGENT"),
        ("Cookie", "session=CANARY-AGENT"),
        ("X-Forwarded-For", "10.0.0.1"),
        ("Transfer-Encoding", "chunked"),
        ("Connection", "close"),
        ("Accept-Encoding", "gzip"),
        ("Host", "evil.example"),
        ("User-Agent", "agent/1"),
        ("X-Api-Key", "CANARY-AGENT"),
        ("Mcp-Session-Id", "s1"),
        ("MCP-Protocol-Version", "2025-11-25"),
    ]
    ours = (("Authorization", "Bearer OURS"), ("X-API-Key", "OURS"))
    async with Recording() as rec, upstream_to(rec.url, headers=ours) as upstream:
        await whole(upstream, post(call(), agents))
    received = rec.received[0]
    assert b"CANARY" not in rec.every_byte
    expected = {"host", "accept", "mcp-session-id", "mcp-protocol-version", "content-type", "content-length"}
    expected |= {"authorization", "x-api-key", "accept-encoding", "user-agent"}
    assert {name.lower() for name, _ in received.headers} == expected
    assert len(received.headers) == len(expected)
    assert received.header("authorization") == "Bearer OURS"
    assert received.header("accept-encoding") == "identity"
    assert received.header("host") == f"127.0.0.1:{rec.port}"
    assert received.header("mcp-session-id") == "s1"


async def test_cookies_of_a_server_are_not_kept() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            await reader.readexactly(2)
            writer.write(b"HTTP/1.1 200 OK\r\nSet-Cookie: who=CANARY\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()

    heads: list[bytes] = []
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server, upstream_to(f"http://localhost:{server.sockets[0].getsockname()[1]}/") as upstream:
        for _ in range(2):
            await whole(upstream, post(b"{}"))
    assert b"cookie" not in heads[1].lower()


@pytest.mark.shows("proxy.5")
async def test_each_piece_of_a_stream_is_passed_on_as_it_comes() -> None:
    more = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write(b"9\r\ndata: 1\n\n\r\n")
        await more.wait()
        writer.write(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server, upstream_to(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", Limits()) as upstream:
        got = await upstream.exchange(Exchange("GET", [], endless=True))
        assert (got.status, got.content_type) == (200, "text/event-stream")
        chunks = got.chunks()
        assert await anext(chunks) == b"data: 1\n\n"
        more.set()
        assert [chunk async for chunk in chunks] == [b"data: 2\n\n"]
        got.close()


@pytest.mark.shows("proxy.5")
async def test_closing_an_answer_early_ends_its_connection() -> None:
    gone = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: open\n\n")
        await reader.read()
        gone.set()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server, upstream_to(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", Limits()) as upstream:
        got = await upstream.exchange(Exchange("POST", [], b"", endless=True))
        assert await anext(aiter(got.chunks())) == b": open\n\n"
        got.close()
        async with asyncio.timeout(5):
            await gone.wait()


async def test_cancelling_before_the_head_ends_the_connection() -> None:
    async with Recording(always="hang") as rec, upstream_to(rec.url, Limits()) as upstream:
        task = asyncio.get_running_loop().create_task(upstream.exchange(post(call())))
        await rec.wait_for(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        rec.always = None
        await whole(upstream, post(call()))
        assert len(rec.connections) == 2


async def test_a_connection_is_used_again() -> None:
    async with Recording() as rec, upstream_to(rec.url) as upstream:
        for _ in range(3):
            await whole(upstream, post(call()))
    assert len(rec.connections) == 1


async def test_nothing_listens() -> None:
    async with upstream_to(f"http://127.0.0.1:{free_port()}/mcp") as upstream:
        with pytest.raises(NotSent, match="cannot be reached") as caught:
            await upstream.exchange(post(call()))
    assert "127.0.0.1" not in caught.value.message


async def test_a_name_that_does_not_exist() -> None:
    async with upstream_to("http://nothing.invalid/mcp") as upstream:
        with pytest.raises(NotSent, match="cannot be reached"):
            await upstream.exchange(post(call()))


@pytest.mark.parametrize("behaviour", ["hang", "hang_in_stream", "trickle"])
async def test_a_server_that_does_not_finish_is_given_up_at_the_deadline(behaviour: str) -> None:
    async with Recording() as rec, upstream_to(rec.url) as upstream:
        with pytest.raises(TimedOut):
            await whole(upstream, post(call(_rec=behaviour), timeout=0.2))
        assert await text_of(upstream, call()) == "safe done"


@pytest.mark.shows("proxy.5")
@pytest.mark.parametrize("behaviour", ["close_after_read", "close_mid", "close_mid_stream"])
async def test_a_call_whose_connection_ends_is_lost_and_never_sent_again(behaviour: str) -> None:
    """R-08: it may have run."""
    async with Recording() as rec, upstream_to(rec.url) as upstream:
        assert await text_of(upstream, call(id="warm")) == "safe done"
        with pytest.raises(Lost):
            await whole(upstream, post(call(id="lost", _rec=behaviour)))
        assert await text_of(upstream, call(id="next")) == "safe done"
        assert [one.id for one in rec.calls] == ["warm", "lost", "next"]


@pytest.mark.parametrize("verb", ["GET", "DELETE"])
async def test_nothing_is_sent_again_whatever_its_verb(verb: str) -> None:
    """A client library may repeat these by itself when a reused connection breaks."""
    requests = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        await reader.readuntil(b"\r\n\r\n")
        requests += 1
        if requests == 1:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            await reader.readuntil(b"\r\n\r\n")
            requests += 1
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server, upstream_to(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/") as upstream:
        await whole(upstream, Exchange("GET", []))
        with pytest.raises(Lost):
            await whole(upstream, Exchange(verb, []))  # type: ignore[arg-type]
    assert requests == 2


async def test_a_connection_that_the_server_closed_while_idle_is_not_used() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(2)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server, upstream_to(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/") as upstream:
        for _ in range(5):
            await whole(upstream, post(b"{}"))


async def test_an_answer_longer_than_allowed_is_a_fault() -> None:
    async with Recording() as rec, upstream_to(rec.url) as upstream:
        with pytest.raises(TooLarge, match="more than 10 bytes"):
            await whole(upstream, post(call()), limit=10)
        assert await text_of(upstream, call()) == "safe done"
    small = Limits(timeout=5, max_answer_bytes=64 * 1024)
    async with Recording() as rec, upstream_to(rec.url, small) as upstream:
        with pytest.raises(TooLarge, match="more than 65536 bytes"):
            await whole(upstream, post(call(_rec="huge")))


async def test_proxies_and_passwords_of_the_environment_are_ignored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    """UP-21."""
    netrc = os.path.join(str(tmp_path), "netrc")
    with open(netrc, "w") as file:
        file.write("machine 127.0.0.1 login CANARY password CANARY\n")
    monkeypatch.setenv("NETRC", netrc)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    async with Recording() as rec, upstream_to(rec.url, QUICK) as upstream:
        assert await text_of(upstream, call()) == "safe done"
    assert rec.received[0].header("authorization") is None
