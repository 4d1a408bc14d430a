"""One PostgreSQL connection that writes, with a chain of its own: a task that takes what waits, and commits it.

The plain lane takes rows, as many as wait, in one transaction; other lanes take functions, one a transaction, so that
their locks are short and their conflicts theirs alone. After a lost connection nothing is retried: once the server has
let the old session go (its lock says so), what became of its rows is read back. The same for SQLite: `writer.py`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

import structlog
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from policylayer.clock import Clock
from policylayer.core.errors import AuditUnavailable
from policylayer.keys import Keys
from policylayer.store.backend import AGAIN, ITEMS_OWN, LOST, bare, connect, lock_number
from policylayer.store.gathering import LATER
from policylayer.store.opening import open_chain
from policylayer.store.rows import COLUMNS, Place, Row
from policylayer.store.store import Program
from policylayer.store.tables import records
from policylayer.store.waiting import Item

GIVE_UP: Final = 5.0
"""Seconds after which a transaction that says nothing is given up; its callers have left long before."""

REOPEN: Final = 0.2
CHANNEL: Final = "policylayer"
_NAMES: Final = ", ".join(COLUMNS)
INSERT: Final = f"INSERT INTO records ({_NAMES}) VALUES ({', '.join(f'${n}' for n, _ in enumerate(COLUMNS, 1))})"


class Lane:
    """The connection, the queue before it, and the place in its chain."""

    def __init__(
        self,
        engine: AsyncEngine,
        keys: Keys,
        clock: Clock,
        program: Program,
        told: Callable[[Sequence[Item]], None],
        late: Callable[[tuple[Row, ...]], None],
        batch: int = 1,
    ) -> None:
        self._engine = engine
        self._keys = keys
        self._clock = clock
        self._program = program
        self._told = told
        self._late = late
        self._batch = batch
        self._queue: deque[Item] = deque()
        self._news = asyncio.Event()
        self._closing = False
        self._connection: AsyncConnection | None = None
        self._raw: Any = None
        self._place: Place | None = None
        self._doubtful: dict[str, Row] = {}
        self._former: set[str] = set()
        self._next_try = 0.0
        self._failing = False
        self.chains: list[str] = []

    @property
    def load(self) -> int:
        """How many wait here."""
        return len(self._queue)

    def put(self, item: Item) -> None:
        """Queue an item."""
        self._queue.append(item)
        if item.future is not None:
            self._news.set()
        elif len(self._queue) == 1:
            asyncio.get_running_loop().call_later(LATER, self._news.set)

    async def open(self) -> AsyncConnection:
        """Connect, and hold the lock of the lane's chain, if it has one yet."""
        self._connection, self._raw = await connect(self._engine)
        return self._connection

    async def begin_chain(self) -> None:
        """Open the lane's chain in a transaction of its own."""
        assert self._connection is not None
        async with asyncio.timeout(GIVE_UP):
            await self._raw.execute("BEGIN")
            try:
                opening = partial(open_chain, keys=self._keys, clock=self._clock, program=self._program)
                place, event = await self._connection.run_sync(opening)
                await self._raw.execute("SELECT pg_advisory_lock($1)", lock_number(place.chain))
                await self._raw.execute(INSERT, *place.seal(event))
                await self._raw.execute("COMMIT")
            except BaseException:
                await self._discard()
                raise
        self._place = place
        self.chains.append(place.chain)

    async def run(self) -> None:
        """Work until closed."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._queue:
                batch = [self._queue.popleft() for _ in range(min(self._batch, len(self._queue)))]
                try:
                    await self._write(batch)
                except Exception as error:
                    await self._discard()
                    self._fail(batch, error)
                self._told(batch)
            if self._closing:
                await self._discard(gently=True)
                return

    async def end(self) -> None:
        """End the connection at once."""
        await self._discard()

    def close(self) -> None:
        """Finish what waits, then end."""
        self._closing = True
        self._news.set()

    # --- a batch ------------------------------------------------------------------------------------------------------

    async def _write(self, batch: list[Item]) -> None:
        live = []
        for item in batch:
            if item.given_up:
                item.error = AuditUnavailable("given up before it was written")
            else:
                live.append(item)
        if not live:
            return
        try:
            if self._connection is None:
                await self._reopen()
            if self._place is None and any(item.adds for item in live):
                await self.begin_chain()
        except Exception as error:
            await self._discard()
            self._fail(live, error)
            return
        while not await self._transact(live):
            pass

    async def _transact(self, items: list[Item]) -> bool:
        """One transaction; False where it had to give way, and is to be tried again as long as someone waits for it."""
        mark = self._place.mark() if self._place else None
        committing = items[0].fn is None
        try:
            async with asyncio.timeout(GIVE_UP):
                if not (committing and await self._at_once(items)):
                    committing = False
                    await self._raw.execute("BEGIN")
                    await self._do(items)
                    committing = True
                    await self._raw.execute("COMMIT")
        except Exception as wrapped:
            error = bare(wrapped)
            if self._place and mark:
                self._place.back(mark)
            good = await self._undo(error)
            if good and isinstance(error, AGAIN) and not all(item.given_up for item in items):
                return False
            own = good and len(items) == 1 and (items[0].fn is not None or isinstance(error, ITEMS_OWN))
            if own and not isinstance(error, AGAIN) and not _is_databases(error):
                items[0].error = wrapped
            elif good or not committing or not await self._came_through(items):
                self._fail(items, wrapped)
        else:
            self._failing = False
        return True

    async def _at_once(self, items: list[Item]) -> bool:
        """Append all rows by one statement, which is a transaction of its own. False: one of them cannot be."""
        assert self._place is not None
        mark = self._place.mark()
        try:
            await self._insert([row for item in items for row in item.rows])
        except ITEMS_OWN:
            self._place.back(mark)
            return False
        return True

    async def _do(self, items: list[Item]) -> None:
        """The items' work. Functions come alone; rows one item at a time, because one of them is refused."""
        (first, *others) = items
        if first.fn is not None and not others:
            await self._function(first, first.fn)
            return
        for item in items:
            try:
                await self._apart(list(item.rows))
            except ITEMS_OWN as refused:
                item.error = refused

    async def _function(self, item: Item, fn: Callable[..., Any]) -> None:
        assert self._connection is not None
        added: list[Row] = []
        item.result = await self._connection.run_sync(_called(fn, added.append if item.adds else None))
        await self._insert(added)
        item.rows = tuple(added)
        for topic in item.topics:
            await self._raw.execute("SELECT pg_notify($1, $2)", CHANNEL, topic)

    async def _apart(self, rows: list[Row]) -> None:
        """Append rows in a savepoint."""
        mark = self._place.mark() if self._place else None
        await self._raw.execute("SAVEPOINT item")
        try:
            await self._insert(rows)
        except ITEMS_OWN:
            await self._raw.execute("ROLLBACK TO item")
            if self._place and mark:
                self._place.back(mark)
            raise

    async def _insert(self, rows: list[Row]) -> None:
        if not rows:
            return
        assert self._place is not None
        sealed = [self._place.seal(row) for row in rows]
        if len(sealed) == 1:
            await self._raw.execute(INSERT, *sealed[0])
        else:
            await self._raw.copy_records_to_table(records.name, records=sealed, columns=COLUMNS)

    # --- failures -----------------------------------------------------------------------------------------------------

    async def _undo(self, error: BaseException) -> bool:
        """Undo the transaction; False where the connection is gone or cannot be trusted, which ends it."""
        if not isinstance(error, LOST) and not self._raw.is_closed():
            with suppress(Exception):
                async with asyncio.timeout(GIVE_UP):
                    await self._raw.execute("ROLLBACK")
                return True
        await self._discard()
        return False

    async def _came_through(self, items: list[Item]) -> bool:
        """Whether a batch whose commit was not answered is in the log after all. If that cannot be seen now, it is
        seen later."""
        rows = {row.id: row for item in items if item.error is None for row in item.rows}
        if not rows:
            return False
        self._doubtful.update(rows)
        try:
            present = await self._reopen(report=False)
        except Exception:
            return False
        return bool(present & rows.keys())

    def _fail(self, items: list[Item], error: BaseException) -> None:
        cause = str(bare(error)) or type(bare(error)).__name__
        if not self._failing:
            self._failing = True
            structlog.get_logger().error("the database cannot be written", error=cause)
        for item in items:
            item.error = AuditUnavailable(f"the database cannot be written: {cause}")

    async def _reopen(self, *, report: bool = True) -> set[str]:
        """Connect again; when the server has let go of the old session, see which of its doubtful rows are there."""
        now = self._clock.monotonic()
        if now < self._next_try:
            raise AuditUnavailable("the database failed a moment ago")
        self._next_try = now + REOPEN
        await self.open()
        try:
            async with asyncio.timeout(GIVE_UP):
                present = await self._settle_doubts()
        except BaseException:
            await self._discard()
            raise
        if present and report:
            self._late(tuple(self._doubtful[row_id] for row_id in present))
        self._doubtful.clear()
        self._former.clear()
        return present

    async def _settle_doubts(self) -> set[str]:
        if not self._doubtful:
            return set()
        for chain in self._former:
            await self._raw.execute("SELECT pg_advisory_lock($1)", lock_number(chain))
            await self._raw.execute("SELECT pg_advisory_unlock($1)", lock_number(chain))
        rows = await self._raw.fetch("SELECT id FROM records WHERE id = ANY($1)", list(self._doubtful))
        return {row["id"] for row in rows}

    async def _discard(self, *, gently: bool = False) -> None:
        """End the connection, and the chain with it."""
        connection, raw = self._connection, self._raw
        self._connection = self._raw = None
        if self._place is not None:
            self._former.add(self._place.chain)
            self._place = None
        if raw is not None and not gently:
            raw.terminate()
        if connection is not None:
            with suppress(Exception):
                async with asyncio.timeout(1):
                    await (connection.close() if gently else connection.invalidate())


def _called(fn: Callable[..., Any], add: Callable[[Row], None] | None) -> Callable[[Connection], Any]:
    if add is None:
        return fn
    return lambda connection: fn(connection, add)


def _is_databases(error: BaseException) -> bool:
    """Whether the error is the database's failing, not what the function did."""
    if isinstance(error, ITEMS_OWN):
        return False
    return isinstance(error, LOST) or type(error).__module__.startswith("asyncpg")
