"""Writes the decision log: performs `Record` and `RecordOutcome`, and writes events and refusals.

A row that needs nothing else goes the fast way; one that charges limits, uses up or opens an approval, or redeems a
round goes through one transaction with all of it (`hooks`), or none. Whatever fails is `Unrecorded`, never an allow.
Must not know how rows become durable (`store/`), nor what approvals and limits are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, Final

import structlog
from sqlalchemy import Connection, NestedTransaction

from policylayer.audit.context import CallContext, Keeping
from policylayer.audit.hooks import Charging, Held, Hooks, Labels
from policylayer.audit.left_open import LeftOpen
from policylayer.audit.rejections import Rejections
from policylayer.audit.rows import RowMaker, Stamp
from policylayer.audit.settling import Settling
from policylayer.clock import Clock
from policylayer.core.call import Caller, Json
from policylayer.core.commands import (
    AlreadyConsumed,
    OutcomeState,
    OverLimit,
    Record,
    Recorded,
    RecordOutcome,
    Unrecorded,
)
from policylayer.core.decision import Charge, Decision, Effect
from policylayer.core.errors import AuditUnavailable
from policylayer.keys import Keys
from policylayer.store.rows import Row, event_row
from policylayer.store.store import Store, Topic

Recording = Recorded | OverLimit | AlreadyConsumed | Unrecorded

NO_TOPICS: Final[tuple[Topic, ...]] = ()
APPROVALS: Final[tuple[Topic, ...]] = ("approvals",)


class Recorder:
    """The decision log, for writing."""

    def __init__(
        self, store: Store, keys: Keys, clock: Clock, keeping: Keeping | None = None, hooks: Hooks | None = None
    ) -> None:
        self._store = store
        self._clock = clock
        self._rows = RowMaker(keys, keeping or Keeping())
        self.hooks = hooks or Hooks()
        self._left = LeftOpen(store, clock, self._rows)
        self._settling = Settling(store, clock, self._rows, self._give_back)
        self._rejections = Rejections(clock, self._append_event)
        store.on_late(self._settling.late)
        store.on_revived(self._settling.revived)

    async def start(self) -> None:
        """Settle what an earlier process left without outcome. Before the first call is taken."""
        await self._left.start()

    async def drained(self) -> None:
        """Wait until every outcome that was told is durable."""
        await self._settling.drained()

    async def close(self) -> None:
        """Write what is still owed. Before the store is closed."""
        await self._left.close()
        await self._rejections.close()
        await self._settling.close()

    def mark(self, value: Json) -> str:
        """What stands for this value in the log where it is masked."""
        return self._rows.mark(value)

    # --- calls --------------------------------------------------------------------------------------------------------

    async def record(self, cmd: Record, context: CallContext, decide_us: int | None = None) -> Recording:
        """Perform `Record`: the row and all that goes with it are durable, or nothing is."""
        if self._settling.was_taken(cmd.parent):
            return Unrecorded("another replica has ended this call, while the database could not be reached from here")
        began = self._clock.monotonic()
        opens = cmd.decision.enforced is not Effect.DENY
        stamp = Stamp(self._clock.new_id(), self._clock.time_us(), decide_us)
        reply: Recording = Unrecorded()
        if opens:
            self._settling.begin(stamp.id, held=cmd.hold)
        try:
            reply = await self._write(cmd, context, self._rows.decision(cmd, context, stamp))
        except AuditUnavailable as error:
            reply = Unrecorded(error.message)
        except Exception:
            structlog.get_logger().exception("a decision could not be recorded", decision=stamp.id)
        finally:
            if opens and isinstance(reply, Recorded):
                self._settling.recorded(stamp.id, int((self._clock.monotonic() - began) * 1e6))
            elif opens:
                self._settling.end(stamp.id)
            if isinstance(reply, Recorded):
                self._settling.goes_on(cmd.parent)
        return reply

    async def _write(self, cmd: Record, context: CallContext, row: Row) -> Recording:
        charges = cmd.charge and bool(cmd.decision.charges) and self.hooks.charge is not None
        labels, sends = self.hooks.labels, cmd.decision.enforced is Effect.ALLOW
        marks = labels.tainting(context.caller, cmd.decision) if labels is not None and sends else None
        if not (charges or cmd.hold or cmd.consume or cmd.redeem or marks):
            await self._store.append((row,))
            return Recorded(row.id)
        work = partial(self._transact, cmd, context, row, charges)
        topics = APPROVALS if cmd.hold or cmd.consume else NO_TOPICS
        if labels is None or marks is None:
            return await self._store.record(work, topics=topics)
        reply = await self._store.record(partial(_labelled, work, labels, marks), topics=(*topics, *labels.topics))
        if isinstance(reply, Recorded):
            labels.keep(marks)
        return reply

    def _transact(
        self, cmd: Record, context: CallContext, row: Row, charges: bool, connection: Connection, add: Any
    ) -> Recording:
        """In the writer's transaction: conditions first, then the row. A condition that fails undoes the others."""
        staged: list[Row] = []
        # A charge that is too much has changed nothing; only what else was done before it must be undone.
        with connection.begin_nested() if cmd.consume or cmd.redeem or cmd.hold else nullcontext() as conditions:
            if cmd.consume and not self.hooks.consume(connection, staged.append, cmd.consume, row.id):
                # What was found on the way (it had expired, say) is kept.
                for event in staged:
                    add(event)
                return AlreadyConsumed("approval")
            if cmd.redeem and not self.hooks.redeem(connection, cmd.redeem, row.id):
                _undo(conditions)
                return AlreadyConsumed("round")
            if charges and self.hooks.charge is not None:
                charged = self.hooks.charge(connection, Charging(cmd.decision, row.id, cmd.approved))
                if charged.over is not None:
                    _undo(conditions)
                    return self._over(cmd, context, row, charged.over, add)
                row = row._replace(charges=charged.charges)
            if cmd.hold:
                held = _held(cmd, context, row, tuple(self.hooks.exceeded(connection, cmd.decision.charges)))
                row = row._replace(approval_id=self.hooks.open_or_join(connection, staged.append, held))
        add(row)
        for event in staged:
            add(event)
        return Recorded(row.id, row.approval_id)

    def _over(self, cmd: Record, context: CallContext, row: Row, over: Decision, add: Any) -> OverLimit:
        """Limits are exceeded: a denial is written as the call's row, a hold is left to whoever asked."""
        if over.enforced is not Effect.DENY:
            return OverLimit(over)
        denial = replace(cmd, decision=over, charge=False, consume=None, redeem=None)
        add(self._rows.decision(denial, context, Stamp(row.id, row.time_us, row.decide_us)))
        return OverLimit(over, row.id)

    async def outcome(self, cmd: RecordOutcome) -> Recorded | Unrecorded:
        """Perform `RecordOutcome`. One that cannot be written now is written when the database answers again."""
        settling = self._settling
        if settling.was_taken(cmd.row_id):
            settling.end(cmd.row_id)
            why = f"its outcome was written by another replica; here it was {cmd.outcome.state.value}"
            structlog.get_logger().error(why, decision=cmd.row_id)
            return Unrecorded(why)
        stamp = Stamp(self._clock.new_id(), self._clock.time_us())
        row = self._rows.outcome(cmd.row_id, cmd.outcome, stamp, settling.record_us(cmd.row_id))
        gives_back = cmd.decision.charges and cmd.outcome.state is OutcomeState.NEVER_SENT
        earns = cmd.outcome.succeeded and cmd.decision.obligations.earn and self.hooks.labels is not None
        if not (gives_back or earns):
            # The answer has left, and nothing depends on its outcome.
            settling.write_later(row)
            return Recorded(row.id)
        try:
            if self.hooks.labels is not None and earns:
                await self._earned(self.hooks.labels, cmd, row)
            else:
                await settling.write(row)
        except AuditUnavailable as error:
            settling.owe(row)
            return Unrecorded(error.message)
        settling.end(cmd.row_id)
        return Recorded(row.id)

    async def _earned(self, labels: Labels, cmd: RecordOutcome, row: Row) -> None:
        """Write an outcome with what it earns, which counts before the agent's next call."""

        def work(connection: Connection, add: Any) -> Any:
            marks = labels.earn(connection, cmd.row_id, cmd.decision.obligations.earn, row.id)
            add(row)
            return marks

        labels.keep(await self._store.record(work, topics=labels.topics))

    def _give_back(self, connection: Connection, row_id: str) -> None:
        if self.hooks.give_back is not None:
            self.hooks.give_back(connection, row_id)

    # --- beside calls -------------------------------------------------------------------------------------------------

    def make_event(self, type: str, actor: str | None, detail: Mapping[str, Any]) -> Row:
        """The row of an event, for whoever writes it in a transaction of their own."""
        return event_row(self._clock.new_id(), self._clock.time_us(), type, actor, detail)

    async def event(self, type: str, actor: str | None, detail: Mapping[str, Any]) -> None:
        """Write an event. AuditUnavailable where it cannot be written."""
        await self._store.append((self.make_event(type, actor, detail),))

    async def rejected(
        self,
        reason: str,
        body_sha256: bytes | None,
        length: int,
        caller: Caller | None = None,
        ip: str | None = None,
        server: str | None = None,
    ) -> None:
        """Write that input was refused, unless this source had much refused lately: then it is counted."""
        who = caller.subject.id if caller is not None else None
        detail = {
            "reason": reason,
            "body_sha256": body_sha256.hex() if body_sha256 is not None else None,
            "length": length,
            "ip": ip,
            "server": server,
        }
        await self._rejections.add("unauthenticated" if reason == "unauthenticated" else "rejected", who, detail)

    async def _append_event(self, type: str, actor: str | None, detail: Mapping[str, Any]) -> None:
        row = self.make_event(type, actor, detail)
        await self._store.append((row._replace(ip=detail.get("ip"), server=detail.get("server")),))


def _labelled(
    work: Callable[[Connection, Any], Recording], labels: Labels, marks: Any, connection: Connection, add: Any
) -> Recording:
    """A row, and the labels that it sets."""
    reply = work(connection, add)
    if isinstance(reply, Recorded):
        labels.write(connection, marks, reply.row_id)
    return reply


def _undo(conditions: NestedTransaction | None) -> None:
    if conditions is not None:
        conditions.rollback()


def _held(cmd: Record, context: CallContext, row: Row, exceeds: tuple[Charge, ...]) -> Held:
    return Held(
        caller=context.caller,
        call=context.call,
        decision=cmd.decision,
        record_id=row.id,
        carried=cmd.approved,
        arguments=row.arguments,
        session=context.session,
        client=context.client,
        ip=context.ip,
        round=cmd.redeem.number if cmd.redeem else None,
        exceeds=exceeds,
    )
