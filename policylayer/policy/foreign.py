"""Pure: what another engine (Rego) found, taken as rules that matched: combined by the same order of effects.

A finding without an effect is a failure: it denies unless a rule plainly denies already. Must not know the engine;
`decide` asks this, and `rego/` asks which of its units a scope covers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from policylayer.core.decision import Decision, Effect, ReasonCode
from policylayer.core.finding import Finding
from policylayer.policy import texts
from policylayer.policy.ast import AppliesTo
from policylayer.policy.engine import Candidate
from policylayer.policy.rules import Asker, CompiledRule, Duties, Scope, Selector
from policylayer.policy.selectors import Names, Target, Who
from policylayer.policy.sift import Sifted

AFTER_ALL: Final = 1 << 30
"""Rules of another engine come after those of the files wherever rules are ordered by name."""
EVERYWHERE: Final = Scope(Who(("*",)), Names(("*",)))
ANYTHING: Final = Selector(Target(), None, None, None, None, None)


def join(sifted: Sifted, findings: Sequence[Finding]) -> None:
    """Add the findings that have an effect to what matched."""
    by_effect = {Effect.DENY: sifted.denies, Effect.REQUIRE_APPROVAL: sifted.holds, Effect.ALLOW: sifted.allows}
    for number, finding in enumerate(findings):
        if finding.effect is not None:
            by_effect[finding.effect].append(Candidate(_rule(finding, finding.effect, AFTER_ALL + number), None, None))


def failure(findings: Iterable[Finding]) -> Finding | None:
    """The failure to tell of: an engine's before a policy's, since nothing is known then."""
    failed = [finding for finding in findings if finding.effect is None]
    return min(failed, key=lambda finding: finding.failure != "engine_error", default=None)


def denied_by(failed: Finding, revision: str) -> Decision:
    """The denial of a call about which an engine has no readable answer."""
    unreadable = failed.failure == "indeterminate"
    return Decision(
        Effect.DENY,
        ReasonCode.INDETERMINATE if unreadable else ReasonCode.ENGINE_ERROR,
        Effect.DENY,
        revision,
        reason=texts.clean(failed.reason),
        rules=(failed.rule,),
        said=texts.said(failed.rule, "the policy could not be evaluated for this call", None),
        retry="never" if unreadable else "after",
        retry_after=None if unreadable else 1,
    )


def compile_scope(scope: AppliesTo) -> Scope:
    """A scope.yaml as it is asked."""
    return Scope(Who(each.text for each in scope.principals), Names(each.text for each in scope.servers))


def covers(scopes: Iterable[Scope], asker: Asker, server: str, effect: Effect | None) -> bool:
    """Whether files under these scopes may concern the call; an allow: only the folder's agents for its own people."""
    for scope in scopes:
        if not scope.servers.match(server):
            return False
        own = asker.actor_in(scope.who) and (asker.user is None or asker.user_in(scope.who))
        if not (own if effect is Effect.ALLOW else asker.either_in(scope.who)):
            return False
    return True


def _rule(finding: Finding, effect: Effect, order: int) -> CompiledRule:
    duties = finding.obligations
    made = Duties(duties.redact, duties.mask, duties.cap, duties.label, duties.earn)
    return CompiledRule(
        order=order,
        name=finding.rule.name,
        ref=finding.rule,
        effect=effect,
        observe=False,
        applies_to=EVERYWHERE,
        scopes=(),
        selector=ANYTHING,
        excepts=(),
        hold=finding.hold,
        limits=(),
        duties=None if made.is_empty else made,
        reason=finding.reason or None,
        instead=None,
        listed=False,
    )
