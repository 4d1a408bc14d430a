"""R-01, R-06 on PostgreSQL: the proxy, or the database, is killed under load again and again; nothing acknowledged is
lost or done twice.

Every call has a number of its own and is never sent again, so one number is one call in what the agents were told, in
what the server received, and in the log.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

import httpx2
import orjson
import pytest

from tests.postgres.conftest import Make
from tests.support.agents import Agent, Said, eventually, rows_of
from tests.support.postgres import Server
from tests.support.recording import Recording
from tests.support.service import Proxy
from tests.support.sizes import sized

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.shows("audit.2", "audit.1")]
KILLS: Final = int(os.environ.get("POLICYLAYER_KILLS", "30"))
DATABASE_KILLS: Final = sized(10, 50)
AGENTS: Final = 50
LONGEST: Final = 1.0
TOOLS: Final = ("safe",) * 12 + ("danger",) * 5 + ("gated",) * 3


class Crowd:
    """The agents, and what each call was told."""

    def __init__(self, proxy: Proxy, seed: int) -> None:
        self.proxy = proxy
        self.up = asyncio.Event()
        self.stop = asyncio.Event()
        self.told: dict[int, tuple[str, Said]] = {}
        self.sent = 0
        self.executed = 0
        self._rng = random.Random(seed)
        self._agent = Agent(proxy.grant("agent:a", "rec"))

    async def agent(self) -> None:
        """Calls one after the other; one whose answer is lost is given up."""
        while not self.stop.is_set():
            await self.up.wait()
            self.sent += 1
            number, tool = self.sent, self._rng.choice(TOOLS)
            try:
                self.told[number] = tool, await self._agent.call(self.proxy, tool, number=number)
            except (httpx2.TransportError, IndexError):
                await asyncio.sleep(0.01)
            else:
                self.executed += self.told[number][1].executed
                if self.told[number][1].status == 503:
                    await asyncio.sleep(0.05)

    async def approver(self, token: str) -> None:
        """Approves whatever waits."""
        async with httpx2.AsyncClient(headers={"authorization": f"Bearer {token}"}, trust_env=False) as http:
            while not self.stop.is_set():
                await self.up.wait()
                base = f"{self.proxy.url}/api/v1/approvals"
                try:
                    pending = (await http.get(base, params={"state": "pending", "limit": 100})).json()["items"]
                    for each in pending:
                        await http.post(f"{base}/{each['id']}/approve", json={})
                except (httpx2.TransportError, KeyError):
                    pass
                await asyncio.sleep(0.1)


async def test_killed_under_load_nothing_is_lost_or_done_twice(make: Make, rec: Recording) -> None:
    proxy = make("one", preload=True, approvals={"hold": "5s", "expires": "5m"})

    async def kill(crowd: Crowd) -> None:
        crowd.up.clear()
        await asyncio.to_thread(proxy.kill)
        await asyncio.to_thread(proxy.start)
        crowd.up.set()

    await under_load(proxy, rec, kill, KILLS)


async def test_the_database_is_killed_under_load_and_nothing_is_lost_or_done_twice(
    make: Make, cluster: Server, rec: Recording
) -> None:
    """R-06: the server ends at once, comes back, and the proxy goes on without being started again."""
    proxy = make("one", approvals={"hold": "5s", "expires": "5m"})

    async def kill(crowd: Crowd) -> None:
        await asyncio.to_thread(cluster.stop)
        await asyncio.to_thread(cluster.start)
        done = crowd.executed

        async def goes_on() -> bool:
            return crowd.executed > done

        await eventually(goes_on, "it does not recover", seconds=30)

    await under_load(proxy, rec, kill, DATABASE_KILLS)


async def under_load(proxy: Proxy, rec: Recording, kill: Callable[[Crowd], Awaitable[None]], times: int) -> None:
    """Agents call all the while; what was told, done and written is compared at the end."""
    seed = random.SystemRandom().randrange(1 << 30)
    rng = random.Random(seed)
    crowd = Crowd(proxy, seed)
    approver = await asyncio.to_thread(proxy.person, "user:approver")
    crowd.up.set()
    working = [asyncio.create_task(crowd.agent()) for _ in range(AGENTS)]
    working.append(asyncio.create_task(crowd.approver(approver)))
    for _ in range(times):
        await asyncio.sleep(rng.uniform(0.1, LONGEST))
        await kill(crowd)
    crowd.stop.set()
    await asyncio.gather(*working)
    assert await asyncio.to_thread(proxy.stop) == 0
    await asyncio.to_thread(proxy.start)
    balance(crowd, rec, proxy, seed, times)
    verified = await asyncio.to_thread(proxy.cli, "audit", "verify", "--json", "-c", str(proxy.config))
    assert orjson.loads(verified.stdout)["good"], (seed, verified.stdout)


def balance(crowd: Crowd, rec: Recording, proxy: Proxy, seed: int, times: int) -> None:
    """What was told, what was done, and what is written agree."""
    rows = rows_of(proxy)
    allowed = Counter(row["arguments"]["number"] for row in rows if row["enforced"] == "allow")
    written = {row["arguments"]["number"] for row in rows}
    states = {row["arguments"]["number"]: row["outcome"]["state"] for row in rows if row["enforced"] == "allow"}
    done = Counter(each.params["arguments"]["number"] for each in rec.calls)
    executed = {number for number, (_, said) in crowd.told.items() if said.executed}
    refused = {number for number, (_, said) in crowd.told.items() if said.status == 200 and not said.executed}
    where = f"seed {seed}"
    assert executed | refused <= written, f"{where}: acknowledged, and not in the log"
    assert not [number for number, count in done.items() if count > 1], f"{where}: done twice"
    assert not [number for number, count in allowed.items() if count > 1], f"{where}: let through twice"
    assert done.keys() <= allowed.keys(), f"{where}: done, and no row let it through"
    assert executed <= done.keys(), f"{where}: acknowledged, and never done"
    assert {number for number, state in states.items() if state == "executed"} <= done.keys(), f"{where}: phantom"
    both = [(crowd.told[number], states.get(number)) for number in refused & done.keys()]
    assert not both, f"{where}: refused, and done: {both[:5]}"
    assert rec.counts["danger"] == 0
    unknown = sum(state == "unknown" for state in states.values())
    assert unknown <= AGENTS * times, (seed, unknown)
    assert len(executed) > times, (seed, len(executed))
    print(f"{times} kills: {crowd.sent} calls, {len(executed)} executed, {len(refused)} refused, {unknown} unknown")
