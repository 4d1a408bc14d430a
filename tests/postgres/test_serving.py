"""`serve` on PostgreSQL from end to end: calls, held ones, freezes, restarts, and as a role that owns nothing."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from tests.postgres.conftest import Make
from tests.support.agents import Agent, eventually
from tests.support.postgres import Server
from tests.support.recording import Recording

pytestmark = [pytest.mark.anyio, pytest.mark.shows("audit.1")]


async def test_calls_are_decided_recorded_and_told(make: Make, rec: Recording) -> None:
    proxy = make("one")
    agent = Agent(proxy.grant("agent:a", "rec"))
    assert (await agent.call(proxy, note="nul \0 and \x1b[31m")).executed
    assert (await agent.call(proxy, "danger")).told["reason_code"] == "rule"
    held = asyncio.create_task(agent.call(proxy, "gated", n=1))
    approval = await asyncio.to_thread(proxy.pending, target="gated")
    await asyncio.to_thread(proxy.approve, approval["id"])
    assert (await held).executed
    denied = asyncio.create_task(agent.call(proxy, "gated", n=2))
    refused = await asyncio.to_thread(proxy.pending, target="gated")
    await asyncio.to_thread(proxy.deny, refused["id"], "no")
    assert (await denied).told["reason_code"] == "approval_denied"
    again = await agent.call(proxy, "gated", n=2)
    assert again.told["approval_id"] == refused["id"]
    rows = proxy.decisions()
    assert [row["enforced"] for row in rows] == [
        "deny",
        "require_approval",
        "allow",
        "require_approval",
        "deny",
        "allow",
    ]
    assert rows[0]["approval_id"] == refused["id"]
    assert rows[-1]["arguments"] == {"note": "nul \0 and \x1b[31m"}
    assert dict(rec.counts) == {"safe": 1, "gated": 1}


async def test_what_was_written_is_there_after_a_restart(make: Make, rec: Recording) -> None:
    proxy = make("one")
    agent = Agent(proxy.grant("agent:a", "rec"))
    session = await agent.initialize(proxy)
    assert (await agent.call(proxy, session=session)).executed
    proxy.ask("POST", "/freezes", {"scope": "principal", "name": "agent:a", "reason": "stop"})

    async def frozen() -> bool:
        return (await agent.call(proxy)).told.get("reason_code") == "frozen"

    await eventually(frozen, "the freeze is not in force", seconds=3)
    assert proxy.stop() == 0
    proxy.start()
    assert (await agent.call(proxy)).told["reason_code"] == "frozen"
    proxy.ask("POST", "/thaw", {"scope": "principal", "name": "agent:a"})

    async def goes_on() -> bool:
        return (await agent.call(proxy, session=session)).executed

    await eventually(goes_on, "the session does not go on after a restart", seconds=3)
    grant = next(each for each in proxy.ask("GET", "/grants")["items"] if each["principal"] == "agent:a")
    proxy.ask("DELETE", f"/grants/{grant['id']}")

    async def revoked() -> bool:
        return (await agent.call(proxy)).status == 401

    await eventually(revoked, "the grant is still good", seconds=3)
    verified = orjson.loads(proxy.cli("audit", "verify", "--json", "-c", str(proxy.config)).stdout)
    assert verified["good"], verified
    assert proxy.ask("GET", "/stats", query={"by": "target"})["items"][0]["key"] == "safe"


async def test_the_proxys_role_owns_nothing(make: Make, cluster: Server, url: str, rec: Recording) -> None:
    """AUD-22."""
    name = url.rpartition("/")[2]
    owner = make("owner")
    assert owner.stop() == 0
    cluster.sql("DROP ROLE IF EXISTS proxy; CREATE ROLE proxy LOGIN", name)
    done = owner.cli("migrate", "--role", "proxy", "--json", "-c", str(owner.config))
    assert orjson.loads(done.stdout)["role"] == "proxy"
    proxy = make("proxy", database=url.replace("postgres@", "proxy@"))
    agent = Agent(proxy.grant("agent:a", "rec"))
    assert (await agent.call(proxy)).executed
    for statement in ("UPDATE records SET principal = 'x'", "DELETE FROM records", "TRUNCATE records"):
        with pytest.raises(AssertionError, match="permission denied"):
            cluster.sql(f"SET ROLE proxy; {statement}", name)
    assert proxy.stop() == 0
    cluster.sql("DROP OWNED BY proxy; DROP ROLE proxy", name)
