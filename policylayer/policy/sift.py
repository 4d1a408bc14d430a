"""Pure: candidates by what came of them, and the effect that they have together.

What a problem in a rule means depends on its effect: an allow does not match, a rule without effect applies, a deny
fires, a hold fires if only fields are missing and denies otherwise: nobody is asked to approve a malformed call.
`decide` makes decisions of this.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import Final

from policylayer.core.decision import Effect, RuleRef
from policylayer.core.satisfied import is_satisfied
from policylayer.policy.engine import Candidate, Groups
from policylayer.policy.truth import Problem
from policylayer.policy.values import Context

Erring = list[tuple[Candidate, Problem]]

_ORDER: Final = attrgetter("rule.order")


class Sifted:
    """What matched, and what erred, by effect."""

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

    def ask_denying(self, groups: Groups, ctx: Context) -> None:
        """Ask what may deny or hold."""
        self.deny_problems += _ask(groups.denies, ctx, self.denies)
        for candidate, problem in _ask(groups.holds, ctx, self.holds):
            if problem.wrong:
                self.deny_problems.append((candidate, problem))
            else:
                self.holds.append(candidate)

    def ask_others(self, groups: Groups, ctx: Context) -> None:
        """Ask what may allow, and what only adds limits and obligations."""
        self.allow_problems += _ask(groups.allows, ctx, self.allows)
        self.plain += [candidate for candidate, _ in _ask(groups.plain, ctx, self.plain)]

    def waiting(self, approved: frozenset[str]) -> list[Candidate]:
        """The holds that nobody has satisfied yet."""
        return in_order(
            candidate
            for candidate in self.holds
            if not is_satisfied(candidate.rule.name, candidate.rule.hold, approved)
        )

    def matched(self) -> list[Candidate]:
        """What limits and obligations come from: allows, holds and rules without effect."""
        return [*self.allows, *self.holds, *self.plain]

    def denying(self) -> list[Candidate]:
        """All denies that fired, and holds that denied."""
        return [*self.denies, *(candidate for candidate, _ in self.deny_problems)]

    def effect(self, approved: frozenset[str]) -> Effect:
        """What these rules together say."""
        if self.denies or self.deny_problems:
            return Effect.DENY
        if self.holds and self.waiting(approved):
            return Effect.REQUIRE_APPROVAL
        return Effect.ALLOW if self.holds or self.allows else Effect.DENY

    def joined(self, other: Sifted) -> Sifted:
        """Both together."""
        both = Sifted()
        for name in Sifted.__slots__:
            getattr(both, name).extend([*getattr(self, name), *getattr(other, name)])
        return both


def _ask(candidates: Iterable[Candidate], ctx: Context, matched: list[Candidate]) -> Erring:
    """Ask each; add those that match to `matched`, and return those that erred."""
    erring: Erring = []
    for candidate in candidates:
        ask = candidate.ask
        truth = True if ask is None else ask(ctx)
        if truth is True:
            matched.append(candidate)
        elif truth is not False:
            erring.append((candidate, truth))
    return erring


def in_order(candidates: Iterable[Candidate]) -> list[Candidate]:
    """The candidates by their rules' names."""
    found = list(candidates)
    if len(found) > 1:
        found.sort(key=_ORDER)
    return found


def refs(candidates: Iterable[Candidate]) -> tuple[RuleRef, ...]:
    """The candidates' rules in the order of their names."""
    return tuple([candidate.rule.ref for candidate in in_order(candidates)])
