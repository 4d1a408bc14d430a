"""Pure: what can be said of one rule by itself once its keys are read: that it does something, and what never works.

The keys are in `parse_policy`; what needs other files is in `check_names` and `check_tests`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from policylayer.core.decision import Effect
from policylayer.policy.ast import Rule, Test, all_tests_of
from policylayer.policy.check_time import check_time, leaves
from policylayer.policy.codes import Code
from policylayer.policy.diagnostics import quote
from policylayer.policy.parse_selection import ENOUGH
from policylayer.policy.references import refs_in
from policylayer.policy.shapes import Reading, Values

_CLIENT: Final = ("request", "client")
_OTHER: Final = ("neq", "not_in")
"""Matchers that one name makes false and all others true."""
DUTIES: Final = ("limits", "label", "earn", "redact", "mask", "cap")


def check_rule(rule: Rule, values: Values, reading: Reading) -> None:
    """Report what is wrong with a rule as a whole."""
    name = quote(rule.id)
    if not any(values.written(key) for key in ENOUGH):
        help_ = 'name tools, prompts, resources or methods; everything: methods: ["*"]'
        reading.error(Code.NO_TARGET, rule.span, f"rule {name} does not say what it concerns", help_)
    if not values.written("effect") and not any(values.written(key) for key in DUTIES):
        help_ = "give it an `effect` (allow, deny, require_approval), a limit or an obligation"
        reading.error(Code.DOES_NOTHING, rule.span, f"rule {name} does nothing", help_)
    if rule.effect is Effect.DENY:
        _check_deny(values, reading)
    if values.written("approval") and not _may_hold(rule, values):
        help_ = "it goes with `effect: require_approval`, or with a limit that says `over: require_approval`"
        reading.error(Code.NEVER_APPLIES, values.spans["approval"], "nothing in this rule asks for approval", help_)
    check_time(rule, reading)
    _check_client(rule, reading)
    if rule.effect in (Effect.DENY, Effect.REQUIRE_APPROVAL):
        _check_queries(rule, reading)


def _check_deny(values: Values, reading: Reading) -> None:
    for key in DUTIES:
        if values.written(key):
            help_ = "put it into a rule of its own without `effect`"
            reading.error(Code.NEVER_APPLIES, values.spans[key], f"`{key}` does nothing in a rule that denies", help_)
    if not values.written("reason"):
        help_ = "say in `reason` why, and in `instead` what to do: it is what the agent reads"
        reading.warn(Code.NO_REASON, values.span, "a denial without a reason", help_)


def _may_hold(rule: Rule, values: Values) -> bool:
    """Whether an approval can come of the rule; a named limit is given the benefit of the doubt."""
    if rule.effect is Effect.REQUIRE_APPROVAL or (values.written("effect") and "effect" not in values):
        return True
    return any(isinstance(limit, str) or limit.over == "require_approval" for limit in rule.limits)


def _check_queries(rule: Rule, reading: Reading) -> None:
    """A pattern without a query matches no URL that has one: a deny or a hold by it is left by adding `?`."""
    for leaf, odd in leaves(rule):
        for test in all_tests_of(leaf) if not odd else ():
            for matcher in test.matchers:
                for text, span in matcher.placed() if matcher.name == "url_glob" else ():
                    if isinstance(text, str) and "?" not in text:
                        message = f"{quote(text)} matches only URLs without a query: this rule is left by adding one"
                        reading.warn(Code.LEFT_BY_QUERY, span, message, f"write {quote(text + '?**')}")


def _check_client(rule: Rule, reading: Reading) -> None:
    """Whoever claims the name passes: an allow or an exception that reads it, and what else is left by claiming one."""
    blocks = (rule.selection, *rule.except_) if rule.effect is Effect.ALLOW else rule.except_
    found = [test for block in blocks for test in all_tests_of(block.when) if any(_by_claim(test))]
    if rule.effect is not Effect.ALLOW:
        for leaf, odd in leaves(replace(rule, except_=())):
            # A name that makes it true is harmless where that denies: nobody claims it.
            tests = all_tests_of(leaf)
            found += [test for test in tests if any((name in _OTHER) is not odd for name in _by_claim(test))]
    for test in found:
        message = "`request.client` is whatever the client calls itself"
        reading.warn(Code.CLIENT_CLAIM, test.span, message, "do not allow by it: any client can claim any name")


def _by_claim(test: Test) -> Iterator[str]:
    """The matchers that look at what the client calls itself."""
    for matcher in test.matchers:
        if test.path == _CLIENT or any(ref.path == _CLIENT for ref in refs_in(matcher)):
            yield matcher.name
