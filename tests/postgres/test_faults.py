"""R-03, R-05, AUD-01: PostgreSQL fails in every way; calls are refused in time, and served again when it is back."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from policylayer.store.migrate import migrate
from tests.postgres.conftest import Make, made
from tests.support.agents import Agent, eventually
from tests.support.disk import small_disk
from tests.support.faults import all_refused, refused_or_written, serves_again
from tests.support.postgres import Server, missing
from tests.support.recording import Recording

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.shows("audit.3", "audit.1")]
CALLERS: Final = 20
SENT: Final = 5


@dataclass(frozen=True, slots=True)
class Fault:
    """How it fails, and how it is mended. `role` is whom the proxy is to connect as, if not as the owner."""

    name: str
    fail: Callable[[Server, str], object]
    mend: Callable[[Server, str], object]
    role: str | None = None


def every_session(cluster: Server, name: str) -> None:
    """End all sessions of a database."""
    cluster.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'", "postgres")


def setting(cluster: Server, name: str, statement: str) -> None:
    """Change what sessions of a database begin with, and have all begin anew."""
    cluster.sql(statement, "postgres")
    every_session(cluster, name)


FAULTS: Final = (
    Fault("stopped", lambda cluster, _: cluster.shut_down(), lambda cluster, _: cluster.start()),
    Fault(
        "frozen",
        lambda cluster, _: cluster.signal(signal.SIGSTOP),
        lambda cluster, _: cluster.signal(signal.SIGCONT),
    ),
    # As after a failover: killed, and another one, with all that was durable, takes over at the same address.
    Fault("failing over", lambda cluster, _: cluster.stop(), lambda cluster, _: cluster.start()),
    Fault(
        "read-only",
        lambda cluster, name: setting(cluster, name, f"ALTER DATABASE {name} SET default_transaction_read_only = on"),
        lambda cluster, name: setting(cluster, name, f"ALTER DATABASE {name} RESET default_transaction_read_only"),
    ),
    Fault(
        "too many connections",
        lambda cluster, name: setting(cluster, name, "ALTER ROLE limited CONNECTION LIMIT 0"),
        lambda cluster, name: setting(cluster, name, "ALTER ROLE limited CONNECTION LIMIT -1"),
        role="limited",
    ),
    Fault(
        "nobody is let in",
        lambda cluster, name: setting(cluster, name, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false"),
        lambda cluster, name: setting(cluster, name, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true"),
    ),
    Fault(
        "authentication fails",
        lambda cluster, name: setting(cluster, name, "ALTER ROLE limited NOLOGIN"),
        lambda cluster, name: setting(cluster, name, "ALTER ROLE limited LOGIN"),
        role="limited",
    ),
    Fault(
        "wrong schema",
        lambda cluster, name: cluster.sql("ALTER TABLE records RENAME TO elsewhere", name),
        lambda cluster, name: cluster.sql("ALTER TABLE elsewhere RENAME TO records", name),
    ),
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "-"))
async def test_refused_in_time_and_served_again(
    make: Make, cluster: Server, url: str, rec: Recording, fault: Fault
) -> None:
    database = None
    if fault.role is not None:
        database = url.replace("postgres@", f"{fault.role}@")
        await asyncio.to_thread(migrate, url)
    proxy, name = make("one", database=database, create=fault.role), url.rpartition("/")[2]
    agent = Agent(proxy.grant("agent:a", "rec"))
    before = await asyncio.gather(*(agent.call(proxy, number=number) for number in range(CALLERS)))
    assert all(said.executed for said in before)
    await asyncio.to_thread(fault.fail, cluster, name)
    try:
        await all_refused(agent, proxy, rec)
    finally:
        await asyncio.to_thread(fault.mend, cluster, name)
    await serves_again(agent, proxy, rec)


async def test_calls_that_were_sent_get_their_answers_while_it_is_away(
    make: Make, cluster: Server, rec: Recording
) -> None:
    """Their right to them cannot be asked for meanwhile; an agent told that they were refused would do them again."""
    proxy = make("one")
    agent = Agent(proxy.grant("agent:a", "rec"))
    assert (await agent.call(proxy)).executed
    sent = len(rec.calls) + SENT
    rec.behave(*["late"] * SENT)
    waiting = [asyncio.create_task(agent.call(proxy, number=number)) for number in range(SENT)]

    async def arrived() -> bool:
        return len(rec.calls) == sent

    await eventually(arrived, "the calls do not arrive")
    await asyncio.to_thread(cluster.stop)
    try:
        assert all(said.executed for said in await asyncio.gather(*waiting))
    finally:
        await asyncio.to_thread(cluster.start)
    await serves_again(agent, proxy, rec)


async def test_a_full_disk_is_refused_in_time_and_served_again(tmp_path: Path, rec: Recording) -> None:
    """Files of the database, or of its log, cannot grow; whatever of it ends is started again when there is room."""
    if (why := missing()) is not None:
        pytest.skip(why)
    with small_disk("80m") as disk, made(tmp_path, disk.folder, rec) as (cluster, proxy):
        agent = Agent(proxy.grant("agent:a", "rec"))
        assert all([(await agent.call(proxy, number=number)).executed for number in range(CALLERS)])
        disk.fill()
        try:
            for _ in range(200):
                # What fits into pages that are there is written yet.
                said = await asyncio.gather(*(agent.call(proxy, padding="x" * 3000) for _ in range(CALLERS)))
                assert {each.status for each in said} <= {200, 503}
                if {each.status for each in said} == {503}:
                    break
            for _ in range(10):
                # While it comes up again it may make some room itself, by what it needs no more of its log.
                disk.fill()
                if not await refused_or_written(agent, proxy, rec, padding="x" * 3000):
                    break
            else:
                raise AssertionError("the disk is not full for as long as an outage lasts")
        finally:
            disk.free()
            if not cluster.runs:
                await asyncio.to_thread(cluster.start)
        await serves_again(agent, proxy, rec)


@pytest.mark.parametrize("seconds", [0.5, 5.0])
async def test_a_slow_database_means_refusals_and_nothing_without_a_row(
    make: Make, cluster: Server, url: str, rec: Recording, seconds: float
) -> None:
    """R-04: each write into the log takes half a second, or five."""
    proxy, name = make("one"), url.rpartition("/")[2]
    agent = Agent(proxy.grant("agent:a", "rec"))
    assert (await agent.call(proxy)).executed
    slow = (
        f"CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep({seconds});"
        " RETURN NULL; END $$; CREATE TRIGGER slow AFTER INSERT ON records FOR EACH STATEMENT EXECUTE FUNCTION slow()"
    )
    cluster.sql(slow, name)
    statuses = set()
    for _ in range(6):
        said = await asyncio.gather(*(agent.call(proxy, padding="x") for _ in range(CALLERS)))
        statuses |= {each.status for each in said}
        assert all(each.executed or each.told["reason_code"] == "audit_unavailable" for each in said)
    assert statuses == ({200} if seconds < 1 else {503})
    # Whoever waits for the table's lock is among those who write slowly.
    await asyncio.to_thread(cluster.sql, "DROP TRIGGER slow ON records; DROP FUNCTION slow", name)
    await serves_again(agent, proxy, rec)
