"""Pure: a tool's inputSchema taken apart: the ways in which a value may fit it, each a list of plain schemas.

`$ref` into the same document, `allOf`, `anyOf`, `oneOf`, `if` and what depends on other members are resolved here;
nothing is ever fetched. What is left of each way is what its schemas say by themselves: types, values, bounds, members.
Every value that fits the schema fits one of the ways; a value that fits a way may not fit the schema (`not`, `format`
and the like are left out). Must not know paths or policy: those are in `tool_places`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, TypeAlias
from urllib.parse import unquote

import jsonschema_rs

Node: TypeAlias = Mapping[str, Any]
Nodes: TypeAlias = tuple[Node, ...]

UNREAD: Final[Node] = {"$comment": "what another document says, or a later one"}
"""In the place of what is not resolved: anything may be so. Known by being this object."""

MOST: Final = 64
"""Ways that one value may have; a schema with more is not looked into."""
DEEPEST: Final = 48
STEPS: Final = 2000
"""Schemas looked at for one value: references can lead on in very many ways."""
DIALECTS: Final = frozenset(
    (
        *(f"http://json-schema.org/draft-0{number}/schema" for number in (4, 6, 7)),
        *(f"https://json-schema.org/draft/{year}/schema" for year in ("2019-09", "2020-12")),
    )
)
_LEGACY: Final = re.compile(r"json-schema\.org/draft-0[3-7]/")
"""Dialects in which a `$ref` is all that a schema says."""
_ELSEWHERE: Final = ("$dynamicRef", "$recursiveRef")


class TooMany(Exception):
    """The schema has more ways than are looked at."""


class Document:
    """One schema with all that its references lead to."""

    __slots__ = ("_embeds", "_left", "_legacy", "root")

    def __init__(self, root: object) -> None:
        self.root = root
        dialect = root.get("$schema") if isinstance(root, Mapping) else None
        self._legacy = isinstance(dialect, str) and bool(_LEGACY.search(dialect))
        self._embeds: bool | None = None
        self._left = STEPS

    def ways(self, schemas: Iterable[object]) -> list[Nodes]:
        """The ways in which one value may fit all of these schemas; none: no value does. Raises `TooMany`."""
        self._left = STEPS
        return _product([self._ways(schema, frozenset(), 0) for schema in schemas])

    def _ways(self, schema: object, seen: frozenset[str], depth: int) -> list[Nodes]:
        if schema is False:
            return []
        if not isinstance(schema, Mapping):
            return [()]
        self._left -= 1
        if depth > DEEPEST or self._left < 0:
            raise TooMany
        ref = schema.get("$ref")
        if isinstance(ref, str) and self._legacy:
            return self._referred(ref, seen, depth)
        factors: list[list[Nodes]] = [[(schema,)]]
        if isinstance(ref, str):
            factors.append(self._referred(ref, seen, depth))
        if any(key in schema for key in _ELSEWHERE):
            factors.append([(UNREAD,)])
        factors += [self._ways(part, seen, depth + 1) for part in _list(schema.get("allOf"))]
        for key in ("anyOf", "oneOf"):
            parts = _list(schema.get(key))
            if parts:
                factors.append([way for part in parts for way in self._ways(part, seen, depth + 1)])
        factors += self._conditional(schema, seen, depth)
        return _product(factors)

    def _conditional(self, schema: Node, seen: frozenset[str], depth: int) -> Iterator[list[Nodes]]:
        """`if`, and schemas that hold where a member is there: each holds or does not."""
        if "if" in schema:
            met = [self._ways(schema[key], seen, depth + 1) for key in ("if", "then") if key in schema]
            yield [*_product(met), *self._ways(schema.get("else", True), seen, depth + 1)]
        for key in ("dependentSchemas", "dependencies"):
            below = schema.get(key)
            for part in below.values() if isinstance(below, Mapping) else ():
                if isinstance(part, Mapping | bool):
                    yield [(), *self._ways(part, seen, depth + 1)]

    def _referred(self, ref: str, seen: frozenset[str], depth: int) -> list[Nodes]:
        if ref in seen:
            return [()]
        found = self._resolve(ref)
        return [(UNREAD,)] if found is UNREAD else self._ways(found, seen | {ref}, depth + 1)

    def _resolve(self, ref: str) -> object:
        """What a reference within this document leads to; `UNREAD` where it leads elsewhere or nowhere."""
        if not (ref == "#" or ref.startswith("#/")) or self._has_embedded():
            return UNREAD
        found: object = self.root
        for part in unquote(ref[2:]).split("/") if len(ref) > 1 else ():
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(found, Mapping) and key in found:
                found = found[key]
            elif isinstance(found, Sequence) and not isinstance(found, str) and key.isdecimal():
                index = int(key)
                found = found[index] if index < len(found) else UNREAD
            else:
                return UNREAD
        return found if isinstance(found, Mapping | bool) else UNREAD

    def _has_embedded(self) -> bool:
        """Whether there may be documents within the document: references in them are relative to them."""
        if self._embeds is None:
            self._embeds = any(isinstance(node.get("$id"), str) for node in _below(self.root))
        return self._embeds

    def leads_elsewhere(self) -> str | None:
        """The first reference that is not resolved."""
        for node in (*_below(self.root), self.root):
            for key in ("$ref", *_ELSEWHERE):
                ref = node.get(key) if isinstance(node, Mapping) else None
                if isinstance(ref, str) and (key != "$ref" or self._resolve(ref) is UNREAD):
                    return ref
        return None


def _below(root: object) -> Iterator[Node]:
    """Every object within a schema but itself, data included."""
    stack = list(root.values()) if isinstance(root, Mapping) else []
    while stack:
        value = stack.pop()
        if isinstance(value, Mapping):
            yield value
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)


def _product(factors: Iterable[list[Nodes]]) -> list[Nodes]:
    """Every way of each together."""
    found: list[Nodes] = [()]
    for factor in factors:
        if factor == [()]:
            continue
        unique = {tuple(map(id, way)): way for way in (_both(left, right) for left in found for right in factor)}
        if len(unique) > MOST:
            raise TooMany
        found = list(unique.values())
    return found


def _both(left: Nodes, right: Nodes) -> Nodes:
    there = set(map(id, left))
    return (*left, *(node for node in right if id(node) not in there))


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


@lru_cache(maxsize=1024)
def matches(pattern: str, text: str) -> bool | None:
    """Whether a text matches a schema's expression; None where it cannot be said without backtracking."""
    try:
        check = jsonschema_rs.Draft202012Validator({"pattern": pattern}, pattern_options=jsonschema_rs.RegexOptions())
        return check.is_valid(text)
    except (jsonschema_rs.ValidationError, ValueError, TypeError):
        return None


def is_schema(value: object) -> bool:
    """Whether a value is a JSON Schema by the rules of its dialect; an unknown dialect is read as 2020-12.

    Only dialects that are at hand are named to the library: it would fetch any other.
    """
    if not isinstance(value, dict | bool):
        return False
    if isinstance(value, dict) and str(value.get("$schema", "")).rstrip("#") not in DIALECTS:
        value = {key: part for key, part in value.items() if key != "$schema"}
    try:
        return jsonschema_rs.meta.is_valid(value)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError, TypeError, RecursionError):
        return False
