"""One exchange as an app sees it: the body however it comes, the answer however it goes, and no header ends early."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from policylayer.serve.exchange import READ_AHEAD, Exchange
from policylayer.serve.head import read_head

pytestmark = pytest.mark.anyio


class Peer:
    """A connection that keeps what is written to it."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.paused = False
        self.done: list[Exchange] = []
        self.readable = asyncio.Event()
        self.stuck = False

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    async def drained(self) -> None:
        await self.readable.wait()

    @property
    def date(self) -> bytes:
        return b"date: now\r\n"

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def answered(self, exchange: Exchange) -> None:
        self.done.append(exchange)


def made(*lines: str, first: str = "POST /x?y=1 HTTP/1.1") -> tuple[Peer, Exchange]:
    """An exchange for a head with these lines; without a body, it is whole."""
    head, length = read_head("\r\n".join([first, "Host: a", *lines, "", ""]).encode())
    peer = Peer()
    exchange = Exchange(peer, head, length)
    exchange.whole = length is None and not head.chunked
    return peer, exchange


def start(status: int = 200, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": headers}


def body(data: bytes = b"", more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


def test_the_scope() -> None:
    _, exchange = made("Content-Length: 3", "X: é")
    scope = exchange.scope(("127.0.0.1", 5), "https")
    assert (scope["method"], scope["path"], scope["raw_path"], scope["query_string"]) == ("POST", "/x", b"/x", b"y=1")
    assert scope["headers"] == [(b"host", b"a"), (b"x", "é".encode()), (b"content-length", b"3")]
    assert (scope["client"], scope["scheme"], scope["http_version"]) == (("127.0.0.1", 5), "https", "1.1")


# --- the request ------------------------------------------------------------------------------------------------------


async def test_a_body_that_is_here_and_one_that_comes() -> None:
    _, exchange = made("Content-Length: 5")
    exchange.feed(b"he", False)
    assert await exchange.receive() == {"type": "http.request", "body": b"he", "more_body": True}
    waiting = asyncio.ensure_future(exchange.receive())
    await asyncio.sleep(0)
    exchange.feed(b"llo", True)
    assert await waiting == {"type": "http.request", "body": b"llo", "more_body": False}


async def test_a_body_whose_end_comes_alone_ends() -> None:
    """As a chunked one does whose last chunk is sent by itself."""
    _, exchange = made("Transfer-Encoding: chunked")
    exchange.feed(b"hello", False)
    assert await exchange.receive() == {"type": "http.request", "body": b"hello", "more_body": True}
    waiting = asyncio.ensure_future(exchange.receive())
    await asyncio.sleep(0)
    exchange.feed(b"", True)
    async with asyncio.timeout(5):
        assert await waiting == {"type": "http.request", "body": b"", "more_body": False}


async def test_after_the_body_comes_the_end_and_all_who_wait_hear_of_it() -> None:
    _, exchange = made()
    exchange.feed(b"", True)
    assert (await exchange.receive())["body"] == b""
    waiting = [asyncio.ensure_future(exchange.receive()) for _ in range(2)]
    await asyncio.sleep(0)
    exchange.leave()
    assert [event["type"] for event in await asyncio.gather(*waiting)] == ["http.disconnect"] * 2


async def test_a_body_that_nobody_takes_is_read_no_further() -> None:
    peer, exchange = made("Content-Length: 1000000")
    exchange.feed(b"x" * (READ_AHEAD + 1), False)
    assert peer.paused
    assert len((await exchange.receive())["body"]) == READ_AHEAD + 1
    assert not peer.paused


async def test_a_client_that_waits_to_be_asked_is_asked_once() -> None:
    peer, exchange = made("Content-Length: 2", "Expect: 100-continue")
    waiting = asyncio.ensure_future(exchange.receive())
    await asyncio.sleep(0)
    assert peer.writes == [b"HTTP/1.1 100 Continue\r\n\r\n"]
    exchange.feed(b"h", False)
    await waiting
    exchange.feed(b"i", True)
    await exchange.receive()
    assert len(peer.writes) == 1


# --- the answer -------------------------------------------------------------------------------------------------------


async def test_a_whole_answer_is_one_write() -> None:
    peer, exchange = made()
    await exchange.send(start(200, (b"x", b"y"), (b"content-length", b"2")))
    assert peer.writes == []
    await exchange.send(body(b"hi"))
    assert peer.writes == [b"HTTP/1.1 200 OK\r\nx: y\r\ndate: now\r\ncontent-length: 2\r\n\r\nhi"]
    assert peer.done == [exchange]
    assert exchange.keep_alive


async def test_a_stream_goes_out_in_chunks_as_it_comes() -> None:
    peer, exchange = made()
    await exchange.send(start())
    await exchange.send(body(b"", more=True))
    await exchange.send(body(b"data", more=True))
    await exchange.send(body(b"", more=True))
    await exchange.send(body())
    head, *chunks = peer.writes
    assert head.endswith(b"transfer-encoding: chunked\r\n\r\n")
    assert chunks == [b"4\r\ndata\r\n", b"0\r\n\r\n"]


@pytest.mark.parametrize("lines", [(), ("Connection: keep-alive",)])
async def test_to_http_1_0_a_stream_goes_out_as_it_is_and_ends_with_the_connection(lines: tuple[str, ...]) -> None:
    """RFC 9112, 6.1 and 6.3: it knows no chunks."""
    peer, exchange = made(*lines, first="GET / HTTP/1.0")
    await exchange.send(start())
    await exchange.send(body(b"data", more=True))
    await exchange.send(body(b"more", more=True))
    await exchange.send(body())
    assert peer.writes == [b"HTTP/1.1 200 OK\r\ndate: now\r\nconnection: close\r\n\r\ndata", b"more"]
    assert peer.done == [exchange]
    assert not exchange.keep_alive


async def test_to_http_1_0_what_is_whole_keeps_the_connection() -> None:
    peer, exchange = made("Connection: keep-alive", first="GET / HTTP/1.0")
    await exchange.send(start(200, (b"content-length", b"2")))
    await exchange.send(body(b"hi"))
    assert b"connection" not in peer.writes[0]
    assert exchange.keep_alive


@pytest.mark.parametrize("status", [204, 304])
async def test_what_has_no_body_says_no_length(status: int) -> None:
    peer, exchange = made()
    await exchange.send(start(status))
    await exchange.send(body())
    assert b"chunked" not in peer.writes[0]
    assert peer.writes[0].endswith(b"\r\n\r\n")


async def test_the_length_of_no_content_is_not_said() -> None:
    """RFC 9110 8.6."""
    peer, exchange = made()
    await exchange.send(start(204, (b"content-length", b"0")))
    await exchange.send(body())
    assert peer.writes[0] == b"HTTP/1.1 204 No Content\r\ndate: now\r\n\r\n"


async def test_the_answer_to_head_is_its_head() -> None:
    peer, exchange = made(first="HEAD / HTTP/1.1")
    await exchange.send(start(200, (b"content-length", b"5")))
    await exchange.send(body(b"hello"))
    assert peer.writes[0].endswith(b"content-length: 5\r\n\r\n")


@pytest.mark.parametrize(
    ("lines", "first", "headers", "said"),
    [
        (("Connection: close",), "GET / HTTP/1.1", (), 1),
        ((), "GET / HTTP/1.0", (), 1),
        ((), "GET / HTTP/1.1", ((b"connection", b"close"),), 1),
        ((), "GET / HTTP/1.1", (), 0),
    ],
)
async def test_that_the_connection_ends_is_said_once(
    lines: tuple[str, ...], first: str, headers: tuple[tuple[bytes, bytes], ...], said: int
) -> None:
    peer, exchange = made(*lines, first=first)
    await exchange.send(start(200, *headers))
    await exchange.send(body())
    assert peer.writes[0].count(b"connection: close") == said
    assert exchange.keep_alive is not bool(said)


@pytest.mark.parametrize("whole", [True, False])
async def test_an_answer_before_the_end_of_its_request_says_that_it_ends_the_connection(whole: bool) -> None:
    peer, exchange = made("Content-Length: 5")
    exchange.feed(b"hello" if whole else b"he", whole)
    await exchange.send(start(401, (b"content-length", b"0")))
    await exchange.send(body())
    assert (b"connection: close" in peer.writes[0]) is not whole
    assert exchange.keep_alive is whole


@pytest.mark.shows("proxy.5")
@pytest.mark.parametrize(
    "field",
    [(b"x", b"a\r\nset-cookie: b"), (b"x", b"a\n"), (b"x\r\ny", b"a"), (b"x y", b"a"), (b"", b"a"), (b"x", b"\0")],
)
async def test_no_header_ends_early(field: tuple[bytes, bytes]) -> None:
    peer, exchange = made()
    with pytest.raises(RuntimeError):
        await exchange.send(start(200, field))
    assert peer.writes == []


@pytest.mark.parametrize("sent", [body(b"abc"), body(b"a"), body(), body(b"abc", more=True)])
async def test_a_body_is_as_long_as_its_head_says(sent: dict[str, Any]) -> None:
    _, exchange = made()
    await exchange.send(start(200, (b"content-length", b"2")))
    with pytest.raises(RuntimeError):
        await exchange.send(sent)


async def test_an_answer_begins_with_its_head_and_ends_once() -> None:
    peer, exchange = made()
    with pytest.raises(RuntimeError):
        await exchange.send(body(b"x"))
    await exchange.send(start(200, (b"content-length", b"0")))
    with pytest.raises(RuntimeError):
        await exchange.send(start())
    await exchange.send(body())
    await exchange.send(body(b"more"))
    assert len(peer.writes) == 1


async def test_a_reader_that_does_not_read_is_waited_for_and_one_that_is_gone_is_sent_nothing() -> None:
    peer, exchange = made()
    peer.stuck = True
    waiting = asyncio.ensure_future(exchange.send(start()))
    await asyncio.sleep(0)
    assert not exchange.started
    peer.readable.set()
    await waiting
    exchange.leave()
    await exchange.send(body(b"x"))
    assert peer.writes == []
