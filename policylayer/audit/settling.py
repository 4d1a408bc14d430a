"""Sees to it that every row which lets a call through, or holds it, gets its outcome, whatever happens meanwhile.

Keeps which rows of this process are open; writes outcomes that could not be written at first; says `never_sent` of rows
that became durable after their caller was told they had not; and at start says `unknown` of what a crash left open.
Must not know why a call ended as it did.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from functools import partial
from typing import Final

import structlog
from sqlalchemy import ColumnElement, Connection, and_, exists, func, or_, select, update

from policylayer.audit.hooks import GiveBack
from policylayer.audit.rows import RowMaker, Stamp
from policylayer.clock import Clock
from policylayer.core.commands import Kind, Outcome, OutcomeState
from policylayer.core.decision import Effect
from policylayer.core.errors import AuditUnavailable
from policylayer.store.rows import Row
from policylayer.store.store import Add, Store
from policylayer.store.tables import chains, records
from policylayer.tasks import spawn

AGAIN: Final = 0.5
"""Seconds between attempts to write what is owed."""

OWED: Final = 20_000
"""Outcomes that are kept while the database does not answer; beyond that they are settled at the next start."""

MARK_EVERY: Final = 5_000
"""Rows between notes in the database of how far all outcomes are written, so that a start need not look at more."""

WATCH: Final = 10.0
"""Seconds between looks for replicas that ended without a word."""

PATIENCE: Final = 5.0
"""Seconds that an end waits for outcomes that are on their way to the database."""

BREATH: Final = 0.01
PAGE: Final = 500
CALLS: Final = (Kind.DECISION.value, Kind.ROUND.value, Kind.RELEASE.value)
CRASHED: Final = Outcome(OutcomeState.UNKNOWN, "the proxy ended before the outcome was written")
NOT_HELD_ON: Final = Outcome(OutcomeState.NEVER_SENT, "the proxy ended while the call was held")
TOO_LATE: Final = Outcome(OutcomeState.NEVER_SENT, "the row was written after its call had been refused")


def _nothing_charged(_conn: Connection, _row_id: str) -> None:
    return


class Settling:
    """What is open, and what is owed."""

    def __init__(self, store: Store, clock: Clock, rows: RowMaker, give_back: GiveBack = _nothing_charged) -> None:
        self._store = store
        self._clock = clock
        self._rows = rows
        self._give_back = give_back
        self._open: dict[str, int] = {}
        self._held: set[str] = set()
        self._owed: deque[Row] = deque(maxlen=OWED)
        self._paying: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._writing = 0
        self._since_mark = 0
        self._last = ""

    # --- rows of this process -----------------------------------------------------------------------------------------

    def begin(self, row_id: str, held: bool = False) -> None:
        """A row that is to have an outcome, or to go on in another row (`held`), is about to be written."""
        self._open[row_id] = 0
        self._last = row_id
        if held:
            self._held.add(row_id)

    def recorded(self, row_id: str, record_us: int) -> None:
        """It is durable, after so long."""
        self._open[row_id] = record_us
        self._since_mark += 1
        if self._since_mark >= MARK_EVERY:
            self._since_mark = 0
            spawn(self._note_mark(), "settled-mark")

    def goes_on(self, parent: str | None) -> None:
        """A row with this parent is durable: where the parent held its call, that is how it ended."""
        if parent is not None and parent in self._held:
            self.end(parent)

    def record_us(self, row_id: str) -> int | None:
        """How long recording it took; None where it was not recorded by this process."""
        return self._open.get(row_id)

    def end(self, row_id: str) -> None:
        """It has its outcome, or was not written."""
        self._held.discard(row_id)
        self._open.pop(row_id, None)

    def write_later(self, row: Row) -> None:
        """Write an outcome that nothing depends on: its row is open until it is durable."""
        try:
            self._store.append_later((row,), self._written)
            self._writing += 1
        except AuditUnavailable:
            self.owe(row)

    def _written(self, rows: tuple[Row, ...], error: BaseException | None) -> None:
        self._writing -= 1
        for row in rows:
            if error is not None:
                self.owe(row)
            elif row.parent is not None:
                self.end(row.parent)

    async def write(self, row: Row) -> None:
        """Write an outcome; with that of a call that was never sent, what it had charged is given back."""
        if row.parent is None or row.state != OutcomeState.NEVER_SENT.value:
            await self._store.append((row,))
            return
        parent = row.parent

        def work(connection: Connection, add: Add) -> None:
            self._give_back(connection, parent)
            add(row)

        await self._store.record(work)

    def owe(self, row: Row) -> None:
        """This outcome could not be written; try until it is."""
        self._owed.append(row)
        if row.parent is not None:
            self.end(row.parent)
        if self._paying is None:
            self._paying = spawn(self._pay(), "owed-outcomes")

    def late(self, rows: tuple[Row, ...]) -> None:
        """These rows are durable though their callers were told otherwise: nothing was sent for them."""
        for row in rows:
            if row.kind in CALLS and row.enforced != Effect.DENY.value:
                self.owe(self._rows.outcome(row.id, TOO_LATE, self._stamp()))

    async def drained(self) -> None:
        """Wait until no outcome is on its way to the database, or for a while."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while self._writing:
                    await asyncio.sleep(BREATH)

    async def close(self) -> None:
        """Try once more to write what is owed; close the chains of this process if nothing is open."""
        for task in (self._paying, self._watching):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await self.drained()
        if not await self._pay_once() or self._open:
            return
        try:
            await self._store.write(partial(_close, ids=self._store.own_chains(), now_us=self._clock.time_us()))
        except AuditUnavailable:
            structlog.get_logger().warning("the chain could not be closed")

    async def _pay(self) -> None:
        try:
            while not await self._pay_once():
                await asyncio.sleep(AGAIN)
        finally:
            self._paying = None

    async def _pay_once(self) -> bool:
        """Write what is owed; whether nothing is left."""
        while self._owed:
            row = self._owed[0]
            try:
                await self.write(row)
            except AuditUnavailable:
                return False
            except Exception as error:
                # Its id is there: it had been written when the caller stopped waiting.
                log = structlog.get_logger()
                log.info("an owed outcome was not written again", decision=row.parent, error=str(error))
            if self._owed and self._owed[0] is row:
                self._owed.popleft()
        return True

    async def _note_mark(self) -> None:
        """Note how far nothing is open. Only a help: where it fails, the next start looks at more rows."""
        settled = next(iter(self._open), self._last)
        if self._owed:
            return
        try:
            await self._store.write(partial(_mark, ids=self._store.own_chains(), settled=settled))
        except AuditUnavailable:
            return

    # --- rows that a crash left ---------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Settle the rows of processes that ended without settling theirs; where others may end so later, go on."""
        await self.settle_abandoned()
        if self._store.dialect == "postgresql":
            self._watching = spawn(self._watch(), "settling")

    async def settle_abandoned(self) -> None:
        """Write an outcome for every row of an abandoned chain that has none, and close the chain."""
        for chain in await self._store.abandoned():
            total = 0
            while settled := await self._store.record(partial(self._settle_page, chain=chain)):
                total += settled
            if total:
                structlog.get_logger().warning("calls without outcome were settled", chain=chain, rows=total)

    def _settle_page(self, connection: Connection, add: Add, *, chain: str) -> int:
        """A page of them, in one transaction, which no other replica can do too; 0: nothing is left, or not ours."""
        if not self._store.claim(connection, chain):
            return 0
        left = _dangling(connection, chain)
        for row_id, sent in left:
            add(self._rows.outcome(row_id, CRASHED if sent else NOT_HELD_ON, self._stamp()))
        if not left:
            _close(connection, (chain,), self._clock.time_us())
        return len(left)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH)
            try:
                await self.settle_abandoned()
            except AuditUnavailable as error:
                structlog.get_logger().warning("what others left open cannot be settled now", error=error.message)

    def _stamp(self) -> Stamp:
        return Stamp(self._clock.new_id(), self._clock.time_us())


def _dangling(connection: Connection, chain: str) -> list[tuple[str, bool]]:
    """Rows of a chain that have no outcome, nor a row that released them; and whether they may have been sent."""
    child = records.alias("child")
    ended = exists().where(
        child.c.parent == records.c.id,
        or_(child.c.kind == Kind.OUTCOME.value, _releases(child.c.kind, records.c.enforced)),
    )
    settled = connection.scalar(select(func.coalesce(chains.c.settled_id, "")).where(chains.c.id == chain))
    query = (
        select(records.c.id, records.c.enforced)
        .where(
            records.c.chain + "" == chain,  # so that the database goes by the id, not through the whole chain
            records.c.id >= (settled or ""),
            records.c.kind.in_(CALLS),
            records.c.enforced.in_([Effect.ALLOW.value, Effect.REQUIRE_APPROVAL.value]),
            ~ended,
        )
        .limit(PAGE)
    )
    return [(row_id, enforced == Effect.ALLOW.value) for row_id, enforced in connection.execute(query)]


def _releases(kind: ColumnElement[str], enforced: ColumnElement[str | None]) -> ColumnElement[bool]:
    """A held row goes on in its release, or in the row that holds it anew."""
    return and_(enforced == Effect.REQUIRE_APPROVAL.value, kind.in_(CALLS))


def _close(connection: Connection, ids: tuple[str, ...], now_us: int) -> None:
    connection.execute(update(chains).where(chains.c.id.in_(ids)).values(closed_us=now_us))


def _mark(connection: Connection, ids: tuple[str, ...], settled: str) -> None:
    connection.execute(update(chains).where(chains.c.id.in_(ids)).values(settled_id=settled))
