"""What every database can do for the rest: read, write, append to the decision log, and tell of changes.

The callers' side; `sqlite.py` and `postgres.py` do it. Functions given to `read` and `write` are plain functions over a
SQLAlchemy connection, use Core only, return finished values (no cursors), and neither commit nor roll back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from pathlib import Path
from typing import Final, Literal, Protocol, TypeAlias, TypeVar

from sqlalchemy import Connection

from policylayer.clock import Clock
from policylayer.core.errors import ConfigError
from policylayer.core.immutable import immutable
from policylayer.keys import Keys
from policylayer.store.meter import Meter
from policylayer.store.rows import Row

T = TypeVar("T")

Add: TypeAlias = Callable[[Row], None]
"""Appends one row to the decision log, in the transaction of the function it is handed to."""

Told: TypeAlias = Callable[[tuple[Row, ...], BaseException | None], None]
"""Hears what became of rows that nobody waits for: why they are not there, or None."""

Topic = Literal["approvals", "grants", "freezes", "labels", "policies"]
TOPICS: Final[tuple[Topic, ...]] = ("approvals", "grants", "freezes", "labels", "policies")


@immutable
class Limits:
    """How much may wait for the writer. Over it, or after `patience` seconds, a caller is told `AuditUnavailable`."""

    waiting: int = 4096
    bytes: int = 64 << 20
    patience: float = 1.8
    batch: int = 512


@immutable
class Program:
    """Who writes, for the event that opens its chain. Only `serve` takes the file's lock.

    `life` is an id of this process among all that write to a database; the store gives it.
    """

    name: str = "serve"
    version: str = ""
    life: str = ""
    limits: Limits = field(default_factory=Limits)


class Store(Protocol):
    """One database. Every method but `subscribe` raises `AuditUnavailable` where the database does not answer."""

    dialect: Literal["sqlite", "postgresql"]
    meter: Meter

    @property
    def heard(self) -> float:
        """Until when, by the loop's clock, subscribers were surely told of all changes."""

    async def start(self) -> None:
        """Open, make or check the schema, check durability, take the lock. `ConfigError` says what is wrong."""

    async def close(self) -> None:
        """Finish what waits, then close."""

    async def read(self, fn: Callable[[Connection], T]) -> T:
        """What `fn` reads in one snapshot."""

    async def write(self, fn: Callable[[Connection], T], *, topics: tuple[Topic, ...] = ()) -> T:
        """Run `fn` in a transaction; return when it is durable. What it raises undoes it, and nothing else.

        `topics` are told to subscribers once it is durable.
        """

    async def record(self, fn: Callable[[Connection, Add], T], *, topics: tuple[Topic, ...] = ()) -> T:
        """Like `write`, and `fn` may append rows to the decision log."""

    async def append(self, rows: tuple[Row, ...]) -> None:
        """Append rows to the decision log, all or none; return when they are durable. The fast way."""

    def append_later(
        self, rows: tuple[Row, ...], told: Callable[[tuple[Row, ...], BaseException | None], None]
    ) -> None:
        """Append rows that nobody waits for, with something else if that comes within a few milliseconds.

        `told` hears when they are durable, or why they are not. Raises where as much waits as may.
        """

    def subscribe(self, topic: Topic, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` on the event loop after every change of `topic`, ours and others'; returns the undoing.

        It may also be called when nothing changed.
        """

    def own_chains(self) -> tuple[str, ...]:
        """The chains that this process has opened."""

    async def abandoned(self) -> tuple[str, ...]:
        """The chains of `serve` processes that ended without closing them, or have not been heard of for a while."""

    def claim(self, connection: Connection, chain: str) -> bool:
        """Within a transaction: whether an abandoned chain is ours to settle until the transaction ends."""

    def on_late(self, callback: Callable[[tuple[Row, ...]], None]) -> None:
        """Call `callback` with rows that became durable after their caller had been told that they did not."""

    def on_revived(self, callback: Callable[[], None]) -> None:
        """Call `callback` when this process is known to live again, after others could take it for dead."""


def open_store(url: str, keys: Keys, clock: Clock, program: Program | None = None) -> Store:
    """The store that a database URL names: `sqlite:///FILE` or `postgresql://…`; not started yet."""
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite" and rest.startswith("/") and len(rest) > 1:
        # Only here, so that neither database's driver is loaded for the other.
        from policylayer.store.sqlite import SqliteStore

        return SqliteStore(Path(rest[1:]), keys, clock, program)
    if scheme == "postgresql":
        try:
            from policylayer.store.postgres import PostgresStore
        except ImportError as missing:
            raise not_installed(missing) from None
        return PostgresStore(url, keys, clock, program)
    raise ConfigError(f"the database `{scheme}` is not known", "write `sqlite:///FILE` or `postgresql://…`")


def not_installed(missing: ImportError) -> ConfigError:
    """What is said where PostgreSQL's driver is not there."""
    return ConfigError(f"PostgreSQL needs the package `{missing.name}`", "install `policylayer[postgres]`")
