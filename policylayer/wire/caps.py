"""Pure: a result that is larger than policy lets pass, cut to that size, with a word to the agent that it was.

Whole items are kept as they came as long as they fit; the text of the first that does not is cut; `structuredContent`
is left out, since half of it is nothing. What has no items to leave out cannot be cut. Must not know who set the size.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from policylayer.core.immutable import immutable
from policylayer.wire import splice

KEPT: Final = ("resultType", "isError", "ttlMs", "cacheScope", "description")
"""Members besides the items that are kept, if they are small."""

SMALL: Final = 1024
_ITEMS: Final = ("content", "contents", "messages")


@immutable
class Cut:
    """The message with its result cut; `unstructured`: it had structuredContent."""

    raw: bytes
    unstructured: bool


def size_of(raw: bytes, member: str = "result") -> int:
    """Bytes of the result in a message."""
    found = splice.span(raw, (member,))
    return 0 if found is None else found[1] - found[0]


def cut(raw: bytes, result: Mapping[str, Any], most: int) -> Cut | None:
    """The message with its result cut to about `most` bytes; None where it cannot be."""
    name = next((name for name in _ITEMS if type(result.get(name)) is list), None)
    if name is None or result.get("resultType", "complete") != "complete":
        return None
    start, end = splice.span(raw, ("result",)) or (0, 0)
    items = result[name]
    note = orjson.dumps(_note(name, items, f"[Cut by policy: the whole result has {end - start} bytes.]"))
    kept = [member for key in KEPT if (member := _member(raw, key)) is not None]
    left = most - len(note) - sum(len(member) + 1 for member in kept) - len(name) - 8
    body = b",".join([*_fitting(raw, ("result", name), items, left), note])
    new = b"{" + b",".join([*kept, orjson.dumps(name) + b":[" + body + b"]"]) + b"}"
    return Cut(raw[:start] + new + raw[end:], "structuredContent" in result)


def cut_error(raw: bytes, error: Mapping[str, Any], most: int) -> bytes:
    """An error without its data, and with no more of its message than may pass."""
    shorter = splice.remove(raw, ("error", "data")) if "data" in error else raw
    message = error.get("message")
    if size_of(shorter, "error") > most and type(message) is str:
        shorter = splice.replace(shorter, ("error", "message"), _cut_text(message, most) or b'"[Cut by policy.]"')
    return shorter


def _member(raw: bytes, key: str) -> bytes | None:
    found = splice.span(raw, ("result", key))
    if found is None or found[1] - found[0] > SMALL:
        return None
    return orjson.dumps(key) + b":" + raw[slice(*found)]


def _fitting(raw: bytes, path: splice.Path, items: list[Any], left: int) -> list[bytes]:
    """Items as they came, and the first that is too large cut."""
    kept: list[bytes] = []
    for (start, end), item in zip(splice.items(raw, path), items, strict=True):
        if end - start + 1 > left:
            shorter = _shorter(raw[start:end], item, left - 1)
            return kept if shorter is None else [*kept, shorter]
        kept.append(raw[start:end])
        left -= end - start + 1
    return kept


def _shorter(raw: bytes, item: Any, most: int) -> bytes | None:
    """An item with its text cut, or None where it has none or nothing of it would be left."""
    path = _text_of(item)
    if path is None:
        return None
    start, end = splice.span(raw, path) or (0, 0)
    room = most - (len(raw) - (end - start))
    text = item
    for step in path:
        text = text[step]
    new = _cut_text(text, room)
    return None if new is None else raw[:start] + new + raw[end:]


def _text_of(item: Any) -> splice.Path | None:
    for path in (("text",), ("resource", "text"), ("content", "text"), ("content", "resource", "text")):
        value = item
        for step in path:
            value = value.get(step) if type(value) is dict else None
        if type(value) is str:
            return path
    return None


def _cut_text(text: str, room: int) -> bytes | None:
    """The longest beginning of a text, about, that takes no more than `room` bytes as JSON."""
    length = min(len(text), max(room, 0))
    while length > 0:
        encoded = orjson.dumps(text[:length])
        if len(encoded) <= room:
            return encoded
        length = min(length - 1, length * room // len(encoded))
    return None


def _note(name: str, items: list[Any], said: str) -> dict[str, Any]:
    """The item that tells of it."""
    if name == "content":
        return {"type": "text", "text": said}
    if name == "messages":
        return {"role": "user", "content": {"type": "text", "text": said}}
    first = items[0] if items and type(items[0]) is dict else {}
    return {"uri": first.get("uri", "") if len(str(first.get("uri", ""))) <= SMALL else "", "text": said}
