"""Pure: a result with everything masked in it that policy wants masked; every other byte as it came.

What is masked keeps its type, so that whoever reads the result by its outputSchema still can: a text becomes
`[masked]`, a number 0, a truth value false, and lists and objects keep their form. Members that steer the protocol are
left alone. What is masked in `structuredContent` is masked in texts too: as JSON, and wherever the value occurs.

Must not know which masks there are (`core/masking.py`), nor outputSchema (`stand_ins.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from policylayer.core import strict_json
from policylayer.core.call import Json
from policylayer.core.immutable import immutable
from policylayer.core.masking import MASKED, Masker, finder_of
from policylayer.core.redact import Path, below, parse_path
from policylayer.wire import encoded_texts, splice
from policylayer.wire.limits import SERVER

LISTED: Final = 100
"""Masked places that are named."""

SHORTEST: Final = 4
"""A shorter value that is masked by its path is not looked for elsewhere: it would occur by chance."""

MOST_VALUES: Final = 1000
"""Masked values that are looked for elsewhere; where there are more, every text is masked as a whole."""

STRUCTURED: Final = "structuredContent"
_OF_CONTENT: Final = ("type", "mimeType", "size", "annotations.**", "resource.mimeType")
_OF_META: Final = ('"io.modelcontextprotocol/related-task".taskId', '"io.modelcontextprotocol/subscriptionId"')
"""What clients go by under the result's own `_meta`; anything else there, or deeper, is the server's data."""

_FIXED: Final[tuple[Path, ...]] = tuple(
    parse_path(text)
    for text in (
        *("resultType", "isError", "requestState", "nextCursor", "ttlMs", "cacheScope", "task.**", "taskId", "status"),
        *("createdAt", "lastUpdatedAt", "ttl", "pollInterval", "pollIntervalMs", "completion.hasMore"),
        *("completion.total", "contents.*.mimeType", "messages.*.role", "inputRequests.*.method"),
        *("inputRequests.*.params.mode", "inputRequests.*.params.requestedSchema.**"),
        *(f"_meta.{name}" for name in _OF_META),
        *(f"content.*.{name}" for name in _OF_CONTENT),
        *(f"messages.*.content.{name}" for name in _OF_CONTENT),
    )
)
"""Members that the protocol goes by."""

_TEXTS: Final[tuple[Path, ...]] = tuple(
    parse_path(text)
    for text in (
        *("content.*.text", "content.*.resource.text", "contents.*.text", "messages.*.content.text"),
        "messages.*.content.resource.text",
    )
)
_DATA: Final[tuple[Path, ...]] = tuple(
    parse_path(text)
    for text in (
        *("content.*.data", "content.*.resource.blob", "contents.*.blob", "messages.*.content.data"),
        "messages.*.content.resource.blob",
    )
)
"""Members in base64."""

_FREE: Final = (STRUCTURED, "_meta", "data")
"""Where objects are data, so that their keys are too."""


@dataclass(slots=True)
class Masks:
    """What is to be changed in a message: values by their paths, and names of members; `places` as JSON pointers."""

    values: dict[splice.Path, Json] = field(default_factory=dict)
    names: dict[splice.Path, str] = field(default_factory=dict)
    places: list[str] = field(default_factory=list)

    def applied(self, raw: bytes) -> bytes:
        """The message with all of it changed."""
        return splice.replace_all(raw, {path: orjson.dumps(value) for path, value in self.values.items()}, self.names)


def masks_of(result: Mapping[str, Any] | None, error: Mapping[str, Any] | None, masker: Masker) -> Masks:
    """What is to be masked in an answer: in its result, and what looks like it in its error."""
    found = Masks()
    if error is not None:
        walk, place = _Walk(masker, found), _At(("error",), "", (), (("code",),))
        walk.value(dict(error), place)
    if result is not None:
        # What is said of a task holds its result.
        inner = result.get("result")
        outer = {name: value for name, value in result.items() if name != "result"} if type(inner) is dict else result
        _mask_result(outer, masker, found, ("result",), "")
        if type(inner) is dict:
            _mask_result(inner, masker, found, ("result", "result"), "/result")
    return found


def _mask_result(result: Mapping[str, Any], masker: Masker, found: Masks, at: splice.Path, pointer: str) -> None:
    walk = _Walk(masker, found)
    # First, so that its values are known when texts are looked at.
    members = sorted(result, key=lambda name: name != STRUCTURED)
    place = _At(at, pointer, masker.paths, _FIXED, _TEXTS, _DATA)
    for name in members:
        walk.member(name, result[name], place)


@immutable
class _At:
    """A place, and what is left from here of the paths that say what it is."""

    path: splice.Path
    pointer: str
    paths: tuple[Path, ...]
    fixed: tuple[Path, ...] = ()
    texts: tuple[Path, ...] = ()
    data: tuple[Path, ...] = ()
    free: bool = False
    hidden: bool = False

    def step(self, name: str | int, shown: str, hidden: bool = False) -> _At:
        """One step further in."""
        text = str(name)
        return _At(
            (*self.path, name),
            f"{self.pointer}/{shown.replace('~', '~0').replace('/', '~1')}",
            _below(self.paths, text),
            _below(self.fixed, text),
            _below(self.texts, text),
            _below(self.data, text),
            self.free or text in _FREE,
            self.hidden or hidden,
        )

    @property
    def is_hidden(self) -> bool:
        """Whether everything from here on is masked."""
        return self.hidden or () in self.paths

    @property
    def is_fixed(self) -> bool:
        """Whether nothing from here on is touched."""
        return any(path in ((), ("**",)) for path in self.fixed)


class _Walk:
    """One pass over a result."""

    def __init__(self, masker: Masker, found: Masks) -> None:
        self._masker = masker
        self._found = found
        self._hidden: set[str] = set()
        self._renamed: dict[splice.Path, int] = {}
        self._without: tuple[int, Masker] = (0, Masker())

    def value(self, value: Json, at: _At) -> None:
        """Note what is to be masked in a value."""
        if at.is_fixed:
            return
        if isinstance(value, dict):
            for name, item in value.items():
                self.member(name, item, at)
        elif isinstance(value, list):
            for number, item in enumerate(value):
                self.value(item, at.step(number, str(number), at.is_hidden))
        elif isinstance(value, str):
            self._text(value, at)
        elif value is not None:
            self._scalar(value, at)

    def member(self, name: str, value: Json, at: _At) -> None:
        """Note what is to be masked in a member of an object: its value, and its name where it is data."""
        shown = self._name(name, at) if at.free else name
        self.value(value, at.step(name, shown, at.is_hidden or self._masker.hides_member(name, value)))

    def _name(self, name: str, at: _At) -> str:
        shown = self._masker.text(name)
        if shown != name:
            taken = self._renamed[at.path] = self._renamed.get(at.path, 0) + 1
            shown = f"{shown} {taken}" if taken > 1 else shown
            self._found.names[(*at.path, name)] = shown
            self._note(f"{at.pointer}/{shown}")
        return shown

    def _text(self, text: str, at: _At) -> None:
        encoded = () in at.data
        if at.is_hidden or ("**",) in at.paths:
            new = encoded_texts.encode(MASKED) if encoded else MASKED
            self._remember(text, at)
        elif encoded:
            new = encoded_texts.masked(text, lambda plain: self._masker.text(self._elsewhere(plain)))
        else:
            new = self._masker.text(self._elsewhere(text) if () in at.texts else text)
        if new != text:
            self._change(at, new)

    def _scalar(self, value: bool | int | float, at: _At) -> None:
        hidden = at.is_hidden or ("**",) in at.paths
        is_number = not isinstance(value, bool)
        if hidden and is_number:
            self._remember(repr(value), at)
        if hidden or (is_number and self._masker.hides_number(repr(value))):
            self._change(at, 0 if is_number else False)

    def _remember(self, text: str, at: _At) -> None:
        if at.free and len(text) >= SHORTEST:
            self._hidden.add(text)

    def _elsewhere(self, text: str) -> str:
        """A text without what is masked in structuredContent."""
        paths = _below(self._masker.paths, STRUCTURED)
        if paths and text.lstrip()[:1] in ("{", "["):
            text = _as_json(text, Masker(paths))
        if not self._hidden:
            return text
        if len(self._hidden) > MOST_VALUES:
            return MASKED
        # Made anew only where there are more of them: for each text of thousands it would take far longer than looking.
        if self._without[0] != len(self._hidden):
            self._without = len(self._hidden), _without_values(self._hidden)
        return self._without[1].text(text)

    def _change(self, at: _At, new: Json) -> None:
        self._found.values[at.path] = new
        self._note(at.pointer)

    def _note(self, place: str) -> None:
        if len(self._found.places) < LISTED:
            self._found.places.append(place)


def _below(paths: tuple[Path, ...], step: str) -> tuple[Path, ...]:
    """What is left of each path after one step; of those that have ended, nothing."""
    return below(tuple(path for path in paths if path), step) if paths else ()


def _as_json(text: str, masker: Masker) -> str:
    """A text that is JSON, with its paths masked in it; any other text as it is."""
    raw = text.encode()
    parsed = strict_json.parse_lenient(raw, SERVER)
    if isinstance(parsed, strict_json.Fault):
        return text
    found = Masks()
    _Walk(masker, found).value(parsed, _At((), "", masker.paths, free=True))
    return found.applied(raw).decode() if found.values else text


def _without_values(values: set[str]) -> Masker:
    """Hides each of these values, as it is or as JSON writes it."""
    written = {form for value in values for form in (value, orjson.dumps(value).decode()[1:-1])}
    return Masker(finders=(finder_of(sorted(written, key=len, reverse=True)),))
