"""A stdio face of the proxy: what `policylayer connect` runs, for clients that can only launch a command.

One JSON message per line, bytes passed through both ways, both eras. Requests run side by side; what must keep its
order (initialize, notifications, responses) is sent before the next line is read. At 2026-07-28 a client cancels over
stdio by a notification, and over HTTP by closing the stream: the one becomes the other here. The HTTP side is
`front_link.py`.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from functools import partial
from typing import Any, BinaryIO, Final, TextIO

import orjson

from policylayer.tasks import spawn
from policylayer.upstream.connector import open_session
from policylayer.upstream.front_link import Link, LinkError, Said
from policylayer.upstream.glance import Id, glance
from policylayer.wire.mirrors import Mirror, mirrors

LAST_WORDS: Final = 2.0
"""Seconds that requests under way are given when the input has ended."""

HEADER_MISMATCH: Final = -32020
MOST_PAGES: Final = 50


def run(
    url: str, server: str, token: str | None, stdin: BinaryIO, stdout: BinaryIO, stderr: TextIO | None = None
) -> int:
    """Relay between standard streams and the proxy until the input ends. The exit code."""
    return asyncio.run(_run(url, server, token, stdin, stdout, stderr or sys.stderr))


async def _run(url: str, server: str, token: str | None, stdin: BinaryIO, stdout: BinaryIO, stderr: TextIO) -> int:
    session = open_session()
    front = Front(Link(session, url, server, token), stdout, stderr)
    stopped = asyncio.get_running_loop().create_future()
    with suppress(ValueError, RuntimeError, NotImplementedError):
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, _stop, stopped)
    relaying = spawn(front.relay(_lines(stdin)), "stdio front")
    try:
        await asyncio.wait({relaying, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not relaying.done():
            relaying.cancel()
        await asyncio.wait({relaying})
        await front.close()
    finally:
        await session.close()
    return 0 if relaying.cancelled() or relaying.exception() is None else 1


def _stop(stopped: asyncio.Future[None]) -> None:
    if not stopped.done():
        stopped.set_result(None)


class Front:
    """Relays the lines of one client to one server behind the proxy."""

    def __init__(self, link: Link, stdout: BinaryIO, stderr: TextIO) -> None:
        self._link = link
        self._stdout = stdout
        self._stderr = stderr
        self._open: dict[Id, asyncio.Task[Any]] = {}
        self._listening: asyncio.Task[Any] | None = None
        self._mirrors: dict[str, tuple[Mirror, ...]] = {}
        self._told: set[str] = set()

    async def relay(self, lines: AsyncIterator[bytes]) -> None:
        """Send each line, write what comes back; return when the input has ended and was answered."""
        async for line in lines:
            if line := line.strip():
                await self._hear(line)
        if self._open:
            await asyncio.wait(self._open.values(), timeout=LAST_WORDS)

    async def close(self) -> None:
        """Give up what is under way, and end the session."""
        tasks = [*self._open.values(), *([self._listening] if self._listening else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with suppress(Exception):
            async with asyncio.timeout(LAST_WORDS):
                await self._link.leave()

    # --- what the client says -----------------------------------------------------------------------------------------

    async def _hear(self, line: bytes) -> None:
        said = Said.of(line)
        if said is None:
            self._fail(None, -32700, "not a JSON-RPC message")
        elif said.glance.kind != "request":
            await self._pass_on(said)
        elif said.glance.method == "initialize":
            await self._ask(said)
        else:
            assert said.glance.id is not None
            task = spawn(self._ask(said), f"request {said.glance.method}")
            self._open[said.glance.id] = task
            task.add_done_callback(partial(self._forget, said.glance.id))

    def _forget(self, id: Id, task: asyncio.Task[Any]) -> None:
        if self._open.get(id) is task:
            del self._open[id]

    async def _pass_on(self, said: Said) -> None:
        """A notification or a response."""
        if said.glance.method == "notifications/cancelled" and self._link.session is None:
            task = self._open.get(said.params.get("requestId", ""))
            if task is not None:
                task.cancel()
            return
        try:
            async with aclosing(self._link.send(said)) as messages:
                async for message in messages:
                    self._write(message)
        except LinkError as error:
            self._say(error)
        if said.glance.method == "notifications/initialized" and self._listening is None:
            self._listening = spawn(self._listen(), "session stream")

    async def _ask(self, said: Said, again: bool = True) -> None:
        """A request: write everything that comes for it, or an error in its place."""
        found = self._mirrors.get(said.params.get("name", ""), ()) if said.glance.method == "tools/call" else ()
        try:
            async with aclosing(self._link.send(said, found)) as messages:
                async for message in messages:
                    if again and said.glance.method == "tools/call" and _mismatched(message):
                        await messages.aclose()
                        await self._list_tools(said)
                        return await self._ask(said, again=False)
                    self._learn(said, message)
                    self._write(message)
        except LinkError as error:
            self._say(error)
            self._fail(said.glance.id, error.code, error.message)

    async def _listen(self) -> None:
        async with aclosing(self._link.listen()) as messages:
            async for message in messages:
                self._write(message)

    # --- what the proxy says ------------------------------------------------------------------------------------------

    def _learn(self, said: Said, message: bytes) -> None:
        """Keep what later requests need: the agreed revision, and which arguments a tool wants in headers."""
        method = said.glance.method
        if method not in ("initialize", "tools/list"):
            return
        result = orjson.loads(message).get("result")
        if not isinstance(result, dict):
            return
        if method == "initialize" and isinstance(result.get("protocolVersion"), str):
            self._link.revision = result["protocolVersion"]
        for tool in result.get("tools") or () if method == "tools/list" else ():
            if isinstance(tool, dict) and isinstance(tool.get("name"), str):
                self._mirrors[tool["name"]] = mirrors(tool.get("inputSchema")) or ()

    async def _list_tools(self, said: Said) -> None:
        """Learn the tools' headers by ourselves: the proxy knows of one that the client never listed."""
        cursor: str | None = None
        meta = said.params.get("_meta")
        for page in range(MOST_PAGES):
            params = {"_meta": meta} if cursor is None else {"_meta": meta, "cursor": cursor}
            raw = orjson.dumps({"jsonrpc": "2.0", "id": f"front-{page}", "method": "tools/list", "params": params})
            asked = Said.of(raw)
            assert asked is not None
            async with aclosing(self._link.send(asked)) as messages:
                async for message in messages:
                    self._learn(asked, message)
                    result = orjson.loads(message).get("result")
            cursor = result.get("nextCursor") if isinstance(result, dict) else None
            if cursor is None:
                return

    # --- writing ------------------------------------------------------------------------------------------------------

    def _write(self, message: bytes) -> None:
        """One line; line breaks between JSON tokens become spaces."""
        self._stdout.write(message.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n")
        self._stdout.flush()

    def _fail(self, id: Id | None, code: int, message: str) -> None:
        self._write(orjson.dumps({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}}))

    def _say(self, error: LinkError) -> None:
        """To people, once for each kind of trouble."""
        if error.message not in self._told:
            self._told.add(error.message)
            self._stderr.write(f"policylayer connect: {error.message}\n")
            if error.help:
                self._stderr.write(f"  {error.help}\n")
            self._stderr.flush()


def _mismatched(message: bytes) -> bool:
    """Whether a request was refused for the headers that repeat its arguments: nothing of it ran."""
    seen = glance(message)
    return seen is not None and seen.error_code == HEADER_MISMATCH


async def _lines(stdin: BinaryIO) -> AsyncIterator[bytes]:
    """The lines of a stream, read by a thread: standard input may be a file, a pipe or a terminal."""
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[bytes] = asyncio.Queue()

    def read() -> None:
        with suppress(RuntimeError, ValueError, OSError):
            for line in iter(stdin.readline, b""):
                loop.call_soon_threadsafe(lines.put_nowait, line)
            loop.call_soon_threadsafe(lines.put_nowait, b"")

    threading.Thread(target=read, name="stdin", daemon=True).start()
    while line := await lines.get():
        yield line
