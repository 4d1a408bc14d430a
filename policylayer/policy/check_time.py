"""Pure: no deny, hold or duty may come to an end merely because time passes: it would open by itself.

`before` turns false as time passes, `after` turns true. In every rule that is not an allow, `before` is refused under
an even and `after` under an odd number of `not`s, an `except` block counting as one. Weekly windows come again and are
permitted. Memberships that end are `check_names`'s: they need principals.yaml.
"""

from __future__ import annotations

from collections.abc import Iterator

from policylayer.core.decision import Effect
from policylayer.policy import ast
from policylayer.policy.ast import Bound, Leaf, Rule
from policylayer.policy.codes import Code
from policylayer.policy.shapes import Reading


def leaves(rule: Rule) -> Iterator[tuple[Leaf, bool]]:
    """Every leaf of a rule's conditions; an `except` block counts as a `not`."""
    yield from ast.leaves(rule.selection.when)
    for block in rule.except_:
        yield from ast.leaves(block.when, odd=True)


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
