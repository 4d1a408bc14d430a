"""Pure: that tests name rules and limits which there are: a test of a misspelt rule would show nothing.

Running them is `testing`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from policylayer.core.decision import Effect
from policylayer.policy import ast
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import Diagnostic, did_you_mean, error, quote, warning

REGO: Final = "rego/"
"""How rules of Rego files are named."""


def check_tests(
    tests: Iterable[ast.TestCase],
    policies: Sequence[ast.Policy],
    directory: ast.Directory,
    sink: list[Diagnostic],
    rego: bool = False,
) -> None:
    """Report rules, limits and attributes that there are not; the names of Rego's rules are in its results only."""
    rules = _rules(policies)
    limits = _limits(policies)
    for test in tests:
        expected, places = test.expected, test.places
        named = [(_no_rule(name, rules, rego), expected.places.get(name)) for name in expected.rules or ()]
        named += [(_no_hold(name, rules, rego), places.get(name)) for name in sorted(test.approved)]
        sink.extend(error(Code.UNKNOWN_RULE, span or test.span, *wrong) for wrong, span in named if wrong is not None)
        for name in test.limits:
            if name not in limits:
                help_ = did_you_mean(name, limits)
                span = places.get(name, test.span)
                sink.append(error(Code.UNKNOWN_LIMIT, span, f"there is no limit {quote(name)}", help_))
        for subject in (test.subject, test.on_behalf_of):
            _check_attributes(subject, directory, sink)


def no_hold(name: str, policies: Iterable[ast.Policy], rego: bool) -> tuple[str, str] | None:
    """Why `approved` cannot name this, with a help; None where it is a rule that may ask for approval."""
    return _no_hold(name, _rules(policies), rego)


def _rules(policies: Iterable[ast.Policy]) -> dict[str, ast.Rule]:
    return {f"{policy.name}/{rule.id}": rule for policy in policies for rule in policy.rules}


def _no_rule(name: str, rules: Mapping[str, ast.Rule], rego: bool) -> tuple[str, str] | None:
    if name in rules or (rego and name.startswith(REGO)):
        return None
    return f"there is no rule {quote(name)}", did_you_mean(name, rules)


def _no_hold(name: str, rules: Mapping[str, ast.Rule], rego: bool) -> tuple[str, str] | None:
    if name in rules and not _holds(rules[name]):
        return f"rule {quote(name)} never asks for approval", "`approved` names holds"
    return _no_rule(name, rules, rego)


def _limits(policies: Sequence[ast.Policy]) -> set[str]:
    found: set[str] = set()
    for policy in policies:
        found.update(f"{policy.name}/{name}" for name in policy.limits)
        for rule in policy.rules:
            inline = sum(isinstance(limit, ast.Limit) for limit in rule.limits)
            found.update(f"{policy.name}/{rule.id}#{number}" for number in range(1, inline + 1))
    return found


def _holds(rule: ast.Rule) -> bool:
    over = any(isinstance(limit, str) or limit.over == "require_approval" for limit in rule.limits)
    return rule.effect is Effect.REQUIRE_APPROVAL or over


def _check_attributes(subject: ast.TestSubject | None, directory: ast.Directory, sink: list[Diagnostic]) -> None:
    for name in subject.attributes if subject else ():
        if name not in directory.attributes and subject is not None:
            message = f"the attribute {quote(name)} is not declared in principals.yaml, so no rule can read it"
            sink.append(warning(Code.UNDECLARED_ATTRIBUTE, subject.span, message, "declare it under `attributes`"))
