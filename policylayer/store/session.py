"""A SQLite connection that writes: durable by its settings, or refused; for plain rows and SQLAlchemy functions alike.

Used by one thread (`writer.py`). Rows go in by one statement for many (`inserting.py`), so that the interpreter's lock
changes hands a few times a batch, not with each row. Must not know who waits.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection, StaticPool, create_engine
from sqlalchemy.exc import DBAPIError

from policylayer.core.errors import AuditUnavailable, ConfigError
from policylayer.store.damage import decoded, is_undecoded
from policylayer.store.inserting import TOGETHER, Statements
from policylayer.store.rows import Place, Row
from policylayer.store.store import Add, T

WHOLE: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOTADB,
    }
)
"""Errors that are the database's, not one item's."""

KEPT: Final = 256
"""Prepared statements that are kept."""

PASSING: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL})
"""Of these, the ones after which a rolled back transaction is surely not there, and the connection is good."""


Mark: TypeAlias = tuple[int, bytes] | None


def code_of(error: BaseException) -> int | None:
    """SQLite's primary error code, also through SQLAlchemy; None for other errors."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        error = error.orig
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else int(code) & 0xFF


def connect(path: Path, busy: float) -> sqlite3.Connection:
    """A connection in WAL mode that syncs on every commit; refused where the settings read back otherwise.

    The file must be there: one that was removed is not made anew behind our back.
    """
    uri = f"{path.absolute().as_uri()}?mode=rw"
    raw = sqlite3.connect(
        uri, uri=True, timeout=busy, isolation_level=None, check_same_thread=False, cached_statements=KEPT
    )
    try:
        mode = raw.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        raw.execute("PRAGMA synchronous = FULL")
        raw.execute("PRAGMA fullfsync = ON")
        raw.execute("PRAGMA trusted_schema = OFF")
        raw.execute("PRAGMA journal_size_limit = 67108864")
        synchronous = raw.execute("PRAGMA synchronous").fetchone()[0]
        if mode != "wal" or synchronous != 2:
            raise ConfigError(
                f"the database `{path.name}` cannot promise durability: journal_mode reads `{mode}`, "
                f"synchronous reads `{synchronous}`",
                "put it on a local disk",
            )
    except BaseException:
        raw.close()
        raise
    return raw


def snapshot(connection: Connection, fn: Callable[[Connection], T]) -> T:
    """What `fn` reads, all of one moment. Where it meets a text that is not UTF-8 it is called once more, and is given
    what can be read of it (`damage.py`): to look at every text like that would make each read slower."""
    try:
        return _of_one_moment(connection, fn)
    except (DBAPIError, sqlite3.Error) as error:
        if not is_undecoded(error):
            raise
    raw: Any = connection.connection.driver_connection
    raw.text_factory = decoded
    try:
        return _of_one_moment(connection, fn)
    finally:
        raw.text_factory = str


def _of_one_moment(connection: Connection, fn: Callable[[Connection], T]) -> T:
    connection.exec_driver_sql("BEGIN")
    try:
        return fn(connection)
    finally:
        connection.exec_driver_sql("ROLLBACK")


def unreadable(error: DBAPIError | sqlite3.Error) -> AuditUnavailable:
    """What is told of a read that failed."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return AuditUnavailable(f"the database cannot be read: {cause}")


def create_file(path: Path) -> None:
    """Make the file, for its owner only, before SQLite would make it for everyone.

    One that is there is not even opened: closing it would drop the locks that this process holds on it.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        if not (path.is_file() and os.access(path, os.R_OK | os.W_OK)):
            raise ConfigError(f"the database `{path}` cannot be opened", "name a file that can be written") from None
        check_links(path)
    except OSError as error:
        raise ConfigError(
            f"the database `{path}` cannot be opened: {error.strerror}", "name a file in a folder that can be written"
        ) from None


def check_links(path: Path) -> None:
    """Refuse a file that has a second name: what is written through each lies in another WAL, and other locks."""
    if os.stat(path).st_nlink > 1:
        raise ConfigError(
            f"the database `{path}` has another name (a hard link), through which it would be damaged",
            f"remove the other one: `find -L DIRECTORY -samefile {path.name}` says where it is",
        )


class Pin:
    """Holds on to a file, so that another one at its path cannot have its number.

    By O_PATH, since closing a handle of any other kind would drop this process's locks on the file; where a system has
    no such thing, the number alone must do.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._facts = os.stat(path)
        flag = getattr(os, "O_PATH", None)
        self._handle = None if flag is None else os.open(path, flag | os.O_CLOEXEC)

    def moved(self) -> bool:
        """Whether the file at the path is another one now, or none, or has a second name."""
        try:
            facts = os.stat(self._path)
            return facts.st_nlink > 1 or not os.path.samestat(facts, self._facts)
        except OSError:
            return True

    def close(self) -> None:
        """Let go."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


class Session:
    """The connection, the same one as SQLAlchemy sees it, and the place in the chain."""

    def __init__(self, path: Path, busy: float) -> None:
        check_links(path)
        self.raw = connect(path, busy)
        # What it reads is little, and reading it twice would write twice.
        self.raw.text_factory = decoded
        self._pin = Pin(path)
        try:
            # SQLAlchemy never begins or ends a transaction here: isolation_level None makes that ours.
            engine = create_engine("sqlite://", creator=lambda: self.raw, poolclass=StaticPool, hide_parameters=True)
            self.connection: Connection = engine.connect()
        except BaseException:
            self.raw.close()
            self._pin.close()
            raise
        self.place: Place | None = None
        self._statements = Statements()
        self._version = self._data_version()

    def mark(self) -> Mark:
        """Where the chain stands, for `back`."""
        return self.place.mark() if self.place else None

    def back(self, mark: Mark) -> None:
        """The rows since `mark` are undone; without one, so is the chain itself."""
        if mark is None:
            self.place = None
        elif self.place is not None:
            self.place.back(mark)

    def is_whole(self, error: BaseException) -> bool:
        """Whether an error ends the whole transaction, not one item."""
        return code_of(error) in WHOLE or not self.raw.in_transaction

    def begin(self) -> None:
        """Begin as the only writer; waits for another process's transaction as long as the busy timeout."""
        self.raw.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Make it durable."""
        self.raw.execute("COMMIT")

    def rollback(self) -> None:
        """Undo it, where SQLite has not done so itself."""
        if self.raw.in_transaction:
            self.raw.execute("ROLLBACK")

    def insert(self, rows: Sequence[Row]) -> None:
        """Append rows, all or (raising) possibly some: the caller holds a savepoint or undoes everything."""
        assert self.place is not None
        for statement, values in self._statements.of(list(map(self.place.seal, rows))):
            self.raw.execute(statement, values)

    def insert_alone(self, rows: Sequence[Row]) -> bool:
        """Append rows as a transaction of their own, durable on return. False: one of them cannot be.

        Few go in by one statement outside a transaction, which is begun, done and committed in one go, so that the
        interpreter's lock changes hands once. Raises where the database itself fails.
        """
        mark = self.mark()
        few = len(rows) <= TOGETHER
        try:
            if not few:
                self.begin()
            self.insert(rows)
        except Exception as error:
            if self.is_whole(error) if not few else code_of(error) in WHOLE:
                raise
            self.rollback()
            self.back(mark)
            return False
        if not few:
            self.commit()
        return True

    def apart(self, work: Callable[[], Any]) -> Any:
        """Run `work` so that its failure undoes it alone, rows included."""
        mark = self.mark()
        self.raw.execute("SAVEPOINT item")
        try:
            result = work()
        except BaseException as error:
            if not self.is_whole(error):
                self.raw.execute("ROLLBACK TO item")
                self.raw.execute("RELEASE item")
                self.back(mark)
            raise
        self.raw.execute("RELEASE item")
        return result

    def run(self, fn: Callable[..., Any], adds: bool, added: list[Row]) -> Any:
        """Call `fn` over the connection; the rows that it adds are appended when it has returned."""
        if not adds:
            return fn(self.connection)
        add: Add = added.append
        result = fn(self.connection, add)
        self.insert(added)
        return result

    def changed(self) -> bool:
        """Whether another connection has committed since the last look."""
        version = self._data_version()
        changed, self._version = version != self._version, version
        return changed

    def moved(self) -> bool:
        """Whether the file under this connection is no longer the one at its path, and that alone: writing on would be
        for nobody, or side by side with another one that serves it."""
        return self._pin.moved()

    def settle(self) -> None:
        """After a failed sync: copy what the WAL holds into the file and sync that, or raise.

        A second sync of the same pages may succeed without their being on the disk; writing them anew does not.
        """
        busy, _, _ = self.raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise sqlite3.OperationalError("the checkpoint is held up by a reader")

    def present(self, ids: Sequence[str]) -> set[str]:
        """Which of these rows the log holds."""
        marks = ", ".join("?" * len(ids))
        return {row[0] for row in self.raw.execute(f"SELECT id FROM records WHERE id IN ({marks})", ids)}

    def close(self) -> None:
        """Close both views of it."""
        try:
            self.connection.close()
            self.connection.engine.dispose()
        finally:
            self.raw.close()
            self._pin.close()

    def _data_version(self) -> int:
        return int(self.raw.execute("PRAGMA data_version").fetchone()[0])
