"""Pure: whether a list may show a target, asked while its arguments are not there yet.

Shown unless a denial is certain, or nothing could ever allow or hold it. Limits are ignored. If any arguments make the
call allowed or held, it is shown. Calls are judged anyway: this is not enforcement.
"""

from __future__ import annotations

from policylayer.core.decision import Effect
from policylayer.policy import outcomes
from policylayer.policy.engine import Candidate, Entry
from policylayer.policy.values import Context


def listed(entry: Entry, ctx: Context) -> bool:
    """Whether the target may be shown."""
    if ctx.question.server.mode == "observe":
        return True
    kept = False
    for candidate in entry.counted.denies:
        certain = not candidate.possible(ctx) & outcomes.FALSE
        if certain and not candidate.rule.listed:
            return False
        kept = kept or _keeps(candidate, ctx)
    findings = ctx.question.findings
    if any(finding.effect is Effect.DENY for finding in findings or ()):
        return False
    possible = findings is not None  # another engine is asked again once there are arguments
    for candidate in entry.counted.holds:
        may_be = candidate.possible(ctx)
        if may_be == outcomes.WRONG and not candidate.rule.listed:
            return False
        possible = possible or bool(may_be & (outcomes.TRUE | outcomes.MISSING))
    possible = possible or any(candidate.possible(ctx) & outcomes.TRUE for candidate in entry.counted.allows)
    return (
        possible or kept or any(_keeps(candidate, ctx) for candidate in (*entry.counted.holds, *entry.counted.allows))
    )


def _keeps(candidate: Candidate, ctx: Context) -> bool:
    """A rule with `list: true` keeps its target in lists also while its conditions do not hold."""
    if not candidate.rule.listed:
        return False
    facts = candidate.rule.selector.facts
    return facts is None or facts.possible(ctx) != outcomes.FALSE
