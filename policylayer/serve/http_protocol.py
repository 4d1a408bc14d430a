"""One connection: strict HTTP/1.1 in, an ASGI app's answers out, with deadlines; one request at a time.

Requests are framed by `framing.py`; pipelined ones are begun only when the one before is answered, so they stay in
order and a disconnect always ends the running one. An app that goes on after its answer keeps no later request waiting.
There is a deadline for the head, the body, a stalled reader and an idle connection, and a lingering close, so that a
client which is still sending reads the refusal instead of a reset.

Runs under uvicorn's server, which accepts and counts connections (`server.py`). Must not know what is served.
"""

from __future__ import annotations

import asyncio
import http
from contextvars import copy_context
from typing import Any, ClassVar, Final, cast

import orjson
import structlog
from uvicorn.config import Config
from uvicorn.server import ServerState

from policylayer.core.immutable import immutable
from policylayer.serve.date import Dates
from policylayer.serve.exchange import READ_AHEAD, Exchange
from policylayer.serve.framing import Framer
from policylayer.serve.head import Heads, Refusal

FAILED: Final = Refusal(500, "the request failed")

UNFINISHED: Final = 100
"""Apps of one connection that may run at one time, all but one of which have answered: no client leaves ever more."""


@immutable
class Deadlines:
    """Seconds: for a request's head, its body, a reader that takes nothing, a closing connection's last bytes, and a
    connection that is kept without a request."""

    head: float = 10.0
    body: float = 30.0
    write: float = 30.0
    linger: float = 5.0
    idle: float = 75.0


class StrictHttpProtocol(asyncio.Protocol):
    """The protocol. Its interface towards the server is what uvicorn wants of one; the class variables are set by
    `server.py`: `heads` are read once for all connections, and `on_refused` is told of each refused request."""

    deadlines: ClassVar[Deadlines] = Deadlines()
    heads: ClassVar[Heads] = Heads()
    dates: ClassVar[Dates] = Dates()

    @staticmethod
    def on_refused(reason: str, peer: str | None) -> None:
        """Why a request was refused, and the peer's address."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._app = config.loaded_app
        self._state = server_state
        self._loop = _loop or asyncio.get_running_loop()
        self._framer = Framer(self.heads)
        self._transport: asyncio.Transport | None = None
        self._client: tuple[str, int] | None = None
        self._scheme = "http"
        self._exchange: Exchange | None = None
        self._begun: Exchange | None = None
        # Kept, since a further worker may be made within an app: what that has bound is not the next one's.
        self._context = copy_context()
        self._workers = 0
        self._worker: asyncio.Task[None] | None = None
        self._idling: asyncio.Future[None] | None = None
        self._due: float | None = None
        self._reading: asyncio.TimerHandle | None = None
        self._writing: asyncio.TimerHandle | None = None
        self._writable: asyncio.Event | None = None
        self._paused = False
        self._idle = False
        self._closing = False

    # --- what the transport calls -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the head's deadline."""
        self._transport = cast(asyncio.Transport, transport)
        self._state.connections.add(cast(Any, self))
        peer = transport.get_extra_info("peername")
        self._client = (str(peer[0]), int(peer[1])) if isinstance(peer, tuple) and len(peer) >= 2 else None
        self._scheme = "https" if transport.get_extra_info("sslcontext") else "http"
        self._expect(self.deadlines.head)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timers, and tell the running request."""
        self._closing = True
        self._state.connections.discard(cast(Any, self))
        self._stop(self._reading)
        self._transport = None
        self._leave()
        self._wake()
        self.resume_writing()

    def data_received(self, data: bytes) -> None:
        """Frame what arrived; a closing connection's bytes are thrown away."""
        if self._closing:
            return
        framer = self._framer
        framer.feed(data)
        if self._exchange is None or framer.in_body:
            self._advance()
        elif framer.buffered > READ_AHEAD:
            self.pause()

    def eof_received(self) -> None:
        """The peer sends no more: the transport closes by itself, once what is written has gone, and so do we."""
        self._close()

    def pause_writing(self) -> None:
        """The peer does not read: give it a while, then drop it."""
        self._writable = asyncio.Event()
        self._writing = self._loop.call_later(self.deadlines.write, self._drop)

    def resume_writing(self) -> None:
        """The peer reads again."""
        if self._writable is not None:
            self._writable.set()
            self._writable = None
        self._stop(self._writing)
        self._writing = None

    # --- what the server calls ----------------------------------------------------------------------------------------

    def shutdown(self) -> None:
        """The program ends: an answer under way is finished, then this closes."""
        if self._exchange is None:
            self._close()
        else:
            self._exchange.keep_alive = False

    # --- requests -----------------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Take accepted pieces until a request is whole, or more bytes are needed."""
        while not self._closing:
            piece = self._framer.next()
            if piece is None:
                if self._exchange is None and (self._due is None or self._idle):
                    self._expect(self.deadlines.head)
                return
            if isinstance(piece, Refusal):
                self._refuse(piece)
                return
            if piece.head is not None:
                self._exchange = Exchange(self, piece.head, piece.length)
                if not piece.end:
                    self._expect(self.deadlines.body)
                self._begin()
            assert self._exchange is not None
            self._exchange.feed(piece.data, piece.end)
            if piece.end:
                self._due = None
                return

    def _begin(self) -> None:
        """Have it answered: by the worker that waits, or the first; or by whichever is there for it first."""
        self._begun = self._exchange
        if self._idling is not None:
            assert self._worker is not None
            self._state.tasks.add(self._worker)
            self._wake()
        elif not self._workers:
            self._hire()
        else:
            # Most apps end with their answer, and their worker goes on by itself: it gets the chance.
            self._loop.call_soon(self._relieve)

    def _relieve(self) -> None:
        """The app of an answered request goes on, for as long as it likes: the next request does not wait for it."""
        if self._begun is not None and self._workers < UNFINISHED:
            self._hire()

    def _hire(self) -> None:
        exchange, self._begun = self._begun, None
        self._workers += 1
        self._state.tasks.add(self._loop.create_task(self._work(exchange), context=self._context.copy()))

    def _wake(self) -> None:
        idle, self._idling = self._idling, None
        if idle is not None and not idle.done():
            idle.set_result(None)

    async def _work(self, exchange: Exchange | None) -> None:
        """Answer one request after the other: a task for each would cost more than reading it. One worker waits for
        the next; where there are more, they end with their apps."""
        task = asyncio.current_task()
        assert task is not None
        try:
            while True:
                if exchange is not None:
                    await self._run(exchange)
                elif self._closing or self._idling is not None:
                    return
                else:
                    self._state.tasks.discard(task)
                    self._worker, self._idling = task, self._loop.create_future()
                    await self._idling
                exchange, self._begun = self._begun, None
        finally:
            self._workers -= 1
            self._state.tasks.discard(task)

    async def _run(self, exchange: Exchange) -> None:
        """Have the app answer; what it leaves unanswered ends the connection."""
        failed: Refusal | None = FAILED
        try:
            await self._app(exchange.scope(self._client, self._scheme), exchange.receive, exchange.send)
        except Exception:
            structlog.get_logger().error("an app failed", exc_info=True)
        except asyncio.CancelledError:
            # The program ends without waiting: the request did not fail, and nobody knows what became of it.
            failed = None
            raise
        finally:
            if not (exchange.complete or exchange.gone):
                self._fail(exchange, failed)

    def _fail(self, exchange: Exchange, failed: Refusal | None) -> None:
        """No whole answer came: it is told where nothing has been sent yet and there is a word for it, else cut off."""
        if exchange.started or failed is None:
            self._drop()
        elif exchange is self._exchange and self._transport is not None:
            self._transport.write(_refusal_bytes(failed))
            self._close(linger=True)

    def _refuse(self, refusal: Refusal) -> None:
        self.on_refused(refusal.reason, self._client[0] if self._client else None)
        begun = self._exchange is not None and self._exchange.started
        if not begun and self._transport is not None and not self._transport.is_closing():
            self._transport.write(_refusal_bytes(refusal))
        self._close(linger=True)

    # --- what an exchange calls ---------------------------------------------------------------------------------------

    @property
    def date(self) -> bytes:
        """The line of every answer that says when it was given."""
        return self.dates.field()

    @property
    def stuck(self) -> bool:
        """Whether the peer does not read what it was sent."""
        return self._writable is not None

    async def drained(self) -> None:
        """Wait until it does, or is gone."""
        if self._writable is not None:
            await self._writable.wait()

    def write(self, data: bytes) -> None:
        """Send bytes; nothing after the end."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def pause(self) -> None:
        """Read no more for now."""
        if not self._paused and self._transport is not None and not self._closing:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    def answered(self, exchange: Exchange) -> None:
        """Begin the next request; close where this was the last, or its body was not read to its end."""
        self._exchange = None
        self._state.total_requests += 1
        if self._closing:
            return
        if not exchange.keep_alive or self._framer.in_body:
            self._close()
            return
        self.resume()
        if self._framer.buffered:
            self._expect(self.deadlines.head)
            self._advance()
        else:
            self._expect(self.deadlines.idle, idle=True)

    # --- deadlines and closing ----------------------------------------------------------------------------------------

    def _expect(self, seconds: float, idle: bool = False) -> None:
        """What is awaited must be here by then. One timer a connection: it looks again when it was set anew."""
        self._idle = idle
        self._due = due = self._loop.time() + seconds
        if self._reading is None or self._reading.when() > due:
            self._stop(self._reading)
            self._reading = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        self._reading = None
        if self._due is None or self._closing:
            return
        if self._loop.time() < self._due:
            self._reading = self._loop.call_at(self._due, self._look)
        elif self._exchange is not None or self._framer.buffered:
            self._refuse(Refusal(408, "the request took too long to arrive"))
        else:
            self._drop()

    def _close(self, linger: bool = False) -> None:
        """Send what is written; where the peer may still be sending, let it finish, so that it reads the answer."""
        transport = self._transport
        if self._closing or transport is None:
            return
        self._closing = True
        self._stop(self._reading)
        self._reading = None
        self._leave()
        if transport.is_closing() or not (linger or self._framer.in_body or self._framer.buffered):
            self._end(transport)
            return
        self.resume()
        if transport.can_write_eof():
            transport.write_eof()
        self._reading = self._loop.call_later(self.deadlines.linger, self._drop)

    def _end(self, transport: asyncio.Transport) -> None:
        """Close, and give a reader that takes nothing a while: so little may be left that writing never paused."""
        if not transport.is_closing():
            transport.close()
        # How much TLS still has to send is not known.
        if self._scheme == "https" or transport.get_write_buffer_size():
            self._reading = self._loop.call_later(self.deadlines.write, self._drop)

    def _leave(self) -> None:
        """Tell the running request that its client is gone."""
        if self._exchange is not None and not self._exchange.complete:
            self._exchange.leave()

    def _drop(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    @staticmethod
    def _stop(timer: asyncio.TimerHandle | None) -> None:
        if timer is not None:
            timer.cancel()


def _refusal_bytes(refusal: Refusal) -> bytes:
    title = http.HTTPStatus(refusal.status).phrase
    body = orjson.dumps(
        {"type": "about:blank", "title": title, "status": refusal.status, "code": "http", "detail": refusal.reason}
    )
    head = [
        f"HTTP/1.1 {refusal.status} {title}",
        "content-type: application/problem+json",
        f"content-length: {len(body)}",
        "connection: close",
    ]
    if refusal.status == 405:
        head.append("allow: GET, POST, DELETE")
    return "\r\n".join([*head, "", ""]).encode() + body
