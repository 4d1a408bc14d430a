"""Reading a database beside whoever writes it: no writer, no chain, no lock, nothing made and nothing changed.

For commands that only look. A `Store` (`store.py`) is for who writes too. Must not know what is read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final, Protocol

from sqlalchemy import Connection, StaticPool, create_engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from policylayer.core.errors import AuditUnavailable, ConfigError
from policylayer.store import schema
from policylayer.store.session import check_links, snapshot, unreadable
from policylayer.store.store import T, not_installed

SQLITE: Final = "sqlite:///"
BUSY: Final = 5.0
NOTHING: Final = "has the proxy been started (`policylayer serve`) with this configuration?"
MIGRATE: Final = "run `policylayer migrate -c FILE`, or the version of policylayer that made it"


class View(Protocol):
    """An opened database."""

    async def read(self, fn: Callable[[Connection], T]) -> T:
        """What `fn` reads in one snapshot."""

    async def close(self) -> None:
        """Let go."""


async def open_view(url: str) -> View:
    """Open it, and see that it has this version's schema. `AuditUnavailable` where there is nothing to read."""
    view: View = SqliteView(Path(url.removeprefix(SQLITE))) if url.startswith(SQLITE) else PostgresView(url)
    try:
        found = await view.read(schema.version)
        if found is None:
            raise AuditUnavailable("the database is empty", NOTHING)
        if found != schema.HEAD:
            raise ConfigError(f"the database has schema `{found}`, this version needs `{schema.HEAD}`", MIGRATE)
    except BaseException:
        await view.close()
        raise
    return view


def is_there(url: str) -> bool:
    """Whether there is something to open: a file, or a server to be asked."""
    return not url.startswith(SQLITE) or Path(url.removeprefix(SQLITE)).is_file()


def nothing_there(url: str) -> AuditUnavailable:
    """What is said where there is nothing to open."""
    return AuditUnavailable(f"there is no database `{url.removeprefix(SQLITE)}`", NOTHING)


def remembered_key(url: str) -> str | None:
    """The fingerprint of the key that a SQLite file was begun with; None where there is none, or no telling."""
    if not url.startswith(SQLITE) or not is_there(url):
        return None
    path = Path(url.removeprefix(SQLITE)).absolute()
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=BUSY)) as raw:
            row = raw.execute("SELECT value FROM meta WHERE name = 'key'").fetchone()
    except sqlite3.Error:
        return None
    return None if row is None else str(row[0])


class SqliteView:
    """A SQLite file, opened read-only; blocks the caller, who has nothing else to do."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise nothing_there(str(path))
        check_links(path)
        self._engine = create_engine("sqlite://", creator=lambda: _connect(path), poolclass=StaticPool)

    async def read(self, fn: Callable[[Connection], T]) -> T:
        """What `fn` reads in one snapshot."""
        try:
            with self._engine.connect() as connection:
                return snapshot(connection, fn)
        except (DBAPIError, sqlite3.Error) as error:
            raise unreadable(error) from error

    async def close(self) -> None:
        """Let go."""
        self._engine.dispose()


def _connect(path: Path) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode=ro"
    raw = sqlite3.connect(uri, uri=True, timeout=BUSY, isolation_level=None)
    raw.execute("PRAGMA query_only = ON")
    raw.execute("PRAGMA trusted_schema = OFF")
    return raw


class PostgresView:
    """A PostgreSQL database, in transactions that may only read."""

    def __init__(self, url: str) -> None:
        try:
            from policylayer.store.backend import reading_engine
            from policylayer.store.unanswered import told
        except ImportError as missing:
            raise not_installed(missing) from None
        self._engine = reading_engine(url, 1)
        self._told = told

    async def read(self, fn: Callable[[Connection], T]) -> T:
        """What `fn` reads in one snapshot."""
        try:
            async with self._engine.connect() as connection:
                return await connection.run_sync(fn)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            why, help = self._told(error, self._engine.url)
            raise AuditUnavailable(f"the database cannot be read: {why}", help) from error

    async def close(self) -> None:
        """Let go."""
        await self._engine.dispose()
