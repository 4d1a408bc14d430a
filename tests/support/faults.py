"""What must hold while a proxy cannot write its log, and afterwards; whatever it is that fails."""

from __future__ import annotations

import asyncio
from typing import Final

from tests.support.agents import Agent, Said, eventually, rows_of
from tests.support.recording import Recording
from tests.support.service import Proxy
from tests.support.sizes import sized

REFUSED: Final = 2.0 + 5.0
"""Seconds within which a call is refused: two are promised, the others are a busy machine's."""

RECOVERED: Final = 5.0 + 10.0
OUTAGE: Final = sized(5, 60)
"""Seconds."""

EACH: Final = 5
EVERY: Final = 0.1
"""So many calls so often, whether or not those before are answered."""


async def all_refused(agent: Agent, proxy: Proxy, rec: Recording, **arguments: str) -> None:
    """Calls come in all the while; each is refused in time, and none reaches the server."""
    assert not await refused_or_written(agent, proxy, rec, **arguments)


async def refused_or_written(agent: Agent, proxy: Proxy, rec: Recording, **arguments: str) -> list[Said]:
    """Calls come in all the while; each is refused in time, or done: those that were. Nothing else is forwarded."""
    before = rec.counts["safe"]
    calls: list[asyncio.Task[tuple[Said, float]]] = []
    begun = asyncio.get_running_loop().time()
    while asyncio.get_running_loop().time() - begun < OUTAGE:
        calls += [asyncio.create_task(timed(agent, proxy, **arguments)) for _ in range(EACH)]
        await asyncio.sleep(EVERY)
    said = await asyncio.gather(*calls)
    done = [each for each, _ in said if each.executed]
    refused = [(each, took) for each, took in said if not each.executed]
    assert refused
    assert {each.status for each, _ in refused} == {503}, next(each for each, _ in refused if each.status != 503)
    assert all(each.told["reason_code"] == "audit_unavailable" for each, _ in refused)
    assert all("retry-after" in each.headers for each, _ in refused)
    assert max(took for _, took in refused) < REFUSED
    assert rec.counts["safe"] == before + len(done), "something was forwarded without a row"
    return done


async def serves_again(agent: Agent, proxy: Proxy, rec: Recording) -> None:
    """It goes on by itself, and what it did is what it wrote."""

    async def serves() -> bool:
        return (await agent.call(proxy)).executed

    assert await eventually(serves, "it does not recover", seconds=RECOVERED * 2) < RECOVERED

    async def told() -> bool:
        rows = [row for row in await asyncio.to_thread(rows_of, proxy) if row["enforced"] == "allow"]
        executed = [row for row in rows if row["outcome"] and row["outcome"]["state"] == "executed"]
        return len(executed) == rec.counts["safe"]

    # An outcome is written after its answer.
    await eventually(told, "a row is lost, or tells of what was not done", seconds=RECOVERED)
    await asyncio.to_thread(proxy.cli, "audit", "verify", "-c", str(proxy.config))


async def timed(agent: Agent, proxy: Proxy, **arguments: str) -> tuple[Said, float]:
    """A call, and how long it took."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    said = await agent.call(proxy, **arguments)
    return said, loop.time() - begun
