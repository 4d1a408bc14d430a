"""One connection to an HTTP server: one request at a time, its answer cut from the bytes by httptools, strictly.

What a connection may do between answers is nothing: a byte that nobody asked for ends it, and so does whatever follows
an answer. Heads are bounded in size and number, interim (1xx) answers in number. Everything that can go wrong is one of
three `Fault`s, which say how far the call came; nothing is ever sent again. Must not know MCP, nor where connections
are kept (`pool.py`).
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from enum import Enum
from typing import Final, cast

import httptools

MOST_INTERIM: Final = 16
"""Interim answers to one request."""

HEADER_LINE: Final = 16 * 1024
MOST_HEADERS: Final = 100
LARGEST_HEAD: Final = 128 * 1024

READ_AHEAD: Final = 256 * 1024
"""Bytes of an answer that are kept for a slow reader before reading stops."""

AT_ONCE: Final = 512 * 1024
"""Bytes of a body that are written in one go, so that others have their turn."""


class Fault(Enum):
    """How an exchange failed: the connection ended, the deadline passed, or what came is no HTTP."""

    LOST = "lost"
    TIMED_OUT = "timed out"
    NOT_HTTP = "not HTTP"


class Reply:
    """An answer as it arrives. `begun`: its head is there; `complete`: all of it is; `fault`: no more will come."""

    __slots__ = ("_connection", "_waiter", "begun", "buffered", "complete", "fault", "headers", "parts", "status")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._waiter: asyncio.Future[None] | None = None
        self.status = 0
        self.headers: dict[str, str] = {}
        self.parts: list[bytes] = []
        self.buffered = 0
        self.begun = self.complete = False
        self.fault: Fault | None = None

    def more(self) -> asyncio.Future[None]:
        """Done when something changes."""
        self._waiter = self._connection.loop.create_future()
        return self._waiter

    def wake(self) -> None:
        """Something has changed."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def take(self) -> bytes:
        """What has come and was not taken yet."""
        parts, self.parts = self.parts, []
        if self.buffered > READ_AHEAD:
            self._connection.read_on(self)
        self.buffered = 0
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def failed(self, fault: Fault) -> None:
        """No more of it will come."""
        if not self.complete and self.fault is None:
            self.fault = fault
        self.wake()

    def endless(self) -> None:
        """From here on it may take for ever."""
        self._connection.no_deadline(self)

    def close(self) -> None:
        """Nobody wants the rest: without its end, the connection is of no more use."""
        if not self.complete:
            self._connection.cut(self)


class Connection(asyncio.Protocol):
    """The protocol. `free` is told when it can be used again, `gone` when it is closed."""

    def __init__(self, free: Callable[[Connection], None], gone: Callable[[Connection], None]) -> None:
        self._free = free
        self._gone = gone
        self.loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._poll = select.poll()
        self._transport: asyncio.Transport | None = None
        self._reply: Reply | None = None
        self._due: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._unsent = b""
        self._full = False
        self._new_head()
        self._interim_count = 0
        self._stray = False
        self.idle_since = 0.0

    # --- a request ----------------------------------------------------------------------------------------------------

    def send(self, head: bytes, body: bytes, deadline: float) -> Reply:
        """Send a request; its answer is to be complete at the deadline, in the loop's time."""
        assert self._transport is not None
        reply = self._reply = Reply(self)
        self._new_head()
        self._interim_count = 0
        self._watch(deadline)
        if len(body) <= AT_ONCE:
            self._transport.write(head + body)
        else:
            self._unsent = body
            self._transport.write(head)
            self.loop.call_soon(self._send_on)
        return reply

    def _send_on(self) -> None:
        """The next piece of a large body, unless the server does not read, or has answered already."""
        if self._transport is None or self._full or not self._unsent or self._reply is None:
            return
        piece, self._unsent = self._unsent[:AT_ONCE], self._unsent[AT_ONCE:]
        self._transport.write(piece)
        self.loop.call_soon(self._send_on)

    def is_quiet(self) -> bool:
        """Whether it is open, and nothing (a stray answer, the server's close) waits to be read from it."""
        return self._transport is not None and not self._transport.is_closing() and not self._poll.poll(0)

    def close(self) -> None:
        """End it now; what its peer does not read is dropped."""
        if self._transport is None:
            return
        if self._transport.get_write_buffer_size():
            self._transport.abort()
        else:
            self._transport.close()

    def cut(self, reply: Reply) -> None:
        """End it, where it still is this answer's."""
        if self._reply is reply:
            self._reply = None
            self.close()

    def read_on(self, reply: Reply) -> None:
        """The reader has caught up."""
        if self._reply is reply and self._transport is not None:
            self._transport.resume_reading()

    # --- deadlines ----------------------------------------------------------------------------------------------------

    def no_deadline(self, reply: Reply) -> None:
        """This answer may take for ever."""
        if self._reply is reply:
            self._due = None

    def _watch(self, deadline: float) -> None:
        """One timer a connection, which looks again when it was set anew."""
        self._due = deadline
        if self._timer is None or self._timer.when() > deadline:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self.loop.call_at(deadline, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._reply is None or self._due is None:
            return
        if self.loop.time() < self._due:
            self._timer = self.loop.call_at(self._due, self._look)
        else:
            self._fail(Fault.TIMED_OUT)

    # --- what the transport calls -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self._transport = cast(asyncio.Transport, transport)
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        """Bytes of the answer; where none is awaited, the end."""
        reply = self._reply
        if reply is None:
            self.close()
            return
        if not reply.begun:
            self._head_size += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._stray = True
            if not reply.complete:
                self._fail(Fault.NOT_HTTP)
                return
        if not reply.begun and self._head_size > LARGEST_HEAD:
            self._fail(Fault.NOT_HTTP)
            return
        if reply.complete:
            self._done()
        elif reply.buffered > READ_AHEAD and self._transport is not None:
            self._transport.pause_reading()
        reply.wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over: the end of an answer that has no other end, else the loss of one."""
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        reply, self._reply = self._reply, None
        if reply is not None:
            if reply.begun and not self._framed and exc is None:
                reply.complete = True
            reply.failed(Fault.LOST)
        self._gone(self)

    def pause_writing(self) -> None:
        """The server does not read."""
        self._full = True

    def resume_writing(self) -> None:
        """It does again."""
        self._full = False
        self._send_on()

    def _fail(self, fault: Fault) -> None:
        reply, self._reply = self._reply, None
        self.close()
        if reply is not None:
            reply.failed(fault)

    def _done(self) -> None:
        """The answer is whole: the connection is good for another if nothing is left over on either side."""
        self._reply = None
        transport = self._transport
        if transport is None:
            return
        left = self._stray or self._unsent or transport.get_write_buffer_size()
        if left or not self._reusable:
            self.close()
        else:
            self._free(self)

    # --- what the parser calls ----------------------------------------------------------------------------------------

    def _new_head(self) -> None:
        self._head_size = self._header_count = 0
        self._framed = self._interim = self._reusable = False

    def on_message_begin(self) -> None:
        """A head begins; after a whole answer, one that nobody asked for."""
        if self._reply is None or self._reply.complete:
            self._stray = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, or trailer; of repeated ones the first counts."""
        self._header_count += 1
        if self._header_count > MOST_HEADERS or len(name) + len(value) > HEADER_LINE:
            raise ValueError("the head is too large")
        reply = self._reply
        if self._stray or reply is None or reply.begun:
            return
        key = name.decode("latin-1").lower()
        if key in ("content-length", "transfer-encoding"):
            self._framed = True
        reply.headers.setdefault(key, value.decode("latin-1"))

    def on_headers_complete(self) -> None:
        """The head is whole."""
        reply = self._reply
        if self._stray or reply is None:
            return
        status = self._parser.get_status_code()
        if status == 101:
            raise ValueError("nothing was to be upgraded")
        if status < 200:
            self._interim = True
            self._interim_count += 1
            if self._interim_count > MOST_INTERIM:
                raise ValueError("too many interim answers")
            return
        reply.status = status
        reply.begun = True

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        if self._reply is not None and not self._stray:
            self._reply.parts.append(data)
            self._reply.buffered += len(data)

    def on_message_complete(self) -> None:
        """The answer is whole, or an interim one is over."""
        reply = self._reply
        if self._stray or reply is None:
            return
        if self._interim:
            reply.headers.clear()
            self._new_head()
        else:
            reply.complete = True
            self._reusable = self._parser.should_keep_alive()
