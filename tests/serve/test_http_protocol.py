"""The server over raw sockets: what hostile framing, slowness and pipelining get, and that the next good call works."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog
from structlog.testing import capture_logs

from policylayer.core.errors import ConfigError
from policylayer.serve.http_protocol import UNFINISHED, Deadlines
from policylayer.serve.server import Hooks, Listen, bind, settings
from tests.support.serving import Serving, serving

pytestmark = [pytest.mark.anyio, pytest.mark.shows("proxy.5")]
QUICK = Deadlines(head=0.2, body=0.2, write=0.2, linger=0.5)


class Echo:
    """Answers with the path and body it saw, and remembers them. `/slow` waits for `gate`; `/early` never reads."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, bytes]] = []
        self.gate = asyncio.Event()
        self.gone = asyncio.Event()

    async def __call__(self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Any) -> None:
        if scope["path"] == "/early":
            await _reply(send, 413, b"too large", close=True)
            return
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.gone.set()
                return
            body += message["body"]
            if not message["more_body"]:
                break
        self.seen.append((scope["path"], body))
        if scope["path"] == "/slow":
            waits = {asyncio.ensure_future(self.gate.wait()), asyncio.ensure_future(receive())}
            done, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for task in pending:
                task.cancel()
            if any(isinstance(task.result(), dict) for task in done):
                self.gone.set()
                return
        if scope["path"] == "/flood":
            await _flood(send)
            return
        names = ",".join(name.decode() for name, _ in scope["headers"])
        await _reply(send, 200, f"{scope['method']} {scope['path']} [{names}] ".encode() + body)


class Late:
    """Answers at once; the app goes on until `gate` opens, and then fails where the path says so."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.going = self.most = 0
        self.bound: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.bound.append(structlog.contextvars.get_contextvars())
        structlog.contextvars.bind_contextvars(path=scope["path"])
        self.going += 1
        self.most = max(self.most, self.going)
        await _reply(send, 200, scope["path"].encode())
        await self.gate.wait()
        self.going -= 1
        if scope["path"] == "/fails":
            raise ValueError


async def _reply(send: Any, status: int, body: bytes, close: bool = False) -> None:
    headers = [(b"content-length", str(len(body)).encode())] + ([(b"connection", b"close")] if close else [])
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _flood(send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(4000):
        await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})


def post(path: str, body: bytes = b"", *lines: str) -> bytes:
    extra = "".join(f"{line}\r\n" for line in lines)
    return f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode() + body


async def refused(server: Serving, data: bytes, status: int = 400) -> None:
    """`data` gets `status` and a close; a good request on a new connection works."""
    async with server.connect() as raw:
        await raw.send(data)
        got, headers, body = await raw.answer()
        assert got == status
        assert headers["connection"] == "close"
        assert headers["content-type"] == "application/problem+json"
        assert orjson.loads(body)["status"] == status
        assert await raw.ended() == b""
    async with server.connect() as raw:
        await raw.send(post("/good", b"hi"))
        assert (await raw.answer())[0] == 200


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi", 400),
        (b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2, 2\r\n\r\nhi", 400),
        (b"POST /x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST /x HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", 400),
        (b"POST /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"POST /x HTTP/1.1\nHost: a\n\n", 400),
        (b"GET /x HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 200_000 + b"\r\n\r\n", 431),
        (b"GET /x HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 10_000 + b"\r\n", 431),
        (b"GET /x HTTP/1.1\r\nHost: a\r\nMcp-Session-Id: " + b"s" * 65536 + b"\r\n\r\n", 431),
        (b"CONNECT b:443 HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    ],
)
async def test_hostile_framing_is_refused(data: bytes, status: int) -> None:
    app = Echo()
    async with serving(app) as server:
        await refused(server, data, status)
    assert [path for path, _ in app.seen] == ["/good"]


async def test_a_smuggled_request_never_reaches_the_app() -> None:
    app = Echo()
    smuggled = post("/smuggled")
    body = b"0\r\n\r\n" + smuggled
    attack = (
        f"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    )
    async with serving(app) as server:
        await refused(server, attack + body)
        await refused(server, attack.replace(b"Content-Length", b"Transfer-Encoding: chunked\r\nContent-Length") + body)
    assert "/smuggled" not in [path for path, _ in app.seen]


@pytest.mark.parametrize(
    "chunk", [b"0x3\r\nabc\r\n0\r\n\r\n", b"3\nabc\n0\n\n", b"3;" + b"e" * 1_000_000, b"3\r\nabcd"]
)
async def test_bad_chunks_are_refused(chunk: bytes) -> None:
    app = Echo()
    async with serving(app) as server:
        await refused(server, b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk)
    assert [path for path, _ in app.seen] == ["/good"]


async def test_chunked_bodies_arrive_whole() -> None:
    app = Echo()
    async with serving(app) as server, server.connect() as raw:
        await raw.send(b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab")
        await raw.send(b"c\r\n2\r\nde\r\n0\r\n\r\n" + post("/y"))
        assert (await raw.answer())[2].endswith(b" abcde")
        assert (await raw.answer())[0] == 200
    assert app.seen == [("/x", b"abcde"), ("/y", b"")]


async def test_fifty_pipelined_requests_are_answered_in_order() -> None:
    app = Echo()
    async with serving(app) as server, server.connect() as raw:
        await raw.send(b"".join(post(f"/{n}", str(n).encode()) for n in range(50)))
        for n in range(50):
            status, _, body = await raw.answer()
            assert (status, body.split()[1], body.split()[-1]) == (200, f"/{n}".encode(), str(n).encode())
    assert [path for path, _ in app.seen] == [f"/{n}" for n in range(50)]


async def test_a_pipelined_request_waits_and_a_disconnect_ends_the_running_one() -> None:
    app = Echo()
    async with serving(app) as server:
        async with server.connect() as raw:
            await raw.send(post("/slow") + post("/next"))
            while not app.seen:
                await asyncio.sleep(0.01)
        async with asyncio.timeout(5):
            await app.gone.wait()
    assert [path for path, _ in app.seen] == ["/slow"]


async def test_an_app_that_goes_on_after_its_answer_keeps_no_later_request_waiting() -> None:
    app = Late()
    async with serving(app) as server, server.connect() as raw:
        tasks = server.server.server_state.tasks
        for path in ("/a", "/fails", "/b"):
            await raw.send(post(path))
            assert (await raw.answer())[2] == path.encode()
        await raw.send(post("/c") + post("/d"))
        assert [(await raw.answer())[2] for _ in range(2)] == [b"/c", b"/d"]
        # The program's end waits for each.
        assert app.going == len(tasks) == 5
        with capture_logs() as logs:
            app.gate.set()
            async with asyncio.timeout(5):
                while tasks:
                    await asyncio.sleep(0)
        assert [each["event"] for each in logs] == ["an app failed"]
        await raw.send(post("/e"))
        assert (await raw.answer())[2] == b"/e"
    # What one binds is not the next one's.
    assert app.bound[:5] == [{}] * 5


async def test_how_many_apps_of_a_connection_go_on_is_bounded() -> None:
    app, count = Late(), UNFINISHED + 5
    async with serving(app) as server, server.connect() as raw:
        await raw.send(b"".join(post(f"/{n}") for n in range(count)))
        for n in range(UNFINISHED):
            assert (await raw.answer())[2] == f"/{n}".encode()
        for _ in range(20):
            await asyncio.sleep(0)
        app.gate.set()
        for n in range(UNFINISHED, count):
            assert (await raw.answer())[2] == f"/{n}".encode()
    assert app.most == UNFINISHED


async def test_an_early_answer_is_read_although_the_body_is_still_being_sent() -> None:
    async with serving(Echo()) as server, server.connect() as raw:
        await raw.send(b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 52428800\r\n\r\n")
        status, _, _ = await raw.answer()
        for _ in range(160):
            await raw.send(b"x" * 65536)
        assert status == 413
        assert await raw.ended() == b""


@pytest.mark.parametrize(
    "part",
    [
        b"POST /x HTTP/1.1\r\nHos",
        b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc",
        b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na",
    ],
)
async def test_slow_requests_are_ended(part: bytes) -> None:
    app = Echo()
    async with serving(app, QUICK) as server:
        await refused(server, part, 408)
    assert [path for path, _ in app.seen] == ["/good"]


async def test_a_request_that_the_programs_end_cuts_off_is_not_said_to_have_failed() -> None:
    app = Echo()
    async with serving(app) as server, server.connect() as raw:
        await raw.send(post("/slow"))
        async with asyncio.timeout(5):
            while not app.seen:
                await asyncio.sleep(0.01)
        for task in tuple(server.server.server_state.tasks):
            task.cancel()
        with contextlib.suppress(ConnectionResetError):
            assert await raw.ended() == b""


async def test_a_silent_connection_is_dropped() -> None:
    async with serving(Echo(), QUICK) as server, server.connect() as raw:
        assert await raw.ended() == b""


async def test_a_trickling_head_does_not_extend_its_deadline() -> None:
    async with serving(Echo(), QUICK) as server, server.connect() as raw:
        await raw.send(b"POST /x HTTP/1.1\r\n")

        async def trickle() -> None:
            while True:
                await raw.send(b"X: y\r\n")
                await asyncio.sleep(0.05)

        task = asyncio.ensure_future(trickle())
        status, _, _ = await raw.answer()
        task.cancel()
        assert status == 408


async def test_a_reader_that_takes_nothing_is_dropped() -> None:
    async with serving(Echo(), QUICK) as server, server.connect() as raw:
        await raw.send(post("/flood"))
        await asyncio.sleep(0.6)
        async with asyncio.timeout(5):
            while server.server.server_state.connections:
                await asyncio.sleep(0.02)


@pytest.mark.parametrize("upgrade", ["h2c", "websocket", "TLS/1.0"])
async def test_upgrades_are_ignored(upgrade: str) -> None:
    app = Echo()
    lines = (f"Upgrade: {upgrade}", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAAQAAP__")
    async with serving(app) as server, server.connect() as raw:
        await raw.send(post("/x", b"hi", *lines))
        status, _, body = await raw.answer()
        assert status == 200
        assert b"upgrade" not in body.split(b"]")[0]
        await raw.send(post("/y"))
        assert (await raw.answer())[0] == 200


async def test_http_1_0_is_answered_and_closed() -> None:
    async with serving(Echo()) as server, server.connect() as raw:
        await raw.send(b"GET /x HTTP/1.0\r\nHost: a\r\n\r\n")
        assert (await raw.answer())[0] == 200
        assert await raw.ended() == b""


async def test_expect_continue_is_answered() -> None:
    async with serving(Echo()) as server, server.connect() as raw:
        await raw.send(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert (await raw.answer())[0] == 100
        await raw.send(b"hi")
        assert (await raw.answer())[0] == 200


async def test_refusals_are_told() -> None:
    told: list[str] = []
    async with serving(Echo(), hooks=Hooks(refused=lambda reason, ip: told.append(f"{ip} {reason}"))) as server:
        await refused(server, b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx")
    assert told == ["127.0.0.1 bad content-length"]


async def test_the_end_waits_for_answers_under_way() -> None:
    app = Echo()

    async def stopping() -> None:
        app.gate.set()

    hooks = Hooks(stopping=stopping)
    async with serving(app, hooks=hooks) as server, server.connect() as raw, server.connect() as idle:
        await raw.send(post("/slow"))
        while not app.seen:
            await asyncio.sleep(0.01)
        server.server.should_exit = True
        status, headers, _ = await raw.answer()
        assert (status, headers["connection"]) == (200, "close")
        assert await idle.ended() == b""
        with pytest.raises(OSError):
            await asyncio.open_connection(server.host, server.port)


async def test_tls(certificate: tuple[Path, Path]) -> None:
    trusting = ssl.create_default_context(cafile=str(certificate[0]))
    old = ssl.create_default_context(cafile=str(certificate[0]))
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    async with serving(Echo(), tls=certificate) as server:
        assert server.url.startswith("https://")
        async with server.connect(trusting) as raw:
            await raw.send(post("/a", b"hi") + post("/b"))
            assert [(await raw.answer())[0] for _ in range(2)] == [200, 200]
            await raw.send(b"POST /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
            assert (await raw.answer())[0] == 400
        with pytest.raises((ssl.SSLError, ConnectionError)):
            async with server.connect(old):
                pass


async def test_tls_needs_a_readable_certificate(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the certificate"):
        settings(Echo(), Listen("127.0.0.1", 0, (tmp_path / "no.crt", tmp_path / "no.key")), Hooks())


async def test_a_taken_port_is_told_in_one_line() -> None:
    async with serving(Echo()) as server:
        with pytest.raises(ConfigError, match=f"cannot listen on `127.0.0.1:{server.port}`: address already in use"):
            bind(Listen("127.0.0.1", server.port))
