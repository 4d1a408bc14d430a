"""Who is taken for dead, and whose rows are settled: never those of a replica that only lost its connections."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

pytest.importorskip("asyncpg", reason="`asyncpg` is not installed")
pytest.importorskip("greenlet", reason="`greenlet` is not installed")

from policylayer.audit.recorder import Recorder
from policylayer.core.commands import Kind, Outcome, OutcomeState, Recorded, RecordOutcome, Unrecorded
from policylayer.core.decision import Effect
from policylayer.processes import seen_from_here
from policylayer.store import lives
from policylayer.store.backend import connect, lock_number
from policylayer.store.postgres import PostgresStore
from policylayer.store.tables import chains, records
from tests.audit.support import EXECUTED, context, decision, record
from tests.store.conftest import KEYS
from tests.store.postgres import opened
from tests.store.written import CLOCK
from tests.support.postgres import Server

pytestmark = [pytest.mark.anyio, pytest.mark.shows("audit.4")]
CUT = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{}' AND pid <> pg_backend_pid()"


@pytest.fixture
async def pair(url: str) -> AsyncIterator[list[PostgresStore]]:
    """Two replicas."""
    made = [await opened(url), await opened(url)]
    yield made
    for each in made:
        await each.close()


async def held_locks(cluster: Server, url: str) -> int:
    """How many locks are held there."""
    count = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
    return int(await asyncio.to_thread(cluster.sql, count, url.rpartition("/")[2]))


async def until_all_live(cluster: Server, url: str, most: int) -> None:
    """Until so many locks are held."""
    for _ in range(200):
        if await held_locks(cluster, url) >= most:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("a replica does not take its lock")


async def written(recorder: Recorder, effect: Effect = Effect.ALLOW) -> str:
    """The id of a row, however often it takes."""
    for _ in range(100):
        reply = await recorder.record(record(effect), context())
        if isinstance(reply, Recorded):
            return reply.row_id
        await asyncio.sleep(0.1)
    raise AssertionError("nothing can be written")


async def outcomes(store: PostgresStore) -> list[tuple[Any, ...]]:
    """What the log says, in order."""
    query = select(records.c.parent, records.c.state).where(records.c.kind == "outcome").order_by(records.c.id)
    return await store.read(lambda connection: [tuple(found) for found in connection.execute(query)])


async def chain_of(store: PostgresStore, **columns: Any) -> None:
    """A chain of somebody else's that is not closed."""
    row = {"id": "c", "program": "serve", "version": "", "host": "elsewhere", "pid": 1, "life": "l", "opened_us": 1}
    await store.write(lambda connection: connection.execute(insert(chains).values(**{**row, **columns})) and None)


async def test_whoever_only_lost_its_connections_is_not_settled(
    cluster: Server, url: str, pair: list[PostgresStore]
) -> None:
    one, other = pair
    recorders = [Recorder(each, KEYS, CLOCK) for each in pair]
    sent, held = await written(recorders[0]), await written(recorders[0], Effect.REQUIRE_APPROVAL)
    await until_all_live(cluster, url, 4)
    await asyncio.to_thread(cluster.sql, CUT.format(url.rpartition("/")[2]), "postgres")
    for each in recorders:
        await written(each, Effect.DENY)
    await until_all_live(cluster, url, 4)
    assert await other.abandoned() == ()
    await recorders[1]._left.settle()
    await recorders[0].outcome(RecordOutcome(sent, EXECUTED, decision()))
    release = await recorders[0].record(record(kind=Kind.RELEASE, parent=held), context())
    assert isinstance(release, Recorded)
    await recorders[0].drained()
    assert await outcomes(one) == [(sent, "executed")]


async def test_a_replica_elsewhere_is_dead_only_after_a_while(
    pair: list[PostgresStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = pair
    await chain_of(store)
    assert await store.abandoned() == ()
    monkeypatch.setattr(lives, "GRACE", 0.2)
    assert await store.abandoned() == ()
    await asyncio.sleep(0.3)
    assert await store.abandoned() == ("c",)


async def test_each_sign_of_life_begins_the_while_anew(
    url: str, pair: list[PostgresStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lives, "GRACE", 0.5)
    store, other = pair
    await chain_of(store)
    assert await store.abandoned() == ()
    await asyncio.sleep(0.6)
    connection = await lives_elsewhere(other)
    assert await store.abandoned() == ()
    await connection.close()
    await asyncio.sleep(0.1)
    assert await store.abandoned() == ()
    await asyncio.sleep(0.6)
    assert await store.abandoned() == ("c",)


async def lives_elsewhere(store: PostgresStore) -> AsyncConnection:
    """A connection that holds the lock of that chain's replica."""
    connection, raw = await connect(store._writing)
    await raw.execute("SELECT pg_advisory_lock($1)", lock_number("l"))
    return connection


@pytest.mark.parametrize(("pid", "dead"), [(2**22 + 1, True), (1, False)])
async def test_a_process_of_this_host_that_is_gone_is_dead_at_once(
    pair: list[PostgresStore], pid: int, dead: bool
) -> None:
    await chain_of(pair[0], host=platform.node(), pid=pid, life=f"{seen_from_here()} l")
    assert await pair[0].abandoned() == (("c",) if dead else ())


async def test_a_number_of_another_container_says_nothing(pair: list[PostgresStore]) -> None:
    await chain_of(pair[0], host=platform.node(), pid=2**22 + 1, life="pid:[1] l")
    assert await pair[0].abandoned() == ()


async def test_what_others_settled_meanwhile_stays_as_they_settled_it(
    cluster: Server, url: str, pair: list[PostgresStore]
) -> None:
    """A replica was cut off for long; its calls have an outcome already, and a held one is not made any more."""
    other = pair[1]
    cut_off, theirs = (Recorder(each, KEYS, CLOCK) for each in pair)
    sent, held, owed = await written(cut_off), await written(cut_off, Effect.REQUIRE_APPROVAL), await written(cut_off)
    rows = cut_off._settling
    for row_id, state in ((sent, OutcomeState.UNKNOWN), (held, OutcomeState.NEVER_SENT), (owed, OutcomeState.UNKNOWN)):
        await theirs.outcome(RecordOutcome(row_id, Outcome(state, "taken for dead"), decision()))
    await theirs.drained()
    await until_all_live(cluster, url, 4)
    await asyncio.to_thread(cluster.sql, CUT.format(url.rpartition("/")[2]), "postgres")
    for _ in range(200):
        if rows.was_taken(sent) and rows.was_taken(held):
            break
        await asyncio.sleep(0.05)
    assert isinstance(await cut_off.outcome(RecordOutcome(sent, EXECUTED, decision())), Unrecorded)
    assert isinstance(await cut_off.record(record(kind=Kind.RELEASE, parent=held), context()), Unrecorded)
    rows.owe(cut_off._rows.outcome(owed, EXECUTED, rows._stamp()))
    await written(cut_off)
    await rows._pay_once()
    assert sorted(await outcomes(other)) == sorted([(sent, "unknown"), (held, "never_sent"), (owed, "unknown")])
