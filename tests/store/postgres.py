"""Stores on PostgreSQL for tests, and what they hold; rows for them are in `written.py`."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

pytest.importorskip("asyncpg", reason="`asyncpg` is not installed")
pytest.importorskip("greenlet", reason="`greenlet` is not installed")

from policylayer.store.postgres import PostgresStore
from policylayer.store.store import Limits, Program
from policylayer.store.tables import records
from tests.store.conftest import KEYS
from tests.store.written import CLOCK


async def opened(url: str, name: str = "serve", **limits: Any) -> PostgresStore:
    store = PostgresStore(url, KEYS, CLOCK, Program(name, limits=Limits(**limits)))
    await store.start()
    return store


async def ids(store: PostgresStore) -> list[tuple[str, int]]:
    query = select(records.c.id, records.c.seq).where(records.c.kind == "decision").order_by(records.c.seq)
    return await store.read(lambda connection: [tuple(found) for found in connection.execute(query)])  # type: ignore[misc]
