"""Pure: how much work a JSON Schema may make, found out before anything is validated by it.

Sixty definitions that each name the next twice are 2^60 checks, and a validator makes them all. Here each part of a
schema is worked out once for each depth: how many parts of it may look at one and the same place of a value. Places
times that is the work. What cannot be told (other documents, dynamic references) counts as endless. Must not know what
is validated, nor why: a server's answer (`wire/stand_ins.py`), or an argument (`policy/matchers_shape.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote

from policylayer.core.call import Json

ENDLESS: Final = 1 << 40
"""More than is ever done; sums stay below what takes long to add."""

DEEPEST: Final = 128
"""Levels of a value, as of any message."""

CHAIN: Final = 64
"""References and alternatives within each other at one place: a validator goes down them by its own stack."""

PATTERNS: Final = 64
"""Regular expressions: each is compiled before anything is looked at."""

UNEVALUATED: Final = 16
"""What a look at all that others have not looked at counts, as a multiple of these."""

COMPARED: Final = 16
"""What comparing with a value counts, where values are not looked up: texts and integers are, if all are the same."""

_LISTS: Final = ("allOf", "anyOf", "oneOf")
_ONES: Final = ("not", "if", "then", "else", "propertyNames")
_MAPS: Final = ("dependentSchemas", "dependencies")
_BELOW: Final = ("additionalProperties", "items", "contains", "additionalItems", "unevaluatedProperties")
_BELOW_TOO: Final = (*_BELOW, "unevaluatedItems")
_ELSEWHERE: Final = ("$dynamicRef", "$recursiveRef")
_NAMED: Final = ("$anchor", "$dynamicAnchor", "$recursiveAnchor")


class _EndlessError(Exception):
    """There is no telling."""


class Cost:
    """One schema's. Its parts are told apart by identity: they are all held by it.

    `own`: not a server's but from a policy, so that its expressions were compiled when it was loaded, formats say
    nothing, and what is asked is only whether a value fits. A validator asked that remembers what it found of a part
    that leads back to itself, so such a part is counted once for each place, and levels of a value do not matter.
    """

    def __init__(self, schema: Json, own: bool = False) -> None:
        self._root = schema
        self._own = own
        self._again: dict[int, Json] = {}
        self._known: dict[tuple[int, int], tuple[int, int, int] | None] = {}
        self._patterns = 0
        self._seen: set[int] = set()

    def work(self, value: Json, size: int) -> int:
        """At most how many checks validating a value makes; `size` is its length as JSON. `ENDLESS`: cannot be told."""
        try:
            return min(self._at_one_place(min(_depth(value), DEEPEST)) * size, ENDLESS)
        except (_EndlessError, RecursionError):
            return ENDLESS

    def places(self) -> tuple[int, int]:
        """How many parts may look at a value, and at one place inside it, at most. For `own` schemas."""
        try:
            here, below, _ = self._of(self._root, DEEPEST)
            again = sum(max(self._of(part, DEEPEST)[:2]) for part in self._again.values())
        except (_EndlessError, RecursionError):
            return ENDLESS, ENDLESS
        return min(here + again, ENDLESS), min(below + again, ENDLESS)

    def _at_one_place(self, depth: int) -> int:
        """How many parts may look at one place, at most, in a value of so many levels."""
        here, below, _ = self._of(self._root, depth)
        return max(here, below)

    def _of(self, part: Json, depth: int) -> tuple[int, int, int]:
        """How many parts look at this place; how many at one below it, at most; how far they reach down the stack."""
        if not isinstance(part, dict) or not part:
            return 1, 0, 1
        key = (id(part), depth)
        if key in self._known:
            known = self._known[key]
            if known is not None:
                return known
            if not self._own:
                raise _EndlessError  # It leads to itself without a step down.
            self._again[id(part)] = part
            return 1, 0, 1
        self._known[key] = None
        self._known[key] = found = self._work_out(part, depth)
        return found

    def _work_out(self, part: Mapping[str, Any], depth: int) -> tuple[int, int, int]:
        self._admit(part)
        inner = [self._of(each, depth) for each in self._here(part)]
        here = 1 + self._listed(part.get("enum")) + _values(part.get("const")) + sum(one for one, _, _ in inner)
        below = sum(one for _, one, _ in inner) + self._all_below(part, depth)
        chain = 1 + max((one for _, _, one in inner), default=0)
        if "unevaluatedProperties" in part or "unevaluatedItems" in part:
            here, below = here * UNEVALUATED, (below + here) * UNEVALUATED
        if chain > CHAIN:
            raise _EndlessError
        return min(here, ENDLESS), min(below, ENDLESS), chain

    def _listed(self, values: Json) -> int:
        """What an enumeration counts."""
        if not self._own:
            return _values(values)
        looked_up = set(map(type, _list(values))) in ({str}, {int})
        return 0 if looked_up else COMPARED * _values(values)

    def _all_below(self, part: Mapping[str, Any], depth: int) -> int:
        if self._own:
            return self._below(part, depth)
        return self._below(part, depth - 1) if depth else 0

    def _admit(self, part: Mapping[str, Any]) -> None:
        """Raises where a part says what is not told here, or has too many expressions."""
        nested = part is not self._root and "$id" in part
        if nested or not part.keys().isdisjoint(_ELSEWHERE):
            raise _EndlessError
        if not self._own and (part.get("format") == "regex" or not part.keys().isdisjoint(_NAMED)):
            raise _EndlessError
        if id(part) not in self._seen and not self._own:
            self._seen.add(id(part))
            self._patterns += len(_mapping(part.get("patternProperties"))) + ("pattern" in part)
        if self._patterns > PATTERNS:
            raise _EndlessError

    def _here(self, part: Mapping[str, Any]) -> Iterator[Json]:
        """The parts that look at the same place."""
        if "$ref" in part:
            yield self._named(part["$ref"])
        for word in _LISTS:
            yield from _list(part.get(word))
        yield from (part[word] for word in _ONES if word in part)
        for word in _MAPS:
            yield from _mapping(part.get(word)).values()

    def _below(self, part: Mapping[str, Any], depth: int) -> int:
        """How many look at one place below: one member is one of the named, and perhaps all else."""
        at_most: Callable[[Json], int] = lambda each: max(self._of(each, depth)[:2])  # noqa: E731
        named = max(map(at_most, _mapping(part.get("properties")).values()), default=0)
        first = max(map(at_most, _list(part.get("prefixItems"))), default=0)
        listed = max(map(at_most, _list(part.get("items"))), default=0)
        patterns = sum(map(at_most, _mapping(part.get("patternProperties")).values()))
        others = sum(at_most(part[word]) for word in _BELOW_TOO if isinstance(part.get(word), dict))
        return named + first + listed + patterns + others

    def _named(self, reference: object) -> Json:
        """The part of this document that a reference names."""
        if not isinstance(reference, str) or (reference != "#" and not reference.startswith("#/")):
            raise _EndlessError
        found: Any = self._root
        for step in reference[2:].split("/") if reference != "#" else ():
            name = unquote(step).replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and name.isdecimal() and int(name) < len(found):
                found = found[int(name)]
            elif isinstance(found, dict) and name in found:
                found = found[name]
            else:
                raise _EndlessError
        part: Json = found
        return part


def _values(value: Json) -> int:
    """How many values are compared one by one."""
    if isinstance(value, dict):
        return sum(1 + _values(item) for item in value.values())
    return sum(1 + _values(item) for item in value) if isinstance(value, list) else 0


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _depth(value: Json) -> int:
    """Levels of objects and lists."""
    level, depth = [value], 0
    while level:
        level = [
            item
            for each in level
            if isinstance(each, dict | list)
            for item in (each.values() if isinstance(each, dict) else each)
        ]
        depth += 1
    return depth
