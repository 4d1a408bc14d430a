"""Pure: one way in which a value may fit a schema: its types, its values where they are listed, its bounds.

Made of the plain schemas that `tool_schema` leaves. Where a value stands, and what is below it, is in `tool_places`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from policylayer.core.canonical import canonical
from policylayer.core.immutable import immutable
from policylayer.policy.numbers import Number, compare, is_number
from policylayer.policy.tool_schema import Node, Nodes, matches

KINDS: Final = frozenset(("string", "number", "boolean", "object", "array", "null"))


_End: TypeAlias = "tuple[Number | None, bool]"


@immutable
class Bounds:
    """From `low` to `high`; without one there is no such bound. `above` and `below` leave the bound itself out."""

    low: Number | None = None
    high: Number | None = None
    above: bool = False
    below: bool = False

    def may_be_less(self, than: Number, or_equal: bool) -> bool:
        """Whether a number in between may be less than this one."""
        if self.low is None:
            return True
        order = compare(self.low, than)
        return order < 0 or (order == 0 and or_equal and not self.above)

    def may_be_more(self, than: Number, or_equal: bool) -> bool:
        """Whether a number in between may be more than this one."""
        if self.high is None:
            return True
        order = compare(self.high, than)
        return order > 0 or (order == 0 and or_equal and not self.below)

    def holds(self, number: Number) -> bool:
        """Whether the number is in between."""
        return self.may_be_less(number, True) and self.may_be_more(number, True)

    def is_only(self, number: Number) -> bool:
        """Whether nothing else is in between."""
        return self.low is not None and self.low == self.high and compare(self.low, number) == 0

    @property
    def is_empty(self) -> bool:
        """Whether no number is in between."""
        return self.low is not None and self.high is not None and not self.may_be_less(self.high, not self.below)

    def __and__(self, other: Bounds) -> Bounds:
        """The narrower of each."""
        low, above = _stricter((self.low, self.above), (other.low, other.above), 1)
        high, below = _stricter((self.high, self.below), (other.high, other.below), -1)
        return Bounds(low, high, above, below)


def _stricter(
    one: tuple[Number | None, bool], other: tuple[Number | None, bool], sign: int
) -> tuple[Number | None, bool]:
    if one[0] is None or other[0] is None:
        return other if one[0] is None else one
    order = compare(one[0], other[0]) * sign
    return (one[0], one[1] or other[1]) if order == 0 else one if order > 0 else other


ANY_NUMBER: Final = Bounds()
ANY_SIZE: Final = Bounds(low=0)


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """One way of fitting: `kinds` of values; where they are listed, `values`; `said`: the schema speaks of them.

    `numbers`, `lengths` and `counts` bound numbers, texts and lists; `whole`: numbers are integers.
    """

    kinds: frozenset[str] = KINDS
    nodes: Nodes = ()
    values: tuple[Any, ...] | None = None
    numbers: Bounds = ANY_NUMBER
    lengths: Bounds = ANY_SIZE
    counts: Bounds = ANY_SIZE
    whole: bool = False
    said: bool = True

    def admits(self, value: Any) -> bool:
        """Whether a scalar may be such a value."""
        kind = kind_of(value)
        if kind not in self.kinds:
            return False
        if self.values is not None:
            return any(same(value, one) for one in self.values)
        if kind == "number":
            return self.numbers.holds(value) and not (self.whole and value % 1 != 0)
        if kind == "string":
            return self.lengths.holds(len(value)) and all(matches(p, value) is not False for p in self.patterns())
        return True

    def required(self) -> set[str]:
        """The members that an object always has."""
        listed = (node.get("required") for node in self.nodes)
        return {name for names in listed if isinstance(names, list) for name in names if isinstance(name, str)}

    def patterns(self) -> Iterator[str]:
        """The expressions that texts match."""
        yield from (node["pattern"] for node in self.nodes if isinstance(node.get("pattern"), str))


ANYTHING: Final = Way(said=False)


# --- one way ----------------------------------------------------------------------------------------------------------


def read(found: Iterable[Nodes]) -> list[Way]:
    """The ways that some value fits."""
    ways = (_way(nodes) for nodes in found)
    return [way for way in ways if way is not None]


def _way(nodes: Nodes) -> Way | None:
    """What plain schemas say together; None where nothing fits all of them."""
    if not nodes:
        return ANYTHING
    kinds, whole, values = KINDS, False, None
    for node in nodes:
        types = _types(node)
        if types is not None:
            kinds &= {"number" if kind == "integer" else kind for kind in types}
            whole = whole or ("integer" in types and "number" not in types)
        for listed in _values(node):
            values = listed if values is None else [one for one in values if any(same(one, other) for other in listed)]
    numbers, lengths, counts = (_bounds(nodes, *keys) for keys in (_NUMBERS, _LENGTHS, _COUNTS))
    kinds -= {kind for kind, each in zip(_BOUNDED, (numbers, lengths, counts), strict=True) if each.is_empty}
    said = values is not None or any(_types(node) is not None for node in nodes)
    way = Way(kinds, nodes, None, numbers, lengths, counts, whole, said)
    if values is not None:
        fitting = tuple(value for value in values if way.admits(value))
        way = replace(way, values=fitting, kinds=kinds & {kind_of(value) for value in fitting})
    return way if way.kinds else None


def _types(node: Node) -> list[str] | None:
    """The types that a schema names; None where it names none, or some that there are not."""
    written = node.get("type")
    types = [written] if isinstance(written, str) else written
    if not isinstance(types, list) or not all(isinstance(one, str) for one in types):
        return None
    return types if types and KINDS.union(("integer",)).issuperset(types) else None


def _values(node: Node) -> Iterator[list[Any]]:
    if isinstance(node.get("enum"), list):
        yield node["enum"]
    if "const" in node:
        yield [node["const"]]


_NUMBERS: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_LENGTHS: Final = ("minLength", "maxLength")
_COUNTS: Final = ("minItems", "maxItems")
_BOUNDED: Final = ("number", "string", "array")


def _bounds(nodes: Nodes, low: str, high: str, above: str = "", below: str = "") -> Bounds:
    found = ANY_SIZE if not above else ANY_NUMBER
    for node in nodes:
        found &= Bounds(_number(node, low), _number(node, high))
        found &= Bounds(_number(node, above), _number(node, below), above=True, below=True)
    if low == "minItems":
        ends = [len(items_of(node)) for node in nodes if _ends(node)]
        found &= Bounds(high=min(ends, default=None))
    return found


def items_of(node: Node) -> list[object]:
    """What an element may have to fit: one of these."""
    first, rest = node.get("prefixItems"), node.get("items", True)
    if isinstance(rest, list):
        first, rest = rest, node.get("additionalItems", True)
    listed = list(first) if isinstance(first, list) else []
    return [*listed, *([] if rest is False else [rest])]


def _ends(node: Node) -> bool:
    """Whether a list may have no more than the elements that are listed."""
    return node.get("items") is False or (isinstance(node.get("items"), list) and node.get("additionalItems") is False)


def _number(node: Node, key: str) -> Number | None:
    found = node.get(key)
    return found if is_number(found) else None


def literal(value: Any) -> Way:
    """The way of one value."""
    return Way(frozenset({kind_of(value)}), values=(value,))


# --- values -----------------------------------------------------------------------------------------------------------


def kind_of(value: Any) -> str:
    """A JSON value's type, integers being numbers."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "string"
    if isinstance(value, Mapping):
        return "object"
    return "array" if isinstance(value, list | tuple) else "number"


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are one."""
    kind = kind_of(one)
    if kind != kind_of(other):
        return False
    if kind == "number":
        return compare(one, other) == 0
    return canonical(one) == canonical(other) if kind in ("object", "array") else bool(one == other)
