"""Settles the rows that other processes left without outcome: at start, and on PostgreSQL whenever a replica has died.

Whether a call that was let through was made cannot be known any more, so its outcome is `unknown`; one that was held
was never sent. Who is dead is the store's to say (`Store.abandoned`, `Store.claim`). Rows of this process are looked
after by `settling.py`.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

import structlog
from sqlalchemy import ColumnElement, Connection, and_, exists, func, or_, select, update

from policylayer.audit.queries import first_id, time_of
from policylayer.audit.rows import RowMaker, Stamp
from policylayer.clock import Clock
from policylayer.core.commands import Kind, Outcome, OutcomeState
from policylayer.core.decision import Effect
from policylayer.store.store import Add, Store
from policylayer.store.tables import chains, records
from policylayer.tasks import keep_on, spawn

WATCH: Final = 10.0
"""Seconds between looks for replicas that ended without a word."""

WAITED_US: Final = 3_600_000_000
"""No row waits so long for its chain."""

PAGE: Final = 500
CALLS: Final = (Kind.DECISION.value, Kind.ROUND.value, Kind.RELEASE.value)
CRASHED: Final = Outcome(OutcomeState.UNKNOWN, "the proxy ended before the outcome was written")
NOT_HELD_ON: Final = Outcome(OutcomeState.NEVER_SENT, "the proxy ended while the call was held")


class LeftOpen:
    """What others left open."""

    def __init__(self, store: Store, clock: Clock, rows: RowMaker) -> None:
        self._store = store
        self._clock = clock
        self._rows = rows
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Settle the rows of processes that ended without settling theirs; where others may end so later, go on."""
        await self.settle()
        if self._store.dialect == "postgresql":
            self._watching = spawn(keep_on(self._turn, "what others left open cannot be settled now"), "settling")

    async def close(self) -> None:
        """Look no more."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def settle(self) -> None:
        """Write an outcome for every row of an abandoned chain that has none, and close the chain."""
        for chain in await self._store.abandoned():
            total = 0
            while settled := await self._store.record(partial(self._page, chain=chain)):
                total += settled
            if total:
                structlog.get_logger().warning("calls without outcome were settled", chain=chain, rows=total)

    def _page(self, connection: Connection, add: Add, *, chain: str) -> int:
        """A page of them, in one transaction, which no other replica can do too; 0: nothing is left, or not ours."""
        if not self._store.claim(connection, chain):
            return 0
        left = _dangling(connection, chain)
        for row_id, sent in left:
            stamp = Stamp(self._clock.new_id(), self._clock.time_us())
            add(self._rows.outcome(row_id, CRASHED if sent else NOT_HELD_ON, stamp))
        if not left:
            close_chains(connection, (chain,), self._clock.time_us())
        return len(left)

    async def _turn(self) -> None:
        await asyncio.sleep(WATCH)
        await self.settle()


def close_chains(connection: Connection, ids: tuple[str, ...], now_us: int) -> None:
    """Nothing of these chains is open any more."""
    connection.execute(update(chains).where(chains.c.id.in_(ids)).values(closed_us=now_us))


def first_open(connection: Connection, chain: str) -> int | None:
    """The number of the first row of a chain that is not over, if there is one.

    Ids of a chain's rows are no older than its own, by more than a row may wait: the log before is not looked at.
    """
    since = records.c.id >= first_id(time_of(chain) - WAITED_US)
    found: int | None = connection.scalar(select(func.min(records.c.seq)).where(since, *_is_open(connection, chain)))
    return found


def _dangling(connection: Connection, chain: str) -> list[tuple[str, bool]]:
    """Rows of a chain that have no outcome, nor a row that released them; and whether they may have been sent."""
    query = select(records.c.id, records.c.enforced).where(*_is_open(connection, chain)).limit(PAGE)
    return [(row_id, enforced == Effect.ALLOW.value) for row_id, enforced in connection.execute(query)]


def _is_open(connection: Connection, chain: str) -> tuple[ColumnElement[bool], ...]:
    child = records.alias("child")
    ended = exists().where(
        child.c.parent == records.c.id,
        or_(child.c.kind == Kind.OUTCOME.value, _releases(child.c.kind, records.c.enforced)),
    )
    settled = connection.scalar(select(func.coalesce(chains.c.settled_id, "")).where(chains.c.id == chain))
    return (
        records.c.chain + "" == chain,  # so that the database goes by the id, not through the whole chain
        records.c.id >= (settled or ""),
        records.c.kind.in_(CALLS),
        records.c.enforced.in_([Effect.ALLOW.value, Effect.REQUIRE_APPROVAL.value]),
        ~ended,
    )


def _releases(kind: ColumnElement[str], enforced: ColumnElement[str | None]) -> ColumnElement[bool]:
    """A held row goes on in its release, or in the row that holds it anew."""
    return and_(enforced == Effect.REQUIRE_APPROVAL.value, kind.in_(CALLS))
