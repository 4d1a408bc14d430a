"""Stores on PostgreSQL for tests, rows for them, and what they hold."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import select

pytest.importorskip("asyncpg", reason="`asyncpg` is not installed")
pytest.importorskip("greenlet", reason="`greenlet` is not installed")

from policylayer.clock import Clock
from policylayer.core.errors import AuditUnavailable
from policylayer.store.postgres import PostgresStore
from policylayer.store.rows import Row
from policylayer.store.store import Limits, Program
from policylayer.store.tables import records
from tests.store.conftest import KEYS

CLOCK = Clock()


async def opened(url: str, name: str = "serve", **limits: Any) -> PostgresStore:
    store = PostgresStore(url, KEYS, CLOCK, Program(name, limits=Limits(**limits)))
    await store.start()
    return store


def row(**more: Any) -> Row:
    return Row(id=CLOCK.new_id(), kind="decision", time_us=CLOCK.time_us(), **more)


async def ids(store: PostgresStore) -> list[tuple[str, int]]:
    query = select(records.c.id, records.c.seq).where(records.c.kind == "decision").order_by(records.c.seq)
    return await store.read(lambda connection: [tuple(found) for found in connection.execute(query)])  # type: ignore[misc]


async def until_written(store: PostgresStore) -> Row:
    for _ in range(100):
        one = row()
        try:
            await store.append((one,))
        except AuditUnavailable:
            await asyncio.sleep(0.1)
        else:
            return one
    raise AssertionError("the store did not come back")
