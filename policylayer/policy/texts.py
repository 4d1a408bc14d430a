"""Pure: what the agent reads, and the one line of the record: at most 600 characters in five lines.

Author's text and names of fields only; never argument values, thresholds, or other rules. Author's and approvers' text
is made harmless first: no control characters, no line breaks, nothing that turns or hides text.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Final

from policylayer.core.call import Call
from policylayer.core.decision import Decision, Effect, ReasonCode, RuleRef
from policylayer.core.endings import CANCELLED, WITHDRAWN
from policylayer.core.immutable import immutable
from policylayer.policy import outcomes
from policylayer.policy.engine import Candidate
from policylayer.policy.truth import Problem
from policylayer.policy.values import UNKNOWN_ROOTS, Context

MAX_TEXT: Final = 600
MAX_LINE: Final = 220
MAX_NAME: Final = 80
MAX_NOTE: Final = 160
MAX_FIELDS: Final = 5

OVER_LIMIT: Final = "over limit: "
"""Begins the reason of a decision that a limit made. No rule's does."""

_HIDDEN: Final = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))


def clean(text: str, limit: int = MAX_LINE) -> str:
    """`text` on one line, without control, direction and invisible characters, and not longer than `limit`."""
    if not (text.isascii() and text.isprintable()):
        text = "".join(" " if unicodedata.category(char) in _HIDDEN else char for char in text)
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


# --- why, for the record ----------------------------------------------------------------------------------------------


def by_rule(ref: RuleRef, reason: str | None) -> str:
    """A rule and its reason."""
    return f"rule {ref.name}: {clean(reason)}" if reason else f"rule {ref.name}"


def unreadable(ref: RuleRef, problem: Problem) -> str:
    """A rule that could not be evaluated."""
    return f"rule {ref.name} could not be evaluated: {_faults(problem)}"


def uncountable(ref: RuleRef, problem: Problem) -> str:
    """A limit that could not be counted."""
    return f"a limit of rule {ref.name} could not be counted: {_faults(problem)}"


def of_inner(target: str, reason: str) -> str:
    """Why, of a call inside a call."""
    return f"inner call {clean(target, MAX_NAME)}: {reason}"


def unwrapping(target: str, problem: Problem, too_much: str) -> str:
    """A meta-tool's call of which it cannot be told what it calls."""
    why = "; ".join(filter(None, (_faults(problem), f"too many {too_much}" if too_much else "")))
    return f"what {clean(target, MAX_NAME)} is to call cannot be read: {why}"


def over_limit(counters: Iterable[str]) -> str:
    """Counters that would be exceeded."""
    return f"{OVER_LIMIT}{', '.join(counters)}"


def _faults(problem: Problem) -> str:
    parts = []
    if problem.missing:
        parts.append(f"missing {', '.join(sorted(problem.missing))}")
    if problem.wrong:
        parts.append(f"wrong type or unreadable {', '.join(sorted(problem.wrong))}")
    return "; ".join(parts)


# --- the nearest allow ------------------------------------------------------------------------------------------------


@immutable
class Nearest:
    """The allow whose target matched and whose conditions were nearest to it."""

    ref: RuleRef
    instead: str | None
    fields: tuple[str, ...]


def nearest(allows: Iterable[Candidate], ctx: Context) -> Nearest | None:
    """The allow with the fewest unmet fields; the first among equals (they come in the order of their names)."""
    best: Nearest | None = None
    for candidate in allows:
        selector = candidate.rule.selector
        facts, when = selector.facts, selector.when
        if when is None or (facts is not None and outcomes.of(facts.truth(ctx)) != outcomes.TRUE):
            continue
        fields = when.unmet(ctx)
        if fields and (best is None or len(fields) < len(best.fields)):
            best = Nearest(candidate.rule.ref, candidate.rule.instead, fields)
            if len(fields) == 1:
                break
    return best


def nothing_matched(problem: Problem, near: Nearest | None) -> str:
    """No rule allows the call."""
    if problem.fields:
        return f"no rule allows the call, and one could not be evaluated: {_faults(problem)}"
    return f"no rule allows the call; nearest is {near.ref.name}" if near else "no rule allows the call"


# --- lines between "Refused" and "Retry" ------------------------------------------------------------------------------


def said(ref: RuleRef, reason: str | None, instead: str | None) -> tuple[str, ...]:
    """A rule's reason, and what to do instead."""
    first = f"Rule {clean(ref.name, MAX_NAME)}: {clean(reason)}" if reason else f"Rule {clean(ref.name, MAX_NAME)}."
    return (first, *_instead(instead))


def said_unreadable(ref: RuleRef, problem: Problem, instead: str | None) -> tuple[str, ...]:
    """A rule that could not be evaluated."""
    what = f"{_what(problem.fields)} cannot be checked{_named(problem.fields)}"
    return (f"Rule {clean(ref.name, MAX_NAME)}: {what}.", *_instead(instead))


def said_of_inner(target: str, lines: tuple[str, ...]) -> tuple[str, ...]:
    """What is said of a call inside a call."""
    return tuple(f"Inner call {clean(target, MAX_NAME)}: {line}" if line is lines[0] else line for line in lines)


def said_unwrapping(target: str, problem: Problem, too_much: str) -> tuple[str, ...]:
    """A meta-tool's call of which it cannot be told what it calls."""
    why = _named(problem.fields) or (f" (too many {too_much})" if too_much else "")
    return (f"What {clean(target, MAX_NAME)} is to call cannot be read{why}.",)


def said_of_nearest(problem: Problem, near: Nearest | None) -> tuple[str, ...]:
    """Nothing matched: the nearest allow lends its advice."""
    if near is None:
        return (f"No rule allows this{_named(problem.fields)}.",)
    what = f"no rule allows {_what(near.fields)}{_named(near.fields)}"
    return (f"Rule {clean(near.ref.name, MAX_NAME)}: {what}.", *_instead(near.instead))


def said_over_limit(ref: RuleRef, counters: Iterable[str]) -> tuple[str, ...]:
    """A limit is used up."""
    names = clean(", ".join(counters), MAX_LINE // 2)
    return (f"Rule {clean(ref.name, MAX_NAME)}: over the limit {names}.",)


def _instead(instead: str | None) -> tuple[str, ...]:
    return (f"Instead: {clean(instead)}",) if instead and clean(instead) else ()


def concerns_arguments(fields: Iterable[str]) -> bool:
    """Whether one of the fields is the caller's to change."""
    return not UNKNOWN_ROOTS.isdisjoint(field.partition(".")[0].partition("[")[0] for field in fields)


def _what(fields: Iterable[str]) -> str:
    return "these arguments" if concerns_arguments(fields) else "this call"


def _named(fields: Iterable[str]) -> str:
    names = [clean(field, MAX_NAME) for field in fields]
    if not names:
        return ""
    more = ", …" if len(names) > MAX_FIELDS else ""
    return f" ({', '.join(names[:MAX_FIELDS])}{more})"


# --- the whole text ---------------------------------------------------------------------------------------------------

_RETRY: Final = {
    "never": "Retry: no, the answer will be the same.",
    "same_call": "Retry: yes, with the same arguments.",
    "changed": "Retry: yes, with changed arguments. Not with the same.",
    "after": "Retry: yes, later.",
}

_INSTEAD_OF_RULES: Final = {
    ReasonCode.PENDING: "A person must approve this call and has not answered yet.",
    ReasonCode.APPROVAL_DENIED: "A person refused this call.",
    ReasonCode.APPROVAL_EXPIRED: "Nobody answered the request for approval in time.",
    ReasonCode.UNAUTHENTICATED: "The credential is no longer valid.",
    ReasonCode.FROZEN: "An operator has stopped this principal or server.",
    ReasonCode.UNKNOWN_METHOD: "This method is not supported here.",
    ReasonCode.ENGINE_ERROR: "The policy could not be evaluated.",
    ReasonCode.AUDIT_UNAVAILABLE: "The decision could not be recorded.",
    ReasonCode.REJECTED: "The request was not accepted.",
}
"""What is said where it is not a rule that speaks; a note or a rule's own words may follow."""

_ENDED: Final = {
    WITHDRAWN: "An operator withdrew the request for approval.",
    CANCELLED: "The request for approval was cancelled.",
}
"""The same by the reason, where the code says less: nobody has answered."""

_KEEPS_RULE: Final = frozenset((ReasonCode.PENDING, ReasonCode.APPROVAL_DENIED, ReasonCode.APPROVAL_EXPIRED))


def render(
    decision: Decision, call: Call, decision_id: str, note: str | None = None, approval_id: str | None = None
) -> str:
    """What the agent reads of a call that did not go through."""
    first = f"{_opening(decision)}: {_subject(call)}."
    last = [_retry(decision), f"Decision: {decision_id}"]
    middle = _middle(decision, note, approval_id)
    room = MAX_TEXT - len("\n".join([first, *last])) - len(middle)
    return "\n".join([first, *_fitted(middle, room), *last])


def _opening(decision: Decision) -> str:
    if decision.reason_code is ReasonCode.PENDING or decision.enforced is Effect.REQUIRE_APPROVAL:
        return "Pending"
    return "Refused"


def _subject(call: Call) -> str:
    server = clean(call.server, MAX_NAME)
    if call.method == "tools/call" and call.target is not None:
        return f"{clean(call.target, MAX_NAME)} on {server}"
    if call.method == "prompts/get" and call.target is not None:
        return f"prompt {clean(call.target, MAX_NAME)} on {server}"
    return f"{clean(call.method, MAX_NAME)} on {server}"


def _middle(decision: Decision, note: str | None, approval_id: str | None) -> list[str]:
    code = decision.reason_code
    plain = _ENDED.get(decision.reason) or _INSTEAD_OF_RULES.get(code)
    if plain is None:
        return list(decision.said[:2]) or [f"{clean(decision.reason) or 'No rule allows this'}."]
    if code is ReasonCode.PENDING and approval_id is not None:
        plain = f"{plain} Approval: {clean(approval_id, MAX_NAME)}"
    if note is not None and clean(note):
        return [plain, f"Note: {clean(note, MAX_NOTE)}"]
    return [plain, *decision.said[:1]] if code in _KEEPS_RULE else [plain]


def _retry(decision: Decision) -> str:
    if decision.retry == "after" and decision.retry_after is not None:
        return f"Retry: yes, in {max(1, decision.retry_after)} seconds."
    return _RETRY[decision.retry]


def _fitted(lines: list[str], room: int) -> list[str]:
    """The lines cut so that together they take no more than `room` characters."""
    fitted = []
    for number, line in enumerate(lines):
        share = room // (len(lines) - number)
        cut = line if len(line) <= share else line[: share - 1].rstrip() + "…"
        fitted.append(cut)
        room -= len(cut)
    return fitted
