"""Reading a head, and that remembering heads never changes what one is read as."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policylayer.serve.head import LARGEST_REMEMBERED, MAX_HEADERS, REMEMBERED, Heads, Refusal, read_head


def head(*lines: str, first: str = "POST /x HTTP/1.1") -> bytes:
    return "\r\n".join([first, *lines, "", ""]).encode("latin-1")


def told(raw: bytes, heads: Heads | None = None) -> tuple[object, ...]:
    """All that is read of a head, or why it is refused."""
    try:
        read, length = (heads or Heads()).read(raw) if heads is not None else read_head(raw)
    except Refusal as refusal:
        return refusal.status, refusal.reason
    fields = sorted(read.fields)
    return read.method, read.path, read.query, read.version, read.chunked, read.expects, read.keep_alive, length, fields


def test_what_is_read() -> None:
    read, length = read_head(
        head("Host: a", "X-A:  b c\t", "Content-Length: 12", "x-a: é", first="GET /a%20b/%C3%A9?q=%20 HTTP/1.1")
    )
    assert (read.method, read.target, read.path, read.query) == ("GET", b"/a%20b/%C3%A9", "/a b/é", b"q=%20")
    assert read.fields == [(b"host", b"a"), (b"x-a", b"b c"), (b"x-a", "é".encode("latin-1"))]
    assert (length, read.version, read.keep_alive, read.chunked, read.expects) == (12, "1.1", True, False, False)


def test_upgrade_is_dropped() -> None:
    read, _ = read_head(head("Host: a", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA", "X: y"))
    assert read.fields == [(b"host", b"a"), (b"x", b"y")]


@pytest.mark.parametrize(
    ("first", "connection", "keeps"),
    [
        ("GET / HTTP/1.1", None, True),
        ("GET / HTTP/1.1", "close", False),
        ("GET / HTTP/1.1", "Keep-Alive, CLOSE", False),
        ("GET / HTTP/1.1", "upgrade", True),
        ("GET / HTTP/1.0", None, False),
        ("GET / HTTP/1.0", "keep-alive", True),
        ("GET / HTTP/1.0", "keep-alive, close", False),
    ],
)
def test_whether_the_connection_goes_on(first: str, connection: str | None, keeps: bool) -> None:
    lines = ["Host: a", *([f"Connection: {connection}"] if connection else [])]
    assert read_head(head(*lines, first=first))[0].keep_alive is keeps


@pytest.mark.parametrize("order", [("close", "keep-alive"), ("keep-alive", "close")])
@pytest.mark.parametrize("first", ["GET / HTTP/1.0", "GET / HTTP/1.1"])
def test_close_counts_in_whichever_of_several_fields_it_is(first: str, order: tuple[str, str]) -> None:
    lines = ["Host: a", *(f"Connection: {each}" for each in order)]
    assert not read_head(head(*lines, first=first))[0].keep_alive


def test_nobody_waits_to_be_asked_in_http_1_0() -> None:
    """RFC 9110 10.1.1."""
    lines = ("Host: a", "Content-Length: 2", "Expect: 100-continue")
    assert read_head(head(*lines, first="POST / HTTP/1.1"))[0].expects
    assert not read_head(head(*lines, first="POST / HTTP/1.0"))[0].expects


LINES = st.sampled_from(
    [
        "Host: a",
        "host: b",
        "content-length: 5",
        "Content-Length: 5",
        "Content-Length: 7",
        "CONTENT-LENGTH: 3",
        "content-length:4",
        "content-length: 4 ",
        "content-length: +4",
        "content-length: ",
        "content-length: 1234567890123456",
        "x-content-length: 9",
        "Transfer-Encoding: chunked",
        "transfer-encoding: gzip",
        "Expect: 100-continue",
        "Expect: more",
        "Connection: close",
        "X: y",
        "X: y\rcontent-length: 6",
        "X: y\ncontent-length: 6",
        " folded",
        "Authorization: Bearer t",
    ]
)
HEADS = st.lists(LINES, max_size=5).map(lambda lines: head("Host: a", *lines)) | st.lists(LINES, max_size=5).map(
    lambda lines: head(*lines)
)


@pytest.mark.shows("proxy.5")
@given(st.lists(HEADS, min_size=2, max_size=8))
def test_remembering_changes_nothing(raws: list[bytes]) -> None:
    """HTTP-01, HTTP-02: whatever was read before, a head is read as if nothing had been."""
    heads = Heads()
    for raw in [*raws, *raws]:
        assert told(raw, heads) == told(raw)


@pytest.mark.shows("proxy.5")
@pytest.mark.parametrize(
    ("before", "then"),
    [
        (head("Host: a", "CONTENT-LENGTH: 3"), head("Host: a", "CONTENT-LENGTH: 3", "content-length: 5")),
        (head("Host: a", "CONTENT-LENGTH: 3"), head("Host: a", "CONTENT-LENGTH: 3")),
        (
            head("Host: a", "Transfer-Encoding: chunked"),
            head("Host: a", "content-length: 5", "Transfer-Encoding: chunked"),
        ),
        (head("Host: a", "content-length: 5"), head("Host: a", "content-length: 5", "content-length: 5")),
        (head("Host: a", "content-length: 5"), head("Host: a", "Content-Length: 5", "content-length: 5")),
        (head("Host: a", "content-length: 5"), head("Host: a")),
        (head("Host: a"), head("Host: a", "content-length: 5")),
        (head("Host: a", "X: y", "content-length: 5"), head("Host: a", "content-length: 6", "X: y")),
        (
            head("Host: a", *["X: y"] * (MAX_HEADERS - 1)),
            head("Host: a", *["X: y"] * (MAX_HEADERS - 1), "content-length: 1"),
        ),
    ],
)
def test_what_looks_like_a_head_that_was_read_before(before: bytes, then: bytes) -> None:
    heads = Heads()
    told(before, heads)
    assert told(then, heads) == told(then)


def test_the_same_head_with_another_length_is_the_same() -> None:
    heads = Heads()
    first, _ = heads.read(head("Host: a", "content-length: 5", "X: y"))
    again, length = heads.read(head("Host: a", "content-length: 123", "X: y"))
    assert again is first
    assert length == 123


def test_few_are_remembered_and_no_long_ones() -> None:
    heads = Heads()
    for number in range(REMEMBERED * 2):
        heads.read(head("Host: a", f"X: {number}"))
    assert len(heads._read) == REMEMBERED
    heads.read(head("Host: a", "X: " + "y" * LARGEST_REMEMBERED))
    assert max(map(len, heads._read)) < LARGEST_REMEMBERED
