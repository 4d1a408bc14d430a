"""A started SQLite store in a fresh folder, and how to read its file past it."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from policylayer.clock import Clock
from policylayer.keys import Keys
from policylayer.store.sqlite import SqliteStore
from tests.support.postgres import Server, server

KEYS = Keys([bytes(range(32))])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    opened = SqliteStore(path, KEYS, Clock())
    await opened.start()
    yield opened
    await opened.close()


@pytest.fixture
def sql(path: Path) -> Callable[..., list[tuple[Any, ...]]]:
    """Runs one statement on a connection of its own, as another process would."""

    def run(statement: str, *values: object) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(path, timeout=5, isolation_level=None)
        try:
            return connection.execute(statement, values).fetchall()
        finally:
            connection.close()

    return run


@pytest.fixture(scope="module")
def cluster() -> Iterator[Server]:
    """A server of the file's own, which its tests may stop and change."""
    pytest.importorskip("asyncpg", reason="`asyncpg` is not installed")
    pytest.importorskip("greenlet", reason="`greenlet` is not installed")
    with server() as made:
        yield made


@pytest.fixture
def url(cluster: Server) -> Iterator[str]:
    """An empty database there."""
    made = cluster.database()
    yield made
    cluster.give_back(made)
