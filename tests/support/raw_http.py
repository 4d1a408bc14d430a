"""Bytes over a socket, and what comes back: HTTP/1.1 by hand, since every client library tidies up what it sends.

`Wire` is one connection; `request` builds a request as it is written, good or bad; `Response` is what was answered.
Blocking. Must not know MCP (tests/attacks/messages.py does) nor the proxy.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeAlias

PATIENCE = 20.0
"""Seconds that an answer is waited for: far more than any should take, so that only a hang fails."""

Field: TypeAlias = tuple[str | bytes, str | bytes]


class Closed(Exception):
    """The peer closed where an answer was due; `args[0]` is what had come until then."""


@dataclass(frozen=True, slots=True)
class Response:
    """One answer."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def all(self, name: str) -> list[str]:
        """Every header of that name."""
        return [value for key, value in self.headers if key == name.lower()]

    def header(self, name: str) -> str | None:
        """The first header of that name."""
        return next(iter(self.all(name)), None)

    @property
    def streamed(self) -> bool:
        """Whether it is a stream of events."""
        return (self.header("content-type") or "").startswith("text/event-stream")

    @property
    def json(self) -> Any:
        """The body; of a stream its last message."""
        return self.events[-1] if self.streamed else json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """The messages of a stream."""
        return messages_of(self.body)


def messages_of(stream: bytes) -> list[Any]:
    """The data of the whole events in a piece of a stream."""
    whole = re.sub(rb"\r\n?", b"\n", stream).rpartition(b"\n\n")[0]
    datas = (
        b"\n".join(line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:"))
        for event in whole.split(b"\n\n")
    )
    return [json.loads(data) for data in datas if data]


class Wire:
    """One connection to a port of this machine; `source` may be any 127.x.y.z."""

    def __init__(self, port: int, source: str = "127.0.0.2", small: bool = False) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(PATIENCE)
        if small:
            # A reader that takes little: what it does not read stays with the sender.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.bind((source, 0))
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Leave."""
        self.socket.close()

    def send(self, *pieces: bytes) -> Wire:
        """Send; a peer that closed meanwhile is noticed when its answer is read."""
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                self.socket.sendall(piece)
        return self

    def response(self, head: bool = False) -> Response:
        """The next whole answer; interim ones are skipped. `head`: it has no body, whatever it says."""
        status, headers = 100, ()
        while status < 200:
            status, headers = self.head()
        said = Response(status, headers, b"")
        if head or status in (204, 304):
            return said
        if (said.header("transfer-encoding") or "").lower() == "chunked":
            return Response(status, headers, self._chunked())
        length = said.header("content-length")
        return Response(status, headers, self.rest() if length is None else self._exactly(int(length)))

    def head(self) -> tuple[int, tuple[tuple[str, str], ...]]:
        """Status and headers of what comes next."""
        first, *lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines if line)
        return int(first.split()[1]), tuple((name.lower(), value.strip()) for name, _, value in pairs)

    def piece(self) -> bytes:
        """The next chunk of a chunked answer; empty at its end."""
        size = int(self._until(b"\r\n").strip(), 16)
        return self._exactly(size + 2)[:-2]

    def rest_of_stream(self) -> bytes:
        """What is left of a chunked answer that may break off."""
        body = b""
        with contextlib.suppress(Closed, ConnectionError):
            while piece := self.piece():
                body += piece
        return body

    def rest(self) -> bytes:
        """Everything until the peer closes."""
        with contextlib.suppress(Closed, ConnectionError):
            while True:
                self._more()
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest

    def quiet(self, seconds: float) -> bool:
        """Whether nothing comes, not even an end, for so long."""
        self.socket.settimeout(seconds)
        try:
            self._more()
        except TimeoutError:
            return True
        except Closed:
            return False
        finally:
            self.socket.settimeout(PATIENCE)
        return False

    def _chunked(self) -> bytes:
        body = b""
        while piece := self.piece():
            body += piece
        return body

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._buffer:
            self._more()
        return self._exactly(self._buffer.index(mark) + len(mark))

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._more()
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _more(self) -> None:
        got = self.socket.recv(1 << 16)
        if not got:
            raise Closed(bytes(self._buffer))
        self._buffer += got


def request(
    verb: str | bytes,
    target: str | bytes,
    fields: Iterable[Field] = (),
    body: bytes = b"",
    length: bool = True,
    version: bytes = b"HTTP/1.1",
) -> bytes:
    """A request as it is written: nothing is checked, escaped or added but (unless told not to) a Content-Length."""
    lines = [b" ".join((_bytes(verb), _bytes(target), version))]
    lines += [_bytes(name) + b": " + _bytes(value) for name, value in fields]
    if length:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*lines, b"", b""]) + body


def chunked(pieces: Sequence[bytes]) -> bytes:
    """A chunked body, well formed."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8")
