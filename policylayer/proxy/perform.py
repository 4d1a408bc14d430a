"""Performs what `core.mediate` asks for, one command after the other (the PEP in the field's terms).

The counterpart of `core/commands.py`. Each command is done by one method; what fails becomes the reply that ends in a
denial, so nothing that goes wrong here can let a call through. Must not know what policy is or how a call is sent:
`judge`, `send` and `hold` are handed in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from policylayer.audit.context import CallContext
from policylayer.core.call import Call
from policylayer.core.commands import (
    AlreadyConsumed,
    Command,
    Decide,
    Forward,
    Found,
    Hold,
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
    Waived,
)
from policylayer.core.decision import Decision, ReasonCode
from policylayer.core.errors import AuditUnavailable
from policylayer.core.mediate import mediate
from policylayer.proxy import saying
from policylayer.proxy.visit import Visit, refusal
from policylayer.tasks import spawn

Judge: TypeAlias = Callable[[frozenset[str], frozenset[str]], Awaitable[Decision]]
"""Asks policy: the hold rules already satisfied, and the grant's labels."""

Send: TypeAlias = Callable[[Forward], Awaitable[Outcome]]
Keep: TypeAlias = Callable[[Hold], Awaitable[Waited]]
Then: TypeAlias = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class Performer:
    """One judged call. `then` runs when the outcome has been written: what an answer must wait for."""

    visit: Visit
    call: Call
    judge: Judge
    send: Send
    hold: Keep
    then: Then | None = None
    _context: CallContext | None = None
    _decide_us: int | None = None
    _has_row: bool = False
    _unsaid: list[tuple[str, Exception]] | None = None
    _waived: tuple[Waived, ...] = ()

    async def run(self, resumed: Round | None = None, parent: str | None = None) -> Verdict:
        """From the first command to the verdict."""
        steps = mediate(resumed, parent)
        reply: object = None
        while True:
            try:
                command = steps.send(reply)
            except StopIteration as stop:
                verdict: Verdict = stop.value
                self.visit.deps.metrics.count("verdicts", _VERDICTS[type(verdict)])
                if self._unsaid:
                    self._say()
                return verdict
            try:
                if self.visit.trace is None:
                    reply = await _DOERS[type(command)](self, command)
                else:
                    reply = await self.visit.trace.performed(self, command, _DOERS[type(command)])
            except AuditUnavailable as error:
                reply = _failed(command, error.message, ReasonCode.AUDIT_UNAVAILABLE)
            except Exception as error:
                self._fault(type(command).__name__, error)
                reply = _failed(command, "the proxy failed")

    def _fault(self, command: str, error: Exception) -> None:
        """Log what has failed; before the call has a row, that waits for its id."""
        self.visit.deps.metrics.count("failures", command.lower())
        self._unsaid = [*(self._unsaid or ()), (command, error)]
        if self._has_row:
            self._say()

    def _say(self) -> None:
        for command, error in self._unsaid or ():
            saying.failed(command, error)
        self._unsaid = None

    # --- one method a command -----------------------------------------------------------------------------------------

    async def _decide(self, command: Decide) -> Decision:
        clock = self.visit.deps.clock
        begun = clock.monotonic()
        try:
            if self.visit.deps.current.stale:
                await self.visit.deps.current.refresh()
        finally:
            # Also what cannot be decided is recorded.
            context = self._context = self._fresh_context(command.approved)
        refused = self.visit.frozen()
        if refused is None and not await self.visit.still_known():
            revision = self.visit.deps.engine.revision
            refused = refusal(ReasonCode.UNAUTHENTICATED, "the credential is no longer valid", revision)
        decision = refused or await self.judge(command.approved, context.labels)
        self._decide_us = int((clock.monotonic() - begun) * 1e6)
        return decision

    def _fresh_context(self, approved: frozenset[str]) -> CallContext:
        if self._context is None:
            context = self.visit.context(self.call)
            return replace(context, approved=approved) if approved else context
        labels, annotations = self.visit.deps.labels(self.visit.caller), self.visit.believed(self.call)
        waived = tuple(each for each in self._waived if each.rule in approved)
        return replace(self._context, labels=labels, annotations=annotations, approved=approved, waived=waived)

    async def _seek(self, command: Seek) -> Found | None:
        approvals, caller, decision = self.visit.deps.approvals, self.visit.caller, command.decision
        found = await approvals.seek(caller, self.call)
        if found is not None:
            return found
        self._waived = await approvals.waived(caller, self.call, decision.holds, decision.charges)
        rules = frozenset(text for each in self._waived for text in (each.rule, each.demand))
        return Found(None, "approved", rules) if rules else None

    async def _record(self, command: Record) -> Recorded | OverLimit | AlreadyConsumed | Unrecorded:
        assert self._context is not None
        deps = self.visit.deps
        begun = deps.clock.monotonic()
        reply = await deps.recorder.record(command, self._context, self._decide_us)
        written = reply.decision if isinstance(reply, OverLimit) and reply.row_id else command.decision
        if isinstance(reply, Recorded | OverLimit) and reply.row_id:
            saying.about(reply.row_id)
            self._has_row = True
            if self._unsaid:
                self._say()
        if isinstance(reply, Recorded) or written is not command.decision:
            deps.metrics.decided(written, self._decide_us, deps.clock.monotonic() - begun)
        return reply

    def _hold(self, command: Hold) -> Awaitable[Waited]:
        return self.hold(command)

    async def _forward(self, command: Forward) -> Outcome:
        try:
            return await self.send(command)
        except asyncio.CancelledError:
            # The program ends; what was sent may have run, and its row is to say so.
            cut = RecordOutcome(command.row_id, Outcome(OutcomeState.UNKNOWN, "the proxy ended"), command.decision)
            spawn(self._outcome(cut), "record outcome")
            raise

    async def _outcome(self, command: RecordOutcome) -> Recorded | Unrecorded:
        deps, outcome = self.visit.deps, command.outcome
        deps.metrics.count("outcomes", outcome.state)
        if outcome.upstream_us:
            deps.metrics.times["upstream"].add(outcome.upstream_us / 1e6)
        try:
            return await deps.recorder.outcome(command)
        finally:
            if self.then is not None:
                await self.then()


_DOERS: dict[type, Callable[[Performer, Any], Awaitable[object]]] = {
    Decide: Performer._decide,
    Seek: Performer._seek,
    Record: Performer._record,
    Hold: Performer._hold,
    Forward: Performer._forward,
    RecordOutcome: Performer._outcome,
}


_VERDICTS = {Relayed: "relayed", Refused: "refused", Unavailable: "unavailable"}


def _failed(command: Command, why: str, code: ReasonCode = ReasonCode.ENGINE_ERROR) -> object:
    """The reply that says so, of each command's own kind."""
    if isinstance(command, Decide):
        return Undecided(code, why)
    if isinstance(command, Hold):
        return Waited("pending", command.approval_id)
    if isinstance(command, Forward):
        return Outcome(OutcomeState.UNKNOWN, why)
    return Unrecorded(why)
