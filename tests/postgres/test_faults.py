"""R-03, R-06, AUD-01: PostgreSQL fails in every way; calls are refused in time, and served again when it is back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import pytest

from tests.postgres.conftest import Make
from tests.postgres.rig import Agent, Said, eventually, rows_of
from tests.support.postgres import Server
from tests.support.recording import Recording

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.shows("audit.3")]
REFUSED: Final = 2.0 + 1.0
"""Seconds within which a call is refused: two are promised, one is the test machine's."""

RECOVERED: Final = 5.0 + 3.0
CALLERS: Final = 20


@dataclass(frozen=True, slots=True)
class Fault:
    """How it fails, and how it is mended."""

    name: str
    fail: Callable[[Server, str], object]
    mend: Callable[[Server, str], object]


def every_session(cluster: Server, name: str) -> None:
    """End all sessions of a database."""
    cluster.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'", "postgres")


def setting(cluster: Server, name: str, words: str) -> None:
    """Change what sessions of a database begin with, and have all begin anew."""
    cluster.sql(f"ALTER DATABASE {name} {words}", "postgres")
    every_session(cluster, name)


FAULTS: Final = (
    Fault("stopped", lambda cluster, _: cluster.stop(), lambda cluster, _: cluster.start()),
    Fault(
        "read-only",
        lambda cluster, name: setting(cluster, name, "SET default_transaction_read_only = on"),
        lambda cluster, name: setting(cluster, name, "RESET default_transaction_read_only"),
    ),
    Fault(
        "too many connections",
        lambda cluster, name: setting(cluster, name, "ALLOW_CONNECTIONS false"),
        lambda cluster, name: setting(cluster, name, "ALLOW_CONNECTIONS true"),
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
    proxy, name = make("one"), url.rpartition("/")[2]
    agent = Agent(proxy.grant("agent:a", "rec"))
    before = await asyncio.gather(*(agent.call(proxy, number=number) for number in range(CALLERS)))
    assert all(said.executed for said in before)
    await asyncio.to_thread(fault.fail, cluster, name)
    try:
        done = rec.counts["safe"]
        for _ in range(3):
            said = await asyncio.gather(*(timed(agent, proxy) for _ in range(CALLERS)))
            assert {each.status for each, _ in said} == {503}, said[0]
            assert all(each.told["reason_code"] == "audit_unavailable" for each, _ in said)
            assert all("retry-after" in each.headers for each, _ in said)
            assert max(took for _, took in said) < REFUSED
        assert rec.counts["safe"] == done, "something was forwarded without a row"
    finally:
        await asyncio.to_thread(fault.mend, cluster, name)

    async def serves() -> bool:
        return (await agent.call(proxy)).executed

    assert await eventually(serves, "it does not recover", seconds=RECOVERED * 2) < RECOVERED

    async def told() -> bool:
        rows = [row for row in await asyncio.to_thread(rows_of, proxy) if row["enforced"] == "allow"]
        executed = [row for row in rows if row["outcome"] and row["outcome"]["state"] == "executed"]
        return len(executed) == rec.counts["safe"]

    # An outcome is written after its answer.
    await eventually(told, "a row is lost, or tells of what was not done", seconds=RECOVERED)
    proxy.cli("audit", "verify", "-c", str(proxy.config))


async def timed(agent: Agent, proxy: object) -> tuple[Said, float]:
    """A call, and how long it took."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    said = await agent.call(proxy)  # type: ignore[arg-type]
    return said, loop.time() - begun
