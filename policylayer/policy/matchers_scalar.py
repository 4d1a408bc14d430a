"""Pure: comparing scalars: eq, neq, in, not_in, lt, lte, gt, gte, and the two that make a number first.

`decimal` reads a text as a number, `length` counts; both then take the numeric matchers. The right side may be a `ref`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence, Set
from decimal import Decimal
from typing import Any, Final

from policylayer.policy import numbers
from policylayer.policy.ast import Matcher, Ref
from policylayer.policy.codes import Code
from policylayer.policy.matchers import BUILDERS, Check, Site, alternatives, build, reference
from policylayer.policy.numbers import EXACT, ORDERS, compare, exact, is_number, read_decimal
from policylayer.policy.truth import Problem, Truth, conjunction
from policylayer.policy.values import BROKEN, Context

_LOWER: Final = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
_NATIVE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "eq": operator.eq,
    "neq": operator.ne,
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
}
_LONG: Final = 256
NUMERIC: Final = frozenset((*_NATIVE, "in", "not_in"))


def fold(text: str) -> str:
    """ASCII letters in lower case, everything else as it is."""
    return text.lower() if text.isascii() else text.translate(_LOWER)


def kind_of(value: object) -> str | None:
    """`string`, `boolean` or `number`; None for what is no scalar."""
    if isinstance(value, str):
        return "string"
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, Decimal) or is_number(value) else None


# --- eq, neq, lt, lte, gt, gte ----------------------------------------------------------------------------------------


def comparison(matcher: Matcher, site: Site) -> Check:
    """One scalar on the right."""
    if isinstance(matcher.value, Ref):
        return _against_ref(matcher, matcher.value, site)
    kind = kind_of(matcher.value)
    if kind == "number":
        return _against_number(matcher.name, matcher.value, site.wrong)
    if kind is None or matcher.name not in ("eq", "neq"):
        raise site.refuse(Code.BAD_OPERAND, matcher.span, f"`{matcher.name}` takes a {_wanted(matcher.name)}")
    return _against_word(matcher.name == "eq", matcher.value, site)


def _wanted(name: str) -> str:
    return "scalar" if name in ("eq", "neq") else "number"


def _against_number(name: str, literal: Any, wrong: Problem) -> Check:
    native, of_order = _NATIVE[name], ORDERS[name]
    small = abs(literal) <= EXACT

    def check(value: Any, ctx: Context) -> Truth:
        kind = type(value)
        if kind is int or (kind is float and value - value == 0):
            return native(value, literal) if small else of_order(compare(value, literal))
        return of_order(compare(value, literal)) if kind is Decimal else wrong

    return check


def _against_word(positive: bool, literal: Any, site: Site) -> Check:
    wrong, kind = site.wrong, type(literal)
    if kind is str and site.ignore_case:
        folded = fold(literal)
        return lambda value, ctx: (fold(value) == folded) is positive if type(value) is str else wrong
    return lambda value, ctx: (value == literal) is positive if type(value) is kind else wrong


def _against_ref(matcher: Matcher, ref: Ref, site: Site) -> Check:
    read, is_missing, is_wrong = reference(ref, site)
    of_order, wrong = ORDERS[matcher.name], site.wrong
    ordered = matcher.name not in ("eq", "neq")
    folds = site.ignore_case

    def check(value: Any, ctx: Context) -> Truth:
        other = read(ctx)
        kind = kind_of(value)
        own = wrong if kind is None or (ordered and kind != "number") else None
        if other is None or other is BROKEN:
            problem = is_missing if other is None else is_wrong
            return problem if own is None else own + problem
        if own is not None or kind_of(other) != kind:
            return wrong
        if kind == "number":
            return of_order(compare(value, other))
        if folds and kind == "string":
            value, other = fold(value), _folded(other, ctx)
        return of_order(0 if value == other else 1)

    return check


def _folded(text: str, ctx: Context) -> str:
    """A long text is folded once, however many elements are compared with it."""
    if len(text) < _LONG:
        return fold(text)
    found = ctx.memo.get((id(text), "folded"))
    if found is None:
        # The text itself is kept too, so that no other can come to have its identity.
        found = ctx.memo[id(text), "folded"] = (text, fold(text))
    return str(found[1])


# --- in, not_in -------------------------------------------------------------------------------------------------------


def membership(matcher: Matcher, site: Site) -> Check:
    """A list of literals, or another path's list, on the right."""
    positive = matcher.name == "in"
    if isinstance(matcher.value, Ref):
        return _in_ref(matcher.value, positive, site)
    literals = alternatives(matcher)
    kinds = {kind_of(literal) for literal in literals}
    if len(kinds) != 1 or None in kinds:
        raise site.refuse(Code.MIXED_LITERALS, matcher.span, f"`{matcher.name}` takes a list of scalars of one type")
    kind = kinds.pop()
    if kind == "number":
        return _in_numbers(literals, positive, site.wrong)
    return _in_words(literals, str if kind == "string" else bool, positive, site)


def _in_numbers(literals: Sequence[Any], positive: bool, wrong: Problem) -> Check:
    wanted = frozenset(exact(literal) for literal in literals)

    def check(value: Any, ctx: Context) -> Truth:
        kind = type(value)
        if kind is int or kind is Decimal:
            return (value in wanted) is positive
        return (exact(value) in wanted) is positive if kind is float and value - value == 0 else wrong

    return check


def _in_words(literals: Sequence[Any], kind: type, positive: bool, site: Site) -> Check:
    wrong = site.wrong
    if kind is str and site.ignore_case:
        folded = frozenset(fold(literal) for literal in literals)
        return lambda value, ctx: (fold(value) in folded) is positive if type(value) is str else wrong
    wanted = frozenset(literals)
    return lambda value, ctx: (value in wanted) is positive if type(value) is kind else wrong


def _in_ref(ref: Ref, positive: bool, site: Site) -> Check:
    read, is_missing, is_wrong = reference(ref, site)
    wrong, folds = site.wrong, site.ignore_case

    def check(value: Any, ctx: Context) -> Truth:
        others = read(ctx)
        kind = kind_of(value)
        if not isinstance(others, list | tuple):
            problem = is_missing if others is None else is_wrong
            return problem if kind is not None else wrong + problem
        keys = _keys(others, folds, ctx)
        if kind is None or keys is None or (others and kind not in keys):
            return wrong
        return (bool(others) and _key(value, kind, folds) in keys[kind]) is positive

    return check


def _keys(others: Sequence[Any], folds: bool, ctx: Context) -> Mapping[str, Set[Any]] | None:
    """What stands in a list, by its type, made once for a decision; None where the list is too long for it."""
    found = ctx.memo.get((id(others), folds))
    if found is None:
        keys: dict[str, set[Any]] | None = {} if ctx.spend(len(others)) else None
        for other in others if keys is not None else ():
            kind = kind_of(other)
            if kind is not None and keys is not None:
                keys.setdefault(kind, set()).add(_key(other, kind, folds))
        found = ctx.memo[id(others), folds] = (others, keys)
    made: Mapping[str, Set[Any]] | None = found[1]
    return made


def _key(value: Any, kind: str, folds: bool) -> Any:
    """What is the same for two scalars of one type exactly where they are equal."""
    if kind == "number":
        return numbers.key(value)
    return fold(value) if folds and kind == "string" else value


# --- decimal, length --------------------------------------------------------------------------------------------------


def _numeric(matcher: Matcher, site: Site) -> Check:
    """The numeric matchers inside `decimal` and `length`, all of them."""
    parts = matcher.value if isinstance(matcher.value, tuple) else ()
    if not parts or not all(isinstance(part, Matcher) and part.name in NUMERIC for part in parts):
        raise site.refuse(Code.BAD_OPERAND, matcher.span, f"`{matcher.name}` takes numeric matchers")
    checks = tuple(build(part, site) for part in parts)
    if len(checks) == 1:
        return checks[0]
    return lambda value, ctx: conjunction(check(value, ctx) for check in checks)


def decimal(matcher: Matcher, site: Site) -> Check:
    """A text read as the number it writes."""
    inner, wrong = _numeric(matcher, site), site.wrong

    def check(value: Any, ctx: Context) -> Truth:
        number = read_decimal(value)
        return wrong if number is None else inner(number, ctx)

    return check


def length(matcher: Matcher, site: Site) -> Check:
    """Code points of a text, elements of a list, keys of an object."""
    inner, wrong = _numeric(matcher, site), site.wrong

    def check(value: Any, ctx: Context) -> Truth:
        return inner(len(value), ctx) if isinstance(value, str | list | tuple | dict) else wrong

    return check


BUILDERS.update(
    dict.fromkeys(_NATIVE, comparison) | {"in": membership, "not_in": membership, "decimal": decimal, "length": length}
)
