"""Pure: the life of one call, as a generator that yields commands and receives their replies.

Theory of operation. One loop: ask policy; a denial is recorded and told; an allow is recorded, forwarded, and its
outcome recorded; a hold is recorded and waited for, and what an approver released goes round the loop again, so that it
is decided anew, and the row that lets it through uses up the approval. Whatever fails before a row is durable ends in
`Unavailable`; only a `Recorded` allow is forwarded.

Properties (tests/flows/test_properties.py): no Forward without an earlier successful Record of an enforced allow; at
most one Forward per call; a release only after deciding again; exactly one terminal record per call (a denial's own
row, or one outcome); every failure to decide or record ends in a denial.

Must not know how a command is done (`proxy/perform.py`), what policy is, or which protocol era is spoken.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from policylayer.core.commands import (
    AlreadyConsumed,
    Command,
    Decide,
    Forward,
    Found,
    Hold,
    Kind,
    Outcome,
    OutcomeState,
    OverLimit,
    Record,
    Recorded,
    RecordOutcome,
    Refused,
    Relayed,
    Round,
    Seek,
    Unavailable,
    Undecided,
    Unrecorded,
    Verdict,
    Waited,
)
from policylayer.core.decision import Decision, Effect, ReasonCode
from policylayer.core.endings import ended
from policylayer.core.satisfied import without

Steps: TypeAlias = Generator[Command, Any, Verdict]


@dataclass(slots=True)
class _Life:
    """What one call has come to so far.

    `approved` are the hold rules already satisfied, by `approval` or by the round; `held` is the row that holds it, by
    `holding`; `every_round` names rules whose approval later rounds may not lean on.
    """

    resumed: Round | None
    origin: str | None
    approved: frozenset[str]
    approval: str | None = None
    held: str | None = None
    holding: Decision | None = None
    sought: bool = False
    every_round: frozenset[str] = frozenset()

    def row(self, decision: Decision, *, hold: bool = False) -> Record:
        """The next row: it lets through, holds, or refuses, as `decision` and `hold` say."""
        first = Kind.ROUND if self.resumed else Kind.DECISION
        later = self.held is not None or (self.approval is not None and not hold)
        sends = decision.enforced is Effect.ALLOW
        return Record(
            Kind.RELEASE if later else first,
            decision,
            parent=self.held or self.origin,
            charge=sends and self.resumed is None,
            consume=self.approval if sends or hold else None,
            redeem=self.resumed if sends else None,
            hold=hold,
            approved=self.approved if sends or hold else frozenset(),
        )

    def start_over(self) -> None:
        """Someone else used the approval: nothing is satisfied any more but what the round carries."""
        self.approval, self.approved = None, self.resumed.rules if self.resumed else frozenset()

    def ask_again(self, decision: Decision) -> None:
        """These rules are to be approved, once more where they were: nobody was told of the limits now exceeded."""
        self.approved = without(self.approved, (hold.ref.name for hold in decision.holds))

    def take(self, settled: Found | Waited) -> None:
        """An approver released the call."""
        self.approval, self.approved = settled.approval_id, self.approved | settled.rules


def mediate(resumed: Round | None = None, parent: str | None = None) -> Steps:
    """Yield the commands of one judged call; return what to tell the agent."""
    origin = resumed.parent if resumed else parent
    life = _Life(resumed, origin, resumed.rules if resumed else frozenset())
    while True:
        decision = yield Decide(life.approved)
        if not isinstance(decision, Decision):
            return (yield from _undecided(decision, life))
        if decision.enforced is Effect.ALLOW:
            reply = yield life.row(decision)
            if isinstance(reply, Recorded):
                return (yield from _forward(reply, decision, life))
            if isinstance(reply, AlreadyConsumed) and reply.what == "approval" and life.approval:
                life.start_over()
                continue
            if not (isinstance(reply, OverLimit) and reply.row_id is None):
                return (yield from _not_sent(reply, decision, life))
            decision = reply.decision
            life.ask_again(decision)
        if decision.enforced is not Effect.REQUIRE_APPROVAL:
            return (yield from _refuse(decision, life))
        verdict = yield from _hold(decision, life)
        if verdict is not None:
            return verdict


def _hold(decision: Decision, life: _Life) -> Generator[Command, Any, Verdict | None]:
    """Hold a call. None: go round again, released or with another approval to wait for."""
    life.every_round |= {hold.ref.name for hold in decision.holds if hold.each_round}
    if not life.sought:
        life.sought = True
        found = yield Seek(decision)
        if isinstance(found, Found) and found.state == "approved":
            life.take(found)
            return None
        if isinstance(found, Found) and found.state == "denied":
            return (yield from _refuse(ended(decision, "denied"), life, found.approval_id, found.note))
        if found is not None and not isinstance(found, Found):
            return (yield from _unrecorded(found, life))
    reply = yield life.row(decision, hold=True)
    if isinstance(reply, AlreadyConsumed) and life.approval:
        life.start_over()
        return None
    if isinstance(reply, Recorded):
        life.held, life.holding = reply.row_id, decision
    if not isinstance(reply, Recorded) or reply.approval_id is None:
        return (yield from _unrecorded(reply, life))
    life.approval = None
    waited: Waited = yield Hold(reply.approval_id, decision)
    if waited.state == "approved":
        life.take(waited)
        return None
    told = ended(decision, waited.state)
    yield RecordOutcome(reply.row_id, Outcome(OutcomeState.NEVER_SENT, str(told.reason_code)), decision)
    return Refused(told, reply.row_id, waited.approval_id, waited.note)


def _forward(row: Recorded, decision: Decision, life: _Life) -> Steps:
    """Send what a durable row allows, and write down how it ended."""
    approval = life.approval or (life.resumed.approval_id if life.resumed else None)
    outcome = yield Forward(row.row_id, decision, approval, without(life.approved, life.every_round))
    yield RecordOutcome(row.row_id, outcome, decision)
    return Relayed(row.row_id, outcome)


def _not_sent(reply: object, decision: Decision, life: _Life) -> Steps:
    """An allow that did not become a row: limits are exceeded, the round was used, or the log failed."""
    if isinstance(reply, OverLimit) and reply.row_id is not None:
        return Refused(reply.decision, reply.row_id)
    if isinstance(reply, AlreadyConsumed) and life.resumed:
        return (yield from _refuse(_replayed(decision), life))
    return (yield from _unrecorded(reply, life))


def _refuse(decision: Decision, life: _Life, approval_id: str | None = None, note: str | None = None) -> Steps:
    """Record a denial; the row is the call's terminal record."""
    row = life.row(replace(decision, enforced=Effect.DENY))
    reply = yield replace(row, approval_id=approval_id or life.approval)
    if not isinstance(reply, Recorded):
        return (yield from _unrecorded(reply, life))
    if decision.reason_code is ReasonCode.ENGINE_ERROR:
        return Unavailable(decision.reason_code, decision.reason, reply.row_id)
    return Refused(decision, reply.row_id, approval_id or life.approval, note)


def _undecided(failure: object, life: _Life) -> Steps:
    """Record that no decision could be had, and say so: never an allow."""
    why = failure if isinstance(failure, Undecided) else Undecided()
    reply = yield life.row(Decision(Effect.DENY, why.reason_code, Effect.DENY, revision="", reason=why.reason))
    if not isinstance(reply, Recorded):
        return (yield from _unrecorded(reply, life))
    return Unavailable(why.reason_code, why.reason, reply.row_id)


def _unrecorded(reply: object, life: _Life) -> Steps:
    """What would have come next is not durable. The row that held the call, if there is one, still needs its end."""
    why = reply if isinstance(reply, Unrecorded) else Unrecorded()
    if life.held is not None and life.holding is not None:
        outcome = Outcome(OutcomeState.NEVER_SENT, str(ReasonCode.AUDIT_UNAVAILABLE))
        yield RecordOutcome(life.held, outcome, life.holding)
    return Unavailable(ReasonCode.AUDIT_UNAVAILABLE, why.reason)


def _replayed(decision: Decision) -> Decision:
    return replace(
        decision,
        effect=Effect.DENY,
        enforced=Effect.DENY,
        reason_code=ReasonCode.REJECTED,
        reason="this round was already answered",
        retry="never",
    )
