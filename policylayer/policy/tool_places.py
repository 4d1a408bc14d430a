"""Pure: what may stand at a path of a tool's arguments, by its inputSchema: whether it is there, and in which ways.

A `Place` holds every value that a fitting call may have there, each in one of its `Way`s (`tool_ways`). Must not know
what a condition makes of a value (`tool_truth`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final, Literal, TypeAlias

from policylayer.core.immutable import immutable
from policylayer.policy.ast import Path
from policylayer.policy.tool_schema import MOST, UNREAD, Document, Node, Nodes, TooMany, matches
from policylayer.policy.tool_ways import ANYTHING, Way, items_of, literal, read

_OBJECT: Final = frozenset(("object",))
_NULL: Final = frozenset(("null",))

Standing: TypeAlias = Literal["declared", "open", "closed", "through", "unsure"]
"""Of a path: the schema names it; it does not, but lets it be; it forbids it; it leads through what is no object; the
schema says nothing there, or cannot be read."""


@dataclass(frozen=True, eq=False)
class Place:
    """What a path leads to. `names` are what it could have been called where the schema does not know it.

    `absent`: it may be missing; `broken`: it may lie behind what is no object; `depth`: how many steps it is from where
    it began, and `lost`: at which of them it stopped being known.
    """

    document: Document
    ways: tuple[Way, ...]
    absent: bool = False
    broken: bool = False
    standing: Standing = "declared"
    names: frozenset[str] = frozenset()
    depth: int = 0
    lost: int = 0
    _known: dict[str | None, Place] = field(default_factory=dict, repr=False)

    def at(self, path: Path) -> Place:
        """What the path leads to from here."""
        place = self
        for key in path:
            place = place._next(key)
        return place

    def elements(self) -> Place:
        """What may be an element, where this is a list."""
        return self._next(None)

    def _next(self, key: str | None) -> Place:
        found = self._known.get(key)
        if found is None:
            try:
                found = _elements(self) if key is None else _member(self, key)
            except TooMany:
                found = anywhere(self.document)
            self._known[key] = found
        return found

    @property
    def is_lost(self) -> bool:
        """Whether the schema knows its neighbours, and not it."""
        return self.standing in ("open", "closed")

    def said(self) -> list[Way]:
        """The ways that the schema speaks of, those that are null alone apart."""
        return [way for way in self.ways if way.said and way.kinds != _NULL]

    @cached_property
    def kinds(self) -> frozenset[str]:
        """The types that the schema gives it, null apart."""
        return frozenset(kind for way in self.said() for kind in way.kinds) - _NULL


def anywhere(document: Document) -> Place:
    """Of which nothing is known."""
    return Place(document, (ANYTHING,), absent=True, broken=True, standing="unsure")


def root_of(schema: object) -> Place:
    """The arguments as a whole: always an object."""
    document = Document(schema)
    try:
        ways = read(document.ways([schema]))
    except TooMany:
        ways = []
    ways = [replace(way, kinds=_OBJECT, nodes=way.nodes or (UNREAD,)) for way in ways if "object" in way.kinds]
    if not ways:
        return Place(document, (replace(ANYTHING, kinds=_OBJECT, nodes=(UNREAD,)),), standing="unsure")
    return Place(document, tuple(ways))


# --- members ----------------------------------------------------------------------------------------------------------


@immutable
class _Found:
    """What one way says of a member: the ways it may be there, and whether it may be missing."""

    ways: list[Way]
    absent: bool
    standing: Standing
    names: frozenset[str]


_RANK: Final[tuple[Standing, ...]] = ("declared", "unsure", "open", "closed")


def _member(place: Place, key: str) -> Place:
    """One step. How the path stands is the best that any way says of it."""
    found = [_found(place, way, key) for way in place.ways if "object" in way.kinds]
    standing: Standing = min((each.standing for each in found), key=_RANK.index, default="through")
    if place.standing != "declared":
        standing = place.standing
    elif not place.ways:
        standing = "unsure"
    known = place.standing == standing == "declared"
    return Place(
        place.document,
        tuple(_few([way for each in found for way in each.ways])),
        absent=place.absent or any("null" in way.kinds for way in place.ways) or any(each.absent for each in found),
        broken=place.broken or any(way.kinds - {"object", "null"} for way in place.ways),
        standing=standing,
        names=place.names if place.lost else frozenset().union(*(each.names for each in found)),
        depth=place.depth + 1,
        lost=0 if known else place.lost or place.depth + 1,
    )


def _few(ways: list[Way]) -> list[Way]:
    if len(ways) > MOST:
        raise TooMany
    return ways


def _found(place: Place, way: Way, key: str) -> _Found:
    if way.values is not None:
        return _listed(way.values, key)
    schemas: list[object] = []
    standing = _stand(way, key, schemas, is_root=place.depth == 0)
    names = frozenset(name for node in way.nodes for name in _mapping(node, "properties"))
    if standing == "closed":
        return _Found([], True, standing, names)
    ways = [way if standing == "declared" else replace(way, said=False) for way in read(place.document.ways(schemas))]
    return _Found(ways, not (ways and key in way.required()), standing, names)


def _listed(values: tuple[Any, ...], key: str) -> _Found:
    """Of values that are written out."""
    objects = [value for value in values if isinstance(value, Mapping)]
    there = [literal(value[key]) for value in objects if key in value]
    names = frozenset(name for value in objects for name in value)
    return _Found(there, len(there) < len(objects), "declared" if there else "closed", names)


def _stand(way: Way, key: str, schemas: list[object], is_root: bool) -> Standing:
    """How a member stands in one way of its object; what its value must fit is added to `schemas`."""
    declared = closed = False
    for node in way.nodes:
        own = _of_member(node, key)
        schemas += own
        rest = node.get("additionalProperties")
        if own:
            declared = True
        elif rest is False:
            closed = True
        elif isinstance(rest, Mapping) and rest:
            schemas.append(rest)
            declared = True
    if closed:
        return "closed"
    if declared:
        return "declared"
    if any(node is UNREAD for node in way.nodes):
        return "unsure"
    if _is_sealed(way.nodes):
        return "closed"
    named = any(node.get("properties") or node.get("patternProperties") for node in way.nodes)
    free = any(node.get("additionalProperties") is not None for node in way.nodes)
    typed = any("type" in node for node in way.nodes)
    return "open" if named or (is_root and typed and not free) else "unsure"


def _of_member(node: Node, key: str) -> list[object]:
    """What a schema says of this member by its name."""
    properties = _mapping(node, "properties")
    found = [properties[key]] if key in properties else []
    for pattern, below in _mapping(node, "patternProperties").items():
        fits = matches(pattern, key)
        if fits is not False:
            found.append(below if fits else True)
    return found


def _is_sealed(nodes: Nodes) -> bool:
    """Whether members that no schema speaks of are forbidden."""
    sealed = any(node.get("unevaluatedProperties") is False for node in nodes)
    return sealed and not any(node.get("additionalProperties") not in (None, False) for node in nodes)


def _mapping(node: Node, key: str) -> Mapping[str, Any]:
    found = node.get(key)
    return found if isinstance(found, Mapping) else {}


# --- elements ---------------------------------------------------------------------------------------------------------


def _elements(place: Place) -> Place:
    ways: list[Way] = []
    for way in place.ways:
        if "array" not in way.kinds:
            continue
        if way.values is not None:
            ways += [literal(item) for value in way.values if isinstance(value, list) for item in value]
            continue
        for schemas in _choices([items_of(node) for node in way.nodes]):
            fitting = read(place.document.ways(schemas))
            ways += fitting if schemas else [replace(each, said=False) for each in fitting]
    return Place(place.document, tuple(_few(ways)), standing="declared" if any(w.said for w in ways) else "unsure")


def _choices(factors: list[list[object]]) -> list[list[object]]:
    """One choice of each, in every combination."""
    found: list[list[object]] = [[]]
    for factor in factors:
        found = [[*left, *([] if right is True else [right])] for left in found for right in factor]
        if len(found) > MOST:
            raise TooMany
    return found
