"""Sees to it that every row which lets a call through, or holds it, gets its outcome, whatever happens meanwhile.

Keeps which rows of this process are open; writes outcomes that could not be written at first; says `never_sent` of rows
that became durable after their caller was told they had not. Where we were taken for dead, what others settled of ours
(`left_open.py`) stays as they settled it. Must not know why a call ended as it did.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from functools import partial
from typing import Final

import structlog
from sqlalchemy import ColumnElement, Connection, exists, select, update

from policylayer.audit.hooks import GiveBack
from policylayer.audit.left_open import CALLS, PAGE, close_chains
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
"""Outcomes that are kept while the database does not answer; rows beyond that stay open, and the next start settles
them."""

MARK_EVERY: Final = 5_000
"""Rows between notes in the database of how far all outcomes are written, so that a start need not look at more."""

PATIENCE: Final = 5.0
"""Seconds that an end waits for outcomes that are on their way to the database."""

BREATH: Final = 0.01
SURE: Final = 0.2
"""Seconds by which whoever wrote an outcome has been told of it."""

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
        self._taken: set[str] = set()
        self._owed: deque[Row] = deque()
        self._paying: asyncio.Task[None] | None = None
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
        self._taken.discard(row_id)
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
        if row.state == OutcomeState.NEVER_SENT.value:
            await self._store.record(partial(self._add, row=row))
        else:
            await self._store.append((row,))

    def _add(self, connection: Connection, add: Add, *, row: Row) -> None:
        if row.parent is not None and row.state == OutcomeState.NEVER_SENT.value:
            self._give_back(connection, row.parent)
        add(row)

    def owe(self, row: Row) -> None:
        """This outcome could not be written; try until it is."""
        if len(self._owed) >= OWED:
            if row.parent is not None:
                self._open.setdefault(row.parent, 0)
            return
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
        if self._paying is not None:
            self._paying.cancel()
            await asyncio.gather(self._paying, return_exceptions=True)
        await self.drained()
        if not await self._pay_once() or self._open:
            return
        try:
            await self._store.write(partial(close_chains, ids=self._store.own_chains(), now_us=self._clock.time_us()))
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
                await self._store.record(partial(self._write_owed, row=row))
            except AuditUnavailable:
                return False
            except Exception as error:
                structlog.get_logger().error("an owed outcome was not written", decision=row.parent, error=str(error))
            if self._owed and self._owed[0] is row:
                self._owed.popleft()
        return True

    def _write_owed(self, connection: Connection, add: Add, *, row: Row) -> None:
        """Write it unless its row has an outcome: it came through after all, or another replica was first."""
        if row.parent is not None and not connection.scalar(select(_ended(row.parent))):
            self._add(connection, add, row=row)

    async def _note_mark(self) -> None:
        """Note how far nothing is open. Only a help: where it fails, the next start looks at more rows."""
        settled = min(self._open, default=self._last)
        if self._owed:
            return
        try:
            await self._store.write(partial(_mark, ids=self._store.own_chains(), settled=settled))
        except AuditUnavailable:
            return

    # --- what others settled ------------------------------------------------------------------------------------------

    def revived(self) -> None:
        """Others could take us for dead for a while: see what they have settled."""
        if self._open:
            spawn(self._look_back(), "settled-by-others")

    def was_taken(self, row_id: str | None) -> bool:
        """Whether another replica has settled this row of ours, though its call goes on here."""
        return row_id in self._taken

    async def _look_back(self) -> None:
        ids = list(self._open)
        try:
            for at in range(0, len(ids), PAGE):
                ended = await self._store.read(partial(_settled, ids=ids[at : at + PAGE]))
                self._taken.update(ended & self._open.keys())
        except AuditUnavailable:
            # Then the connection is lost again, and we are called again.
            return
        # Our own, written a moment ago, are no longer open then.
        await asyncio.sleep(SURE)
        if self._taken:
            structlog.get_logger().error(
                "this replica was cut off, and others have settled calls that it still makes", rows=len(self._taken)
            )

    def _stamp(self) -> Stamp:
        return Stamp(self._clock.new_id(), self._clock.time_us())


def _settled(connection: Connection, ids: list[str]) -> set[str]:
    """Which of these rows have an outcome."""
    query = select(records.c.parent).where(records.c.parent.in_(ids), records.c.kind == Kind.OUTCOME.value)
    return set(connection.scalars(query))


def _ended(row_id: str) -> ColumnElement[bool]:
    return exists().where(records.c.parent == row_id, records.c.kind == Kind.OUTCOME.value)


def _mark(connection: Connection, ids: tuple[str, ...], settled: str) -> None:
    connection.execute(update(chains).where(chains.c.id.in_(ids)).values(settled_id=settled))
