"""The store on PostgreSQL while its server is killed, hangs, or lets nobody in."""

from __future__ import annotations

import asyncio
import signal

import pytest
from sqlalchemy import Connection, text

pytest.importorskip("asyncpg", reason="`asyncpg` is not installed")
pytest.importorskip("greenlet", reason="`greenlet` is not installed")

from policylayer.audit.recorder import Recorder
from policylayer.audit.verify import verify
from policylayer.core.commands import Unrecorded
from policylayer.core.errors import AuditUnavailable
from policylayer.store.postgres import READERS
from policylayer.store.rows import Row
from tests.audit.support import context, record
from tests.store.conftest import KEYS
from tests.store.postgres import ids, opened
from tests.store.written import CLOCK, row, until_written
from tests.support.postgres import Server

pytestmark = pytest.mark.anyio


@pytest.mark.shows("audit.1")
async def test_a_server_that_is_killed_and_restarted_loses_nothing(cluster: Server, url: str) -> None:
    """R-06, the store's part."""
    store = await opened(url)
    late: list[Row] = []
    store.on_late(late.extend)
    told: list[Row] = []
    refused: list[Row] = []
    stop = asyncio.Event()

    async def caller() -> None:
        while not stop.is_set():
            one = row()
            try:
                await store.append((one,))
                told.append(one)
            except AuditUnavailable:
                refused.append(one)
                await asyncio.sleep(0.01)

    callers = [asyncio.ensure_future(caller()) for _ in range(20)]
    await asyncio.sleep(0.3)
    cluster.signal(signal.SIGKILL)
    cluster.start()
    await until_written(store)
    stop.set()
    await asyncio.gather(*callers)
    present = {name for name, _ in await ids(store)}
    assert {one.id for one in told} <= present
    # What is there though its caller was refused has been reported, so that it gets its outcome.
    assert {one.id for one in refused} & present == {one.id for one in late}
    report = await verify(store, KEYS)
    assert report.good, report.problems
    await store.close()


@pytest.mark.shows("audit.1")
async def test_a_server_that_hangs_is_given_up_and_comes_back(cluster: Server, url: str) -> None:
    """R-03: every call is refused within two seconds; afterwards everything goes on, and doubts are settled."""
    store = await opened(url)
    late: list[Row] = []
    store.on_late(late.extend)
    rows = [row() for _ in range(5)]
    cluster.signal(signal.SIGSTOP)
    try:
        loop = asyncio.get_running_loop()
        began = loop.time()
        results = await asyncio.gather(*(store.append((one,)) for one in rows), return_exceptions=True)
        assert all(isinstance(result, AuditUnavailable) for result in results)
        assert loop.time() - began < 3
        recorder = Recorder(store, KEYS, CLOCK)
        assert isinstance(await recorder.record(record(), context()), Unrecorded)
    finally:
        cluster.signal(signal.SIGCONT)
    await until_written(store)
    present = {name for name, _ in await ids(store)}
    assert {one.id for one in late} >= {one.id for one in rows} & present
    assert (await verify(store, KEYS)).good
    await store.close()


@pytest.mark.shows("audit.1")
async def test_a_server_that_lets_nobody_in_refuses_and_recovers(cluster: Server, url: str) -> None:
    """R-03."""
    store = await opened(url)
    await store.append((row(),))
    name = url.rpartition("/")[2]
    cluster.sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false", "postgres")
    cluster.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'", "postgres")
    results = await asyncio.gather(*(store.append((row(),)) for _ in range(3)), return_exceptions=True)
    assert all(isinstance(result, AuditUnavailable) for result in results)
    cluster.sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true", "postgres")
    await until_written(store)
    assert len(await ids(store)) == 2
    await store.close()


@pytest.mark.shows("audit.3")
async def test_a_read_for_which_no_connection_is_free_is_refused_as_any_other(url: str) -> None:
    """A frozen server holds on to all of them; what was raised for the next one was none of ours."""
    store = await opened(url)

    def slow(connection: Connection) -> None:
        connection.execute(text("SELECT pg_sleep(4)"))

    waiting = [asyncio.ensure_future(store.read(slow)) for _ in range(READERS)]
    await asyncio.sleep(0.2)
    with pytest.raises(AuditUnavailable, match="all connections"):
        await store.read(slow)
    await asyncio.gather(*waiting)
    await store.close()
