"""Pure: effects combined: from what each candidate says of a call to the decision.

Deny beats hold, hold beats allow, and nothing at all is a denial; the order of rules never matters. What a problem in
a rule means depends on its effect: an allow does not match, a rule without effect applies, a deny fires, a hold fires
if only fields are missing and denies otherwise. Must not know how rules were found (`engine`) nor what the agent is
told (`texts`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from policylayer.core.decision import Charge, Decision, Effect, HoldRule, Obligations, ReasonCode, Retry, RuleRef
from policylayer.policy import texts
from policylayer.policy.engine import Candidate, Entry
from policylayer.policy.obligations import merge, redaction, softened
from policylayer.policy.rules import CompiledRule
from policylayer.policy.truth import Problem, together
from policylayer.policy.values import UNKNOWN_ROOTS, Context

Erring = list[tuple[Candidate, Problem]]


class Sifted:
    """Candidates by what came of them."""

    __slots__ = ("allow_problems", "allows", "denies", "deny_problems", "holds", "plain")

    def __init__(self) -> None:
        self.denies: list[Candidate] = []
        self.deny_problems: Erring = []
        self.holds: list[Candidate] = []
        self.allows: list[Candidate] = []
        self.allow_problems: Erring = []
        self.plain: list[Candidate] = []

    @property
    def is_denied(self) -> bool:
        """Whether a deny fired, or a hold met a malformed call."""
        return bool(self.denies or self.deny_problems)

    def sift(self, candidates: Iterable[Candidate], ctx: Context) -> None:
        """Ask each candidate and put it where it belongs."""
        for candidate in candidates:
            truth = candidate.truth(ctx)
            if truth is False:
                continue
            if truth is True:
                _MATCHED[candidate.rule.effect](self).append(candidate)
            else:
                self._keep_problem(candidate, truth)

    def _keep_problem(self, candidate: Candidate, problem: Problem) -> None:
        effect = candidate.rule.effect
        if effect is Effect.ALLOW:
            self.allow_problems.append((candidate, problem))
        elif effect is None:
            self.plain.append(candidate)
        elif effect is Effect.REQUIRE_APPROVAL and not problem.wrong:
            self.holds.append(candidate)
        else:
            self.deny_problems.append((candidate, problem))

    def fired(self) -> list[Candidate]:
        """All that matched, or count as if they had."""
        erring = [candidate for candidate, _ in self.deny_problems]
        return [*self.denies, *erring, *self.holds, *self.allows, *self.plain]

    def effect(self, approved: frozenset[str]) -> Effect:
        """What these rules together say."""
        if self.is_denied:
            return Effect.DENY
        if any(candidate.rule.ref.name not in approved for candidate in self.holds):
            return Effect.REQUIRE_APPROVAL
        return Effect.ALLOW if self.holds or self.allows else Effect.DENY


_MATCHED: Final[dict[Effect | None, Callable[[Sifted], list[Candidate]]]] = {
    Effect.DENY: lambda sifted: sifted.denies,
    Effect.REQUIRE_APPROVAL: lambda sifted: sifted.holds,
    Effect.ALLOW: lambda sifted: sifted.allows,
    None: lambda sifted: sifted.plain,
}


def decide(entry: Entry, ctx: Context, revision: str) -> Decision:
    """The decision on one call."""
    sifted = Sifted()
    sifted.sift(entry.denies, ctx)
    sifted.sift(entry.holds, ctx)
    if not sifted.is_denied or entry.redacts:
        sifted.sift(entry.plain, ctx)
        sifted.sift(entry.allows, ctx)
    decision = _combine(entry, sifted, ctx, revision)
    if entry.observed:
        decision = _with_observed(decision, entry, sifted, ctx)
    if ctx.question.server.mode == "observe":
        decision = replace(decision, enforced=Effect.ALLOW, charges=(), obligations=softened(decision.obligations))
    return decision


def _combine(entry: Entry, sifted: Sifted, ctx: Context, revision: str) -> Decision:
    effect = sifted.effect(ctx.question.approved)
    if effect is Effect.DENY:
        made = _denial(entry, sifted, ctx, revision)
        return replace(made, obligations=_record_only(entry, sifted))
    charges, unreadable = _charges(sifted, ctx)
    if unreadable:
        made = _uncountable(unreadable, revision)
        return replace(made, obligations=_record_only(entry, sifted))
    obligations = merge(entry.redact, (candidate.rule.duties for candidate in sifted.fired()))
    if effect is Effect.ALLOW:
        return _permission(sifted, charges, obligations, revision)
    return _hold(sifted, ctx.question.approved, charges, obligations, revision)


# --- allow and hold ---------------------------------------------------------------------------------------------------


def _permission(sifted: Sifted, charges: tuple[Charge, ...], obligations: Obligations, revision: str) -> Decision:
    rules = _refs([*sifted.allows, *sifted.holds, *sifted.plain])
    by = _refs([*sifted.holds, *sifted.allows])[0]
    return Decision(
        Effect.ALLOW,
        ReasonCode.RULE,
        Effect.ALLOW,
        revision,
        reason=f"rule {by.name}",
        rules=rules,
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
    open_holds = [candidate for candidate in sifted.holds if candidate.rule.ref.name not in approved]
    first = _telling(open_holds)
    return Decision(
        Effect.REQUIRE_APPROVAL,
        ReasonCode.RULE,
        Effect.REQUIRE_APPROVAL,
        revision,
        reason=texts.by_rule(first.ref, first.reason),
        rules=_refs(open_holds),
        holds=tuple(hold for candidate in open_holds if (hold := candidate.rule.hold) is not None),
        charges=charges,
        obligations=obligations,
        said=texts.said(first.ref, first.reason, first.instead),
    )


def _charges(sifted: Sifted, ctx: Context) -> tuple[tuple[Charge, ...], list[tuple[RuleRef, Problem]]]:
    """What all matching rules charge, and those whose limits cannot be counted."""
    charges: list[Charge] = []
    unreadable: list[tuple[RuleRef, Problem]] = []
    for candidate in (*sifted.allows, *sifted.holds, *sifted.plain):
        for limit in candidate.rule.limits:
            charge = limit.charge(ctx)
            if isinstance(charge, Problem):
                unreadable.append((candidate.rule.ref, charge))
            else:
                charges.append(charge)
    return tuple(charges), unreadable


# --- denials ----------------------------------------------------------------------------------------------------------


def _denial(entry: Entry, sifted: Sifted, ctx: Context, revision: str) -> Decision:
    if sifted.denies:
        return _plain_denial(sifted, revision)
    if sifted.deny_problems:
        return _erring_denial(sifted, revision)
    problem = together(problem for _, problem in sifted.allow_problems)
    code = ReasonCode.INDETERMINATE if sifted.allow_problems else ReasonCode.NOT_APPLICABLE
    near = texts.nearest(entry.allows, ctx)
    fields = problem.fields or (near.fields if near else ())
    return Decision(
        Effect.DENY,
        code,
        Effect.DENY,
        revision,
        reason=texts.nothing_matched(problem, near),
        fields=fields,
        said=texts.said_of_nearest(problem, near),
        retry=_retry(fields) if near else "never",
    )


def _plain_denial(sifted: Sifted, revision: str) -> Decision:
    erring = [candidate for candidate, _ in sifted.deny_problems]
    first = _telling(sifted.denies)
    changeable = all(_reads_arguments(candidate) for candidate in sifted.denies)
    return Decision(
        Effect.DENY,
        ReasonCode.RULE,
        Effect.DENY,
        revision,
        reason=texts.by_rule(first.ref, first.reason),
        rules=_refs([*sifted.denies, *erring]),
        said=texts.said(first.ref, first.reason, first.instead),
        retry="changed" if changeable else "never",
    )


def _erring_denial(sifted: Sifted, revision: str) -> Decision:
    problem = together(problem for _, problem in sifted.deny_problems)
    first = _telling([candidate for candidate, _ in sifted.deny_problems])
    return Decision(
        Effect.DENY,
        ReasonCode.INDETERMINATE,
        Effect.DENY,
        revision,
        reason=texts.unreadable(first.ref, problem),
        rules=_refs([candidate for candidate, _ in sifted.deny_problems]),
        fields=problem.fields,
        said=texts.said_unreadable(first.ref, problem, first.instead),
        retry=_retry(problem.fields),
    )


def _uncountable(unreadable: list[tuple[RuleRef, Problem]], revision: str) -> Decision:
    """A limit that cannot be counted denies at once, also a call that would be held."""
    problem = together(problem for _, problem in unreadable)
    rules = tuple(sorted({ref for ref, _ in unreadable}, key=lambda ref: ref.name))
    return Decision(
        Effect.DENY,
        ReasonCode.INDETERMINATE,
        Effect.DENY,
        revision,
        reason=texts.uncountable(rules[0], problem),
        rules=rules,
        fields=problem.fields,
        said=texts.said_unreadable(rules[0], problem, None),
        retry=_retry(problem.fields),
    )


def _reads_arguments(candidate: Candidate) -> bool:
    return candidate.node is not None and any(path[0] in UNKNOWN_ROOTS for path in candidate.node.reads)


def _retry(fields: Iterable[str]) -> Retry:
    """Other arguments may help where arguments were at fault."""
    return "changed" if any(field.split(".", 1)[0].rstrip("[]") in UNKNOWN_ROOTS for field in fields) else "never"


# --- shared -----------------------------------------------------------------------------------------------------------


def _refs(candidates: Iterable[Candidate]) -> tuple[RuleRef, ...]:
    return tuple(sorted((candidate.rule.ref for candidate in candidates), key=lambda ref: ref.name))


def _telling(candidates: list[Candidate]) -> CompiledRule:
    """The rule that is named to the agent: the first by name that gives a reason, else the first."""
    rules = sorted((candidate.rule for candidate in candidates), key=lambda rule: rule.ref.name)
    return next((rule for rule in rules if rule.reason), rules[0])


def _record_only(entry: Entry, sifted: Sifted) -> Obligations:
    """Of a denied call only the record is left to be redacted."""
    if not entry.redact and not entry.redacts:
        return NO_OBLIGATIONS
    erring = (candidate for candidate, _ in sifted.allow_problems)
    return redaction(entry.redact, (candidate.rule.duties for candidate in (*sifted.fired(), *erring)))


NO_OBLIGATIONS: Final = Obligations()


def _with_observed(decision: Decision, entry: Entry, sifted: Sifted, ctx: Context) -> Decision:
    """What files in observe mode would have made of it; of their obligations only redaction works."""
    watched = Sifted()
    watched.sift(entry.observed, ctx)
    fired = watched.fired()
    would = _joined(sifted, watched).effect(ctx.question.approved)
    redact = redaction(decision.obligations.redact, (candidate.rule.duties for candidate in fired)).redact
    return replace(
        decision,
        observed=_refs(fired),
        would=None if would is decision.effect else would,
        obligations=replace(decision.obligations, redact=redact),
    )


def _joined(left: Sifted, right: Sifted) -> Sifted:
    both = Sifted()
    for name in Sifted.__slots__:
        getattr(both, name).extend([*getattr(left, name), *getattr(right, name)])
    return both


def over_limit(decision: Decision, exceeded: Iterable[Charge], approved: frozenset[str], retry_after: int) -> Decision:
    """What becomes of an allowed call whose counters would be exceeded: a denial that names all of them, or a hold.

    A limit with `over: require_approval` is held under its rule's own approval, unless that is given already
    (`approved`): then the decision stands and is charged beyond the maximum.
    """
    over = [charge for charge in exceeded if charge.hold is None or charge.rule.name not in approved]
    if not over:
        return decision
    rules = tuple(sorted({charge.rule for charge in over}, key=lambda ref: ref.name))
    counters = tuple(dict.fromkeys(charge.counter for charge in over))
    denied = [charge for charge in over if charge.hold is None]
    effect = Effect.DENY if denied else Effect.REQUIRE_APPROVAL
    holds: dict[str, HoldRule] = {charge.rule.name: charge.hold for charge in over if charge.hold is not None}
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
        said=texts.said_over_limit(rules[0], counters),
        retry="after" if denied else "never",
        retry_after=retry_after if denied else None,
    )
