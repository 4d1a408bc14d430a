"""Pure: matchers held against the types and values that a schema gives: comparing what is never equal.

A part of `check_arguments`, which knows where a path leads.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from policylayer.core.decision import Effect
from policylayer.policy import ast
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import did_you_mean, nearest, quote
from policylayer.policy.matchers_scalar import fold
from policylayer.policy.tool_truth import FALSE, SCALARS, of_number, takes
from policylayer.policy.tool_ways import Bounds, Way, kind_of
from policylayer.policy.tool_words import PLURAL, WORDS, Asking, Found, any_of, is_stated, of, shown
from policylayer.policy.values import text_of

COMPARED: Final = ("eq", "neq", "in", "not_in")
CALLED: Final = ("server", "method", "target")
"""What is called; a rule may be about other things than the tools at hand."""


def check_matcher(test: ast.Test, matcher: ast.Matcher, found: Found, asking: Asking) -> None:
    """Hold one matcher against what its path leads to."""
    known = [(spot, place) for spot, place in found if place.kinds]
    taken = takes(matcher)
    wrong = [(spot, place) for spot, place in known if not place.kinds & taken]
    if wrong:
        is_error = asking.guards or len(wrong) == len(found)
        _say_type(test, matcher, wrong, asking, is_error)
        return
    if asking.guards and test.path not in asking.typed:
        odd = [(spot, place) for spot, place in known if is_stated(place) and not place.kinds <= taken]
        if odd:
            _say_perhaps(test, matcher, odd, taken, asking)
    if known and len(known) == len(found) and test.path[0] not in CALLED:
        _check_values(test, matcher, known, asking)
    if matcher.name == "keys":
        _check_keys(test, matcher, known, asking)


def _say_type(test: ast.Test, matcher: ast.Matcher, wrong: Found, asking: Asking, is_error: bool) -> None:
    """A value of this type never meets the matcher: it is an error each time."""
    kinds = wrong[0][1].kinds
    what = f"{of(wrong, test.path)} is {any_of(kinds, WORDS)}"
    if kinds == {"array"}:
        help_ = "write `some: …` or `every: …` with what an element must be"
        if matcher.name == "contains":
            message = f"{what}, and `contains` is about texts"
            asking.say(is_error, Code.CONTAINS_ON_LIST, matcher.span, message, help_)
            return
        message = f"{what}, and `{matcher.name}` is about one value"
        asking.say(is_error, Code.LIST_ARGUMENT, matcher.span, message, help_)
        return
    literal = matcher.value[0] if isinstance(matcher.value, tuple) and matcher.value else matcher.value
    if matcher.name in COMPARED and not isinstance(literal, ast.Ref):
        message = f"{what}, and is compared with {WORDS[kind_of(literal)]}"
    else:
        message = f"{what}, and `{matcher.name}` is about {any_of(takes(matcher), PLURAL)}"
    asking.say(is_error, Code.ARGUMENT_TYPE, matcher.span, message, _instead(matcher, literal, kinds))


def _instead(matcher: ast.Matcher, literal: Any, kinds: frozenset[str]) -> str:
    """What may have been meant."""
    if matcher.name in ("every", "some"):
        return "it is one value: write its matchers without `every` or `some`"
    if matcher.name == "decimal" and "number" in kinds:
        return "it is a number already: leave `decimal` out"
    if kinds == {"string"} and matcher.name in ("lt", "lte", "gt", "gte"):
        return f"where the text writes a number: {{decimal: {{{matcher.name}: {shown(literal)}}}}}"
    if matcher.name not in COMPARED:
        return ""
    if kinds == {"string"} and kind_of(literal) in ("number", "boolean"):
        return f'quote it: "{shown(literal)}"'
    if isinstance(literal, str) and _is_bare(literal, kinds):
        return "write it without quotes"
    return ""


def _is_bare(text: str, kinds: frozenset[str]) -> bool:
    """Whether a text without its quotes would be of one of these types."""
    digits = text.removeprefix("-").replace(".", "", 1)
    return ("number" in kinds and digits.isdecimal()) or ("boolean" in kinds and text in ("true", "false"))


def _say_perhaps(test: ast.Test, matcher: ast.Matcher, odd: Found, taken: frozenset[str], asking: Asking) -> None:
    """A value may also be of a type that the matcher does not take."""
    kinds = frozenset().union(*(place.kinds for _, place in odd)) - taken
    then = "such a call is denied" if asking.rule.effect is Effect.REQUIRE_APPROVAL else asking.consequence
    message = f"{of(odd, test.path)} may also be {any_of(kinds, WORDS)}, which `{matcher.name}` does not take: {then}"
    asking.say(False, Code.ARGUMENT_PERHAPS, matcher.span, message, "say by `any` and `type` what each type means")


def check_ref(test: ast.Test, matcher: ast.Matcher, ref: ast.Ref, found: Found, others: Found, asking: Asking) -> None:
    """Two paths of one call that are never of one type."""
    if matcher.name in ("in", "not_in"):
        wrong = [(spot, place) for spot, place in others if place.kinds and "array" not in place.kinds]
        if wrong:
            message = f"{of(wrong, ref.path)} is {any_of(wrong[0][1].kinds, WORDS)}, where a list is needed"
            asking.say(True, Code.ARGUMENT_TYPE, ref.span, message)
        return
    if matcher.name in ("decimal", "length") or not found or not others:
        return
    own, other = found[0][1].kinds & SCALARS, others[0][1].kinds
    if own and other and not own & other:
        right = f"{quote(text_of(ref.path))} is {any_of(other, WORDS)}"
        message = f"{of([found[0]], test.path)} is {any_of(own, WORDS)}, and {right}"
        asking.say(True, Code.ARGUMENT_TYPE, ref.span, message, "values of two types are never equal: it is an error")


# --- values -----------------------------------------------------------------------------------------------------------


def _check_values(test: ast.Test, matcher: ast.Matcher, known: Found, asking: Asking) -> None:
    ways = [way for _, place in known for way in place.said()]
    if matcher.name in COMPARED:
        for literal, span in matcher.placed():
            if not isinstance(literal, ast.Ref) and not any(_admits(way, literal, test.ignore_case) for way in ways):
                _say_never(test, literal, span, known, asking)
    elif matcher.name in _ORDERS:
        numbers = [way for way in ways if "number" in way.kinds]
        never = [of_number(matcher, _numbers(way), way.whole) == FALSE for way in numbers]
        if never and all(never):
            message = f"{of(known, test.path)} is never {_ORDERS[matcher.name].format(shown(matcher.value))}"
            asking.say(False, Code.IMPOSSIBLE_VALUE, matcher.span, message, _limits(numbers))


_ORDERS: Final = {"lt": "under {}", "lte": "{} or less", "gt": "over {}", "gte": "{} or more"}


def _numbers(way: Way) -> Bounds:
    """Bounds of listed numbers are the least and the greatest."""
    if way.values is None:
        return way.numbers
    listed = [value for value in way.values if kind_of(value) == "number"]
    return Bounds(min(listed, default=None), max(listed, default=None)) & way.numbers


def _admits(way: Way, literal: Any, ignore_case: bool) -> bool:
    if not ignore_case or not isinstance(literal, str):
        return way.admits(literal)
    if way.values is None:
        return "string" in way.kinds
    return any(isinstance(value, str) and fold(value) == fold(literal) for value in way.values)


def _say_never(test: ast.Test, literal: Any, span: ast.Span, known: Found, asking: Asking) -> None:
    listed = [value for _, place in known for way in place.said() for value in way.values or ()]
    texts = dict.fromkeys(value for value in listed if isinstance(value, str))
    near = nearest(literal, texts) if isinstance(literal, str) else None
    if texts:
        help_ = did_you_mean(str(literal), texts)
    elif listed:
        help_ = "known: " + ", ".join(quote(shown(value)) for value in listed[:16])
    else:
        help_ = _limits([way for _, place in known for way in place.said()])
    message = f"{of(known, test.path)} is never {quote(shown(literal))}"
    asking.say(near is not None, Code.IMPOSSIBLE_VALUE, span, message, help_)


def _limits(ways: Iterable[Way]) -> str:
    """What the schema says of numbers and lengths, as a help line."""
    for way in ways:
        parts = ["whole numbers"] if way.whole else []
        parts += _range(way.numbers, "") or _range(way.lengths, " characters")
        if parts:
            return f"its schema says {', '.join(parts)}"
    return ""


def _range(bounds: Bounds, what: str) -> list[str]:
    """The ends of a range, in words; that nothing is shorter than nothing is not said."""
    parts = []
    if bounds.low is not None and (not what or bounds.low != 0):
        parts.append(f"{'over' if bounds.above else 'at least'} {shown(bounds.low)}{what}")
    if bounds.high is not None:
        parts.append(f"{'under' if bounds.below else 'at most'} {shown(bounds.high)}{what}")
    return parts


def _check_keys(test: ast.Test, matcher: ast.Matcher, known: Found, asking: Asking) -> None:
    """A key that looks like a misspelt one would let nothing pass that has the right one."""
    for key, span in matcher.placed() if isinstance(matcher.value, tuple) else ():
        places = [place.at((key,)) for _, place in known]
        if places and isinstance(key, str) and all(place.is_lost for place in places):
            near = nearest(key, frozenset().union(*(place.names for place in places)))
            if near is not None:
                message = f"{of(known, test.path)} has no {quote(key)}"
                asking.say(True, Code.UNKNOWN_ARGUMENT, span, message, f"did you mean {quote(near)}?")
