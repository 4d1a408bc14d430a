"""The store on PostgreSQL: what SQLite's promises, with replicas beside it and a server that fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError

pytest.importorskip("asyncpg", reason="`asyncpg` is not installed")
pytest.importorskip("greenlet", reason="`greenlet` is not installed")

from policylayer.audit import left_open, queries
from policylayer.audit.checkpoints import take
from policylayer.audit.prune import prune
from policylayer.audit.recorder import Recorder
from policylayer.audit.verify import verify
from policylayer.core.commands import Recorded, RecordOutcome
from policylayer.core.decision import Effect
from policylayer.core.errors import ConfigError
from policylayer.store import roles, schema
from policylayer.store.migrate import migrate, run
from policylayer.store.partitions import ensure
from policylayer.store.postgres import PostgresStore
from policylayer.store.store import Add, open_store
from policylayer.store.tables import meta, records
from tests.audit.support import EXECUTED, context, decision, record
from tests.store.conftest import KEYS
from tests.store.postgres import ids, opened
from tests.store.written import CLOCK, row
from tests.support.postgres import Server

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(url: str) -> AsyncIterator[PostgresStore]:
    made = await opened(url)
    yield made
    await made.close()


async def test_rows_are_written_in_order_and_verify(store: PostgresStore) -> None:
    rows = [row(reason=f"é\u2028 {number}", arguments='{"a":"\\u0000"}') for number in range(200)]
    await asyncio.gather(*(store.append((one,)) for one in rows))
    assert await ids(store) == [(one.id, number) for number, one in enumerate(rows, 2)]
    report = await verify(store, KEYS)
    assert report.good, report.problems
    assert (report.rows, report.chains) == (201, 1)


async def test_a_conflict_fails_its_caller_and_nobody_else(store: PostgresStore) -> None:
    rows = [row() for _ in range(20)]
    results = await asyncio.gather(
        *(store.append((one,)) for one in [*rows[:10], rows[3], *rows[10:]]), return_exceptions=True
    )
    assert [number for number, result in enumerate(results) if result is not None] == [10]
    assert len(await ids(store)) == 20
    assert (await verify(store, KEYS)).good


async def test_a_function_that_raises_undoes_itself_and_its_rows_only(store: PostgresStore) -> None:
    def good(connection: Connection, add: Add) -> str:
        add(row())
        connection.execute(insert(meta).values(name="good", value="1"))
        with pytest.raises(IntegrityError), connection.begin_nested():
            connection.execute(insert(meta).values(name="good", value="2"))
        return "done"

    def bad(connection: Connection, add: Add) -> None:
        add(row())
        connection.execute(insert(meta).values(name="bad", value="1"))
        raise KeyError("its own")

    results = await asyncio.gather(
        *(store.append((row(),)) for _ in range(3)), store.record(good), store.record(bad), return_exceptions=True
    )
    assert results[:4] == [None, None, None, "done"]
    assert isinstance(results[4], KeyError)
    names = await store.read(lambda connection: set(connection.scalars(select(meta.c.name))))
    assert names == {"key", "good"}
    assert len(await ids(store)) == 4
    assert (await verify(store, KEYS)).good


async def test_a_constraint_is_the_functions_own_error(store: PostgresStore) -> None:
    def twice(connection: Connection) -> None:
        connection.execute(insert(meta), [{"name": "x", "value": "1"}, {"name": "x", "value": "2"}])

    with pytest.raises(IntegrityError):
        await store.write(twice)


@pytest.mark.shows("audit.1")
async def test_functions_that_lock_each_other_out_are_run_again(url: str) -> None:
    """AUD-02: a deadlock costs one of them a second run, nobody an error."""
    store = await opened(url, patience=20.0)
    await store.write(lambda connection: connection.execute(insert(meta), [{"name": n, "value": "0"} for n in "ab"]))

    def both(connection: Connection, first: str, second: str) -> None:
        for name in (first, second):
            value = connection.scalar(select(meta.c.value).where(meta.c.name == name).with_for_update())
            connection.execute(text("SELECT pg_sleep(0.05)"))
            connection.execute(update(meta).where(meta.c.name == name).values(value=str(int(value or 0) + 1)))

    orders = [("a", "b"), ("b", "a")] * 2
    await asyncio.gather(*(store.write(partial(both, first=x, second=y)) for x, y in orders))
    values = await store.read(lambda connection: dict(connection.execute(select(meta.c.name, meta.c.value)).all()))  # type: ignore[arg-type]
    assert (values["a"], values["b"]) == ("4", "4")
    await store.close()


async def test_a_read_over_a_connection_that_was_ended_is_done_again(store: PostgresStore, url: str) -> None:
    """R-06: connections that are kept do not outlive the server; the first read after it is back is no failure."""
    await asyncio.gather(
        *(store.read(lambda connection: connection.execute(text("SELECT pg_sleep(0.1)"))) for _ in "ab")
    )
    ended = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    other = await opened(url, "other")
    assert await other.read(lambda connection: connection.scalar(text(ended)))
    assert await asyncio.gather(*(store.read(lambda connection: connection.scalar(text("SELECT 1"))) for _ in "abc"))
    await other.close()


@pytest.mark.parametrize("statement", ["UPDATE {} SET reason = 'x'", "DELETE FROM {}", "TRUNCATE {}"])
async def test_records_cannot_be_changed_or_removed(store: PostgresStore, statement: str) -> None:
    await store.append((row(),))
    partition = await store.read(
        lambda connection: connection.scalar(text("SELECT tableoid::regclass::text FROM records LIMIT 1"))
    )
    assert partition != "records_default"
    for table in ("records", partition):
        with pytest.raises(Exception, match="append-only"):
            await store.write(lambda connection, table=table: connection.exec_driver_sql(statement.format(table)))
    assert len(await ids(store)) == 1


async def test_replicas_share_and_hear_each_other(store: PostgresStore, url: str) -> None:
    other = await opened(url)
    heard = asyncio.Event()
    undo = other.subscribe("approvals", heard.set)
    await asyncio.sleep(0.3)
    heard.clear()
    await store.write(lambda connection: None, topics=("approvals",))
    await asyncio.wait_for(heard.wait(), 5)
    undo()
    await asyncio.gather(*(each.append((row(),)) for _ in range(50) for each in (store, other)))
    await other.close()
    report = await verify(store, KEYS)
    assert report.good, report.problems
    assert report.chains == 2


async def test_only_the_dead_are_abandoned(store: PostgresStore, url: str) -> None:
    other = await opened(url)
    await other.record(lambda connection, add: add(row()))
    assert await store.abandoned() == ()
    chains = other.own_chains()
    assert len(chains) == 2
    await other.close()
    assert await store.abandoned() == chains


async def test_what_a_dead_replica_left_open_is_settled_once(
    store: PostgresStore, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the replicas that live on, without anyone's restart."""
    monkeypatch.setattr(left_open, "WATCH", 0.05)
    dead, other = await opened(url), await opened(url)
    reply = await Recorder(dead, KEYS, CLOCK).record(record(), context())
    assert isinstance(reply, Recorded)
    recorders = [Recorder(each, KEYS, CLOCK) for each in (store, other)]
    await asyncio.gather(*(recorder.start() for recorder in recorders))

    async def outcome() -> Any:
        return (await store.read(partial(queries.decision, row_id=reply.row_id)) or {})["outcome"]

    assert await outcome() is None
    await dead.close()
    for _ in range(200):
        if await outcome() is not None:
            break
        await asyncio.sleep(0.05)
    assert (await outcome())["state"] == "unknown"
    await asyncio.gather(*(recorder.close() for recorder in recorders))
    count = select(func.count()).where(records.c.kind == "outcome")
    assert await store.read(lambda connection: connection.scalar(count)) == 1
    assert (await verify(store, KEYS)).good
    await other.close()


async def test_the_recorder_and_the_queries_work_alike(store: PostgresStore) -> None:
    recorder = Recorder(store, KEYS, CLOCK)
    odd = "a\x00b\u2028\x1b\r\n\U000e0041'é%_"
    reply = await recorder.record(record(Effect.ALLOW, reason=odd), context({odd: odd}, target=odd))
    assert isinstance(reply, Recorded)
    await recorder.outcome(RecordOutcome(reply.row_id, EXECUTED, decision()))
    await recorder.drained()
    found = await store.read(
        partial(queries.decisions, filters=queries.Filters(q="é%_", rule="payments/small-refunds"))
    )
    assert [item["id"] for item in found.items] == [reply.row_id]
    assert found.items[0]["arguments"] == {odd: odd}
    assert found.items[0]["outcome"]["state"] == "executed"
    await recorder.close()


async def test_fresh_and_migrated_are_one_schema(cluster: Server) -> None:
    """Also down again, and as `pg_dump` sees it."""

    def dumped(url: str) -> str:
        query = (
            "SELECT table_name, column_name, data_type, is_nullable, column_default, collation_name"
            " FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, ordinal_position"
        )
        # A partition's are named by PostgreSQL, in whatever order they were made.
        more = (
            "SELECT regexp_replace(indexdef, 'INDEX records_default_\\w+', 'INDEX') FROM pg_indexes"
            " WHERE schemaname = 'public' ORDER BY 1"
        )
        triggers = "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1, 2"
        name = url.rpartition("/")[2]
        return "\n".join(cluster.sql(statement, name) for statement in (query, more, triggers))

    urls = [cluster.database(), cluster.database()]
    for url, make in zip(urls, (schema.create, run), strict=True):
        await made(url, make)
    assert dumped(urls[0]) == dumped(urls[1])
    await made(urls[1], partial(run, revision="base"))
    assert cluster.sql("SELECT count(*) FROM pg_class WHERE relname = 'records'", urls[1].rpartition("/")[2]) == "0"


async def test_a_migrated_database_is_served(url: str) -> None:
    assert await asyncio.to_thread(migrate, url) == (None, schema.HEAD)
    store = await opened(url)
    await store.append((row(),))
    assert await store.read(lambda connection: connection.scalar(text("SELECT count(*) FROM records_default"))) == 0
    await store.close()


async def test_replicas_that_start_together_make_one_schema(url: str) -> None:
    stores = await asyncio.gather(*(opened(url) for _ in range(3)))
    await asyncio.gather(*(store.append((row(),)) for store in stores))
    assert len(await ids(stores[0])) == 3
    await asyncio.gather(*(store.close() for store in stores))


@pytest.mark.shows("audit.1")
async def test_the_proxys_role_can_add_records_and_nothing_else(cluster: Server, url: str) -> None:
    """AUD-22."""
    await asyncio.to_thread(migrate, url)
    name = url.rpartition("/")[2]
    cluster.sql("DROP ROLE IF EXISTS proxy; CREATE ROLE proxy LOGIN", "postgres")
    cluster.sql("; ".join(roles.statements("proxy")), name)
    store = await opened(url.replace("postgres@", "proxy@"))
    recorder = Recorder(store, KEYS, CLOCK)
    reply = await recorder.record(record(), context())
    assert isinstance(reply, Recorded)
    await recorder.outcome(RecordOutcome(reply.row_id, EXECUTED, decision()))
    await recorder.drained()
    await recorder.close()
    partition = cluster.sql("SELECT tableoid::regclass FROM records LIMIT 1", name)
    for table in ("records", partition):
        for statement in (f"UPDATE {table} SET reason = 'x'", f"DELETE FROM {table}", f"TRUNCATE {table}"):
            with pytest.raises(Exception, match="permission denied"):
                await store.write(lambda connection, sql=statement: connection.exec_driver_sql(sql))
    assert (await verify(store, KEYS)).good
    await store.close()
    cluster.sql("DROP OWNED BY proxy", name)


async def made(url: str, make: Any) -> None:
    from policylayer.store.backend import writing_engine

    engine = writing_engine(url)
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="READ COMMITTED")
        await connection.run_sync(make)
        await connection.commit()
    await engine.dispose()


async def test_partitions_are_made_ahead_and_pruned_rows_verify(store: PostgresStore) -> None:
    year_us = 366 * 86_400_000_000
    later = CLOCK.time_us() + year_us
    await store.append((row()._replace(id=queries.first_id(later)),))
    names = await store.write(partial(ensure, now_us=later))
    assert len(names) == 3, "the month that has a row in the default partition is left there"
    assert await store.write(partial(ensure, now_us=later)) == []
    await store.write(partial(take, keys=KEYS, clock=CLOCK))
    cut = CLOCK.time_us()
    await store.append((row(),))
    assert await prune(store, KEYS, CLOCK, before_us=cut, actor="user:a") == 2
    report = await verify(store, KEYS)
    assert report.good, report.problems


@pytest.mark.shows("audit.1")
@pytest.mark.parametrize("setting", ["synchronous_commit", "default_transaction_read_only"])
async def test_a_database_that_is_not_durable_or_not_writable_is_refused(cluster: Server, setting: str) -> None:
    """R-02. What the user's or the database's own settings say does not weaken ours; what cannot be set is refused."""
    url = cluster.database()
    name = url.rpartition("/")[2]
    value = {"synchronous_commit": "off", "default_transaction_read_only": "on"}[setting]
    cluster.sql(f"ALTER DATABASE {name} SET {setting} = {value}", "postgres")
    if setting == "synchronous_commit":
        store = await opened(url)
        await store.close()
    else:
        with pytest.raises(ConfigError, match="read-only"):
            await opened(url)


async def test_no_server_is_said_plainly() -> None:
    with pytest.raises(ConfigError, match="does not answer"):
        await opened("postgresql://nobody@127.0.0.1:1/none")


def test_the_url_chooses_the_store() -> None:
    assert isinstance(open_store("postgresql://u@h/d?sslmode=disable", KEYS, CLOCK), PostgresStore)
    with pytest.raises(ConfigError, match="cannot be read"):
        open_store("postgresql://u@h:port/d", KEYS, CLOCK)
