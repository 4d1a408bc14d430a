"""The one thread that writes to a SQLite file: it takes whatever waits, in one transaction, one commit, one wake-up.

No timer: while one commit is under way the next batch gathers by itself, on the loop (`gathering.py`), so that the
thread is woken once a batch. One item's failure undoes that item alone; a failed transaction fails all of its items.
After an I/O error nothing is retried: the connection is discarded, and what became of the batch is read back by id once
the file answers again. Must not know what the rows mean.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Final, TypeAlias

import structlog
from sqlalchemy.exc import DBAPIError

from policylayer.clock import Clock
from policylayer.core.errors import AuditUnavailable, ConfigError
from policylayer.keys import Keys
from policylayer.store.gathering import Gathering
from policylayer.store.opening import check_key, open_chain
from policylayer.store.rows import Row
from policylayer.store.schema import prepare
from policylayer.store.session import PASSING, Mark, Session, code_of
from policylayer.store.store import TOPICS, Program, Topic
from policylayer.store.waiting import Item

BUSY: Final = 0.8
"""How much of a caller's patience another process's transaction may take."""

POLL: Final = 0.5
"""Seconds between looks for other processes' commits, whether or not there is something to write."""

REOPEN: Final = 0.2
"""Seconds between attempts to open a file that failed."""

Told: TypeAlias = Callable[[Sequence[Item], frozenset[Topic]], None]
Late: TypeAlias = Callable[[tuple[Row, ...]], None]


class Writer:
    """Hands each batch back to `told` on the loop, with the topics that changed, by us or by others."""

    def __init__(self, path: Path, keys: Keys, clock: Clock, program: Program, told: Told, late: Late) -> None:
        self._path = path
        self._keys = keys
        self._clock = clock
        self._program = program
        self._told = told
        self._late = late
        self._queue: SimpleQueue[list[Item] | None] = SimpleQueue()
        self._gathering = Gathering(clock, program.limits.batch, self._queue.put)
        self._loop = asyncio.get_running_loop()
        self._started: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._session: Session | None = None
        self._doubtful: dict[str, Row] = {}
        self._next_try = 0.0
        self._looked = 0.0
        self._failing = False
        self._stopping = False
        self.chains: list[str] = []

    async def start(self) -> None:
        """Start the thread; return when the database is open and its schema right, or raise what is wrong."""
        Thread(target=self._live, name="store-writer", daemon=True).start()
        await self._started

    async def stop(self) -> None:
        """Write what waits, then end."""
        self._gathering.rest()
        self._queue.put(None)
        await self._ended

    # --- on the loop --------------------------------------------------------------------------------------------------

    def put(self, item: Item) -> None:
        """Queue an item."""
        self._gathering.put(item)

    def _back(self, batch: list[Item], topics: frozenset[Topic]) -> None:
        """A batch is done: the next one may go, and the callers of this one are told."""
        if batch:
            self._gathering.back()
        self._told(batch, topics)

    # --- in the thread ------------------------------------------------------------------------------------------------

    def _live(self) -> None:
        try:
            session = self._open()
            if self._program.name == "serve":
                self._open_chain(session)
        except BaseException as error:
            self._discard()
            self._call(_settle, self._started, _refusal(self._path, error))
            return
        self._call(_settle, self._started, None)
        try:
            while not self._stopping:
                batch = self._take()
                if batch:
                    self._write(batch)
                elif not self._stopping:
                    self._look()
        finally:
            self._discard()
            self._call(_settle, self._ended, None)

    def _take(self) -> list[Item]:
        """The next batch; nothing if nothing comes for a while."""
        try:
            batch = self._queue.get(timeout=POLL)
        except Empty:
            return []
        self._stopping = batch is None
        return batch or []

    def _write(self, batch: list[Item]) -> None:
        """One transaction for all that is still wanted."""
        live = []
        for item in batch:
            if item.given_up:
                item.error = AuditUnavailable("given up before it was written")
            else:
                live.append(item)
        foreign = False
        if live:
            try:
                session = self._ready(any(item.adds for item in live))
                foreign = self._foreign(session)
            except Exception as error:
                self._fail(live, error)
            else:
                self._transact(session, live)
        self._hand_back(batch, foreign)

    def _ready(self, adds: bool) -> Session:
        """A connection to the right file, with a chain where rows are to be added."""
        session = self._session or self._reopen()
        if session.moved():
            self._discard()
            raise AuditUnavailable("the database file was removed or replaced, or has a second name")
        if adds and session.place is None:
            self._open_chain(session)
        return session

    def _transact(self, session: Session, items: list[Item]) -> None:
        mark = session.mark()
        committing = False
        try:
            rows = only_rows(items)
            committing = rows is not None
            if rows is None or not session.insert_alone(rows):
                committing = False
                session.begin()
                run_items(session, items)
                committing = True
                session.commit()
        except Exception as error:
            undone = self._undo(session, mark)
            good = undone and code_of(error) in PASSING
            if not good:
                self._discard()
            if good or not committing or not self._came_through(items):
                self._fail(items, error)
        else:
            self._failing = False

    def _undo(self, session: Session, mark: Mark) -> bool:
        """Undo what a transaction did; False where the connection does not even do that."""
        session.back(mark)
        try:
            session.rollback()
        except sqlite3.Error:
            return False
        return True

    def _came_through(self, items: list[Item]) -> bool:
        """Whether a batch whose commit failed is in the log after all. If that cannot be seen now, it is seen later."""
        rows = {row.id: row for item in items if item.error is None for row in item.rows}
        try:
            return bool(rows and self._reopen().present(list(rows)))
        except Exception:
            self._doubtful.update(rows)
            return False

    def _fail(self, items: list[Item], error: Exception) -> None:
        """Tell items that their transaction failed; say so once in the service's own log."""
        if not self._failing:
            self._failing = True
            structlog.get_logger().error("the database cannot be written", error=str(error))
        cause = error.orig if isinstance(error, DBAPIError) else error
        for item in items:
            item.error = AuditUnavailable(f"the database cannot be written: {cause}")

    def _hand_back(self, batch: list[Item], foreign: bool) -> None:
        topics = TOPICS if foreign else [topic for item in batch if item.error is None for topic in item.topics]
        self._call(self._back, batch, frozenset(topics))

    def _foreign(self, session: Session) -> bool:
        """Whether another process has committed; asked no oftener than while idle."""
        now = self._clock.monotonic()
        if now - self._looked < POLL:
            return False
        self._looked = now
        return session.changed()

    def _look(self) -> None:
        """While idle: has another process committed?"""
        if self._session is not None:
            try:
                if self._foreign(self._session):
                    self._hand_back([], True)
            except sqlite3.Error:
                self._discard()

    # --- opening and closing ------------------------------------------------------------------------------------------

    def _open(self) -> Session:
        """A fresh connection, its schema and key checked."""
        session = Session(self._path, self._program.limits.patience * BUSY)
        try:
            session.begin()
            prepare(session.connection)
            check_key(session.connection, self._keys)
            session.commit()
        except BaseException:
            session.close()
            raise
        self._session = session
        return session

    def _open_chain(self, session: Session) -> None:
        try:
            session.begin()
            session.place, event = open_chain(session.connection, self._keys, self._clock, self._program)
            session.insert((event,))
            session.commit()
        except BaseException:
            self._undo(session, None)
            raise
        self.chains.append(session.place.chain)

    def _reopen(self) -> Session:
        """Open the file again after a failure, see that what it holds is on the disk, and settle what was in doubt."""
        now = self._clock.monotonic()
        if now < self._next_try:
            raise AuditUnavailable("the database failed a moment ago")
        self._next_try = now + REOPEN
        session = self._open()
        try:
            session.settle()
            found = session.present(list(self._doubtful)) if self._doubtful else set()
        except BaseException:
            self._discard()
            raise
        if found:
            self._call(self._late, tuple(row for row in self._doubtful.values() if row.id in found))
        self._doubtful.clear()
        structlog.get_logger().warning("the database was opened again")
        return session

    def _discard(self) -> None:
        """Close the connection, whatever it says."""
        session, self._session = self._session, None
        if session is not None:
            with suppress(Exception):
                session.close()

    def _call(self, callback: Callable[..., Any], *arguments: Any) -> None:
        """Call it on the loop; a loop that is gone needs no telling."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *arguments)


def _settle(future: asyncio.Future[None], error: BaseException | None) -> None:
    """Tell whoever waits for the thread; one that was interrupted waits no more."""
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


DAMAGED: Final = "restore it from a backup, or name another file"
HELP: Final = {
    sqlite3.SQLITE_BUSY: "another program holds it: end that, or wait until it is done",
    sqlite3.SQLITE_READONLY: "the file and its folder must be writable: look at their owner and mode",
    sqlite3.SQLITE_CANTOPEN: "name a file in a folder that is there, and can be written",
    sqlite3.SQLITE_FULL: "make room on its disk",
}
"""What to do, by SQLite's own code."""


def _refusal(path: Path, error: BaseException) -> BaseException:
    """An error of SQLite's at the start, as one that says what is wrong with the configuration."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if not isinstance(cause, sqlite3.Error):
        return error
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    return ConfigError(f"the database `{path}` cannot be opened: {cause}", HELP.get(code, DAMAGED))


def only_rows(items: list[Item]) -> list[Row] | None:
    """The rows of these items, where there is nothing else to them."""
    if any(item.fn is not None for item in items):
        return None
    return [row for item in items for row in item.rows] or None


def run_items(session: Session, items: list[Item]) -> None:
    """Do the items in their order: rows that wait side by side together, functions each apart."""
    plain: list[Item] = []
    for item in items:
        if item.fn is None:
            plain.append(item)
            continue
        _insert(session, plain)
        plain = []
        _run(session, item, item.fn)
    _insert(session, plain)


def _insert(session: Session, items: list[Item]) -> None:
    """Append the rows of these items at once; where that fails, one item at a time, to see whose fault it is."""
    if not items:
        return
    try:
        session.apart(lambda: session.insert([row for item in items for row in item.rows]))
    except Exception as error:
        if session.is_whole(error):
            raise
        for item in items:
            if len(items) > 1:
                _insert(session, [item])
            else:
                item.error = error


def _run(session: Session, item: Item, fn: Callable[..., Any]) -> None:
    added: list[Row] = []
    try:
        item.result = session.apart(lambda: session.run(fn, item.adds, added))
        item.rows = tuple(added)
    except Exception as error:
        if session.is_whole(error):
            raise
        item.error = error
