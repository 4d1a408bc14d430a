"""PostgreSQL connections: with settings that promise durability and bound every wait, or refused.

Must not know what is written over them (`lane.py`, `postgres.py`).
"""

from __future__ import annotations

import asyncio
from hashlib import sha256
from typing import Any, Final

import asyncpg
from sqlalchemy import NullPool
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from policylayer.core.errors import ConfigError

CONNECT: Final = 1.5
"""Seconds to wait for a connection."""

STATEMENT: Final = 1500
"""Milliseconds that one statement of a writer may take."""

READ: Final = 10_000
"""Milliseconds that one statement of a reader may take."""

SETTINGS: Final = {
    "application_name": "policylayer",
    "synchronous_commit": "on",
    "lock_timeout": "300",  # shorter than PostgreSQL takes to see a deadlock
    "idle_in_transaction_session_timeout": "10000",
    "jit": "off",
}

LOST: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.exceptions.OperatorInterventionError,
    OSError,
    TimeoutError,
)
"""After these a commit may or may not have happened."""

AGAIN: Final = (
    asyncpg.exceptions.DeadlockDetectedError,
    asyncpg.exceptions.SerializationError,
    asyncpg.exceptions.LockNotAvailableError,
)
"""The transaction was chosen to give way: it is undone, and may be done again."""

ITEMS_OWN: Final = (asyncpg.exceptions.IntegrityConstraintViolationError, asyncpg.exceptions.RaiseError)
"""Errors that are one item's, not the database's."""


def address(url: str) -> URL:
    """The URL as SQLAlchemy takes it."""
    try:
        parsed = make_url(url).set(drivername="postgresql+asyncpg")
    except (ArgumentError, ValueError):
        raise ConfigError("the database's URL cannot be read", "write `postgresql://USER@HOST/NAME`") from None
    ssl = parsed.query.get("sslmode")
    return parsed if ssl is None else parsed.difference_update_query(["sslmode"]).update_query_dict({"ssl": ssl})


def writing_engine(url: str) -> AsyncEngine:
    """For connections that begin and end their transactions themselves."""
    settings = {**SETTINGS, "statement_timeout": str(STATEMENT)}
    return create_async_engine(
        address(url),
        poolclass=NullPool,
        hide_parameters=True,
        isolation_level="AUTOCOMMIT",
        connect_args={"timeout": CONNECT, "server_settings": settings},
    )


def reading_engine(url: str, size: int) -> AsyncEngine:
    """For reads: one snapshot each, and nothing written."""
    settings = {**SETTINGS, "statement_timeout": str(READ), "default_transaction_read_only": "on"}
    return create_async_engine(
        address(url),
        pool_size=size,
        max_overflow=0,
        pool_timeout=CONNECT,
        hide_parameters=True,
        isolation_level="REPEATABLE READ",
        connect_args={"timeout": CONNECT, "server_settings": settings},
    )


async def connect(engine: AsyncEngine) -> tuple[AsyncConnection, Any]:
    """A connection for writing, as SQLAlchemy and as asyncpg see it; refused where it would not be durable."""
    async with asyncio.timeout(CONNECT * 2):
        connection = await engine.connect()
        raw: Any = (await connection.get_raw_connection()).driver_connection
        try:
            told = {name: await raw.fetchval(f"SHOW {name}") for name in ("synchronous_commit", "fsync")}
        except BaseException:
            raw.terminate()
            await connection.invalidate()
            raise
    if told["synchronous_commit"] not in ("on", "remote_apply") or told["fsync"] != "on":
        await connection.close()
        raise ConfigError(
            "the database cannot promise durability: "
            + ", ".join(f"{name} reads `{value}`" for name, value in told.items()),
            "set both to `on` for this user and database",
        )
    return connection, raw


def bare(error: BaseException) -> BaseException:
    """What asyncpg raised, out of what SQLAlchemy made of it."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        return error.orig.__cause__ or error.orig
    return error


def lock_number(chain: str) -> int:
    """The number of the advisory lock that says that a chain's writer is alive."""
    return int.from_bytes(sha256(chain.encode()).digest()[:8], "big", signed=True)


SCHEMA_LOCK: Final = lock_number("policylayer schema")
"""Whoever makes or changes the schema holds this one."""
