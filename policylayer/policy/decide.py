"""Pure: effects combined: from what each candidate says of a call to the decision.

Deny beats hold, hold beats allow, and nothing at all is a denial; the order of rules never matters. Limits and
obligations of all matching rules apply together. Must not know how rules were found (`engine`), how each is sifted
(`sift`), nor what the agent is told (`texts`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from policylayer.core.decision import Charge, Decision, Effect, HoldRule, Obligations, ReasonCode, Retry, RuleRef
from policylayer.core.satisfied import is_satisfied
from policylayer.policy import foreign, texts
from policylayer.policy.denials import denial, telling, uncountable
from policylayer.policy.engine import Entry, Groups
from policylayer.policy.obligations import NONE, merge, redaction, softened
from policylayer.policy.sift import Sifted, in_order, refs
from policylayer.policy.truth import Problem
from policylayer.policy.values import Context


def decide(entry: Entry, ctx: Context, revision: str) -> Decision:
    """The decision on one call."""
    sifted = Sifted()
    sifted.ask_denying(entry.counted, ctx)
    if ctx.question.findings:
        foreign.join(sifted, ctx.question.findings)
    if entry.redacts or entry.observed is not None or not sifted.is_denied:
        sifted.ask_others(entry.counted, ctx)
    decision = _combine(entry, sifted, ctx, revision)
    if entry.observed is not None:
        decision = _with_observed(decision, entry, entry.observed, sifted, ctx)
    if ctx.question.server.mode == "observe":
        obligations = softened(decision.obligations)
        decision = replace(decision, enforced=Effect.ALLOW, charges=(), obligations=obligations)
    return decision


def effect_of(entry: Entry, ctx: Context) -> Effect:
    """The effect of `decide`, and nothing else: for whoever decides a million calls again."""
    sifted = Sifted()
    sifted.ask_denying(entry.counted, ctx)
    if ctx.question.findings:
        foreign.join(sifted, ctx.question.findings)
    if sifted.is_denied:
        return Effect.DENY
    sifted.ask_others(entry.counted, ctx)
    return _effect_of_all(entry, sifted, ctx)


def _combine(entry: Entry, sifted: Sifted, ctx: Context, revision: str) -> Decision:
    approved = ctx.question.approved
    findings = ctx.question.findings or ()
    failed = foreign.failure(findings)
    if failed is not None and not sifted.denies:
        return _redacted(foreign.denied_by(failed, revision), entry, sifted, True)
    effect = sifted.effect(approved)
    if effect is Effect.DENY:
        return _redacted(denial(entry, sifted, ctx, revision), entry, sifted, bool(findings))
    charges: tuple[Charge, ...] = ()
    if entry.limits:
        charges, unreadable = _charges(sifted, ctx)
        if unreadable:
            return _redacted(uncountable(unreadable, revision), entry, sifted, bool(findings))
    obligations = _obligations(entry, sifted, bool(findings))
    if effect is Effect.ALLOW:
        return _permission(sifted, charges, obligations, revision)
    return _hold(sifted, approved, charges, obligations, revision)


def _permission(sifted: Sifted, charges: tuple[Charge, ...], obligations: Obligations, revision: str) -> Decision:
    by = in_order(sifted.holds or sifted.allows)[0].rule.name
    return Decision(
        Effect.ALLOW,
        ReasonCode.RULE,
        Effect.ALLOW,
        revision,
        reason=f"rule {by}",
        rules=refs(sifted.matched()),
        charges=charges,
        obligations=obligations,
    )


def _hold(
    sifted: Sifted,
    approved: frozenset[str],
    charges: tuple[Charge, ...],
    obligations: Obligations,
    revision: str,
) -> Decision:
    """Held for the rules that are not satisfied yet."""
    waiting = sifted.waiting(approved)
    told = telling(waiting)
    return Decision(
        Effect.REQUIRE_APPROVAL,
        ReasonCode.RULE,
        Effect.REQUIRE_APPROVAL,
        revision,
        reason=texts.by_rule(told.ref, told.reason),
        rules=refs(waiting),
        holds=tuple(hold for candidate in waiting if (hold := candidate.rule.hold) is not None),
        charges=charges,
        obligations=obligations,
        said=texts.said(told.ref, told.reason, told.instead),
    )


def _charges(sifted: Sifted, ctx: Context) -> tuple[tuple[Charge, ...], list[tuple[RuleRef, Problem]]]:
    """What all matching rules charge, and those whose limits cannot be counted."""
    charges: list[Charge] = []
    unreadable: list[tuple[RuleRef, Problem]] = []
    for candidate in sifted.matched():
        for limit in candidate.rule.limits:
            charge = limit.charge(ctx)
            if isinstance(charge, Problem):
                unreadable.append((candidate.rule.ref, charge))
            else:
                charges.append(charge)
    return tuple(charges), unreadable


def _obligations(entry: Entry, sifted: Sifted, foreign_too: bool) -> Obligations:
    """Those of all matching rules; a rule that erred still redacts."""
    if not entry.redact and not entry.duties and not foreign_too:
        return NONE
    made = merge(entry.redact, (candidate.rule.duties for candidate in sifted.matched()))
    return _more_redacted(made, sifted)


def _redacted(decision: Decision, entry: Entry, sifted: Sifted, foreign_too: bool) -> Decision:
    """Of a denied call only the record is left to be redacted."""
    if not entry.redact and not entry.redacts and not foreign_too:
        return decision
    made = redaction(entry.redact, (candidate.rule.duties for candidate in (*sifted.matched(), *sifted.denying())))
    return replace(decision, obligations=_more_redacted(made, sifted))


def _more_redacted(obligations: Obligations, sifted: Sifted) -> Obligations:
    if not sifted.allow_problems:
        return obligations
    erring = redaction(obligations.redact, (candidate.rule.duties for candidate, _ in sifted.allow_problems))
    return replace(obligations, redact=erring.redact)


def _with_observed(decision: Decision, entry: Entry, observed: Groups, sifted: Sifted, ctx: Context) -> Decision:
    """What files in observe mode would have made of it; of their obligations only redaction works."""
    watched = Sifted()
    watched.ask_denying(observed, ctx)
    watched.ask_others(observed, ctx)
    fired = [*watched.denying(), *watched.matched()]
    erring = (candidate for candidate, _ in watched.allow_problems)
    would = _effect_of_all(entry, sifted.joined(watched), ctx)
    obligations = redaction(decision.obligations.redact, (candidate.rule.duties for candidate in (*fired, *erring)))
    return replace(
        decision,
        observed=refs(fired),
        would=None if would is decision.effect else would,
        obligations=replace(decision.obligations, redact=obligations.redact),
    )


def _effect_of_all(entry: Entry, sifted: Sifted, ctx: Context) -> Effect:
    """The effect if observed files counted too: what cannot be counted denies, and an engine that failed."""
    effect = sifted.effect(ctx.question.approved)
    if effect is Effect.DENY or foreign.failure(ctx.question.findings or ()) is not None:
        return Effect.DENY
    return Effect.DENY if entry.limits and _charges(sifted, ctx)[1] else effect


def over_limit(
    decision: Decision, exceeded: Iterable[Charge], approved: frozenset[str], retry_after: int | None
) -> Decision:
    """What becomes of an allowed call whose counters would be exceeded: a denial that names all of them, or a hold.

    A limit with `over: require_approval` is held under its rule's own approval, unless that is given already
    (`approved`): then the decision stands and is charged beyond the maximum. `retry_after` is None where waiting does
    not help, since the call alone is too much.
    """
    over = [
        charge
        for charge in exceeded
        if charge.hold is None or not is_satisfied(charge.rule.name, charge.hold, approved)
    ]
    if not over:
        return decision
    rules = tuple(sorted({charge.rule for charge in over}, key=lambda ref: (ref.policy, ref.rule)))
    counters = tuple(sorted({charge.counter for charge in over}))
    holds: dict[str, HoldRule] = {charge.rule.name: charge.hold for charge in over if charge.hold is not None}
    denied = any(charge.hold is None for charge in over)
    later: Retry = "changed" if retry_after is None else "after"
    effect = Effect.DENY if denied else Effect.REQUIRE_APPROVAL
    return replace(
        decision,
        effect=effect,
        enforced=effect,
        reason_code=ReasonCode.OVER_LIMIT,
        reason=texts.over_limit(counters),
        rules=rules,
        holds=() if denied else tuple(holds[name] for name in sorted(holds)),
        charges=() if denied else decision.charges,
        obligations=Obligations(redact=decision.obligations.redact) if denied else decision.obligations,
        said=texts.said_over_limit(rules[0], (charge.counter for charge in over if charge.rule == rules[0])),
        retry=later if denied else "never",
        retry_after=retry_after if denied else None,
    )
