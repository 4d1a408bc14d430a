"""Pure: what a decision may come to where not all of a question is known.

Sound, never guessing: an effect that is left out cannot come about, whatever is not known turns out to be; one that is
there might not either. For replaying records that keep less than calls held, and for saying what a caller may do at
all. Must not know why something is not known.
"""

from __future__ import annotations

from collections.abc import Iterable

from policylayer.core.decision import Effect
from policylayer.core.immutable import immutable
from policylayer.policy import outcomes
from policylayer.policy.engine import Candidate, Entry
from policylayer.policy.truth import Problem
from policylayer.policy.values import Context

FIRES = outcomes.TRUE | outcomes.MISSING | outcomes.WRONG
HOLDS = outcomes.TRUE | outcomes.MISSING


@immutable
class _May:
    """Whether something may be, and whether it must be."""

    be: bool
    must: bool

    @classmethod
    def any(cls, found: Iterable[tuple[int, int]]) -> _May:
        """One of them: each as the outcomes it may have, and those that count."""
        pairs = list(found)
        return cls(any(may & counts for may, counts in pairs), any(not may & ~counts for may, counts in pairs))

    def __or__(self, other: _May) -> _May:
        return _May(self.be or other.be, self.must or other.must)


NEVER = _May(False, False)


def possible_effects(entry: Entry, ctx: Context) -> frozenset[Effect]:
    """The effects that the question may get."""
    groups, approved = entry.counted, ctx.question.approved
    holds = [(candidate, candidate.possible(ctx)) for candidate in groups.holds]
    denied = _May.any((candidate.possible(ctx), FIRES) for candidate in groups.denies)
    denied |= _May.any((may, outcomes.WRONG) for _, may in holds)
    held = _May.any((may, HOLDS) for candidate, may in holds if candidate.rule.name not in approved)
    allowed = _May.any((candidate.possible(ctx), outcomes.TRUE) for candidate in groups.allows)
    allowed |= _May.any((may, HOLDS) for candidate, may in holds if candidate.rule.name in approved)
    uncountable = _uncountable(entry, ctx) if entry.limits else NEVER
    return frozenset(_effects(denied, held, allowed, uncountable))


def _effects(denied: _May, held: _May, allowed: _May, uncountable: _May) -> Iterable[Effect]:
    if denied.be or (uncountable.be and (held.be or allowed.be)):
        yield Effect.DENY
    if denied.must:
        return
    if held.be and not uncountable.must:
        yield Effect.REQUIRE_APPROVAL
    if held.must:
        return
    if allowed.be and not uncountable.must:
        yield Effect.ALLOW
    if not allowed.must:
        yield Effect.DENY


def _uncountable(entry: Entry, ctx: Context) -> _May:
    """Whether a limit of a rule that may match cannot be counted."""
    groups = entry.counted
    found = NEVER
    for candidates, counts in ((groups.allows, outcomes.TRUE), (groups.holds, HOLDS), (groups.plain, FIRES)):
        for candidate in candidates:
            if candidate.rule.limits:
                applies = _May.any([(candidate.possible(ctx), counts)])
                faulty = _faulty(candidate, ctx)
                found |= _May(applies.be and faulty.be, applies.must and faulty.must)
    return found


def _faulty(candidate: Candidate, ctx: Context) -> _May:
    found = NEVER
    for limit in candidate.rule.limits:
        if any(map(ctx.unknown.touches, limit.reads)):
            found |= _May(True, False)
        elif isinstance(limit.charge(ctx), Problem):
            found |= _May(True, True)
    return found
