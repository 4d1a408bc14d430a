"""Group commit: who waits at the same time shares one commit, on both databases; and the benchmark that measures it.

Counted, not timed: what a commit costs is the disk's, how many share it is ours.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import func, select

from benchmarks import commits
from policylayer.audit.verify import verify
from policylayer.clock import Clock
from policylayer.store.rows import Row
from policylayer.store.store import Limits, Program, Store, open_store
from policylayer.store.tables import records
from tests.support.postgres import Server

pytestmark = [pytest.mark.anyio, pytest.mark.shows("audit.6")]
CALLERS = 64
ROUNDS = 12
CLOCK = Clock()


async def opened(url: str, batch: int) -> Store:
    store = open_store(url, commits.KEYS, CLOCK, Program("serve", limits=Limits(batch=batch, patience=60.0)))
    await store.start()
    return store


async def load(store: Store) -> list[str]:
    """So many callers, each some rows one after the other; the ids of those that are durable."""
    done: list[str] = []

    async def caller() -> None:
        for _ in range(ROUNDS):
            row = Row(CLOCK.new_id(), "decision", CLOCK.time_us(), effect="allow", enforced="allow")
            await store.append((row,))
            done.append(row.id)

    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return done


async def written(store: Store) -> set[str]:
    query = select(records.c.id).where(records.c.kind == "decision")
    return await store.read(lambda connection: set(connection.scalars(query)))


async def test_at_64_callers_one_commit_carries_at_least_8_rows(database_url: str) -> None:
    store = await opened(database_url, commits.BATCH[commits.GROUPED])
    try:
        done = await load(store)
        assert len(done) == CALLERS * ROUNDS
        assert await written(store) == set(done)
        assert store.meter.rows == len(done)
        assert store.meter.rows / store.meter.commits >= 8, store.meter.commits
        report = await verify(store, commits.KEYS)
        assert report.good, report.problems
    finally:
        await store.close()


async def test_told_to_it_commits_one_caller_at_a_time(database_url: str) -> None:
    """What it is compared with."""
    store = await opened(database_url, commits.BATCH[commits.SINGLE])
    try:
        done = await load(store)
        assert await written(store) == set(done)
        assert store.meter.rows == store.meter.commits == len(done)
    finally:
        await store.close()


async def test_commits_are_the_databases_own(postgres_url: str, postgres_cluster: Server) -> None:
    """The meter counts what PostgreSQL does: one transaction, one number."""
    name = postgres_url.rpartition("/")[2]
    store = await opened(postgres_url, commits.BATCH[commits.GROUPED])
    try:
        done = await load(store)
        counted = "SELECT count(DISTINCT xmin::text) FROM records WHERE kind = 'decision'"
        assert int(postgres_cluster.sql(counted, name)) == store.meter.commits <= len(done) / 8
    finally:
        await store.close()


async def test_the_benchmark_measures_both_and_says_how_many_times(database_url: str, tmp_path: Path) -> None:
    other = f"sqlite:///{tmp_path / 'other.db'}" if database_url.startswith("sqlite") else database_url
    table = await commits.rounds({commits.SINGLE: other, commits.GROUPED: database_url}, 0.05, 2)
    assert [place for place in table if place[0] == commits.GROUPED] == [
        (commits.GROUPED, callers) for callers in commits.CALLERS
    ]
    assert all(len(cell.rates) == len(cell.together) == 2 for cell in table.values())
    assert all(cell.rate > 0 for cell in table.values())
    assert max(table[commits.SINGLE, 64].together) == 1.0
    assert min(table[commits.GROUPED, 64].together) >= 8
    text = commits.shown("It", table)
    assert "times one row a commit" in text
    assert text.count("grouped") == len(commits.CALLERS)


async def test_what_is_measured_is_in_the_log(database_url: str) -> None:
    store = await opened(database_url, commits.BATCH[commits.GROUPED])
    try:
        rate, _ = await commits.measure(store, CLOCK, 4, 0.05)
        assert rate > 0
        query = select(func.count()).select_from(records).where(records.c.kind == "decision")
        assert await store.read(lambda connection: connection.scalar(query)) == store.meter.rows > 0
    finally:
        await store.close()
