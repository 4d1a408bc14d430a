"""Pure: change one place of a JSON text and leave every other byte as it came.

Works on text that `strict_json` has accepted; a path is a tuple of member names and item indexes. What is put in must
be JSON itself. Nothing is ever serialised again, so numbers, escapes and order of what is not touched stay exact.

Must not know what the text means (`lists` and the proxy do).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

import orjson

from policylayer.core.immutable import immutable

Path: TypeAlias = "tuple[str | int, ...]"
Span: TypeAlias = tuple[int, int]

_TEXT: Final = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_FLAT: Final = rb'(?:[^"\[\]{}]++|' + _TEXT + rb")*+"


def _nested(levels: int) -> bytes:
    """What may stand between two brackets, with so many levels of brackets inside."""
    inside = _FLAT
    for _ in range(levels):
        inside = _FLAT + rb"(?:[\[{]" + inside + rb"[\]}]" + _FLAT + rb")*+"
    return inside


LEVELS: Final = 6
"""Containers inside one that are passed at one go; deeper ones are passed bracket by bracket."""

_SPACE: Final = re.compile(rb"[ \t\r\n]*+")
_STRING: Final = re.compile(_TEXT)
_PLAIN: Final = re.compile(rb"[^,\]} \t\r\n]++")
_TO_BRACKET: Final = re.compile(_FLAT)
_CONTAINER: Final = re.compile(rb"[\[{]" + _nested(LEVELS) + rb"[\]}]")
_OPENING: Final = b"[{"
_QUOTE, _BRACE, _COMMA = b'"{,'


@immutable
class Part:
    """One member or item: the `start` of its name, the span of its value. An item's name is its index."""

    name: str | int
    start: int
    value: int
    end: int


def span(raw: bytes, path: Path) -> Span | None:
    """Where the value at `path` begins and ends, or None where there is none."""
    part = _find(raw, path)
    return None if part is None else (part.value, part.end)


def items(raw: bytes, path: Path) -> list[Span]:
    """The spans of the items of the array at `path`, or of the values of the object there."""
    found = span(raw, path)
    return [] if found is None else [(part.value, part.end) for part in _parts(raw, found[0])]


def replace(raw: bytes, path: Path, new: bytes) -> bytes:
    """`raw` with `new` as the value at `path`. KeyError where there is none."""
    start, end = _required(raw, path)
    return raw[:start] + new + raw[end:]


def insert_member(raw: bytes, path: Path, name: str, value: bytes) -> bytes:
    """`raw` with the member `name` in the object at `path`: put first, or in the place of one of that name."""
    start, _ = _required(raw, path)
    if raw[start] != _BRACE:
        raise KeyError(path)
    present = span(raw, (*path, name))
    if present is not None:
        return raw[: present[0]] + value + raw[present[1] :]
    member = orjson.dumps(name) + b":" + value
    separator = b"," if any(True for _ in _parts(raw, start)) else b""
    return raw[: start + 1] + member + separator + raw[start + 1 :]


def remove(raw: bytes, path: Path) -> bytes:
    """`raw` without the member or item at `path`, and its comma. KeyError where there is none."""
    start, _ = _required(raw, path[:-1])
    return _without(raw, list(_parts(raw, start)), frozenset(path[-1:]), path)


def remove_items(raw: bytes, path: Path, indexes: frozenset[int]) -> bytes:
    """`raw` without the items at `indexes` of the array at `path`."""
    if not indexes:
        return raw
    start, _ = _required(raw, path)
    return _without(raw, list(_parts(raw, start)), indexes, path)


def replace_all(raw: bytes, edits: Mapping[Path, bytes], names: Mapping[Path, str] | None = None) -> bytes:
    """`raw` with each of these values replaced, and the members at the paths `names` called so.

    In one pass. A value inside another that is replaced stays out of it, and a path that leads nowhere changes nothing.
    """
    tree: dict[str | int, Any] = {}
    for path in (*edits, *(names or ())):
        below = tree
        for step in path:
            below = below.setdefault(step, {})
    changes: list[tuple[int, int, bytes]] = []
    _changes(raw, _past(_SPACE, raw, 0), (), tree, (edits, names or {}), changes)
    parts, at = [], 0
    for start, end, new in changes:
        parts += [raw[at:start], new]
        at = end
    return b"".join([*parts, raw[at:]])


def _changes(
    raw: bytes,
    start: int,
    at: Path,
    tree: Mapping[str | int, Any],
    wanted: tuple[Mapping[Path, bytes], Mapping[Path, str]],
    changes: list[tuple[int, int, bytes]],
) -> None:
    """What is to be changed below `start`, in the order of the text."""
    edits, names = wanted
    if at in edits:
        changes.append((start, _end(raw, start), edits[at]))
        return
    if not tree:
        return
    for part in _parts(raw, start):
        if part.name in tree:
            below = (*at, part.name)
            if below in names:
                changes.append((part.start, _past(_STRING, raw, part.start), orjson.dumps(names[below])))
            _changes(raw, part.value, below, tree[part.name], wanted, changes)


def _without(raw: bytes, parts: list[Part], names: frozenset[str | int] | frozenset[int], path: Path) -> bytes:
    kept = [part for part in parts if part.name not in names]
    if len(parts) - len(kept) != len(names):
        raise KeyError(path)
    body = b",".join(raw[part.start : part.end] for part in kept)
    return raw[: parts[0].start] + body + raw[parts[-1].end :]


def _required(raw: bytes, path: Path) -> Span:
    found = span(raw, path)
    if found is None:
        raise KeyError(path)
    return found


def _find(raw: bytes, path: Path) -> Part | None:
    start = _past(_SPACE, raw, 0)
    part = Part("", start, start, -1)
    for step in path:
        wanted = "{" if type(step) is str else "["
        if raw[part.value : part.value + 1] != wanted.encode():
            return None
        below = next((entry for entry in _parts(raw, part.value) if entry.name == step), None)
        if below is None:
            return None
        part = below
    return part if part.end >= 0 else Part("", start, start, _end(raw, start))


def _parts(raw: bytes, at: int) -> Iterator[Part]:
    """The members or items of the container that begins at `at`; nothing where there is no container."""
    if raw[at] not in _OPENING:
        return
    named = raw[at] == _BRACE
    index = 0
    at = _past(_SPACE, raw, at + 1)
    if raw[at] in b"]}":
        return
    while True:
        start = at
        name: str | int = index
        if named:
            end = _past(_STRING, raw, at)
            name = orjson.loads(raw[at:end])
            at = _past(_SPACE, raw, _past(_SPACE, raw, end) + 1)
        end = _end(raw, at)
        yield Part(name, start, at, end)
        at = _past(_SPACE, raw, end)
        if raw[at] != _COMMA:
            return
        at = _past(_SPACE, raw, at + 1)
        index += 1


def _end(raw: bytes, at: int) -> int:
    """Where the value that begins at `at` ends."""
    first = raw[at]
    if first == _QUOTE:
        return _past(_STRING, raw, at)
    if first not in _OPENING:
        return _past(_PLAIN, raw, at)
    whole = _CONTAINER.match(raw, at)
    if whole is not None:
        return whole.end()
    depth = 1
    at += 1
    while depth:
        at = _past(_TO_BRACKET, raw, at)
        depth += 1 if raw[at] in _OPENING else -1
        at += 1
    return at


def _past(pattern: re.Pattern[bytes], raw: bytes, at: int) -> int:
    match = pattern.match(raw, at)
    if match is None:
        raise ValueError("not the JSON that was accepted")
    return match.end()
