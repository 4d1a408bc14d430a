"""Pure: warnings about limits that do not hold what their author may think they hold.

A limit of an allow is met only by calls which that allow permits: another allow lets the same call pass without it. And
a counter per value of an argument is no bound where the rule lets the caller choose any value.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from policylayer.core.decision import Effect
from policylayer.policy import ast, names, resources
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import Diagnostic, quote, warning
from policylayer.policy.directory import GROUP
from policylayer.policy.selectors import PROMPTS, TOOLS

CONFINING: Final = frozenset({"eq", "in"})
CLIENT: Final = ("request", "client")
CALLED_BY: Final = {"tools": (TOOLS,), "prompts": (PROMPTS,), "resources": tuple(resources.METHODS)}
"""The methods by which each kind of target is called."""

Placed = tuple[ast.Policy, ast.Rule]


def check_limits(policies: Sequence[ast.Policy], sink: list[Diagnostic]) -> None:
    """Report limits that can be gone around."""
    counted = [policy for policy in policies if not policy.observe]
    allows = [(policy, rule) for policy in counted for rule in policy.rules if rule.effect is Effect.ALLOW]
    for policy in policies:
        for rule in policy.rules:
            for written in rule.limits:
                limit = policy.limits.get(written) if isinstance(written, str) else written
                if limit is not None:
                    _check_by(rule, limit, sink)
    for placed in allows:
        if placed[1].limits:
            _check_avoidable(placed, allows, sink)


def _check_by(rule: ast.Rule, limit: ast.Limit, sink: list[Diagnostic]) -> None:
    confined = _confined(rule.selection.when)
    for path in limit.by:
        if _is_free(path) and path not in confined:
            message = f"rule {quote(rule.id)} counts by {quote('.'.join(path))}, which the caller may choose freely"
            help_ = "say in `when` which values it may have: every new value begins a new counter"
            sink.append(warning(Code.UNCONFINED_BY, rule.span, message, help_))


def _is_free(path: ast.Path) -> bool:
    """Whether whoever calls may put any value there."""
    return path[0] in ("args", "input") or path == CLIENT


def _confined(condition: ast.Condition | None) -> set[ast.Path]:
    """Paths that are equal to one of some literals, or to a path that is, or that the caller does not choose."""
    tests = list(_conjoined(condition))
    found: set[ast.Path] = set()
    while more := {test.path for test in tests if test.path not in found and _confines(test, found)}:
        found |= more
    return found


def _conjoined(condition: ast.Condition | None) -> Iterator[ast.Test]:
    """The tests that all must hold."""
    if isinstance(condition, ast.Test):
        yield condition
    for part in condition.parts if isinstance(condition, ast.All) else ():
        yield from _conjoined(part)


def _confines(test: ast.Test, confined: set[ast.Path]) -> bool:
    for matcher in test.matchers:
        if matcher.name in CONFINING:
            value = matcher.value
            if isinstance(value, ast.Ref):
                holds = not _is_free(value.path) or value.path in confined
            else:
                # Keys are told apart by case: each spelling of a text would begin a counter of its own.
                holds = not (test.ignore_case and any(_has_case(literal) for literal, _ in matcher.placed()))
            if holds:
                return True
    return False


def _has_case(literal: object) -> bool:
    return isinstance(literal, str) and any(char.isascii() and char.isalpha() for char in literal)


def _check_avoidable(placed: Placed, allows: Sequence[Placed], sink: list[Diagnostic]) -> None:
    policy, rule = placed
    for each in allows:
        file, other = each
        shares = file is policy and all(isinstance(limit, str) and limit in other.limits for limit in rule.limits)
        if other is not rule and not shares and _overlap(placed, each):
            message = f"the limits of {quote(rule.id)} do not hold for calls that {quote(other.id)} allows"
            help_ = "limits which must hold belong in a rule without `effect`"
            sink.append(warning(Code.LIMIT_AVOIDABLE, rule.span, message, help_))
            return


# --- may one call be allowed by both ----------------------------------------------------------------------------------


def _overlap(one: Placed, other: Placed) -> bool:
    """As far as the texts tell: conditions are not compared, and anybody may be in any group."""
    left, right = one[1].selection, other[1].selection
    if (left.on_behalf_of is None) is not (right.on_behalf_of is None):
        return False  # Direct calls, and delegated ones.
    if not any(_meet(_called(left, kind), _called(right, kind)) for kind in (*CALLED_BY, "methods")):
        return False
    if not (_may_be_one(left.principals, right.principals) and _may_be_one(left.on_behalf_of, right.on_behalf_of)):
        return False
    return all(_meet(a, b) for a in _servers(*one) for b in _servers(*other))


def _servers(policy: ast.Policy, rule: ast.Rule) -> list[Sequence[str]]:
    lists = [policy.applies_to.servers, *(scope.servers for scope in policy.scopes), rule.selection.servers]
    return [_texts(each) for each in lists if each is not None]


def _called(selection: ast.Selection, kind: str) -> Sequence[str]:
    """What a selection names of a kind; everything of it, where it names a method by which it is called."""
    everything = kind != "methods" and _meet(_texts(selection.methods), CALLED_BY[kind])
    return ("*",) if everything else _texts(getattr(selection, kind))


def _may_be_one(left: Sequence[ast.Pattern] | None, right: Sequence[ast.Pattern] | None) -> bool:
    """Whether one principal may be of both lists."""
    if left is None or right is None or any(pattern.text.startswith(GROUP) for pattern in (*left, *right)):
        return True
    return _meet(_texts(left), _texts(right))


def _texts(patterns: Sequence[ast.Pattern] | None) -> Sequence[str]:
    return tuple(pattern.text for pattern in patterns or ())


def _meet(left: Sequence[str], right: Sequence[str]) -> bool:
    """Whether two lists have a name in common."""
    return any(names.meet(a, b) for a in left for b in right)
