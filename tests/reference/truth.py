"""Three-valued truth: true, false and error, an error being of missing fields only or with a wrong type in it.

A value is the set of what a condition may come to: one thing where everything is known, several where arguments are not
there yet (lists).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from itertools import product
from typing import NamedTuple


class Truth(NamedTuple):
    """What something may come to, of `true`, `false`, `missing`, `wrong`; and the fields that are at fault."""

    kinds: frozenset[str]
    fields: frozenset[str] = frozenset()

    def may(self, *kinds: str) -> bool:
        """Whether it may come to one of these."""
        return bool(self.kinds & set(kinds))

    def must(self, *kinds: str) -> bool:
        """Whether it comes to one of these whatever happens."""
        return self.kinds <= set(kinds)


TRUE = Truth(frozenset({"true"}))
FALSE = Truth(frozenset({"false"}))
UNKNOWN = Truth(frozenset({"true", "false", "missing", "wrong"}))


def truth(value: bool) -> Truth:
    """Of a plain answer."""
    return TRUE if value else FALSE


def missing(field: str) -> Truth:
    """An error: this field is not there."""
    return Truth(frozenset({"missing"}), frozenset({field}))


def wrong(field: str) -> Truth:
    """An error: this field is of a wrong type, or cannot be read."""
    return Truth(frozenset({"wrong"}), frozenset({field}))


def all_(parts: Iterable[Truth]) -> Truth:
    """False if one part is false; else error if one is; else true."""
    return _fold(list(parts), ("false", "wrong", "missing", "true"))


def any_(parts: Iterable[Truth]) -> Truth:
    """True if one part is true; else error if one is; else false."""
    return _fold(list(parts), ("true", "wrong", "missing", "false"))


def not_(part: Truth) -> Truth:
    """An error stays one."""
    other = {"true": "false", "false": "true"}
    return Truth(frozenset(other.get(kind, kind) for kind in part.kinds), part.fields)


def _fold(parts: list[Truth], order: tuple[str, ...]) -> Truth:
    """For each combination of what the parts may be: the first in `order` that one of them is."""
    last = order[-1]
    kinds = frozenset({last})
    fields: frozenset[str] = frozenset()
    for part in parts:
        kinds = _first(kinds, part.kinds, order)
        fields |= part.fields
    return Truth(kinds, fields if kinds & {"missing", "wrong"} else frozenset())


@cache
def _first(left: frozenset[str], right: frozenset[str], order: tuple[str, ...]) -> frozenset[str]:
    return frozenset(min(pair, key=order.index) for pair in product(left, right))
