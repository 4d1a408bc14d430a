"""Pure: what a decision may come to where not all of a question is known, by which rules, and on what that hangs.

Sound, never guessing: an effect that is left out cannot come about, whatever is not known turns out to be; one that is
there might not either. And where what `fields` names were known, there would be one. For replaying records that keep
less than calls held, and for saying what a caller may do at all. Must not know why something is not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from policylayer.core.decision import Effect, RuleRef
from policylayer.core.immutable import immutable
from policylayer.core.satisfied import is_satisfied
from policylayer.policy import outcomes
from policylayer.policy.ast import Path
from policylayer.policy.engine import Candidate, Entry
from policylayer.policy.truth import Problem
from policylayer.policy.values import Context, text_of

FIRES: Final = outcomes.TRUE | outcomes.MISSING | outcomes.WRONG
HOLDS: Final = outcomes.TRUE | outcomes.MISSING

ENGINE: Final = "rego"
"""Named where it hangs on what another engine says."""
DIRECTORY: Final = "server.cwd"
"""Named where it hangs on a server's directory, against which relative paths are read."""


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

    @property
    def hangs(self) -> bool:
        """Whether it may be and may not be."""
        return self.be and not self.must


NEVER: Final = _May(False, False)
ALWAYS: Final = _May(True, True)
PERHAPS: Final = _May(True, False)


@immutable
class Says:
    """A rule, an effect that it has or may have on such calls, and whether it has it on all of them."""

    ref: RuleRef
    effect: Effect
    certain: bool


@immutable
class _Bearing:
    """One thing that bears on the decision: what it says, whether, and the paths that it reads."""

    ref: RuleRef | None
    effect: Effect
    may: _May
    reads: Iterable[Path]


class Outlook:
    """What may become of one question."""

    def __init__(self, entry: Entry, ctx: Context) -> None:
        self._ctx = ctx
        self._bearing = [*_of_rules(entry, ctx), *_of_findings(ctx), *(_of_limits(entry, ctx) if entry.limits else ())]
        self._deny, self._hold, self._allow = map(self._any, (Effect.DENY, Effect.REQUIRE_APPROVAL, Effect.ALLOW))
        self.effects = frozenset(self._effects())
        """The effects that the question may get."""

    def _any(self, effect: Effect) -> _May:
        found = NEVER
        for each in self._bearing:
            if each.effect is effect:
                found |= each.may
        return found

    def _effects(self) -> Iterator[Effect]:
        deny, hold, allow = self._deny, self._hold, self._allow
        if deny.be:
            yield Effect.DENY
        if deny.must:
            return
        if hold.be:
            yield Effect.REQUIRE_APPROVAL
        if hold.must:
            return
        if allow.be:
            yield Effect.ALLOW
        if not allow.must:
            yield Effect.DENY

    @property
    def rules(self) -> tuple[Says, ...]:
        """The rules that may give it one of these effects, the denying first; none where nothing matches."""
        order = (Effect.DENY, Effect.REQUIRE_APPROVAL, Effect.ALLOW)
        return tuple(
            Says(each.ref, effect, each.may.must)
            for effect in order
            if effect in self.effects
            for each in self._bearing
            if each.effect is effect and each.may.be and each.ref is not None
        )

    @property
    def fields(self) -> tuple[str, ...]:
        """What is not known that decides which of these effects it gets."""
        if len(self.effects) == 1:
            return ()
        matter = {Effect.DENY, Effect.REQUIRE_APPROVAL, Effect.ALLOW}
        if self._hold.must:
            matter = {Effect.DENY}
        elif self._allow.must:
            matter = {Effect.DENY, Effect.REQUIRE_APPROVAL}
        hanging = [each for each in self._bearing if each.may.hangs and each.effect in matter]
        return tuple(sorted({field for each in hanging for field in self._read(each)}))

    def _read(self, bearing: _Bearing) -> Iterable[str]:
        """The unknown fields of one rule; where none of its paths is unknown, it is the directory."""
        if bearing.ref is None:
            return (ENGINE,)
        return [text_of(path) for path in bearing.reads if self._ctx.unknown.touches(path)] or (DIRECTORY,)


class Together:
    """What may become of several calls in one request, which is as good as the worst of them. `fields` are named as of
    the whole."""

    def __init__(self, effects: frozenset[Effect], outlooks: Iterable[Outlook], fields: Iterable[str] = ()) -> None:
        self.effects = effects
        found = (says for outlook in outlooks for says in outlook.rules if says.effect in effects)
        self.rules: tuple[Says, ...] = tuple(dict.fromkeys(found))
        self.fields: tuple[str, ...] = tuple(sorted(set(fields))) if len(effects) > 1 else ()


def _of_rules(entry: Entry, ctx: Context) -> Iterator[_Bearing]:
    """What the rules of files say."""
    groups, approved = entry.counted, ctx.question.approved
    for candidate in groups.denies:
        yield _bearing(candidate, Effect.DENY, candidate.possible(ctx), FIRES)
    for candidate in groups.holds:
        possible = candidate.possible(ctx)
        satisfied = is_satisfied(candidate.rule.name, candidate.rule.hold, approved)
        yield _bearing(candidate, Effect.DENY, possible, outcomes.WRONG)
        yield _bearing(candidate, Effect.ALLOW if satisfied else Effect.REQUIRE_APPROVAL, possible, HOLDS)
    for candidate in groups.allows:
        yield _bearing(candidate, Effect.ALLOW, candidate.possible(ctx), outcomes.TRUE)


def _bearing(candidate: Candidate, effect: Effect, possible: int, counts: int) -> _Bearing:
    reads = candidate.node.reads if candidate.node is not None else ()
    return _Bearing(candidate.rule.ref, effect, _May.any([(possible, counts)]), reads)


def _of_findings(ctx: Context) -> Iterator[_Bearing]:
    """What another engine said, or may say; where it failed, the call is denied."""
    if ctx.unknown.engine:
        yield from (_Bearing(None, effect, PERHAPS, ()) for effect in Effect)
        return
    for finding in ctx.question.findings or ():
        effect = finding.effect or Effect.DENY
        approved = ctx.question.approved
        satisfied = effect is Effect.REQUIRE_APPROVAL and is_satisfied(finding.rule.name, finding.hold, approved)
        yield _Bearing(finding.rule, Effect.ALLOW if satisfied else effect, ALWAYS, ())


def _of_limits(entry: Entry, ctx: Context) -> Iterator[_Bearing]:
    """Limits that cannot be counted deny what would pass or be held."""
    groups = entry.counted
    for candidates, counts in ((groups.allows, outcomes.TRUE), (groups.holds, HOLDS), (groups.plain, FIRES)):
        for candidate in candidates:
            if candidate.rule.limits:
                applies = _May.any([(candidate.possible(ctx), counts)])
                faulty = _faulty(candidate, ctx)
                may = _May(applies.be and faulty.be, applies.must and faulty.must)
                node = candidate.node.reads if candidate.node is not None else frozenset()
                yield _Bearing(candidate.rule.ref, Effect.DENY, may, node.union(*_limit_reads(candidate)))


def _limit_reads(candidate: Candidate) -> Iterator[frozenset[Path]]:
    return (limit.reads for limit in candidate.rule.limits)


def _faulty(candidate: Candidate, ctx: Context) -> _May:
    found = NEVER
    for limit in candidate.rule.limits:
        if any(map(ctx.unknown.touches, limit.reads)):
            found |= PERHAPS
        elif isinstance(limit.charge(ctx), Problem):
            found |= ALWAYS
    return found
