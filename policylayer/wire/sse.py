"""Pure: server-sent events, read as they arrive and kept byte for byte.

`Parser` takes chunks of any size and gives whole events, each with the bytes it was made of, so that an event may be
relayed as it came: the `raw` of all events and `pending` are what was fed, in order. It is relayed so only where every
reader, a careless one too, finds in it what was found here (`reads_alike`); any other is written anew (`rewritten`).

Must not know what an event carries (`server_messages`).
"""

from __future__ import annotations

import re
from typing import Final

from policylayer.core.immutable import immutable

_LINE_END: Final = re.compile(rb"\r\n|\r|\n")
_BOM: Final = b"\xef\xbb\xbf"
_COLON: Final = 0x3A
"""What a comment begins with: a field without a name, which says nothing."""

_ODD: Final = re.compile(rb"[\x00\x0b\x0c\x1c-\x1e]|\xc2\x85|\xe2\x80[\xa8\xa9]")
"""What ends no line of a stream, but where some readers (those that use `str.splitlines`, or C's strings) end one."""

_VALUE: Final = rb":[^\r\n\x00\x0b\x0c\x1c-\x1e]*+\r?\n"
_FIELDS: Final = rb"(?:(?:event|id|retry)?" + _VALUE + rb")*+"
_PLAIN: Final = re.compile(_FIELDS + rb"(?:data" + _VALUE + rb")?+" + _FIELDS + rb"\r?\n")
"""An event of which every reader finds the same fields: lines that end at an LF, the protocol's names as they are
written there, and one line of data. A lone CR, a mark before a name, `Data:`, ` data:` or a second line of data is read
as something by some readers and as nothing, or as something else, by others."""


class EventTooLarge(ValueError):
    """An event is larger than the parser's limit; `events` are those that were whole before it."""

    def __init__(self, events: list[Event]) -> None:
        super().__init__("an event is too large")
        self.events = events


@immutable
class Event:
    """One event, or a block that is none: comments, an id or a `retry` alone; its `data` is None.

    `raw` includes the blank line at its end.
    """

    data: bytes | None
    event: str | None
    id: str | None
    retry: int | None
    raw: bytes


class Parser:
    """Reads one stream. `limit` is the largest event, in bytes."""

    __slots__ = ("_buffer", "_data", "_event", "_first", "_half", "_id", "_limit", "_line", "_retry", "_seen")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()  # the bytes of the event that is not whole yet
        self._line = 0  # where in it the line begins that is not whole yet
        self._seen = 0  # up to where that line has been searched for its end
        self._half = False  # the last line ended with a CR; an LF that follows belongs to it
        self._first = True
        self._clear()

    def _clear(self) -> None:
        self._data: list[bytes] = []
        self._event: str | None = None
        self._id: str | None = None
        self._retry: int | None = None

    @property
    def pending(self) -> bytes:
        """What has been fed and is no whole event. At the end of the stream it is to be dropped."""
        return bytes(self._buffer)

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that `chunk` completes. Raises `EventTooLarge`."""
        events: list[Event] = []
        if not chunk:
            return events
        self._buffer += chunk
        if self._half:
            self._half = False
            if chunk[0] == 0x0A:
                self._line += 1
                self._seen += 1
        while (end := _LINE_END.search(self._buffer, self._seen)) is not None:
            line = bytes(self._buffer[self._line : end.start()])
            self._line = self._seen = end.end()
            self._half = end.end() == len(self._buffer) and end.group() == b"\r"
            if self._first:
                self._first = False
                line = line.removeprefix(_BOM)
            if not line:
                self._finish(events)
            elif line[0] != _COLON:
                self._field(line)
        self._seen = len(self._buffer)
        if self._seen > self._limit:
            raise EventTooLarge(events)
        return events

    def _finish(self, events: list[Event]) -> None:
        raw = bytes(self._buffer[: self._line])
        if len(raw) > self._limit:
            raise EventTooLarge(events)
        data = b"\n".join(self._data) if self._data else None
        events.append(Event(data, self._event, self._id, self._retry, raw))
        del self._buffer[: self._line]
        self._line = self._seen = 0
        self._clear()

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._event = value.decode(errors="replace")
        elif name == b"id" and b"\x00" not in value:
            self._id = value.decode(errors="replace")
        elif name == b"retry" and value.isdigit() and len(value) <= 15:
            self._retry = int(value)


def reads_alike(raw: bytes) -> bool:
    """Whether every reader finds the same in an event: else one could find messages that nobody has judged."""
    if _PLAIN.fullmatch(raw) is None:
        return False
    return b"\xc2\x85" not in raw and b"\xe2\x80\xa8" not in raw and b"\xe2\x80\xa9" not in raw


def escaped(data: bytes) -> bytes:
    """A JSON text that reads alike, in one line: odd characters can only be in its strings, where an escape is the
    same, and line ends only between its parts, where a space is."""
    return _LINE_END.sub(b" ", _ODD.sub(lambda found: b"\\u%04x" % ord(found[0].decode()), data))


def rewritten(event: Event, data: bytes | None) -> bytes:
    """An event written anew, with this JSON text as its data; nothing where nothing in it says anything."""
    if data is None and event.id is None and event.retry is None:
        return b""
    head = b"" if event.retry is None else b"retry: %d\n" % event.retry
    if data is None:
        return head + _head(event.event, event.id) + b"\n"
    return head + encode(escaped(data), event.event, event.id)


def encode(data: bytes, event: str | None = None, id: str | None = None) -> bytes:
    """One event. Line ends in `data` make several lines of it, which a reader joins again."""
    return _head(event, id) + b"".join(b"data: " + line + b"\n" for line in _LINE_END.split(data)) + b"\n"


def _head(event: str | None, id: str | None) -> bytes:
    head = b""
    if event is not None:
        head += b"event: " + _one_line(event) + b"\n"
    if id is not None:
        head += b"id: " + _one_line(id) + b"\n"
    return head


def comment(text: str) -> bytes:
    """A comment, which keeps a stream alive and says nothing."""
    return b": " + _one_line(text) + b"\n\n"


def _one_line(text: str) -> bytes:
    return _ODD.sub(b" ", text.replace("\r", " ").replace("\n", " ").replace("\x00", "").encode())
