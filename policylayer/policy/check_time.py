"""Pure: no deny, hold or duty may come to an end merely because time passes: it would open by itself.

`before` turns false as time passes, `after` turns true. In every rule that is not an allow, `before` is refused under
an even and `after` under an odd number of `not`s, an `except` block counting as one. Weekly windows come again and are
permitted. Memberships that end are `check_names`'s: they need principals.yaml.
"""

from __future__ import annotations

from collections.abc import Iterator

from policylayer.core.decision import Effect
from policylayer.policy.ast import All, Any_, Bound, Condition, Not, Rule, Test
from policylayer.policy.codes import Code
from policylayer.policy.shapes import Reading


def leaves(rule: Rule) -> Iterator[tuple[Test | Bound, bool]]:
    """Every test and bound of a rule, each with whether it stands under an odd number of negations."""
    yield from _leaves(rule.selection.when, False)
    for block in rule.except_:
        yield from _leaves(block.when, True)


def _leaves(condition: Condition | None, odd: bool) -> Iterator[tuple[Test | Bound, bool]]:
    if isinstance(condition, Test | Bound):
        yield condition, odd
    elif isinstance(condition, Not):
        yield from _leaves(condition.part, not odd)
    elif isinstance(condition, All | Any_):
        for part in condition.parts:
            yield from _leaves(part, odd)


def check_time(rule: Rule, reading: Reading) -> None:
    """Report bounds by which a rule that is not an allow would end."""
    if rule.effect is Effect.ALLOW:
        return
    for leaf, odd in leaves(rule):
        if isinstance(leaf, Bound) and (leaf.kind == "before") is not odd:
            message = (
                f"this rule would end by itself: `{leaf.kind}` becomes {'true' if odd else 'false'} as time passes"
            )
            help_ = "remove the rule when it is over, or put the bound into an allow"
            reading.error(Code.OPENS_BY_ITSELF, leaf.span, message, help_)
