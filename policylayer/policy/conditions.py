"""Pure: conditions compiled: what `when` says of a call, what it could still say, and what keeps it from being true.

A `Node` (`condition_nodes`) is made once from the AST. `truth` folds as `truth` says; `possible` is for lists, where
arguments are not there yet (`outcomes`); `unmet` names fields for the agent; `reads` are the paths it looks at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Final

from policylayer.core.immutable import immutable
from policylayer.policy import (
    ast,
    matchers_place,
    matchers_scalar,
    matchers_shape,
    matchers_text,
    outcomes,
    times,
)
from policylayer.policy.codes import Code
from policylayer.policy.condition_nodes import Node, any_part, every_part, inverse
from policylayer.policy.diagnostics import Diagnostic
from policylayer.policy.matchers import BUILDERS, Check, Refused, Site, build, ref_problem
from policylayer.policy.references import typed_refs
from policylayer.policy.truth import Problem, Truth, conjunction, disjunction
from policylayer.policy.values import BROKEN, NOT_ARRIVED, UNKNOWN_ROOTS, Context, reader, target_readings, text_of

FAMILIES: Final = (matchers_place, matchers_scalar, matchers_shape, matchers_text)
"""Imported for what they add to `BUILDERS`."""

COSTS: Final = {
    **dict.fromkeys(("within", "path_glob", "url_glob", "schema"), 20),
    **dict.fromkeys(("host", "cidr"), 10),
    **dict.fromkeys(("matches", "finds", "glob"), 2),
}
"""Matchers that take more than one step for each element of a list, as measured."""

TARGET: Final = ("target",)
TIME: Final = ("time",)

Judge = Callable[[Any, Context], Truth]
"""What all matchers of a test make of a value, missing included."""


def unknown(reads: Iterable[ast.Path]) -> bool:
    """Whether one of the paths is not there yet when lists are filtered."""
    return any(path[0] in UNKNOWN_ROOTS for path in reads)


def compile_condition(condition: ast.Condition, sink: list[Diagnostic], item: str | None = None) -> Node:
    """The node of a condition. Where something in it is refused, it is reported and the node must not be used."""
    match condition:
        case ast.All(parts):
            return every_part([compile_condition(part, sink, item) for part in parts])
        case ast.Any_(parts):
            return any_part([compile_condition(part, sink, item) for part in parts])
        case ast.Not(part):
            return inverse(compile_condition(part, sink, item))
        case ast.During() | ast.Bound():
            return _time(condition, sink)
        case ast.Test():
            return _test(condition, sink, item)


# --- time -------------------------------------------------------------------------------------------------------------


def _time(condition: ast.During | ast.Bound, sink: list[Diagnostic]) -> Node:
    if isinstance(condition, ast.Bound):
        check = (times.after if condition.kind == "after" else times.before)(condition.at_us)
    else:
        zone = times.read_zone(condition.zone)
        if zone is None:
            message = f"there is no time zone `{condition.zone}`"
            Site("time", sink).refuse(Code.UNKNOWN_ZONE, condition.span, message, "as in `Europe/Berlin`, or `UTC`")
            return _refused()
        check = times.during(condition.days, condition.between, zone)
    return Node(
        lambda ctx: check(ctx.question.now),
        lambda ctx: outcomes.EITHER if ctx.unknown.touches(TIME) else outcomes.of(check(ctx.question.now)),
        lambda ctx: () if check(ctx.question.now) else ("time",),
        frozenset((TIME,)),
    )


def _refused() -> Node:
    """In the place of what was reported; the policy set is not made."""
    return Node(lambda ctx: False, lambda ctx: outcomes.ANYTHING, lambda ctx: ())


# --- a path and its matchers ------------------------------------------------------------------------------------------


def _test(test: ast.Test, sink: list[Diagnostic], item: str | None) -> Node:
    site = Site("", sink, test.ignore_case, item)
    site = replace(site, field=site.label(test.path))
    try:
        if reader(test.path) is None or (test.path[0] == "item" and item is None):
            raise site.refuse(Code.UNKNOWN_PATH, test.span, f"there is no path `{text_of(test.path)}`")
        judged = judge_all(test, site)
    except Refused:
        return _refused()
    truth = _read_and_judged(test.path, judged)
    reads = judged.reads | {test.path}
    return Node(
        truth,
        _possibilities(test, truth, judged.reads),
        lambda ctx: () if truth(ctx) is True else (site.field,),
        frozenset(reads if item is None else (path for path in reads if path[0] != "item")),
    )


def _read_and_judged(path: ast.Path, judged: Judged) -> Callable[[Context], Truth]:
    """A path's value, judged. The first two cases are the third, written for speed."""
    check, missing, judge = judged.check, judged.missing, judged.judge
    if path == TARGET:
        return _agreeing(judge, judged.wrong)
    if path[0] == "args" and len(path) == 2 and missing is not None:
        key = path[1]

        def of_argument(ctx: Context) -> Truth:
            value = ctx.args.get(key)
            return missing if value is None else check(value, ctx)

        return of_argument
    read = reader(path)
    assert read is not None
    return lambda ctx: judge(read(ctx), ctx)


def _agreeing(judge: Judge, wrong: Problem) -> Callable[[Context], Truth]:
    """A target that may be read in several ways must get one answer."""

    def truth(ctx: Context) -> Truth:
        answers = [judge(reading, ctx) for reading in target_readings(ctx)]
        return answers[0] if all(answer == answers[0] for answer in answers) else wrong

    return truth


def _possibilities(
    test: ast.Test, truth: Callable[[Context], Truth], inner: frozenset[ast.Path]
) -> Callable[[Context], int]:
    """What a test may be while arguments are unknown."""
    read = reader(test.path)
    assert read is not None
    path, in_list = test.path, test.path[0] == "item"
    later, compared_later = path[0] in UNKNOWN_ROOTS, unknown(inner)
    needs_value = test.absent is None and not any(matcher.name == "exists" for matcher in test.matchers)
    in_files = reads_files(test)

    def possible(ctx: Context) -> int:
        not_known = ctx.unknown
        listing = not_known is NOT_ARRIVED
        if in_list or (later if listing else not_known.touches(path)):
            return outcomes.ANYTHING
        if ctx.open_target and (path == TARGET or TARGET in inner):
            return outcomes.ANYTHING
        if not (compared_later if listing else any(map(not_known.touches, inner))):
            answer = truth(ctx)
            # A path that cannot be read without the directory may be read with it; an answer stays what it is.
            relative = in_files and not_known.cwd and not isinstance(answer, bool)
            return outcomes.ANYTHING if relative else outcomes.of(answer)
        value = read(ctx)
        if value is BROKEN or (value is None and needs_value):
            return outcomes.MISSING | outcomes.WRONG
        return outcomes.ANYTHING

    return possible


def reads_files(test: ast.Test) -> bool:
    """Whether a test reads file paths, which may be relative to a server's directory."""
    return any(
        matcher.name in ("within", "path_glob")
        or (isinstance(matcher.value, ast.Each) and any(map(reads_files, _tests_in(matcher.value))))
        for matcher in test.matchers
    )


def _tests_in(each: ast.Each) -> Iterable[ast.Test]:
    yield from ast.tests_of(each.element)
    yield from ast.tests_of(each.condition)


@immutable
class Judged:
    """All matchers of a test together: on a value that is there (`check`), and on anything that was read (`judge`).

    `missing` is what a missing value comes to, where that is always the same; `reads` are other paths looked at.
    """

    check: Check
    judge: Judge
    missing: Truth | None
    wrong: Problem
    reads: frozenset[ast.Path]


def judge_all(test: ast.Test, site: Site) -> Judged:
    """All matchers of a test; raises `Refused` after reporting."""
    absent = None if test.absent is None else test.absent == "match"
    missing: Truth = site.missing if absent is None else absent
    parts = _all_matchers(test, site, missing)
    check = _both([part[0] for part in parts])
    when_missing = [part[1] for part in parts]
    always = None
    if not any(callable(part) for part in when_missing):
        always = conjunction(part for part in when_missing if not callable(part))
    wrong = site.wrong

    def judge(value: Any, ctx: Context) -> Truth:
        if value is None:
            return conjunction(part(ctx) if callable(part) else part for part in when_missing)
        return wrong if value is BROKEN else check(value, ctx)

    return Judged(check, judge, always, wrong, frozenset().union(*(part[2] for part in parts)))


def _all_matchers(test: ast.Test, site: Site, missing: Truth) -> list[Compiled]:
    """Each of them; what is wrong with any is reported before it raises."""
    parts, refused = [], None
    for matcher in test.matchers:
        try:
            parts.append(_matcher(matcher, site, missing))
        except Refused as problem:
            refused = problem
    if refused is not None:
        raise refused
    return parts


def _both(checks: list[Check]) -> Check:
    """All checks on one value."""
    if len(checks) == 1:
        return checks[0]
    first, rest = checks[0], _both(checks[1:])

    def check(value: Any, ctx: Context) -> Truth:
        left = first(value, ctx)
        if left is False:
            return False
        right = rest(value, ctx)
        if left is True or right is False:
            return right
        return left if right is True else left + right

    return check


WhenMissing = Truth | Callable[[Context], Truth]
"""What a matcher makes of a missing value: one answer, or one that depends on a `ref`."""


Compiled = tuple[Check, WhenMissing, frozenset[ast.Path]]


def _matcher(matcher: ast.Matcher, site: Site, missing: Truth) -> Compiled:
    """One matcher: on a value, on a missing one, and the other paths it reads."""
    if matcher.name == "exists":
        wanted = bool(matcher.value)
        return (lambda value, ctx: wanted), not wanted, frozenset()
    if matcher.name in ("every", "some"):
        check, reads = _each(matcher, site, missing)
        return check, missing, reads
    check = build(matcher, site)
    refs = typed_refs(matcher)
    if not refs:
        return check, missing, frozenset()
    problems = tuple(ref_problem(ref, taken, site) for ref, taken in refs)

    def when_missing(ctx: Context) -> Truth:
        found = [problem for problem in (find(ctx) for find in problems) if problem is not None]
        own = () if isinstance(missing, bool) else (missing,)
        return conjunction([*own, *found]) if found else missing

    return check, when_missing, frozenset(ref.path for ref, _ in refs)


# --- every, some ------------------------------------------------------------------------------------------------------


def _each(matcher: ast.Matcher, site: Site, empty: Truth) -> tuple[Check, frozenset[ast.Path]]:
    """`every` and `some`: fold the elements' truths; an empty list counts as missing under `every`."""
    element, reads = _element(matcher, site)
    steps = cost_of(matcher.value)
    fold = conjunction if matcher.name == "every" else disjunction
    if matcher.name == "some":
        empty = False
    wrong = site.wrong

    def check(value: Any, ctx: Context) -> Truth:
        if not isinstance(value, list | tuple):
            return wrong
        if not value:
            return empty
        if not ctx.spend(steps * len(value)):
            return wrong
        outer = ctx.item
        try:
            return fold(element(ctx, one) for one in value)
        finally:
            ctx.item = outer

    return check, reads


def cost_of(each: Any) -> int:
    """The steps that one element takes: one for each matcher, more for those that read a text further."""
    return sum(COSTS.get(matcher.name, 1) for test in _tests_in(each) for matcher in test.matchers) or 1


def _element(matcher: ast.Matcher, site: Site) -> tuple[Callable[[Context, Any], Truth], frozenset[ast.Path]]:
    each = matcher.value
    name = f"{site.field}[]"
    if not isinstance(each, ast.Each) or (each.element is None) is (each.condition is None):
        raise site.refuse(Code.BAD_OPERAND, matcher.span, f"`{matcher.name}` takes matchers or conditions on `item`")
    if each.element is not None:
        inner = Site(name, site.sink, each.element.ignore_case, name)
        judged = judge_all(each.element, inner)

        def by_matchers(ctx: Context, value: Any) -> Truth:
            ctx.item = value
            return judged.judge(value, ctx)

        return by_matchers, judged.reads
    assert each.condition is not None
    node = compile_condition(each.condition, site.sink, name)

    def by_condition(ctx: Context, value: Any) -> Truth:
        ctx.item = value
        return node.truth(ctx)

    return by_condition, node.reads


__all__ = ["BUILDERS", "FAMILIES", "Node", "compile_condition", "every_part", "inverse", "unknown"]
