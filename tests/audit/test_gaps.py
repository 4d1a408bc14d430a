"""AUD-11: what is undone leaves no gap in a chain, however much of it there is; a gap that is there is a loss."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select, text

from policylayer.audit.verify import verify
from policylayer.clock import Clock
from policylayer.store.rows import Row
from policylayer.store.store import Add, Program, Store, open_store
from policylayer.store.tables import meta, records
from tests.audit.support import KEYS

pytestmark = [pytest.mark.anyio, pytest.mark.shows("audit.1", "audit.5")]
CLOCK = Clock()


class Undone(Exception):
    """What a function does is not to be."""


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    made = open_store(database_url, KEYS, CLOCK, Program("serve"))
    await made.start()
    yield made
    await made.close()


def row() -> Row:
    return Row(id=CLOCK.new_id(), kind="decision", time_us=CLOCK.time_us())


async def test_what_is_undone_leaves_no_gap(store: Store) -> None:
    rng, twice = random.Random(3), row()
    await store.append((twice,))

    def work(connection: Connection, add: Add, number: int, undo: bool) -> None:
        add(row())
        connection.execute(insert(meta).values(name=f"n{number}", value="1"))
        add(row())
        if undo:
            raise Undone

    wishes: list[Any] = []
    for number in range(300):
        kind = rng.choice(("rows", "twice", "function", "undone"))
        if kind == "rows":
            wishes.append(store.append(tuple(row() for _ in range(rng.randrange(1, 4)))))
        elif kind == "twice":
            wishes.append(store.append((row(), twice)))
        else:
            wishes.append(
                store.record(lambda conn, add, n=number, undo=kind == "undone": work(conn, add, n, undo))  # type: ignore[misc]
            )
    results = await asyncio.gather(*wishes, return_exceptions=True)
    assert sum(isinstance(result, BaseException) for result in results) > 80
    query = select(records.c.chain, records.c.seq).order_by(records.c.chain, records.c.seq)
    found = await store.read(lambda connection: [tuple(each) for each in connection.execute(query)])
    for chain in {chain for chain, _ in found}:
        numbers = [seq for name, seq in found if name == chain]
        assert numbers == list(range(1, len(numbers) + 1))
    report = await verify(store, KEYS)
    assert report.good, report.problems


async def test_a_gap_that_is_there_is_a_loss(store: Store) -> None:
    for _ in range(10):
        await store.append((row(),))
    lift = {
        "sqlite": ("DROP TRIGGER records_no_delete",),
        "postgresql": ("ALTER TABLE records DISABLE TRIGGER records_no_change",),
    }

    def remove(connection: Connection) -> None:
        for statement in (*lift[store.dialect], "DELETE FROM records WHERE seq = 6"):
            connection.execute(text(statement))

    await store.write(remove)
    report = await verify(store, KEYS)
    assert [(problem.what, problem.seq) for problem in report.problems] == [("missing_rows", 6)]
