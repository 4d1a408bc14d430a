"""The store on a SQLite file: one writer thread, a few reading connections, a lock for `serve`.

Assembles `waiting`, `writer`, `lock` and a read pool into the `Store` protocol; knows nothing of rows itself.
"""

from __future__ import annotations

import asyncio
import math
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

from sqlalchemy import Connection, Engine, QueuePool, create_engine
from sqlalchemy.exc import DBAPIError

from policylayer.clock import Clock
from policylayer.core.errors import AuditUnavailable
from policylayer.keys import Keys
from policylayer.processes import life_of
from policylayer.store.lock import FileLock
from policylayer.store.meter import Meter
from policylayer.store.opening import unclosed
from policylayer.store.rows import Row
from policylayer.store.session import connect, create_file, snapshot, unreadable
from policylayer.store.store import TOPICS, Add, Program, T, Told, Topic
from policylayer.store.waiting import Item, Waiting
from policylayer.store.writer import BUSY, Writer

READERS: Final = 4
READ_TIME: Final = 10.0
"""Seconds that one read may take; then it is interrupted."""

STEPS: Final = 50_000
"""Steps of SQLite's machine between looks at the clock, about a millisecond."""


class SqliteStore:
    """One database file."""

    dialect: Literal["sqlite", "postgresql"] = "sqlite"
    heard = math.inf
    """What changes a file is on the same machine, and seen at once or not at all."""

    def __init__(self, path: Path, keys: Keys, clock: Clock, program: Program | None = None) -> None:
        self._path = path = path.resolve()  # One file has one lock, whatever leads to it.
        self.meter = Meter()
        self._keys = keys
        self._clock = clock
        self._program = replace(program or Program(), life=life_of(clock.new_id()))
        self._lock = FileLock(path) if self._program.name == "serve" else None
        self._subscribers: dict[Topic, list[Callable[[], None]]] = {topic: [] for topic in TOPICS}
        self._late: list[Callable[[tuple[Row, ...]], None]] = []
        self._waiting: Waiting
        self._writer: Writer
        self._engine: Engine
        self._threads: ThreadPoolExecutor
        self._started = False

    async def start(self) -> None:
        """Take the lock, open, make or check the schema, open the chain."""
        create_file(self._path)
        if self._lock is not None:
            self._lock.take()
        try:
            self._writer = Writer(self._path, self._keys, self._clock, self._program, self._finished, self._tell_late)
            self._waiting = Waiting(self._program.limits, self._clock, self._writer.put, self.meter)
            self._waiting.on_late(self._tell_late)
            await self._writer.start()
        except BaseException:
            self._unlock()
            raise
        self._engine = create_engine(
            "sqlite://",
            creator=self._reader,
            poolclass=QueuePool,
            pool_size=READERS,
            max_overflow=0,
            hide_parameters=True,
        )
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader")
        self._started = True

    async def close(self) -> None:
        """Write what waits, end the threads, give the lock back."""
        if not self._started:
            return
        self._started = False
        self._waiting.close()
        await self._writer.stop()
        await asyncio.to_thread(self._threads.shutdown)
        self._engine.dispose()
        self._unlock()

    async def read(self, fn: Callable[[Connection], T]) -> T:
        """What `fn` reads in one snapshot, in a thread."""
        self._need_started()
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._read, fn)

    async def write(self, fn: Callable[[Connection], T], *, topics: tuple[Topic, ...] = ()) -> T:
        """Run `fn` in the writer's next transaction."""
        self._need_started()
        result: T = await self._waiting.submit(Item(fn=fn, adds=False, topics=topics))
        return result

    async def record(self, fn: Callable[[Connection, Add], T], *, topics: tuple[Topic, ...] = ()) -> T:
        """Run `fn` in the writer's next transaction; it may append rows."""
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
        """Call `callback` after changes of `topic`; another process's commit counts as a change of every topic."""
        callbacks = self._subscribers[topic]
        callbacks.append(callback)

        def undo() -> None:
            if callback in callbacks:
                callbacks.remove(callback)

        return undo

    def own_chains(self) -> tuple[str, ...]:
        """The chains that this process has opened."""
        return tuple(self._writer.chains)

    async def abandoned(self) -> tuple[str, ...]:
        """Those of every other `serve` that were not closed: while we hold the lock, none of them lives."""
        return await self.read(partial(unclosed, own=self.own_chains()))

    def claim(self, connection: Connection, chain: str) -> bool:
        """Always: while we hold the lock, nobody else settles."""
        return True

    def on_late(self, callback: Callable[[tuple[Row, ...]], None]) -> None:
        """Call `callback` with rows that are durable though their caller was told otherwise."""
        self._late.append(callback)

    def on_revived(self, callback: Callable[[], None]) -> None:
        """Never: the file's lock is ours until we end."""

    # --- inside -------------------------------------------------------------------------------------------------------

    def _need_started(self) -> None:
        if not self._started:
            raise AuditUnavailable("the database is not open")

    def _finished(self, items: Sequence[Item], topics: frozenset[Topic]) -> None:
        self._waiting.finish(items)
        for topic in topics:
            for callback in tuple(self._subscribers[topic]):
                callback()

    def _tell_late(self, rows: tuple[Row, ...]) -> None:
        for callback in self._late:
            callback(rows)

    def _reader(self) -> sqlite3.Connection:
        raw = connect(self._path, self._program.limits.patience * BUSY)
        raw.execute("PRAGMA query_only = ON")
        return raw

    def _read(self, fn: Callable[[Connection], T]) -> T:
        try:
            with self._engine.connect() as connection:
                raw: Any = connection.connection.driver_connection
                until = self._clock.monotonic() + READ_TIME
                raw.set_progress_handler(lambda: self._clock.monotonic() > until, STEPS)
                return snapshot(connection, fn)
        except (DBAPIError, sqlite3.Error) as error:
            raise unreadable(error) from error

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.release()
