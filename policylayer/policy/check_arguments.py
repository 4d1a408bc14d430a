"""Pure: conditions held against the schemas of the tools that they are asked about: paths, types, values.

An error where it looks like a slip, or where it makes a deny or a hold do something else than it says; a warning where
it may be meant. Which tools those are is `tool_reach`'s; what is not about arguments is only held against its type.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import takewhile

from policylayer.policy import ast
from policylayer.policy.check_matchers import check_matcher, check_ref
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import did_you_mean, nearest, quote
from policylayer.policy.references import refs_in
from policylayer.policy.tool_truth import SCALARS
from policylayer.policy.tool_words import (
    ABOUT_ARGUMENTS,
    WORDS,
    Asking,
    Found,
    Spot,
    any_of,
    is_list,
    of,
    tools_named,
)


def check_condition(condition: ast.Condition | None, spots: Sequence[Spot], asking: Asking) -> None:
    """Hold every test of a condition against the schemas at these spots."""
    if condition is not None and spots:
        tests = list(ast.tests_of(condition))
        typed = (test.path for test in tests if any(matcher.name == "type" for matcher in test.matchers))
        asking = replace(asking, typed=frozenset(typed))
        for test in tests:
            check_test(test, spots, asking, test)


def check_test(test: ast.Test, spots: Sequence[Spot], asking: Asking, outer: ast.Test) -> None:
    """One test; `outer` is the one that it is in, where it is about an element."""
    asked = test.absent is not None or any(matcher.name == "exists" for matcher in test.matchers)
    found = _path(test.path, test.span, spots, asking, outer, asked)
    for matcher in test.matchers:
        check_matcher(test, matcher, found, asking)
        for ref in refs_in(matcher):
            others = _path(ref.path, ref.span, spots, asking, outer, False)
            check_ref(test, matcher, ref, found, others, asking)
        if isinstance(matcher.value, ast.Each):
            inner = [Spot(s.tool, s.scene.within(p), f"{s.label(test.path)}[]") for s, p in found if is_list(p)]
            if matcher.value.element is not None and inner:
                check_test(matcher.value.element, inner, asking, outer)
            check_condition_within(matcher.value.condition, inner, asking, outer)


def check_condition_within(
    condition: ast.Condition | None, spots: Sequence[Spot], asking: Asking, outer: ast.Test
) -> None:
    """The same for conditions about an element."""
    for test in ast.tests_of(condition) if condition is not None and spots else ():
        check_test(test, spots, asking, outer)


def check_counted(limit: ast.Limit, spots: Sequence[Spot], asking: Asking) -> None:
    """What a limit counts and what it counts by: without it every call is denied."""
    asking = replace(asking, counts=True, blames=lambda tool, test, path: True)
    if limit.sum is not None:
        _check_read(limit.sum, frozenset(("string" if limit.decimal else "number",)), limit, spots, asking)
    for path in limit.by:
        _check_read(path, SCALARS, limit, spots, asking)


def _check_read(
    path: ast.Path, wanted: frozenset[str], limit: ast.Limit, spots: Sequence[Spot], asking: Asking
) -> None:
    found = _path(path, limit.span, spots, asking, ast.Test(path, (), limit.span), False)
    wrong = [(spot, place) for spot, place in found if place.kinds and not place.kinds & wanted]
    if wrong:
        needs = "one value" if wanted == SCALARS else any_of(wanted, WORDS)
        is_ = f"{of(wrong, path)} is {any_of(wrong[0][1].kinds, WORDS)}"
        message = f"{is_}, where the limit needs {needs}: every call is denied"
        asking.say(True, Code.ARGUMENT_TYPE, limit.span, message)


def check_redacted(paths: Iterable[ast.ResultPath], spots: Sequence[Spot], asking: Asking) -> None:
    """What is masked in the record: a misspelt path would mask nothing. What follows a wildcard is not looked at."""
    for path in paths:
        steps = tuple(takewhile(lambda step: step not in ("*", "**"), path.segments))
        if spots and steps[0] in ABOUT_ARGUMENTS:
            _path(steps, path.span, spots, asking, ast.Test(steps, (), path.span), True)


# --- paths ------------------------------------------------------------------------------------------------------------


def _path(path: ast.Path, span: ast.Span, spots: Sequence[Spot], asking: Asking, outer: ast.Test, asked: bool) -> Found:
    """Where a path leads at each spot that has it; what is wrong with it elsewhere is reported."""
    if path[0] not in ABOUT_ARGUMENTS or not spots:
        return [(spot, spot.scene.at(path)) for spot in spots[:1]]
    found = [(spot, spot.scene.at(path)) for spot in spots]
    lost = [(spot, place) for spot, place in found if place.is_lost]
    through = [(spot, place) for spot, place in found if place.standing == "through"]
    if through:
        _say_through(path, span, through, asking, is_error=asking.guards or len(through) == len(found))
    if lost and len(lost) == len(found) and asking.only_tools:
        _say_unknown(path, span, lost, asking, asked)
    elif lost and asking.guards and not asked:
        blamed = [(spot, at) for spot, at in lost if asking.blames(spot.tool, outer, path[: at.lost + 1])]
        _say_missing(path, span, blamed, asking)
    return [(spot, place) for spot, place in found if place.standing in ("declared", "unsure")]


def _say_unknown(path: ast.Path, span: ast.Span, lost: Found, asking: Asking, asked: bool) -> None:
    """No tool has it."""
    spot, place = lost[0]
    names = frozenset().union(*(place.names for _, place in lost))
    word, before = path[place.lost], path[: place.lost]
    near = nearest(word, names)
    closed = all(place.standing == "closed" for _, place in lost)
    has = "has no" if closed or near is not None else "says nothing of an"
    if place.lost > 1:
        message = f"{of([lost[0]], before)} {has.removesuffix(' an')} {quote(word)}"
    elif len(lost) == 1:
        message = f"{quote(spot.tool.name)} {has} argument {quote(spot.label(path[:2]))}"
    else:
        message = f"none of the {len(lost)} tools that this concerns has an argument {quote(spot.label(path[:2]))}"
    if near is None and asking.is_strict and not asked:
        message += f", and {asking.consequence} where it is missing"
    help_ = did_you_mean(word, names) or ("" if names else "it takes no arguments")
    if near is not None:
        help_ = f"did you mean {quote(spot.label((*before, near)))}?"
    asking.say(
        near is not None or (not asked and (closed or asking.is_strict)), Code.UNKNOWN_ARGUMENT, span, message, help_
    )


def _say_missing(path: ast.Path, span: ast.Span, lost: Found, asking: Asking) -> None:
    """Some tools have it, some do not."""
    if not lost:
        return
    spot, place = lost[0]
    label = quote(spot.label(path[: place.lost + 1]))
    verb = "has" if len(lost) == 1 else "have"
    message = (
        f"{tools_named(spot.tool for spot, _ in lost)} {verb} no {label}, and {asking.consequence} where it is missing"
    )
    help_ = "say `absent: no_match` (or `match`), or name only the tools that have it"
    asking.say(asking.is_strict, Code.ARGUMENT_MISSING, span, message, help_)


def _say_through(path: ast.Path, span: ast.Span, found: Found, asking: Asking, is_error: bool) -> None:
    """It leads through what is no object."""
    spot, place = found[0]
    before = path[: place.lost]
    kinds = spot.scene.at(before).kinds or frozenset(("string",))
    if kinds == {"array"}:
        message = f"{of(found, before)} is a list, and its elements have no names"
        asking.say(is_error, Code.LIST_ARGUMENT, span, message, "ask them with `some` or `every`: {item.x: …}")
        return
    message = f"{of(found, before)} is {any_of(kinds, WORDS)}, and nothing is below it"
    asking.say(is_error, Code.ARGUMENT_TYPE, span, message)
