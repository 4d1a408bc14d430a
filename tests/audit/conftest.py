"""A started store and recorder in a fresh folder, and how to read the file past them."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from policylayer.audit.recorder import Recorder
from policylayer.clock import Clock
from policylayer.store.sqlite import SqliteStore
from tests.audit.support import KEYS


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
async def recorder(store: SqliteStore) -> AsyncIterator[Recorder]:
    made = Recorder(store, KEYS, Clock())
    await made.start()
    yield made
    await made.close()


@pytest.fixture
def sql(path: Path) -> Callable[..., list[dict[str, Any]]]:
    """Runs one statement on a connection of its own, as another process would."""

    def run(statement: str, *values: object) -> list[dict[str, Any]]:
        connection = sqlite3.connect(path, timeout=5, isolation_level=None)
        connection.row_factory = sqlite3.Row
        try:
            return [dict(row) for row in connection.execute(statement, values)]
        finally:
            connection.close()

    return run
