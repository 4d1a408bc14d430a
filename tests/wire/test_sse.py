"""Streams of events, read in pieces of any size, and written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from policylayer.wire.sse import Event, EventTooLarge, Parser, comment, encode, escaped, reads_alike, rewritten
from tests.wire.readers import READERS, Reader


def read(*chunks: bytes, limit: int = 1000) -> list[tuple[bytes | None, str | None, str | None, int | None]]:
    parser = Parser(limit)
    return [(event.data, event.event, event.id, event.retry) for chunk in chunks for event in parser.feed(chunk)]


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_line_ends(end: bytes) -> None:
    stream = end.join([b"event: message", b"id: 7", b"retry: 100", b"data: a", b"data:b", b"", b"data: c", b"", b""])
    expected = [(b"a\nb", "message", "7", 100), (b"c", None, None, None)]
    assert read(stream) == expected
    assert read(*(stream[index : index + 1] for index in range(len(stream)))) == expected


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data: x\n\n", (b"x", None, None, None)),
        (b"data:  x\n\n", (b" x", None, None, None)),
        (b"data\n\n", (b"", None, None, None)),
        (b"id: 1\ndata:\n\n", (b"", None, "1", None)),
        (b"data:\ndata:\n\n", (b"\n", None, None, None)),
        (b"id: 1\n\n", (None, None, "1", None)),
        (b": ping\n\n", (None, None, None, None)),
        (b": ping\ndata: x\n\n", (b"x", None, None, None)),
        (b"retry: 5\n\n", (None, None, None, 5)),
        (b"retry: -5\ndata: x\n\n", (b"x", None, None, None)),
        (b"retry: 5s\ndata: x\n\n", (b"x", None, None, None)),
        (b"retry: " + b"9" * 16 + b"\ndata: x\n\n", (b"x", None, None, None)),
        (b"id: a\x00b\ndata: x\n\n", (b"x", None, None, None)),
        (b"id\ndata: x\n\n", (b"x", None, "", None)),
        (b"id: 1\nid: 2\nevent: a\nevent: b\ndata: x\n\n", (b"x", "b", "2", None)),
        (b"Data: x\n data: y\nunknown: z\ndata: w\n\n", (b"w", None, None, None)),
        (b"data: a: b\n\n", (b"a: b", None, None, None)),
        (b"\xef\xbb\xbfdata: x\n\n", (b"x", None, None, None)),
        (b"event: \xff\ndata: \xff\n\n", (b"\xff", "\ufffd", None, None)),
        (b"\n", (None, None, None, None)),
    ],
)
def test_fields(stream: bytes, expected: object) -> None:
    assert read(stream) == [expected]


def test_only_the_stream_begins_with_a_mark() -> None:
    assert read(b"data: x\n\n\xef\xbb\xbfdata: y\n\n") == [(b"x", None, None, None), (None, None, None, None)]
    assert read(b"\xef", b"\xbb", b"\xbfdata: x\n\n") == [(b"x", None, None, None)]
    assert read(b"\xef\xbb\xbf\n") == [(None, None, None, None)]


def test_a_return_is_an_end_before_it_is_known_what_follows() -> None:
    parser = Parser(100)
    (event,) = parser.feed(b"data: x\r\n\r")
    assert event == Event(b"x", None, None, None, b"data: x\r\n\r")
    assert parser.feed(b"\ndata: y\r\n") == []
    (event,) = parser.feed(b"\r\n")
    assert event.data == b"y"
    assert event.raw == b"\ndata: y\r\n\r\n"


def test_what_is_not_whole_is_pending() -> None:
    parser = Parser(100)
    assert parser.feed(b"") == []
    assert parser.feed(b"data: x\n") == []
    assert parser.pending == b"data: x\n"
    assert len(parser.feed(b"\n: c")) == 1
    assert parser.pending == b": c"


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_events_have_a_largest_size(chunk: int) -> None:
    fine = b"data: " + b"x" * 92 + b"\n\n"
    parser = Parser(100)
    assert len([event for at in range(0, 100, chunk) for event in parser.feed(fine[at : at + chunk])]) == 1
    large = b"data: " + b"x" * 93 + b"\n\n"
    with pytest.raises(EventTooLarge):
        _ = [parser.feed(large[at : at + chunk]) for at in range(0, 200, chunk)]


def test_what_was_whole_before_is_not_lost() -> None:
    with pytest.raises(EventTooLarge) as raised:
        Parser(20).feed(b"data: a\n\ndata: " + b"x" * 100)
    assert [event.data for event in raised.value.events] == [b"a"]
    with pytest.raises(EventTooLarge) as raised:
        Parser(20).feed(b"data: a\n\ndata: " + b"x" * 100 + b"\n\n")
    assert [event.data for event in raised.value.events] == [b"a"]


pieces = st.lists(
    st.sampled_from(
        [
            b"\n",
            b"\r",
            b"\r\n",
            b"data",
            b"data: x",
            b":",
            b"id: 1",
            b"id: \x00",
            b"event:e",
            b"retry: 1",
            b" ",
            b"\xef\xbb\xbf",
            b"\xff",
            b"x",
        ]
    ),
    max_size=30,
).map(b"".join)


@given(pieces, st.data())
def test_nothing_is_lost_and_chunks_do_not_matter(stream: bytes, data: st.DataObject) -> None:
    whole = Parser(10_000)
    events = whole.feed(stream)
    assert b"".join(event.raw for event in events) + whole.pending == stream
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    parser = Parser(10_000)
    parts = [
        event
        for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)
        for event in parser.feed(stream[start:end])
    ]
    assert [(event.data, event.event, event.id, event.retry) for event in parts] == [
        (event.data, event.event, event.id, event.retry) for event in events
    ]
    assert b"".join(event.raw for event in parts) + parser.pending == stream


@given(st.binary(), st.none() | st.text(), st.none() | st.text())
def test_what_is_written_is_read(data: bytes, event: str | None, id: str | None) -> None:
    written = encode(data, event, id)
    (got,) = Parser(10_000).feed(written)
    assert got.data == data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    assert got.raw == written
    if event is not None:
        assert got.event == one_line(event)
    if id is not None:
        assert got.id == one_line(id)


def one_line(text: str) -> str:
    """What is left of a text that no reader can take for two lines."""
    return re.sub("[\r\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029]", " ", text).replace("\x00", "")


@given(st.text(st.sampled_from('a"\\\x0b\x1c\x85\u2028\u2029é')), st.booleans())
def test_every_reader_finds_the_same_lines_in_what_is_escaped(text: str, ascii: bool) -> None:
    data = json.dumps({text: [text]}, ensure_ascii=ascii).encode()
    written = encode(escaped(data), "message", "1")
    assert reads_alike(written)
    assert written.decode().splitlines() == written.decode().split("\n")[:-1]
    assert json.loads(escaped(data)) == {text: [text]}
    assert reads_alike(encode(data)) is (escaped(data) == data)


# --- what other readers find ------------------------------------------------------------------------------------------

SAID = (b'{"m":1}', b'{"m":\n2}', b'{"m":"\xc2\x85data: {}\xe2\x80\xa8"}')
ENDS = (b"\n", b"\r", b"\r\n", b"\n\r", b"\n\n", b"\r\r", b"\r\n\r\n", b"\x0b", b"\x00", b"\xc2\x85", b"\xe2\x80\xa9")
NAMES = (
    b"data:",
    b"data: ",
    b"data",
    b"Data:",
    b" data:",
    b"data :",
    b"\xef\xbb\xbfdata:",
    b"\x00data:",
    b"da\x00ta:",
    b"\tdata:",
)
OTHERS = (b": ", b":", b"id: ", b"id: \x00", b"event: message", b"retry: 1", b"x:", b"\xef\xbb\xbf", b"\xff")
odd_streams = st.lists(st.sampled_from((*SAID, *ENDS, *ENDS, *NAMES, *OTHERS)), max_size=25).map(b"".join) | st.binary()


def relayed(stream: bytes, cut: int) -> tuple[bytes, list[bytes]]:
    """What the proxy makes of a stream, and every text in it that was judged."""
    out, judged = b"", list[bytes]()
    for event in _parsed(stream, cut):
        if event.data:
            try:
                json.loads(event.data)
            except ValueError:
                break
            judged.append(event.data)
        out += event.raw if reads_alike(event.raw) else rewritten(event, event.data)
    return out, judged


def _parsed(stream: bytes, cut: int) -> Iterator[Event]:
    parser = Parser(10_000)
    for start in range(0, len(stream), cut):
        yield from parser.feed(stream[start : start + cut])


def meant(text: bytes) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


@pytest.mark.shows("proxy.5")
@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
@given(stream=odd_streams, cut=st.integers(1, 40))
@example(b'data:\r{"m":1}\n\n', 40)
@example(b'id: 1\rdata:\r{"m":1}\n\n', 40)
@example(b':\rdata: {"m":1}\n\n', 40)
@example(b'data:\n\r\n\xef\xbb\xbfdata: {"m":1}\n\n', 1)
@example(b'data: {"m":\ndata: {"m":1}\ndata: }\n\n', 40)
@example(b'id: 1\nData: {"m":1}\n\n', 40)
@example(b'data: {"m":1}\r\n\r\n', 15)
def test_no_reader_finds_a_message_that_was_not_judged(reader: Reader, stream: bytes, cut: int) -> None:
    out, judged = relayed(stream, cut)
    assert [found for found in map(meant, reader(out)) if found not in [meant(text) for text in judged]] == []


def test_an_event_written_anew_says_the_same() -> None:
    (event,) = Parser(100).feed(b"\xef\xbb\xbfretry: 5\rid: 7\revent: message\rdata: {\rdata: }\r\r")
    assert not reads_alike(event.raw)
    assert rewritten(event, event.data) == b"retry: 5\nevent: message\nid: 7\ndata: { }\n\n"
    assert rewritten(event, None) == b"retry: 5\nevent: message\nid: 7\n\n"
    (event,) = Parser(100).feed(b"event: x\r: y\r\r")
    assert rewritten(event, event.data) == b""


@pytest.mark.parametrize(
    "raw",
    [
        b"data: {}\n\n",
        b"event: message\r\nid: 7\r\ndata:{}\r\n\r\n",
        b": ping\n\n",
        b"id: 7\ndata:\n\n",
        b"\n",
        b"\r\n",
    ],
)
def test_ordinary_events_are_left_as_they_are(raw: bytes) -> None:
    assert reads_alike(raw)


def test_writing() -> None:
    assert encode(b'{"a":1}') == b'data: {"a":1}\n\n'
    assert encode(b"{}", "message", "7") == b"event: message\nid: 7\ndata: {}\n\n"
    assert comment("ping\nx") == b": ping x\n\n"
    assert read(comment("ping")) == [(None, None, None, None)]
