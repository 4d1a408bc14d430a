"""Pure: the decisions on several calls that are one request become one: the worst, with all that the others ask.

A denial if there is one; else a hold with all that holds; else an allow with all that is charged. Their order never
matters. Must not know why one request is several calls (`inside`; `subscriptions/listen` in `proxy/judging.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final, TypeAlias

from policylayer.core.decision import Charge, Decision, Effect, HoldRule, ReasonCode, Retry, RuleRef
from policylayer.policy.obligations import merge, redaction

Charges: TypeAlias = Callable[[Sequence[Decision]], tuple[Charge, ...]]

BADNESS: Final = {Effect.ALLOW: 0, Effect.REQUIRE_APPROVAL: 1, Effect.DENY: 2}

PLAINNESS: Final = {ReasonCode.NOT_APPLICABLE: 0, ReasonCode.INDETERMINATE: 1, ReasonCode.ENGINE_ERROR: 2}
"""Of denials, the plainest is told of: what a rule says, or the proxy itself, before what nothing said."""


def worst(decisions: Sequence[Decision], charges: Charges | None = None) -> Decision:
    """All of them as one. `charges` says what they charge together; a counter is charged once unless it says else."""
    first = max(decisions, key=_rank)
    if len(decisions) == 1:
        return first
    alike = [each for each in decisions if each.effect is first.effect]
    made = replace(
        first,
        would=_would(first, decisions),
        rules=_each_once(rule for each in alike for rule in each.rules),
        observed=_each_once(rule for each in decisions for rule in each.observed),
    )
    if first.effect is Effect.DENY:
        return _denied(made, alike, decisions)
    return replace(
        made,
        holds=_holds(alike),
        charges=(charges or _once)(decisions),
        obligations=merge((), (each.obligations for each in decisions)),
    )


def _denied(made: Decision, alike: Sequence[Decision], decisions: Sequence[Decision]) -> Decision:
    """Of what is denied only the record is left to be redacted. It may be tried again where none of them forbids it."""
    told = [each for each in alike if each.reason_code is made.reason_code]
    never: Retry = "never"
    return replace(
        made,
        fields=tuple(sorted({field for each in told for field in each.fields})),
        retry=never if any(each.retry == never for each in alike) else made.retry,
        obligations=redaction((), (each.obligations for each in decisions)),
    )


def _rank(decision: Decision) -> tuple[int, int, int]:
    return BADNESS[decision.enforced], BADNESS[decision.effect], PLAINNESS.get(decision.reason_code, len(PLAINNESS))


def _would(first: Decision, decisions: Iterable[Decision]) -> Effect | None:
    """What observed files would have made of all of them; None: the same."""
    worse = max(((each.effect if each.would is None else each.would) for each in decisions), key=BADNESS.__getitem__)
    return None if worse is first.effect else worse


def _each_once(rules: Iterable[RuleRef]) -> tuple[RuleRef, ...]:
    return tuple(sorted(set(rules), key=_by_name))


def _by_name(ref: RuleRef) -> tuple[str, str]:
    return ref.policy, ref.rule


def _holds(decisions: Iterable[Decision]) -> tuple[HoldRule, ...]:
    """Each rule once, bound by all that any of them is bound by."""
    found: dict[str, HoldRule] = {}
    for hold in (hold for each in decisions for hold in each.holds):
        known = found.get(hold.ref.name, hold)
        found[hold.ref.name] = replace(hold, bound=tuple(sorted({*known.bound, *hold.bound})))
    return tuple(sorted(found.values(), key=lambda hold: _by_name(hold.ref)))


def _once(decisions: Sequence[Decision]) -> tuple[Charge, ...]:
    """One request charges a counter once, whatever it asks for."""
    return tuple({(charge.counter, charge.key): charge for one in decisions for charge in one.charges}.values())
