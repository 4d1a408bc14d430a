"""Pure: warnings where a deny, a hold or a duty ends with somebody's membership in a group: `until` is a `before`.

The bounds written in rules are `check_time`'s, which refuses them; a membership that ends is an author's right, so it
is only pointed out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from policylayer.core.decision import Effect
from policylayer.policy import ast, names
from policylayer.policy.check_time import leaves
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import Diagnostic, quote, warning


def check_ends(policies: Sequence[ast.Policy], directory: ast.Directory, sink: list[Diagnostic]) -> None:
    """Report rules that stop concerning somebody when a membership ends."""
    ending = _ending(directory)
    if not ending:
        return
    for policy in policies:
        strict = [rule for rule in policy.rules if rule.effect is not Effect.ALLOW]
        if strict:
            for scope in (policy.applies_to, *policy.scopes):
                _warn(scope.principals, ending, sink)
        for rule in strict:
            _warn((*(rule.selection.principals or ()), *(rule.selection.on_behalf_of or ())), ending, sink)
            for leaf, odd in leaves(rule):
                if isinstance(leaf, ast.Test) and leaf.path in (("principal", "groups"), ("for", "groups")):
                    _warn_test(leaf, odd, ending, sink)


def _ending(directory: ast.Directory) -> frozenset[str]:
    """Groups in which somebody's membership ends, directly or through a group."""
    found = {name for name, members in directory.groups.items() if any(m.until_us is not None for m in members)}
    grown = True
    while grown:
        inner = {f"group:{name}" for name in found}
        more = {name for name, members in directory.groups.items() if any(m.name in inner for m in members)}
        grown = not more <= found
        found |= more
    return frozenset(f"group:{name}" for name in found)


def _warn(patterns: Iterable[ast.Pattern], ending: frozenset[str], sink: list[Diagnostic]) -> None:
    groups = [pattern for pattern in patterns if pattern.text.startswith("group:")]
    sink.extend(
        _finding(pattern.text, pattern.span)
        for pattern in groups
        if any(names.matcher(pattern.text)(group) for group in ending)
    )


def _warn_test(test: ast.Test, odd: bool, ending: frozenset[str], sink: list[Diagnostic]) -> None:
    for matcher in test.matchers:
        element = matcher.value.element if isinstance(matcher.value, ast.Each) else None
        for inner in element.matchers if element else ():
            values = inner.value if isinstance(inner.value, tuple) else (inner.value,)
            negative = inner.name in ("neq", "not_in")
            hits = [value for value in values if isinstance(value, str) and value in ending]
            if hits and odd is negative:
                sink.append(_finding(hits[0], inner.span))


def _finding(group: str, span: ast.Span) -> Diagnostic:
    message = f"somebody's membership in {quote(group)} ends (`until`), and with it this rule for them"
    return warning(Code.OPENS_WITH_MEMBERSHIP, span, message, "let an allow, or an `except`, name groups that end")
