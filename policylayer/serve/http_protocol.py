"""uvicorn's httptools protocol behind a strict framer, with deadlines; one request of a connection at a time.

Adds to uvicorn what hostile peers make necessary: requests framed by `framing.py` before any parser sees them; a
deadline for the head, the body and a stalled reader; pipelined requests begun only when the one before is answered
(so they stay in order, and a disconnect always ends the running one); and a lingering close, so that a client which is
still sending reads the refusal instead of a reset.

Must not know what is served. The pure half is `framing.py`; who runs it is `server.py`.
"""

from __future__ import annotations

import asyncio
import http
from dataclasses import dataclass
from typing import Any, ClassVar, Final, cast

import orjson
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from policylayer.serve.framing import Framer, Refusal

READ_AHEAD: Final = 64 * 1024
"""How much of a pipelined next request is buffered before reading pauses."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds: for a request's head, its body, a reader that takes nothing, and a closing connection's last bytes."""

    head: float = 10.0
    body: float = 30.0
    write: float = 30.0
    linger: float = 5.0


class _Transport:
    """A transport whose `close` lets the peer finish reading; everything else is passed through."""

    def __init__(self, inner: asyncio.Transport, close: Any) -> None:
        self._inner = inner
        self.close = close
        # Used for every request, so not looked up through `__getattr__`.
        self.write = inner.write
        self.is_closing = inner.is_closing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class StrictHttpProtocol(HttpToolsProtocol):
    """One connection."""

    deadlines: ClassVar[Deadlines] = Deadlines()

    @staticmethod
    def on_refused(reason: str, peer: str | None) -> None:
        """Told of each refused request: why, and the peer's address. `server.py` puts the app's own here."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._framer = Framer()
        self._inner: asyncio.Transport | None = None
        self._due: float | None = None
        self._reading: asyncio.TimerHandle | None = None
        self._writing: asyncio.TimerHandle | None = None
        self._closing = False
        self._answering = False

    # --- what the transport calls -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the head's deadline."""
        self._inner = transport
        super().connection_made(cast(asyncio.Transport, _Transport(transport, self._close)))
        self._read_deadline(self.deadlines.head)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timers, and tell the running request."""
        self._closing = True
        self._stop(self._reading, self._writing)
        self._reading = self._writing = None
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    def data_received(self, data: bytes) -> None:
        """Frame what arrived; a closing connection's bytes are thrown away."""
        if self._closing:
            return
        self._framer.feed(data)
        if self._answering and not self._framer.in_body:
            if self._framer.buffered > READ_AHEAD:
                self.flow.pause_reading()
            return
        self._unset_keepalive_if_required()
        if self._due is None:
            self._read_deadline(self.deadlines.head)
        self._advance()

    def eof_received(self) -> None:
        """The peer sends no more: uvicorn's close follows."""

    def pause_writing(self) -> None:
        """The peer does not read: give it a while, then drop it."""
        super().pause_writing()
        self._stop(self._writing)
        self._writing = self.loop.call_later(self.deadlines.write, self._drop)

    def resume_writing(self) -> None:
        """The peer reads again."""
        super().resume_writing()
        self._stop(self._writing)
        self._writing = None

    # --- framing ------------------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Hand accepted pieces to the parser until a request is whole, or more bytes are needed."""
        while not self._closing:
            piece = self._framer.next()
            if piece is None:
                return
            if isinstance(piece, Refusal):
                self._refuse(piece)
                return
            if piece.head:
                self._answering = True
                if not piece.end:
                    self._read_deadline(self.deadlines.body)
            super().data_received(piece.data)
            if piece.end:
                self._due = None
                return

    def on_response_complete(self) -> None:
        """Begin the next request; close where this one's body was not read to its end."""
        if self._closing:
            self.server_state.total_requests += 1
            return
        super().on_response_complete()
        self._answering = False
        if self._framer.in_body:
            self._close()
        elif self._framer.buffered and not self._closing:
            self._unset_keepalive_if_required()
            self._read_deadline(self.deadlines.head)
            self._advance()

    def send_400_response(self, msg: str) -> None:
        """What uvicorn's parser refuses looks like what the framer refuses."""
        self._refuse(Refusal(400, "bad request"))

    def _refuse(self, refusal: Refusal) -> None:
        self.on_refused(refusal.reason, self.client[0] if self.client else None)
        if not self._begun() and self._inner is not None and not self._inner.is_closing():
            self._inner.write(_refusal_bytes(refusal))
        self._close(linger=True)

    def _begun(self) -> bool:
        """An answer is under way, so another status line would corrupt it."""
        return self._answering and self.cycle is not None and self.cycle.response_started

    # --- deadlines and closing ----------------------------------------------------------------------------------------

    def _read_deadline(self, seconds: float) -> None:
        """What is awaited must be here by then. One timer a connection: it looks again when it was set anew."""
        self._due = self.loop.time() + seconds
        if self._reading is None or self._reading.when() > self._due:
            self._stop(self._reading)
            self._reading = self.loop.call_at(self._due, self._look)

    def _look(self) -> None:
        self._reading = None
        if self._due is None or self._closing:
            return
        if self.loop.time() < self._due:
            self._reading = self.loop.call_at(self._due, self._look)
        elif self._answering or self._framer.buffered:
            self._refuse(Refusal(408, "the request took too long to arrive"))
        else:
            self._drop()

    def _close(self, linger: bool = False) -> None:
        """Send what is written; where the peer may still be sending, let it finish, so that it reads the answer."""
        if self._closing or self._inner is None:
            return
        self._closing = True
        self._stop(self._reading, self._writing)
        if self._inner.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if not (linger or self._framer.in_body or self._framer.buffered):
            self._inner.close()
            return
        self.flow.resume_reading()
        if self._inner.can_write_eof():
            self._inner.write_eof()
        self._reading = self.loop.call_later(self.deadlines.linger, self._drop)

    def _drop(self) -> None:
        if self._inner is not None:
            self._inner.abort()

    @staticmethod
    def _stop(*timers: asyncio.TimerHandle | None) -> None:
        for timer in timers:
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
