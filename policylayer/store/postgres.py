"""The store on PostgreSQL, which replicas share: lanes that write, a pool that reads, a connection that listens.

Assembles `waiting`, `lane`, `backend` and `listening` into the `Store` protocol; the file's counterpart is `sqlite.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, Literal

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.ext.asyncio import AsyncEngine

from policylayer.clock import Clock
from policylayer.core.errors import AuditUnavailable, ConfigError, PolicyLayerError
from policylayer.keys import Keys
from policylayer.processes import life_of
from policylayer.store.backend import SCHEMA_LOCK, reading_engine, writing_engine
from policylayer.store.lane import Lane
from policylayer.store.listening import Listening
from policylayer.store.lives import Lives, claim
from policylayer.store.meter import Meter
from policylayer.store.opening import check_key
from policylayer.store.partitions import ensure
from policylayer.store.roles import may_create
from policylayer.store.rows import Row
from policylayer.store.schema import prepare
from policylayer.store.store import TOPICS, Add, Program, T, Told, Topic
from policylayer.store.unanswered import told
from policylayer.store.waiting import Item, Waiting
from policylayer.tasks import spawn

READERS: Final = 6
FUNCTION_LANES: Final = 4
"""Functions at a time; each lane is a connection with a chain of its own."""

READ_PATIENCE: Final = 12.0


class PostgresStore:
    """One database."""

    dialect: Literal["sqlite", "postgresql"] = "postgresql"

    def __init__(self, url: str, keys: Keys, clock: Clock, program: Program | None = None) -> None:
        self.meter = Meter()
        self._keys = keys
        self._clock = clock
        self._program = replace(program or Program(), life=life_of(clock.new_id()))
        self._lives = Lives(clock.monotonic)
        self._writing: AsyncEngine = writing_engine(url)
        self._reading: AsyncEngine = reading_engine(url, READERS)
        self._subscribers: dict[Topic, list[Callable[[], None]]] = {topic: [] for topic in TOPICS}
        self._late: list[Callable[[tuple[Row, ...]], None]] = []
        self._revived: list[Callable[[], None]] = []
        self._listening = Listening(self._writing, self._program.life, self._changed, self._tell_revived)
        self._lanes: list[Lane] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._waiting: Waiting
        self._started = False

    @property
    def heard(self) -> float:
        """Until when we surely heard of everything."""
        return self._listening.heard

    async def start(self) -> None:
        """Connect, make or check the schema, open the chain, listen."""
        make = partial(Lane, self._writing, self._keys, self._clock, self._program, self._finished, self._tell_late)
        self._lanes = [make(batch=self._program.limits.batch), *(make() for _ in range(FUNCTION_LANES))]
        plain = self._lanes[0]
        try:
            connection = await plain.open()
            await connection.run_sync(self._prepare)
            if self._program.name == "serve":
                await plain.begin_chain()
        except BaseException as error:
            await plain.end()
            if isinstance(error, PolicyLayerError) or not isinstance(error, Exception):
                raise
            why, help = told(error, self._writing.url)
            raise ConfigError(f"the database does not answer as it must: {why}", help) from error
        self._waiting = Waiting(self._program.limits, self._clock, self._hand_over, self.meter)
        self._waiting.on_late(self._tell_late)
        self._tasks = [spawn(lane.run(), f"store-lane-{number}") for number, lane in enumerate(self._lanes)]
        if self._program.name == "serve":
            self._listening.start()
        self._started = True

    async def close(self) -> None:
        """Write what waits, end every connection."""
        if not self._started:
            return
        self._started = False
        self._waiting.close()
        await self._listening.close()
        for lane in self._lanes:
            lane.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._reading.dispose()
        await self._writing.dispose()
        # Connections that were cut off are closed by the loop's next turns.
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def read(self, fn: Callable[[Connection], T]) -> T:
        """What `fn` reads in one snapshot; over a new connection where the one that was kept turns out to be gone."""
        self._need_started()
        try:
            async with asyncio.timeout(READ_PATIENCE):
                try:
                    return await self._read_once(fn)
                except DBAPIError as error:
                    if not error.connection_invalidated:
                        raise
                return await self._read_once(fn)
        except NoConnection as error:
            raise AuditUnavailable("the database cannot be read: all connections wait for it") from error
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            why, help = told(error, self._reading.url)
            raise AuditUnavailable(f"the database cannot be read: {why}", help) from error

    async def write(self, fn: Callable[[Connection], T], *, topics: tuple[Topic, ...] = ()) -> T:
        """Run `fn` in a transaction of its own. It is run again where it has to give way to another."""
        self._need_started()
        result: T = await self._waiting.submit(Item(fn=fn, adds=False, topics=topics))
        return result

    async def record(self, fn: Callable[[Connection, Add], T], *, topics: tuple[Topic, ...] = ()) -> T:
        """The same; it may append rows."""
        self._need_started()
        result: T = await self._waiting.submit(Item(fn=fn, topics=topics))
        return result

    async def append(self, rows: tuple[Row, ...]) -> None:
        """Append rows with whatever else waits."""
        self._need_started()
        await self._waiting.submit(Item(rows))

    def append_later(self, rows: tuple[Row, ...], told: Told) -> None:
        """The same, with nobody waiting for it."""
        self._need_started()
        self._waiting.submit_later(Item(rows, told=told))

    def subscribe(self, topic: Topic, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` after changes of `topic`, ours and other replicas'."""
        callbacks = self._subscribers[topic]
        callbacks.append(callback)

        def undo() -> None:
            if callback in callbacks:
                callbacks.remove(callback)

        return undo

    def own_chains(self) -> tuple[str, ...]:
        """The chains that this process has opened."""
        return tuple(chain for lane in self._lanes for chain in lane.chains)

    async def abandoned(self) -> tuple[str, ...]:
        """Those of every other `serve` that has held no lock for a while, or is known to have ended."""
        return await self.read(partial(self._lives.abandoned, own=self.own_chains()))

    def claim(self, connection: Connection, chain: str) -> bool:
        """Whether neither its replica nor another one that settles it is there; then nobody else does."""
        return claim(connection, chain)

    def on_late(self, callback: Callable[[tuple[Row, ...]], None]) -> None:
        """Call `callback` with rows that are durable though their caller was told otherwise."""
        self._late.append(callback)

    def on_revived(self, callback: Callable[[], None]) -> None:
        """Call `callback` when we are known to live again, after the others could take us for dead."""
        self._revived.append(callback)

    # --- inside -------------------------------------------------------------------------------------------------------

    async def _read_once(self, fn: Callable[[Connection], T]) -> T:
        async with self._reading.connect() as connection:
            return await connection.run_sync(fn)

    def _need_started(self) -> None:
        if not self._started:
            raise AuditUnavailable("the database is not open")

    def _prepare(self, connection: Connection) -> None:
        """The schema, by one replica at a time."""
        connection.exec_driver_sql("BEGIN")
        try:
            # Another replica may be making it.
            connection.exec_driver_sql("SET LOCAL lock_timeout = '30s'")
            connection.exec_driver_sql("SET LOCAL statement_timeout = '60s'")
            connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": SCHEMA_LOCK})
            prepare(connection)
            check_key(connection, self._keys)
            if self._program.name == "serve" and may_create(connection):
                ensure(connection, self._clock.time_us())
        except BaseException:
            connection.exec_driver_sql("ROLLBACK")
            raise
        connection.exec_driver_sql("COMMIT")

    def _hand_over(self, item: Item) -> None:
        """Rows to the plain lane, functions to the one where least waits."""
        if item.fn is None:
            self._lanes[0].put(item)
        else:
            min(self._lanes[1:], key=lambda lane: lane.load).put(item)

    def _finished(self, items: Sequence[Item]) -> None:
        self._waiting.finish(items)
        self._changed(frozenset(topic for item in items if item.error is None for topic in item.topics))

    def _changed(self, topics: frozenset[Topic]) -> None:
        for topic in topics:
            for callback in tuple(self._subscribers[topic]):
                callback()

    def _tell_late(self, rows: tuple[Row, ...]) -> None:
        for callback in self._late:
            callback(rows)

    def _tell_revived(self) -> None:
        for callback in self._revived:
            callback()
