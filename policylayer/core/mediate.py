"""Pure: the life of one call, as a generator that yields commands and receives their replies.

Theory of operation. A call is decided; a denial is recorded and told; an allowed call is recorded, then forwarded, then
its outcome recorded; a held call is recorded, waited for, decided again, and released by a second row that consumes the
approval. Whatever fails before a row is durable ends in `Unavailable`; nothing is forwarded without `Recorded`.

Properties (tests/flows/test_mediate.py): no Forward without an earlier successful Record of an enforced allow; at most
one Forward per row; a release only after deciding again; exactly one terminal record per call (a denial's own row, or
one outcome); every failure to decide or record ends in a denial.

Must not know how a command is done (`proxy/perform.py`), what policy is, or which protocol era is spoken.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from policylayer.core.commands import (
    AlreadyConsumed,
    Command,
    Decide,
    Forward,
    Hold,
    Kind,
    Outcome,
    OutcomeState,
    OverLimit,
    Record,
    RecordOutcome,
    Refused,
    Relayed,
    Round,
    Seek,
    Unavailable,
    Undecided,
    Unrecorded,
    Verdict,
)
from policylayer.core.decision import Decision, Effect, ReasonCode, Retry

Steps: TypeAlias = Generator[Command, Any, Verdict]

ENDINGS: Final[dict[str, tuple[ReasonCode, Retry]]] = {
    "denied": (ReasonCode.APPROVAL_DENIED, "never"),
    "cancelled": (ReasonCode.APPROVAL_DENIED, "never"),
    "expired": (ReasonCode.APPROVAL_EXPIRED, "same_call"),
    "pending": (ReasonCode.PENDING, "same_call"),
    "gone": (ReasonCode.PENDING, "same_call"),
}
"""How a hold that was not released is told: reason code, and whether a retry helps."""


@dataclass(frozen=True, slots=True)
class _Rehold:
    """A release that did not come about: hold again under `decision`, using up `consume`."""

    decision: Decision
    approved: frozenset[str]
    consume: str | None = None


def mediate(resumed: Round | None = None) -> Steps:
    """Yield the commands of one judged call; return what to tell the agent."""
    approved = resumed.rules if resumed else frozenset()
    kind = Kind.ROUND if resumed else Kind.DECISION
    decision = yield Decide(approved)
    if isinstance(decision, Undecided):
        return (yield from _undecided(decision, kind, None))
    if decision.enforced is Effect.DENY:
        return (yield from _refuse(decision, kind, None))
    if decision.enforced is Effect.REQUIRE_APPROVAL:
        return (yield from _hold(decision, kind, resumed, approved))
    row = Record(kind, decision, charge=True, redeem=resumed, approved=approved)
    sent = yield from _send(row, resumed.approval_id if resumed else None)
    if isinstance(sent, _Rehold):
        return (yield from _hold(sent.decision, kind, resumed, approved))
    return sent


def _undecided(failure: Undecided, kind: Kind, parent: str | None) -> Steps:
    """Record that no decision could be had, and say so: never an allow."""
    decision = Decision(
        effect=Effect.DENY,
        enforced=Effect.DENY,
        reason_code=failure.reason_code,
        revision="",
        reason=failure.reason,
    )
    reply = yield Record(kind, decision, parent=parent)
    if isinstance(reply, Unrecorded):
        return Unavailable(ReasonCode.AUDIT_UNAVAILABLE, reply.reason)
    return Unavailable(failure.reason_code, failure.reason, reply.row_id)


def _refuse(
    decision: Decision,
    kind: Kind,
    parent: str | None,
    approval_id: str | None = None,
    note: str | None = None,
) -> Steps:
    """Record a denial; the row is the call's terminal record."""
    reply = yield Record(kind, decision, parent=parent)
    if isinstance(reply, Unrecorded):
        return Unavailable(ReasonCode.AUDIT_UNAVAILABLE, reply.reason)
    return Refused(decision, reply.row_id, approval_id, note)


def _send(row: Record, approval_id: str | None) -> Generator[Command, Any, Verdict | _Rehold]:
    """Record an allow and forward it; or say what to hold for."""
    reply = yield row
    if isinstance(reply, Unrecorded):
        return Unavailable(ReasonCode.AUDIT_UNAVAILABLE, reply.reason)
    if isinstance(reply, OverLimit):
        if reply.row_id is None:
            return _Rehold(reply.decision, row.approved, row.consume)
        return Refused(reply.decision, reply.row_id)
    if isinstance(reply, AlreadyConsumed):
        if row.redeem is not None:
            return (yield from _refuse(_replayed(row.decision), row.kind, row.parent))
        return _Rehold(row.decision, frozenset())
    outcome = yield Forward(reply.row_id, row.decision, approval_id)
    yield RecordOutcome(reply.row_id, outcome, row.decision)
    return Relayed(reply.row_id, outcome)


def _hold(decision: Decision, kind: Kind, resumed: Round | None, approved: frozenset[str]) -> Steps:
    """Hold a call until it is released, refused, or its waiting time is over."""
    parent: str | None = None
    consume: str | None = None
    found = yield Seek(decision)
    if isinstance(found, Unrecorded):
        return Unavailable(ReasonCode.AUDIT_UNAVAILABLE, found.reason)
    if found is not None and found.state == "denied":
        refused = _ended(decision, "denied")
        return (yield from _refuse(refused, kind, None, found.approval_id, found.note))
    if found is not None and found.state == "approved":
        step = yield from _release(found.approval_id, found.rules | approved, resumed, None)
        if not isinstance(step, _Rehold):
            return step
        decision, approved, consume = step.decision, step.approved, step.consume
    while True:
        reply = yield Record(kind, decision, parent=parent, hold=True, consume=consume, approved=approved)
        if isinstance(reply, Unrecorded):
            return Unavailable(ReasonCode.AUDIT_UNAVAILABLE, reply.reason)
        if isinstance(reply, AlreadyConsumed):
            approved, consume = frozenset(), None
            continue
        parent = reply.row_id
        waited = yield Hold(reply.approval_id, decision)
        if waited.state != "approved":
            return (yield from _give_up(decision, parent, waited.state, waited))
        step = yield from _release(waited.approval_id, waited.rules | approved, resumed, parent)
        if not isinstance(step, _Rehold):
            return step
        decision, approved, consume = step.decision, step.approved, step.consume


def _release(
    approval_id: str, approved: frozenset[str], resumed: Round | None, parent: str | None
) -> Generator[Command, Any, Verdict | _Rehold]:
    """Decide an approved call again, and send it with a row that consumes the approval."""
    again = yield Decide(approved)
    if isinstance(again, Undecided):
        return (yield from _undecided(again, Kind.RELEASE, parent))
    if again.enforced is Effect.DENY:
        return (yield from _refuse(again, Kind.RELEASE, parent, approval_id))
    if again.enforced is Effect.REQUIRE_APPROVAL:
        return _Rehold(again, approved, approval_id)
    row = Record(
        Kind.RELEASE,
        again,
        parent=parent,
        charge=True,
        consume=approval_id,
        redeem=resumed,
        approved=approved,
    )
    return (yield from _send(row, approval_id))


def _give_up(decision: Decision, parent: str, state: str, waited: Any) -> Steps:
    """Close a held row whose call was not released: its outcome is that nothing was sent."""
    ended = _ended(decision, state)
    yield RecordOutcome(parent, Outcome(OutcomeState.NEVER_SENT, str(ended.reason_code)), decision)
    return Refused(ended, parent, waited.approval_id, waited.note)


def _ended(decision: Decision, state: str) -> Decision:
    code, retry = ENDINGS[state]
    return replace(decision, enforced=Effect.DENY, reason_code=code, retry=retry)


def _replayed(decision: Decision) -> Decision:
    return replace(
        decision,
        effect=Effect.DENY,
        enforced=Effect.DENY,
        reason_code=ReasonCode.REJECTED,
        reason="this round was already answered",
        retry="never",
    )
