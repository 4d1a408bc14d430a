"""Pure: what a condition may come to on the calls that fit a tool's schema: sets of outcomes, as `outcomes` has them.

Sound, never guessing: an outcome that is left out comes about on no fitting call. One that is there might not either.
Must not know rules, nor how findings are worded (`check_arguments`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from policylayer.core.call import Call, Json, Question, ServerFacts, Subject
from policylayer.policy import ast, outcomes
from policylayer.policy.conditions import judge_all, reads_files
from policylayer.policy.directory import People
from policylayer.policy.matchers import Refused, Site
from policylayer.policy.references import refs_in
from policylayer.policy.selectors import TOOLS
from policylayer.policy.times import EPOCH
from policylayer.policy.tool_places import Place, anywhere, root_of
from policylayer.policy.tool_schema import Document
from policylayer.policy.tool_ways import ANY_SIZE, KINDS, Bounds, Way, kind_of, literal
from policylayer.policy.truth import Truth
from policylayer.policy.values import Context

FALSE, TRUE, MISSING, WRONG = outcomes.FALSE, outcomes.TRUE, outcomes.MISSING, outcomes.WRONG
EITHER, ANYTHING = outcomes.EITHER, outcomes.ANYTHING

Judge = Callable[[Any, Context], Truth]

Leaf = Callable[[ast.Test], int]
"""What a test may come to."""


def fold(condition: ast.Condition | None, leaf: Leaf) -> int:
    """What a condition may come to, given what its tests may."""
    match condition:
        case None:
            return TRUE
        case ast.All(parts):
            return outcomes.conjunction(fold(part, leaf) for part in parts)
        case ast.Any_(parts):
            return outcomes.disjunction(fold(part, leaf) for part in parts)
        case ast.Not(part):
            return outcomes.negation(fold(part, leaf))
        case ast.Test():
            return leaf(condition)
    return EITHER


# --- what is read -----------------------------------------------------------------------------------------------------

_NOWHERE: Final = anywhere(Document(True))
_TEXT: Final[Mapping[str, Json]] = {"type": "string"}
_TEXTS: Final[Mapping[str, Json]] = {"type": "array", "items": dict(_TEXT)}
_AROUND: Final = ("principal", "for", "session", "request", "method")


class World:
    """What every call has besides its arguments and its target; and what tests make of values, kept."""

    def __init__(self, directory: ast.Directory) -> None:
        self._around = _around(directory)
        self._judges: dict[int, tuple[ast.Test, Judge | None]] = {}

    def scene(self, server: str, tool: str, arguments: Place) -> Scene:
        """One tool of one server."""
        named = {"server": _constant(server), "target": _constant(tool)}
        return Scene(self, {**self._around, **named, "args": arguments})

    def judge(self, test: ast.Test) -> Judge | None:
        """All matchers of a test, as they are asked of a call; None where they read more than its value."""
        if id(test) not in self._judges:
            self._judges[id(test)] = (test, _judge(test))
        return self._judges[id(test)][1]


def _judge(test: ast.Test) -> Judge | None:
    if reads_files(test) or any(refs_in(matcher) for each in ast.all_tests_of(test) for matcher in each.matchers):
        return None
    try:
        return judge_all(test, Site("", [], test.ignore_case)).judge
    except Refused:
        return None


def _around(directory: ast.Directory) -> Mapping[str, Place]:
    attributes: dict[str, Json] = {name: _attribute(kind) for name, kind in directory.attributes.items()}
    always: dict[str, Json] = {"id": dict(_TEXT), "kind": dict(_TEXT), "groups": dict(_TEXTS), "owner": dict(_TEXT)}
    subject = _object(always | attributes, "id", "kind", "groups")
    request: dict[str, Json] = {"ip": dict(_TEXT), "client": dict(_TEXT), "protocol": dict(_TEXT)}
    call: dict[str, Json] = {
        "principal": subject,
        "for": subject,
        "session": _object({"labels": dict(_TEXTS)}, "labels"),
        "request": _object(request, "protocol"),
        "method": {"const": TOOLS},
    }
    root = root_of(_object(call, "principal", "session", "request", "method"))
    return {name: root.at((name,)) for name in _AROUND}


def _object(properties: dict[str, Json], *required: str) -> dict[str, Json]:
    return {"type": "object", "properties": properties, "required": list(required)}


def _attribute(kind: str) -> Json:
    return {"type": "array", "items": {"type": kind[1:-1]}} if kind.startswith("[") else {"type": kind}


def _constant(text: str) -> Place:
    return Place(_NOWHERE.document, (literal(text),))


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """What can be read where one tool is called. `item` is the element that `every` or `some` is at."""

    world: World
    roots: Mapping[str, Place]
    item: Place | None = None
    seen: dict[int, tuple[ast.Test, int]] = field(default_factory=dict, repr=False)
    """Outcomes of tests, by their identity; the test is kept, so that no other gets its identity."""

    def at(self, path: ast.Path) -> Place:
        """What a path leads to."""
        root = self.item if path[0] == "item" else self.roots.get(path[0])
        return _NOWHERE if root is None else root.at(path[1:])

    def within(self, place: Place) -> Scene:
        """The same at an element of a list."""
        return Scene(self.world, self.roots, place.elements())


# --- a test -----------------------------------------------------------------------------------------------------------


def of_test(test: ast.Test, scene: Scene) -> int:
    """What a test may come to."""
    known = scene.seen.get(id(test))
    if known is not None:
        return known[1]
    place = scene.at(test.path)
    found = WRONG if place.broken else 0
    if place.absent or any("null" in way.kinds for way in place.ways):
        found |= of_missing(test)
    for way in place.ways:
        for kind in way.kinds:
            if kind != "null" and found != ANYTHING:
                found |= _present(test, place, way, kind, scene)
    scene.seen[id(test)] = (test, found)
    return found


def of_missing(test: ast.Test) -> int:
    """What a test may come to where its value is missing."""
    said = _said(test)
    return outcomes.conjunction(_missing(matcher, said) for matcher in test.matchers)


def _said(test: ast.Test) -> int:
    """What the path's own `absent` makes of nothing."""
    return MISSING if test.absent is None else TRUE if test.absent == "match" else FALSE


def _missing(matcher: ast.Matcher, said: int) -> int:
    if matcher.name == "exists":
        return FALSE if matcher.value else TRUE
    return said | MISSING | WRONG if refs_in(matcher) else said


def _present(test: ast.Test, place: Place, way: Way, kind: str, scene: Scene) -> int:
    judge = None if way.values is None else scene.world.judge(test)
    if judge is None or way.values is None:
        return outcomes.conjunction(of_matcher(test, matcher, place, way, kind, scene) for matcher in test.matchers)
    found = 0
    for value in way.values:
        if kind_of(value) == kind:
            found |= outcomes.of(judge(value, _context()))
    return found


@lru_cache(maxsize=1)
def _context() -> Context:
    """For matchers that read nothing but their value."""
    question = Question(Call("", TOOLS, "", {}, b"", b"", ""), Subject(""), ServerFacts(""), EPOCH)
    return Context(question, People(ast.Directory()), frozenset(), frozenset())


# --- a matcher, on values of one type ---------------------------------------------------------------------------------

_COMPARED: Final = frozenset(("eq", "neq", "in", "not_in"))
_ORDERED: Final = frozenset(("lt", "lte", "gt", "gte"))
_ON_TEXTS: Final = frozenset(("contains", "starts_with", "ends_with", "glob", "matches", "finds"))
_READ: Final = frozenset(("decimal", "within", "path_glob", "host", "url_glob", "cidr"))
"""On texts, of which some cannot be read."""


def takes(matcher: ast.Matcher) -> frozenset[str]:
    """The types of values that a matcher takes; every other is a wrong type."""
    name, value = matcher.name, matcher.value
    if name in _COMPARED:
        first = value[0] if isinstance(value, tuple) and value else value
        return SCALARS if isinstance(first, ast.Ref) else frozenset((kind_of(first),))
    return _TAKEN.get(name, KINDS)


SCALARS: Final = frozenset(("string", "number", "boolean"))
_STRING: Final = frozenset(("string",))
_TAKEN: Final[Mapping[str, frozenset[str]]] = {
    **dict.fromkeys(_ORDERED, frozenset(("number",))),
    **dict.fromkeys(_ON_TEXTS | _READ, _STRING),
    "length": frozenset(("string", "array", "object")),
    "keys": frozenset(("object",)),
    **dict.fromkeys(("every", "some"), frozenset(("array",))),
}


def of_matcher(test: ast.Test, matcher: ast.Matcher, place: Place, way: Way, kind: str, scene: Scene) -> int:
    """What a matcher may make of a value of this type, fitting this way."""
    if kind not in takes(matcher):
        return WRONG
    name, value = matcher.name, matcher.value
    if name == "exists":
        return TRUE if value else FALSE
    if name in ("every", "some") and isinstance(value, ast.Each):
        return _each(test, name, value, place, way, scene)
    if name == "type":
        return TRUE if kind in (value if isinstance(value, tuple) else (value,)) else FALSE
    if name == "length" and isinstance(value, tuple):
        bounds = {"string": way.lengths, "array": way.counts}.get(kind, ANY_SIZE)
        return outcomes.conjunction(of_number(inner, bounds, whole=True) for inner in value)
    if name == "keys" and isinstance(value, tuple) and not way.required() <= set(value):
        return FALSE
    if isinstance(value, ast.Ref):
        return _compared(name, value, kind, scene)
    if kind == "number" and (name in _COMPARED or name in _ORDERED):
        return of_number(matcher, way.numbers, way.whole)
    if name in _COMPARED and not test.ignore_case:
        return _listed(name, value, way)
    return EITHER | WRONG if name in _READ or name == "schema" else EITHER


def _listed(name: str, value: object, way: Way) -> int:
    """Texts and truth values: some of the literals may never occur."""
    literals = value if isinstance(value, tuple) else (value,)
    if any(map(way.admits, literals)):
        return EITHER
    return FALSE if name in ("eq", "in") else TRUE


def of_number(matcher: ast.Matcher, bounds: Bounds, whole: bool) -> int:
    """What a numeric matcher may make of a number within bounds."""
    literals = matcher.value if isinstance(matcher.value, tuple) else (matcher.value,)
    if any(isinstance(literal, ast.Ref) for literal in literals):
        return ANYTHING
    numbers: list[Any] = [literal for literal in literals if kind_of(literal) == "number"]
    if len(numbers) < len(literals) or not numbers:
        return WRONG
    may_be, may_not = _NUMERIC[matcher.name](numbers, bounds, whole)
    return ((TRUE if may_be else 0) | (FALSE if may_not else 0)) or EITHER


def _equal(numbers: list[Any], bounds: Bounds, whole: bool) -> tuple[bool, bool]:
    may_be = any(bounds.holds(number) and not (whole and number % 1) for number in numbers)
    return may_be, not any(map(bounds.is_only, numbers))


def _order(less: bool, or_equal: bool) -> Callable[[list[Any], Bounds, bool], tuple[bool, bool]]:
    def may(numbers: list[Any], bounds: Bounds, whole: bool) -> tuple[bool, bool]:
        than = numbers[0]
        if less:
            return bounds.may_be_less(than, or_equal), bounds.may_be_more(than, not or_equal)
        return bounds.may_be_more(than, or_equal), bounds.may_be_less(than, not or_equal)

    return may


def _unequal(numbers: list[Any], bounds: Bounds, whole: bool) -> tuple[bool, bool]:
    may_be, may_not = _equal(numbers, bounds, whole)
    return may_not, may_be


_NUMERIC: Final[Mapping[str, Callable[[list[Any], Bounds, bool], tuple[bool, bool]]]] = {
    **dict.fromkeys(("eq", "in"), _equal),
    **dict.fromkeys(("neq", "not_in"), _unequal),
    "lt": _order(less=True, or_equal=False),
    "lte": _order(less=True, or_equal=True),
    "gt": _order(less=False, or_equal=False),
    "gte": _order(less=False, or_equal=True),
}


def _compared(name: str, ref: ast.Ref, kind: str, scene: Scene) -> int:
    """Against another path's value."""
    if name in _ORDERED and kind != "number":
        return WRONG
    other = scene.at(ref.path)
    found = (MISSING if other.absent else 0) | (WRONG if other.broken else 0)
    for way in other.ways:
        for own in way.kinds:
            if own == "null":
                found |= MISSING
            elif name in ("in", "not_in"):
                found |= EITHER | WRONG if own == "array" else WRONG
            else:
                found |= EITHER if own == kind else WRONG
    return found or MISSING


# --- every, some ------------------------------------------------------------------------------------------------------


def _each(test: ast.Test, name: str, each: ast.Each, place: Place, way: Way, scene: Scene) -> int:
    inner = scene.within(place)
    if each.element is not None:
        element = of_test(each.element, inner)
    else:
        element = fold(each.condition, lambda part: of_test(part, inner))
    empty = FALSE if name == "some" else _said(test)
    combine = outcomes.conjunction if name == "every" else outcomes.disjunction
    found, more = 0, element
    while more | found != found:
        found |= more
        more = combine((found, element))
    may_be_empty = way.counts.may_be_less(0, or_equal=True) or not element
    return (found if way.counts.may_be_more(1, or_equal=True) else 0) | (empty if may_be_empty else 0) or empty
