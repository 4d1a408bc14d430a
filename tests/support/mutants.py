"""Good bytes with a little wrong about them: what fuzz tests send. Seeded, so that what failed fails again.

`spoil` changes bytes anywhere; the hostile pieces are those on which readers of HTTP, JSON and event streams are known
to differ. Must not know who reads.
"""

from __future__ import annotations

from itertools import pairwise
from random import Random
from typing import Final

PIECES: Final = (
    *(b"\r", b"\n", b"\r\n", b"\n\n", b"\r\n\r\n", b"\r\n ", b"\x0b", b"\x0c", b"\x00", b" ", b"\t", b":", b";", b","),
    *(
        b"0",
        b"1",
        b"00",
        b"+1",
        b"-1",
        b"0x1",
        b"1_0",
        b"1e0",
        b"1.0",
        b"-0",
        b"99999999999999999999",
        b"f",
        b"FFFFFFFF",
    ),
    *(b"Transfer-Encoding: chunked\r\n", b"Content-Length: 3\r\n", b"content-length: 0\r\n", b"Content_Length: 3\r\n"),
    *(b"Transfer-Encoding : chunked\r\n", b"Expect: 100-continue\r\n", b"Connection: close\r\n", b"Upgrade: h2c\r\n"),
    *(b"Connection: mcp-name, content-length\r\n", b"Host: 127.0.0.1\r\n", b"0\r\n\r\n", b"3\r\nabc\r\n"),
    *(b"GET / HTTP/1.1\r\n", b"HTTP/1.0", b"HTTP/1.1", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
    *(b"%2f", b"%2e%2e", b"%00", b"..", b"//", b"?", b"#", b"@", b"\\", b"*", b"\xff", b"\xc0\xaf", b"\xed\xa0\x80"),
    *(b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\xe2\x80\x8b", b"\xc3\xa9", b"e\xcc\x81", b"\\u0000", b"\\u006e", b"\\ud800"),
    *(b"{", b"}", b"[", b"]", b'"', b"null", b"true", b"NaN", b'"name":"danger",', b'"method":"ping",', b'"id":2,'),
    *(b'"params":{},', b'"result":{},', b'"NAME":"danger",', b'"_meta":{},', b'"arguments":{},', b"danger", b"safe"),
    *(b"data: ", b"data", b"event: x\n", b"id: 1\n", b"retry: 0\n", b": x\n", b"data: {}\n\n"),
)


def spoil(random: Random, data: bytes, most: int = 4) -> bytes:
    """`data` with up to so many changes: a piece put in or over, bytes left out, doubled, moved or flipped."""
    made = bytearray(data)
    for _ in range(random.randint(1, most)):
        at, size = random.randrange(len(made) + 1), random.choice((0, 0, 1, 1, 2, 4, 20))
        part = bytes(made[at : at + size])
        match random.randrange(6):
            case 0 | 1:
                made[at:at] = random.choice(PIECES)
            case 2:
                made[at : at + size] = random.choice(PIECES)
            case 3:
                del made[at : at + size]
            case 4:
                other = random.randrange(len(made) + 1)
                made[other:other] = part
            case _ if at < len(made):
                made[at] ^= 1 << random.randrange(8)
    return bytes(made)


def cut(random: Random, data: bytes, most: int = 8) -> list[bytes]:
    """The same bytes in several pieces; sometimes one by one."""
    if random.random() < 0.1:
        return [data[at : at + 1] for at in range(len(data))]
    edges = [0, *sorted(random.randrange(len(data) + 1) for _ in range(random.randint(1, most))), len(data)]
    return [data[start:end] for start, end in pairwise(edges) if start < end]
