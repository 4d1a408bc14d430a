"""Pure: the calls inside a call: what a meta-tool's arguments say that its server is to call.

An inner call is held to what a call of its own is held to: the name must be one, the arguments an object, JSON in a
text is read by the same strict parser, and no member may be written almost like one that says what is called, since
some server would read that one. What cannot be read is a `Fault`, never "no inner call". Inner calls of meta-tools are
unwrapped in turn, to a depth.

Must not know how a call is judged (`policy/inside.py`), nor where meta-tools are declared (`config/`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeAlias

from policylayer.core.call import Call, Json, Unwrap
from policylayer.core.immutable import immutable
from policylayer.core.text import LONGEST_NAME, fold, is_name

CALLS: Final = "tools/call"
DEEPEST: Final = 4
"""Calls within calls; what is nested deeper is refused."""

MOST: Final = 64
"""Calls inside one call, at all depths together."""

LARGEST: Final = 64 * 1024 * 1024
NESTED: Final = 62
"""Levels of a text that holds arguments: as many as arguments may have in a message of their own."""

Place: TypeAlias = tuple[str | int, ...]
"""Where a value stands in the whole call: keys and, of lists, indices."""

_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


@immutable
class Fault:
    """Why the calls inside a call cannot be told: the fields at fault, or what there is too much of."""

    missing: frozenset[str] = frozenset()
    wrong: frozenset[str] = frozenset()
    too_much: str = ""
    hidden: tuple[Place, ...] = ()
    """Where stands what nobody could read: nothing of it may be shown."""

    def __add__(self, other: Fault) -> Fault:
        """Both."""
        return Fault(
            self.missing | other.missing,
            self.wrong | other.wrong,
            self.too_much or other.too_much,
            self.hidden + other.hidden,
        )


@immutable
class Layer:
    """A call and the calls inside it.

    `at` is where its arguments stand in the whole call; `keys` are arguments of the whole call that say which tool this
    is; `meta` what it is declared as, if it is a meta-tool's. `plain`: it stands there as it is, in no text or list.
    """

    call: Call
    at: Place = ("args",)
    keys: frozenset[str] = frozenset()
    meta: Unwrap | None = None
    plain: bool = True
    fault: Fault | None = None
    inside: tuple[Layer, ...] = ()

    def all(self) -> Iterator[Layer]:
        """This one, then all inside it, each before what is inside it."""
        yield self
        for layer in self.inside:
            yield from layer.all()


def unwrapped(call: Call, metas: Sequence[Unwrap]) -> Layer | None:
    """The call with those inside it; None where it is not one of a meta-tool."""
    meta = _declared(call, metas)
    return None if meta is None else _Unwrapping(metas).opened(Layer(call, meta=meta), 0)


def _declared(call: Call, metas: Sequence[Unwrap]) -> Unwrap | None:
    if call.method != CALLS:
        return None
    return next((meta for meta in metas if meta.tool == call.target), None)


class _Unwrapping:
    """One unwrapping; how many calls may still be found is counted over the whole of it."""

    def __init__(self, metas: Sequence[Unwrap]) -> None:
        self._metas = metas
        self._left = MOST

    def opened(self, layer: Layer, depth: int) -> Layer:
        """The layer of a meta-tool with what is inside it."""
        assert layer.meta is not None
        if depth == DEEPEST:
            return replace(layer, fault=Fault(too_much="calls within calls", hidden=(layer.at,)))
        fault: Fault | None = None
        inside = []
        shared = self._shared(layer, layer.meta)
        for found in self._elements(layer, layer.meta):
            made = found if isinstance(found, Fault) else self._inner(shared, layer.meta, found, depth)
            if isinstance(made, Fault):
                fault = made if fault is None else fault + made
            else:
                inside.append(made)
        return replace(layer, fault=fault, inside=tuple(inside))

    def _shared(self, layer: Layer, meta: Unwrap) -> _Shared:
        """What is the same for all inner calls of a layer, read once."""
        whole = _Element(layer, None, layer.at)
        name = whole.at(meta.name) if meta.name[0] == "args" else None
        if meta.arguments[0] != "args":
            return _Shared(name)
        arguments = whole.at(meta.arguments)
        return _Shared(name, arguments, _arguments(arguments.value, meta.as_json))

    def _elements(self, layer: Layer, meta: Unwrap) -> Iterator[_Element | Fault]:
        """What holds one inner call each: the arguments themselves, or the elements of the list in them."""
        if meta.each is None:
            yield from self._counted([_Element(layer, None, layer.at)], layer)
            return
        whole = _Element(layer, None, layer.at)
        listed = whole.at(meta.each)
        if not isinstance(listed.value, list):
            yield listed.missing() if listed.value is None else listed.unreadable()
        elif not listed.value:
            yield listed.missing()
        else:
            elements = (_Element(layer, item, (*listed.place, n)) for n, item in enumerate(listed.value))
            yield from self._counted(elements, layer)

    def _counted(self, elements: Iterable[_Element], layer: Layer) -> Iterator[_Element | Fault]:
        for element in elements:
            if self._left == 0:
                yield Fault(too_much="calls in one", hidden=(layer.at,))
                return
            self._left -= 1
            yield element

    def _inner(self, shared: _Shared, meta: Unwrap, element: _Element, depth: int) -> Layer | Fault:
        layer, name = element.layer, shared.name or element.at(meta.name)
        arguments = shared.arguments or element.at(meta.arguments)
        faults = []
        if name.value is None:
            faults.append(name.missing())
        elif not is_name(name.value, LONGEST_NAME):
            faults.append(name.unreadable())
        opened = shared.opened if shared.arguments else _arguments(arguments.value, meta.as_json)
        if opened is None:
            faults.append(arguments.unreadable())
        if faults or opened is None:
            return sum(faults, Fault(hidden=(arguments.root,)))
        call = replace(layer.call, target=name.value, arguments=opened, digest=b"", asked_digest=b"")
        plain = layer.plain and not meta.as_json and all(type(step) is str for step in arguments.place)
        keys = layer.keys | {str(step) for step in name.place[1:2]}
        made = Layer(call, arguments.place, keys, _declared(call, self._metas), plain)
        return made if made.meta is None else self.opened(made, depth + 1)


@immutable
class _Found:
    """What a path leads to: `value` is None where it is missing; `root` is the member or element that it is read of."""

    value: Any
    place: Place
    root: Place

    def missing(self) -> Fault:
        """It is not there."""
        return Fault(missing=frozenset((field_of(self.place),)))

    def unreadable(self) -> Fault:
        """It is not what it should be."""
        return Fault(wrong=frozenset((field_of(self.place),)), hidden=(self.root,))


@immutable
class _Shared:
    """Name and arguments of a layer's inner calls where they are the same for all; None where each has its own."""

    name: _Found | None = None
    arguments: _Found | None = None
    opened: Mapping[str, Json] | None = None


_UNREADABLE: Final = object()
"""What a path through something that is no object leads to, or past a member that some reader takes for its own."""


@immutable
class _Element:
    """What the paths of a declaration are read from: a call's arguments, and the element of its list."""

    layer: Layer
    item: Any
    place: Place

    def at(self, path: tuple[str, ...]) -> _Found:
        """What a path leads to."""
        if path[0] == "args":
            value, place = self.layer.call.arguments, self.layer.at
            root = (*place, *path[1:2])
        else:
            value, place = self.item, self.place
            root = place
        for key in path[1:]:
            value, place = _step(value, key), (*place, key)
        return _Found(value, place, root)


def _step(value: Any, key: str) -> Any:
    if value is None or value is _UNREADABLE:
        return value
    if not isinstance(value, Mapping):
        return _UNREADABLE
    folded = fold(key)
    if any(other != key and fold(other) == folded for other in value):
        return _UNREADABLE
    return value.get(key)


def _arguments(value: Any, as_json: bool) -> Mapping[str, Json] | None:
    """The inner arguments; absent and null ones are empty, as in a call of their own."""
    if value is None:
        return {}
    if not as_json:
        return value if isinstance(value, Mapping) else None
    if type(value) is not str:
        return None
    # Here, so that what checks policies starts without a parser of messages.
    from policylayer.core import strict_json

    bounds = strict_json.Bounds(size=LARGEST, depth=NESTED)
    read = strict_json.parse(value.encode("utf-8", "surrogatepass"), bounds)
    return read if isinstance(read, dict) else None


# --- places -----------------------------------------------------------------------------------------------------------


def field_of(place: Place) -> str:
    """A place as fields are named: what is in an element of `args.rows` is `args.rows[].n`."""
    return ".".join("[]" if isinstance(step, int) else _quoted(step) for step in place).replace(".[]", "[]")


def path_of(place: Place) -> str:
    """A place as `redact` writes paths."""
    return ".".join(_quoted(str(step)) for step in place)


def _quoted(step: str) -> str:
    return step if _PLAIN.fullmatch(step) else f'"{step}"'


# --- the way back -----------------------------------------------------------------------------------------------------


def rewrapped(whole: Layer, layer: Layer, arguments: Mapping[str, Json]) -> Mapping[str, Json]:
    """The whole call's arguments where those of one layer are others."""
    chain = _chain(whole, layer)
    value: Any = arguments
    for inner, outer in zip(reversed(chain), reversed(chain[:-1]), strict=False):
        assert outer.meta is not None
        new = json.dumps(value, ensure_ascii=False) if outer.meta.as_json else value
        value = _put(outer.call.arguments, inner.at[len(outer.at) :], new)
    made: Mapping[str, Json] = value
    return made


def _chain(whole: Layer, layer: Layer) -> list[Layer]:
    """From the whole to the layer, each inside the one before."""
    if whole is layer:
        return [whole]
    for inner in whole.inside:
        found = _chain(inner, layer)
        if found:
            return [whole, *found]
    return []


def _put(value: Any, place: Place, new: Any) -> Any:
    """A copy in which a place has another value."""
    if not place:
        return new
    first, rest = place[0], place[1:]
    if isinstance(first, int):
        return [_put(item, rest, new) if number == first else item for number, item in enumerate(value)]
    below = value.get(first) if isinstance(value, Mapping) else None
    return {**(value or {}), first: _put(below, rest, new)}
