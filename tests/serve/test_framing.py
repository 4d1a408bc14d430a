"""The strict framer: what it refuses, and that cutting the input differently never changes anything."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policylayer.serve.framing import MAX_HEAD, Framer, Piece
from policylayer.serve.head import Refusal

GOOD = b"POST /mcp/shop HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=1\r\n0123456789\r\n0\r\n\r\n"
)


def run(*parts: bytes) -> tuple[bytes, int, Refusal | None]:
    """What was accepted, how many requests ended, and the refusal if any."""
    framer, accepted, ends = Framer(), b"", 0
    for part in parts:
        framer.feed(part)
        while (piece := framer.next()) is not None:
            if isinstance(piece, Refusal):
                return accepted, ends, piece
            accepted, ends = accepted + piece.data, ends + piece.end
    return accepted, ends, None


def head(*lines: str, version: str = "1.1", method: str = "POST", target: str = "/x") -> bytes:
    return (
        f"{method} {target} HTTP/{version}\r\n".encode() + "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n"
    )


@pytest.mark.parametrize(
    ("message", "body"),
    [(GOOD, b"hello"), (CHUNKED, b"abc0123456789"), (b"GET /a?b=c HTTP/1.1\r\nHost: a\r\n\r\n", b"")],
)
def test_bodies_are_cut_out_of_good_requests(message: bytes, body: bytes) -> None:
    assert run(message) == (body, 1, None)
    assert run(message + message) == (body + body, 2, None)


@given(st.lists(st.integers(0, 400), max_size=12), st.sampled_from([GOOD + CHUNKED + GOOD, CHUNKED * 3, GOOD * 2]))
def test_cutting_the_input_changes_nothing(cuts: list[int], message: bytes) -> None:
    edges = sorted({0, len(message), *(cut for cut in cuts if cut < len(message))})
    parts = [message[a:b] for a, b in pairwise(edges)]
    assert run(*parts) == run(message)


@given(st.lists(st.integers(0, 200), max_size=8))
def test_cutting_a_bad_chunk_is_refused_all_the_same(cuts: list[int]) -> None:
    message = head("Host: a", "Transfer-Encoding: chunked") + b"3\r\nabcX\r\n0\r\n\r\n"
    edges = sorted({0, len(message), *(cut for cut in cuts if cut < len(message))})
    refusal = run(*[message[a:b] for a, b in pairwise(edges)])[2]
    assert refusal is not None
    assert refusal.status == 400


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    """Good requests with a few bytes replaced, left out or put in."""
    message = bytearray(draw(st.sampled_from([GOOD + CHUNKED + GOOD, CHUNKED * 2, GOOD * 2])))
    for _ in range(draw(st.integers(1, 3))):
        at, size = draw(st.integers(0, len(message))), draw(st.integers(0, 3))
        message[at : at + size] = draw(st.sampled_from(SPOILS))
    return bytes(message)


SPOILS = [
    b"",
    b"\n",
    b"\r",
    b"\r\n",
    b"\r\n\r\n",
    b"\n\n",
    b" ",
    b"\t",
    b":",
    b"\x00",
    b"0",
    b"f",
    b";",
    b"-",
    b"\xff",
    b"x" * 9000,
]


@given(spoilt(), st.lists(st.integers(0, 300), max_size=8))
def test_cutting_a_spoilt_request_changes_neither_its_refusal_nor_what_came_before(
    data: bytes, cuts: list[int]
) -> None:
    told(data, [cut for cut in cuts if cut < len(data)])


def told(data: bytes, cuts: list[int]) -> tuple[int, str] | None:
    """Whole, cut, and byte by byte it ends alike; how."""
    whole = run(data)
    edges = sorted({0, len(data), *cuts})
    for parts in ([data[a:b] for a, b in pairwise(edges)], [data[at : at + 1] for at in range(len(data))]):
        accepted, ends, refusal = run(*parts)
        assert ends == whole[1]
        if whole[2] is None:
            assert (accepted, refusal) == (whole[0], None)
        else:
            assert refusal is not None
            assert (refusal.status, refusal.reason) == (whole[2].status, whole[2].reason)
    return None if whole[2] is None else (whole[2].status, whole[2].reason)


@given(st.binary(max_size=300))
def test_no_bytes_raise(data: bytes) -> None:
    run(data)
    run(head("Host: a", "Transfer-Encoding: chunked") + data)


BAD_HEADS = {
    "both framings": head("Host: a", "Content-Length: 3", "Transfer-Encoding: chunked"),
    "both framings, other order": head("Host: a", "Transfer-Encoding: chunked", "Content-Length: 3"),
    "equal lengths twice": head("Host: a", "Content-Length: 3", "Content-Length: 3"),
    "unequal lengths": head("Host: a", "Content-Length: 3", "Content-Length: 4"),
    "list of lengths": head("Host: a", "Content-Length: 3, 3"),
    "signed length": head("Host: a", "Content-Length: +3"),
    "negative length": head("Host: a", "Content-Length: -3"),
    "hexadecimal length": head("Host: a", "Content-Length: 0x3"),
    "underscore length": head("Host: a", "Content-Length: 1_0"),
    "empty length": head("Host: a", "Content-Length: "),
    "huge length": head("Host: a", "Content-Length: " + "9" * 20),
    "space before the colon": head("Host: a", "Content-Length : 3"),
    "folded header": head("Host: a", "X-A: b", " c"),
    "folded with a tab": head("Host: a", "X-A: b", "\tc"),
    "coding list": head("Host: a", "Transfer-Encoding: gzip, chunked"),
    "unknown coding": head("Host: a", "Transfer-Encoding: xchunked"),
    "coding twice": head("Host: a", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
    "coding with a vertical tab": head("Host: a", "Transfer-Encoding: \x0bchunked"),
    "chunked in 1.0": head("Host: a", "Transfer-Encoding: chunked", version="1.0"),
    "two hosts": head("Host: a", "Host: a"),
    "no host": head("X-A: b"),
    "empty host": head("Host: "),
    "NUL": head("Host: a", "X-A: b\x00c"),
    "bare CR": head("Host: a", "X-A: b\rc"),
    "empty name": head("Host: a", ": x"),
    "no colon": head("Host: a", "nonsense"),
    "absolute target": head("Host: a", target="http://b/x"),
    "asterisk": head("Host: a", target="*", method="OPTIONS"),
    "fragment": head("Host: a", target="/x#y"),
    "unencoded target": head("Host: a", target="/x\x7f"),
    "HTTP/2": head("Host: a", version="2.0"),
    "HTTP/0.9": b"GET /x\r\n\r\n",
    "preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "leading blank line": b"\r\n" + GOOD,
    "bare LF line": b"POST /x HTTP/1.1\r\nHost: a\nContent-Length: 0\r\n\r\n",
    "bare LF everywhere": b"POST /x HTTP/1.1\nHost: a\n\n",
    "LF before the blank line": b"POST /x HTTP/1.1\r\nHost: a\r\nX: y\n\nContent",
}


@pytest.mark.shows("proxy.5")
@pytest.mark.parametrize("name", BAD_HEADS)
def test_doubtful_heads_are_refused(name: str) -> None:
    accepted, ends, refusal = run(BAD_HEADS[name])
    assert (accepted, ends) == (b"", 0)
    assert refusal is not None
    assert refusal.status == 400
    assert told(BAD_HEADS[name], []) == (400, refusal.reason)


BAD_CHUNKS = {
    "0x size": b"0x3\r\nabc\r\n",
    "underscore": b"1_0\r\n",
    "negative": b"-1\r\nabc",
    "plus": b"+3\r\nabc",
    "2^64": b"10000000000000000\r\n",
    "empty size": b"\r\nabc",
    "space": b" 3\r\nabc\r\n",
    "LF only": b"3\nabc\n0\n\n",
    "long extension": b"3;" + b"a" * 1_000_000 + b"\r\n",
    "control in an extension": b"3;a\x00b\r\n",
    "bare CR in an extension": b"3;a\rb\r\nabc\r\n",
    "data longer than the size": b"3\r\nabcd\r\n",
    "data then LF": b"3\r\nabc\n",
    "trailer": b"0\r\nX: y\r\n\r\n",
    "LF at the end": b"0\r\n\n",
}


@pytest.mark.shows("proxy.5")
@pytest.mark.parametrize("name", BAD_CHUNKS)
def test_doubtful_chunks_are_refused(name: str) -> None:
    _, ends, refusal = run(head("Host: a", "Transfer-Encoding: chunked"), BAD_CHUNKS[name])
    assert ends == 0
    assert refusal is not None
    assert refusal.status == 400


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (head("Host: a", "X-Long: " + "x" * 200_000), 431),
        (head("Host: a", *(f"X-{n}: y" for n in range(101))), 431),
        (b"GET /" + b"a" * MAX_HEAD, 431),
        (head("Host: a", target="/" + "a" * 9000), 431),
        (head("Host: a", method="CONNECT", target="a:443"), 405),
        (head("Host: a", "Expect: magic"), 417),
    ],
)
def test_refusals_with_their_own_status(message: bytes, status: int) -> None:
    assert (told(message[: 2 * MAX_HEAD], []) or (0, ""))[0] == status


@pytest.mark.shows("proxy.5")
def test_many_small_chunks_cost_no_more_than_their_bytes() -> None:
    """One piece of all that is here: each chunk is looked at, and nothing is copied for it but its own bytes."""
    framer = Framer()
    framer.feed(head("Host: a", "Transfer-Encoding: chunked") + b"1\r\nx\r\n" * 40_000 + b"1\r\nx")
    pieces = []
    while isinstance(piece := framer.next(), Piece):
        pieces.append(piece)
    assert [(len(piece.data), piece.end) for piece in pieces] == [(0, False), (40_001, False)]
    framer.feed(b"\r\n0\r\n\r\n")
    assert framer.next() == Piece(b"", end=True)


def test_the_length_of_nothing_needs_no_body() -> None:
    message = head("Host: a", "Content-Length: 0")
    framer = Framer()
    framer.feed(message)
    piece = framer.next()
    assert isinstance(piece, Piece)
    assert (piece.data, piece.end, piece.length) == (b"", True, 0)
    assert not framer.in_body
