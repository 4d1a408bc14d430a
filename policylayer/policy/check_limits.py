"""Pure: warnings about limits that do not hold what their author may think they hold.

A limit of an allow is met only by calls which that allow permits: another allow lets the same call pass without it. And
a counter per value of an argument is no bound where the rule lets the caller choose any value.
"""

from __future__ import annotations

from collections.abc import Sequence

from policylayer.core.decision import Effect
from policylayer.policy import ast, names
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import Diagnostic, quote, warning

CONFINING = frozenset({"eq", "in"})


def check_limits(policies: Sequence[ast.Policy], sink: list[Diagnostic]) -> None:
    """Report limits that can be gone around."""
    allows = [rule for policy in policies for rule in policy.rules if rule.effect is Effect.ALLOW]
    for policy in policies:
        for rule in policy.rules:
            for written in rule.limits:
                limit = policy.limits.get(written) if isinstance(written, str) else written
                if limit is not None:
                    _check_by(rule, limit, sink)
            if rule.limits and rule.effect is Effect.ALLOW:
                _check_avoidable(rule, allows, sink)


def _check_by(rule: ast.Rule, limit: ast.Limit, sink: list[Diagnostic]) -> None:
    parts = rule.selection.when.parts if isinstance(rule.selection.when, ast.All) else ()
    confined = {
        part.path for part in parts if isinstance(part, ast.Test) and any(m.name in CONFINING for m in part.matchers)
    }
    for path in limit.by:
        if path[0] in ("args", "input") and path not in confined:
            message = f"rule {quote(rule.id)} counts by {quote('.'.join(path))}, which the caller may choose freely"
            help_ = "say in `when` which values it may have: every new value begins a new counter"
            sink.append(warning(Code.UNCONFINED_BY, rule.span, message, help_))


def _check_avoidable(rule: ast.Rule, allows: Sequence[ast.Rule], sink: list[Diagnostic]) -> None:
    for other in allows:
        if other is not rule and _overlap(rule.selection, other.selection):
            message = f"the limits of {quote(rule.id)} do not hold for calls that {quote(other.id)} allows"
            help_ = "limits which must hold belong in a rule without `effect`"
            sink.append(warning(Code.LIMIT_AVOIDABLE, rule.span, message, help_))
            return


def _overlap(one: ast.Selection, other: ast.Selection) -> bool:
    pairs = ((one.tools, other.tools), (one.prompts, other.prompts), (one.resources, other.resources))
    return any(_meet(left.text, right.text) for a, b in pairs for left in a or () for right in b or ())


def _meet(left: str, right: str) -> bool:
    """Whether two globs have a name in common, as far as one of them matches the other's text."""
    return names.matcher(left)(right) or names.matcher(right)(left)
