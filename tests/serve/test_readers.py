"""What our reader takes for a request, two other readers of HTTP take for the same one: request smuggling needs two.

h11 and httptools (llhttp) may refuse what we accept; they may not read another method, target, field or body out of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

import h11
import httptools
import pytest

from policylayer.serve.framing import Framer
from policylayer.serve.head import Head, Refusal
from tests.support.mutants import spoil
from tests.support.sizes import sized

pytestmark = pytest.mark.shows("proxy.5")

HEAD = b"POST /mcp/rec?a=b HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer x\r\nAccept: a, b\r\n"
GOOD = (
    HEAD + b"Content-Length: 5\r\n\r\nhello",
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=1\r\n0123456789\r\n0\r\n\r\n",
    b"GET /mcp/rec HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n",
)


@dataclass
class Read:
    """One whole request, as somebody reads it."""

    method: str = ""
    target: bytes = b""
    fields: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""

    @classmethod
    def of(cls, head: Head) -> Read:
        """Our own."""
        return cls(head.method, head.target + (b"?" + head.query if head.query else b""), list(head.fields))

    def fits(self, other: Read) -> bool:
        """Whether the other's is the same, but for fields that we drop or keep apart."""
        target = other.target.removesuffix(b"?") if self.target != other.target else other.target
        mine, theirs = (self.method, self.target, self.body), (other.method, target, other.body)
        return mine == theirs and _plain(self.fields) == _plain(other.fields)


def _plain(fields: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Fields but those that we drop or keep apart; a coding's name is in any case."""
    dropped = {b"upgrade", b"http2-settings", b"content-length"}
    lower = ((name.lower(), value.strip(b" \t")) for name, value in fields)
    return [(n, v.lower() if n == b"transfer-encoding" else v) for n, v in lower if n not in dropped]


def ours(data: bytes) -> list[Read]:
    """The whole requests that our framer finds until it refuses, or one of them ends the connection."""
    framer, found, ended, goes_on, last = Framer(), [], 0, True, False
    framer.feed(data)
    while goes_on and (piece := framer.next()) is not None and not isinstance(piece, Refusal):
        if piece.head is not None:
            found.append(Read.of(piece.head))
            last = not piece.head.keep_alive
        found[-1].body += piece.data
        ended += piece.end
        goes_on = not (piece.end and last)
    return found[:ended]


def by_h11(data: bytes) -> list[Read] | None:
    """The requests that h11 finds; None where it refuses what there is."""
    connection, found, ended = h11.Connection(h11.SERVER), [], 0
    connection.receive_data(data)
    try:
        while True:
            event: Any = connection.next_event()
            if isinstance(event, h11.Request):
                found.append(Read(event.method.decode(), event.target, list(event.headers)))
            elif isinstance(event, h11.Data):
                found[-1].body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                ended += 1
                if connection.our_state is not h11.SEND_RESPONSE:
                    break
                connection.send(h11.Response(status_code=200, headers=[(b"content-length", b"0")]))
                connection.send(h11.EndOfMessage())
                if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                    break
                connection.start_next_cycle()
            else:
                break
    except h11.RemoteProtocolError:
        return None
    return found[:ended]


class _Llhttp:
    def __init__(self) -> None:
        self.found: list[Read] = []
        self.ended = 0

    def on_message_begin(self) -> None:
        self.found.append(Read())

    def on_url(self, url: bytes) -> None:
        self.found[-1].target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.found[-1].fields.append((name, value))

    def on_body(self, body: bytes) -> None:
        self.found[-1].body += body

    def on_message_complete(self) -> None:
        self.found[-1].method = self.parser.get_method().decode()
        self.ended += 1

    parser: Any


def by_llhttp(data: bytes) -> list[Read] | None:
    """The requests that llhttp finds; None where it refuses what there is."""
    read = _Llhttp()
    read.parser = httptools.HttpRequestParser(read)
    try:
        read.parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        return None
    except httptools.HttpParserError:
        return None
    return read.found[: read.ended]


def test_good_requests_are_read_by_all() -> None:
    for data in GOOD:
        for read in (by_h11(data), by_llhttp(data)):
            assert read is not None
            assert [mine.fits(other) for mine, other in zip(ours(data), read, strict=True)] == [True]


@pytest.mark.parametrize("seed", range(8))
def test_what_we_accept_is_read_alike(seed: int) -> None:
    random = Random(seed)
    accepted = 0
    for number in range(sized(3_000, 200_000)):
        data = spoil(random, random.choice(GOOD) + random.choice((b"", *GOOD)))
        mine = ours(data)
        accepted += len(mine)
        for reader in (by_h11, by_llhttp):
            theirs = reader(data)
            if theirs is not None:
                for one, other in zip(mine, theirs, strict=False):
                    assert one.fits(other), (seed, number, reader.__name__, data, one, other)
                assert len(theirs) >= len(mine), (seed, number, reader.__name__, data, mine, theirs)
    assert accepted > 100
