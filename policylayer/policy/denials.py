"""Pure: every decision that is a denial: by a rule, by one that erred, by none, by a limit that cannot be counted.

A denial names the rules that fired and, where it is indeterminate, the fields at fault; where nothing matched, the
nearest allow lends its advice. Obligations are added by `decide`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from policylayer.core.decision import Decision, Effect, ReasonCode, Retry, RuleRef
from policylayer.policy import texts
from policylayer.policy.engine import Candidate, Entry
from policylayer.policy.rules import CompiledRule
from policylayer.policy.sift import Sifted, in_order, refs
from policylayer.policy.truth import Problem, together
from policylayer.policy.values import UNKNOWN_ROOTS, Context


def denial(entry: Entry, sifted: Sifted, ctx: Context, revision: str) -> Decision:
    """Why the call is denied."""
    if sifted.denies:
        return _by_rule(sifted, revision)
    if sifted.deny_problems:
        return _by_problem(sifted, revision)
    return _by_nothing(entry, sifted, ctx, revision)


def _by_rule(sifted: Sifted, revision: str) -> Decision:
    told = telling(sifted.denies)
    return Decision(
        Effect.DENY,
        ReasonCode.RULE,
        Effect.DENY,
        revision,
        reason=texts.by_rule(told.ref, told.reason),
        rules=refs(sifted.denying()),
        said=texts.said(told.ref, told.reason, told.instead),
        retry="changed" if all(map(_reads_arguments, sifted.denies)) else "never",
    )


def _by_problem(sifted: Sifted, revision: str) -> Decision:
    problem = together(problem for _, problem in sifted.deny_problems)
    told = telling(sifted.denying())
    return Decision(
        Effect.DENY,
        ReasonCode.INDETERMINATE,
        Effect.DENY,
        revision,
        reason=texts.unreadable(told.ref, problem),
        rules=refs(sifted.denying()),
        fields=problem.fields,
        said=texts.said_unreadable(told.ref, problem, told.instead),
        retry=_retry(problem.fields),
    )


def _by_nothing(entry: Entry, sifted: Sifted, ctx: Context, revision: str) -> Decision:
    problem = together(problem for _, problem in sifted.allow_problems)
    near = texts.nearest(entry.counted.allows, ctx)
    fields = problem.fields or (near.fields if near else ())
    return Decision(
        Effect.DENY,
        ReasonCode.INDETERMINATE if sifted.allow_problems else ReasonCode.NOT_APPLICABLE,
        Effect.DENY,
        revision,
        reason=texts.nothing_matched(problem, near),
        fields=fields,
        said=texts.said_of_nearest(problem, near),
        retry=_retry(fields),
    )


def uncountable(unreadable: Sequence[tuple[RuleRef, Problem]], revision: str) -> Decision:
    """A limit that cannot be counted denies at once, also a call that would be held."""
    problem = together(problem for _, problem in unreadable)
    rules = tuple(sorted({ref for ref, _ in unreadable}, key=lambda ref: (ref.policy, ref.rule)))
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


def telling(candidates: Iterable[Candidate]) -> CompiledRule:
    """The rule that is named to the agent: the first by name that gives a reason, else the first."""
    rules = [candidate.rule for candidate in in_order(candidates)]
    return next((rule for rule in rules if rule.reason), rules[0])


def _reads_arguments(candidate: Candidate) -> bool:
    return candidate.node is not None and any(path[0] in UNKNOWN_ROOTS for path in candidate.node.reads)


def _retry(fields: Iterable[str]) -> Retry:
    """Other arguments may help where arguments were at fault."""
    return "changed" if texts.concerns_arguments(fields) else "never"
