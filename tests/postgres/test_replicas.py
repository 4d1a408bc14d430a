"""Two and three replicas on one database: what one is told, the others know at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import httpx2
import pytest

from tests.postgres.conftest import Make
from tests.support.agents import Agent, eventually, rows_of
from tests.support.postgres import Server
from tests.support.recording import Recording
from tests.support.service import Proxy

pytestmark = [pytest.mark.anyio, pytest.mark.shows("audit.4")]
SOON = 2.0
"""Seconds within which a replica has heard: one is promised, one is the test machine's."""


async def test_approved_on_one_replica_goes_on_at_another(make: Make, rec: Recording) -> None:
    one, two = make("one"), make("two")
    agent = Agent(one.grant("agent:a", "rec"))
    held = [asyncio.create_task(agent.call(each, "gated", n=1)) for each in (one, two)]
    approval = await asyncio.to_thread(one.pending, target="gated")

    async def both() -> bool:
        rows = await asyncio.to_thread(one.decisions, effect="require_approval")
        return len(rows) == 2

    await eventually(both, "both replicas hold the call")
    await asyncio.to_thread(two.approve, approval["id"])
    done, _ = await asyncio.wait(held, timeout=SOON, return_when=asyncio.FIRST_COMPLETED)
    assert len(done) == 1, "one approval is one execution"
    second = await asyncio.to_thread(one.pending, target="gated")
    await asyncio.to_thread(one.approve, second["id"])
    said = await asyncio.gather(*held)
    assert [each.executed for each in said] == [True, True]
    assert rec.counts["gated"] == 2


@pytest.mark.shows("proxy.8")
async def test_similar_calls_allowed_on_one_replica_pass_at_another_until_revoked(make: Make, rec: Recording) -> None:
    one, two = make("one"), make("two")
    agent = Agent(one.grant("agent:a", "rec"))
    first = asyncio.create_task(agent.call(one, "gated", n=1))
    approval = await asyncio.to_thread(one.pending, target="gated")
    voted = await asyncio.to_thread(one.approve, approval["id"], similar={"for": "1h", "uses": 7, "same": []})
    assert (await first).executed
    said = await asyncio.gather(*(agent.call(each, "gated", n=number) for number in range(2, 5) for each in (one, two)))
    assert all(each.executed for each in said)
    (waiver,) = two.ask("GET", "/waivers")["items"]
    assert (waiver["id"], waiver["uses_left"]) == (voted["waivers"][0]["id"], 1)
    two.ask("POST", f"/waivers/{waiver['id']}/revoke")
    held = asyncio.create_task(agent.call(one, "gated", n=9))
    await asyncio.to_thread(two.approve, (await asyncio.to_thread(two.pending, target="gated"))["id"])
    assert (await held).executed
    assert one.ask("GET", "/waivers")["items"] == []
    assert rec.counts["gated"] == 8


async def test_a_replica_that_cannot_listen_looks_for_itself(make: Make, cluster: Server, url: str) -> None:
    """Whoever listens is cut off again and again; what was approved elsewhere goes on all the same."""
    one, two = make("one"), make("two")
    agent, stop, cut = Agent(one.grant("agent:a", "rec")), asyncio.Event(), 0

    async def cutting() -> None:
        nonlocal cut
        deaf = (
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            f" WHERE datname = '{url.rpartition('/')[2]}'"
            " AND (query IN ('SELECT 1', 'LISTEN \"policylayer\"') OR query LIKE '%pg_try_advisory_lock(%')"
        )
        while not stop.is_set():
            cut += int(await asyncio.to_thread(cluster.sql, deaf, "postgres"))
            await asyncio.sleep(0.02)

    task = asyncio.create_task(cutting())
    for number in range(3):
        held = asyncio.create_task(agent.call(one, "gated", n=number))
        approval = await asyncio.to_thread(two.pending, target="gated")
        await asyncio.to_thread(two.approve, approval["id"])
        assert (await asyncio.wait_for(held, 20)).executed
    stop.set()
    await task
    assert cut > 2, "nobody was cut off"


async def test_a_revoked_grant_ends_everywhere(make: Make) -> None:
    replicas = [make(name) for name in ("one", "two", "three")]
    agent = Agent(replicas[0].grant("agent:a", "rec"))
    assert all([(await agent.call(each)).executed for each in replicas])
    (grant,) = replicas[1].ask("GET", "/grants")["items"]
    replicas[1].ask("DELETE", f"/grants/{grant['id']}")

    async def out() -> bool:
        return all([(await agent.call(each)).status == 401 for each in replicas])

    assert await eventually(out, "some replica still lets it in", each=0.01) < SOON


async def test_a_freeze_is_in_force_everywhere(make: Make, rec: Recording) -> None:
    replicas = [make(name) for name in ("one", "two", "three")]
    agent = Agent(replicas[0].grant("agent:a", "rec"))
    session = await agent.initialize(replicas[2])
    replicas[0].ask("POST", "/freezes", {"scope": "principal", "name": "agent:a", "reason": "leaked"})

    async def stopped() -> bool:
        said = [await agent.call(each) for each in replicas]
        return all(each.told.get("reason_code") == "frozen" for each in said)

    assert await eventually(stopped, "some replica still lets it through", each=0.01) < SOON
    assert (await agent.call(replicas[1], session=session)).told["reason_code"] == "frozen"
    replicas[2].ask("POST", "/thaw", {"scope": "principal", "name": "agent:a"})

    async def on() -> bool:
        return all([(await agent.call(each)).executed for each in replicas])

    await eventually(on, "some replica still refuses")


async def test_a_session_opened_on_one_replica_is_used_on_another(make: Make, rec: Recording) -> None:
    one, two = make("one"), make("two")
    agent = Agent(one.grant("agent:a", "rec"))
    session = await agent.initialize(one)
    assert (await agent.call(two, session=session)).executed
    assert rec.calls[-1].header("mcp-session-id") == "rec-1"
    assert one.stop() == 0
    assert (await agent.call(two, session=session)).executed
    other = Agent(two.grant("agent:b", "rec"))
    assert (await other.call(two, session=session)).status == 404
    assert {row["session"] for row in two.decisions()} != {session}


async def test_each_replica_says_which_revision_it_runs(make: Make) -> None:
    one, two = make("one"), make("two")
    agent = Agent(one.grant("agent:a", "rec"))
    two.write("work.yaml", (two.folder / "policies" / "work.yaml").read_text().replace("effect: deny", "effect: allow"))

    def revisions(of: Proxy) -> dict[str, Any]:
        parts = httpx2.get(f"{of.url}/readyz", trust_env=False).json()["parts"]
        found: dict[str, Any] = parts["replicas"]["revisions"]
        return found

    async def mixed() -> bool:
        seen = await asyncio.to_thread(revisions, one)
        return len(set(seen.values())) == 2 and len(seen) == 2

    await eventually(mixed, "the other replica's revision is not seen", seconds=30)
    assert not (await agent.call(one, "danger")).executed
    assert (await agent.call(two, "danger")).executed


async def test_a_rolling_restart_loses_nothing(make: Make, rec: Recording) -> None:
    replicas = [make(name) for name in ("one", "two")]
    agent = Agent(replicas[0].grant("agent:a", "rec"))
    up, acked, stop = set(range(2)), 0, asyncio.Event()

    async def work(number: int) -> None:
        nonlocal acked
        while not stop.is_set():
            target = replicas[sorted(up)[number % len(up)]]
            try:
                said = await agent.call(target)
            except httpx2.TransportError:
                continue  # A front would have sent it to the other one.
            assert said.executed or said.status == 503, said
            acked += said.executed
            await asyncio.sleep(0.02)  # Not the most it can do, but some of it at every moment.

    working = [asyncio.create_task(work(number)) for number in range(8)]
    for number, each in enumerate(replicas):
        up.discard(number)
        assert await asyncio.to_thread(each.stop) == 0
        await asyncio.to_thread(each.start)
        up.add(number)
    stop.set()
    await asyncio.gather(*working)
    rows = [row for row in rows_of(replicas[0]) if row["enforced"] == "allow"]
    executed = [row for row in rows if row["outcome"] and row["outcome"]["state"] == "executed"]
    states = Counter(row["outcome"]["state"] if row["outcome"] else None for row in rows)
    assert acked <= len(executed) == rec.counts["safe"], (states, len(rows), rec.counts)
    assert all(row["outcome"] for row in rows)


async def test_a_replica_cut_off_from_the_database_denies(make: Make, cluster: Server, url: str) -> None:
    one, two = make("one"), make("two", database=url.replace("postgres@", "second@"), create="second")
    agent = Agent(one.grant("agent:a", "rec"))
    assert (await agent.call(two)).executed
    cut = "ALTER ROLE second NOLOGIN; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'second'"
    cluster.sql(cut, "postgres")
    before = len(one.decisions())
    for _ in range(5):
        said = await agent.call(two)
        assert said.status == 503
        assert said.told["reason_code"] == "audit_unavailable"
    assert (await agent.call(one)).executed
    assert len(one.decisions()) == before + 1
    cluster.sql("ALTER ROLE second LOGIN", "postgres")

    async def back() -> bool:
        return (await agent.call(two)).executed

    await eventually(back, "it does not recover", seconds=10)
