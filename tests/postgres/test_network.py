"""Three replicas behind HAProxy, two of them in network namespaces of their own: what a team runs, and a cut cable.

Without root there are no namespaces: then all three are on loopback, and what needs a cut is skipped.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest

from tests.attacks.messages import headers
from tests.postgres.rig import recording, replica
from tests.support.agents import Agent, Said, eventually, rows_of
from tests.support.background import Background
from tests.support.front import Front, front
from tests.support.network import Place, places
from tests.support.ports import free_port
from tests.support.postgres import Server, missing
from tests.support.recording import Recording
from tests.support.service import ADMIN, Proxy
from tests.support.sizes import sized

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.shows("audit.4")]
MOST: Final = 100
CALLS: Final = 5_000
SOON: Final = 1.0 + 10.0
"""Seconds within which all have heard: one is promised, the others are a busy machine's."""

POLICY: Final = f"""
policy: work
applies_to: {{principals: "*", servers: "*"}}
limits: {{few: {{calls: {MOST}, per: day}}}}
rules:
  - {{id: free, tools: [safe], effect: allow}}
  - {{id: few, tools: [echo_args], effect: allow, limits: [few]}}
  - {{id: gated, tools: [gated], effect: require_approval, approval: {{approvers: [group:approvers]}}}}
"""


@dataclass
class Net:
    """All of it."""

    replicas: list[Proxy]
    front: Front
    rec: Recording
    places: list[Place] = field(default_factory=list)

    def agent(self, principal: str = "agent:a") -> Agent:
        """A new one."""
        return Agent(self.replicas[0].grant(principal, "rec"))

    def ask(self, verb: str, path: str, body: Any = None) -> Any:
        """What the API says to a person, through the front."""
        token = self.replicas[0].person(*ADMIN) if not path.endswith("/approve") else self.approver
        answer = httpx2.request(
            verb,
            f"{self.front.url}/api/v1{path}",
            json=body,
            headers={"authorization": f"Bearer {token}"},
            timeout=30,
            trust_env=False,
        )
        assert answer.is_success, answer.text
        return answer.json()

    @property
    def approver(self) -> str:
        """A person's token."""
        return self.replicas[0].person("user:approver")


@pytest.fixture(scope="module")
def net() -> Iterator[Net]:
    if (why := missing()) is not None:
        pytest.skip(why)
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="policylayer-net-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o755)
        try:
            there = stack.enter_context(places(2))
        except pytest.skip.Exception:
            there = []
        behind = ["127.0.0.1", *(place.behind for place in there)]
        cluster = Server(folder / "cluster", hosts=",".join(behind))
        cluster.make()
        stack.callback(cluster.stop)
        cluster.start()
        rec = recording(loop := stack.enter_context(Background()), hosts=tuple(behind), port=free_port(), opens=True)
        stack.callback(lambda: loop.run(rec.__aexit__(None, None, None)))
        database = cluster.database()
        made = [stacked(stack, folder, number, there, database, rec) for number in range(3)]
        made[0].person(*ADMIN)
        yield Net(made, stack.enter_context(front([each.url for each in made], folder)), rec, there)


def stacked(stack: ExitStack, folder: Path, number: int, there: list[Place], database: str, rec: Recording) -> Proxy:
    """One replica, started: the first on loopback, the others in namespaces, if there are any."""
    place = there[number - 1] if number and there else None
    here, behind = (place.here, place.behind) if place else ("127.0.0.1", "127.0.0.1")
    made = replica(
        folder / f"replica-{number}",
        database.replace("127.0.0.1", behind),
        f"http://{behind}:{rec.port}/mcp",
        listen=f"{here}:{free_port()}",
        hosts=[here, "127.0.0.1"],
        policy=POLICY,
        **({"behind_proxy": [f"{place.caller}/32"]} if place else {}),
    )
    made.under = place.inside() if place else ()
    made.start()
    stack.callback(made.stop)
    return made


@pytest.fixture(autouse=True)
def healthy(net: Net) -> Iterator[None]:
    """What a test cut is mended, whatever came of it."""
    yield
    for place in net.places:
        place.mend()


async def test_calls_go_to_all_of_them(net: Net) -> None:
    agent = net.agent()
    said = await asyncio.gather(*(agent.call(net.front, n=number) for number in range(30)))
    assert all(each.executed for each in said)
    rows = await asyncio.to_thread(net.replicas[0].decisions, principal="agent:a")
    assert len({row["chain"] for row in rows[:30]}) == 3
    # Where callers come from is what the front says, and nobody else.
    assert {row["ip"] for row in rows[:30]} <= {"127.0.0.1"}


async def test_what_is_approved_on_one_goes_on_at_another(net: Net) -> None:
    agent = net.agent("agent:held")
    for number in range(3):
        held = asyncio.create_task(agent.call(net.front, "gated", n=number))
        approval = await asyncio.to_thread(net.replicas[number].pending, target="gated")
        await asyncio.to_thread(net.ask, "POST", f"/approvals/{approval['id']}/approve", {})
        assert (await asyncio.wait_for(held, 20)).executed


async def test_a_limit_holds_over_all_however_many_call_at_once(net: Net) -> None:
    """Never over by one, at 5,000 calls at the same time."""
    crowd = [net.agent("agent:many") for _ in range(25)]
    before = net.rec.counts["echo_args"]
    found: Counter[str] = Counter()

    async def one(agent: Agent, number: int) -> None:
        try:
            said = await agent.call(net.front, "echo_args", n=number)
        except httpx2.TransportError:
            found["lost"] += 1
            return
        found["executed" if said.executed else said.told.get("reason_code", str(said.status))] += 1

    await asyncio.gather(*(one(crowd[number % 25], number) for number in range(CALLS)))
    assert found.total() == CALLS
    assert net.rec.counts["echo_args"] - before <= MOST, found
    while found["executed"] < MOST:
        # Whoever was turned away for the load comes back.
        said = await crowd[0].call(net.front, "echo_args", n=-1)
        if said.told.get("reason_code") == "over_limit":
            break
        found["executed"] += said.executed
    assert net.rec.counts["echo_args"] - before == found["executed"] + found["lost"] == MOST, found
    print(f"{CALLS} calls at once: {dict(found)}")


async def test_a_session_goes_on_wherever_it_arrives(net: Net) -> None:
    agent = net.agent("agent:session")
    session = await agent.initialize(net.front)
    for target in (net.front, *net.replicas):
        assert (await agent.call(target, session=session)).executed


async def test_a_revoked_grant_ends_everywhere(net: Net) -> None:
    agent = net.agent("agent:gone")
    assert all([(await agent.call(each)).executed for each in net.replicas])
    grants = (await asyncio.to_thread(net.ask, "GET", "/grants"))["items"]
    (grant,) = [each for each in grants if each["principal"] == "agent:gone"]
    await asyncio.to_thread(net.ask, "DELETE", f"/grants/{grant['id']}")

    async def out() -> bool:
        return all([(await agent.call(each)).status == 401 for each in net.replicas])

    assert await eventually(out, "some replica still lets it in", each=0.01) < SOON


async def test_a_freeze_denies_everywhere_and_closes_what_is_open(net: Net) -> None:
    agent = net.agent("agent:cold")
    session = await agent.initialize(net.front)
    listening = [asyncio.create_task(stream(agent, each, session)) for each in net.replicas]
    await asyncio.sleep(1)
    assert not any(task.done() for task in listening)
    await asyncio.to_thread(
        net.ask, "POST", "/freezes", {"scope": "principal", "name": "agent:cold", "reason": "leaked"}
    )

    async def stopped() -> bool:
        return all([(await agent.call(each)).told.get("reason_code") == "frozen" for each in net.replicas])

    assert await eventually(stopped, "some replica still lets it through", each=0.01) < SOON
    assert await asyncio.wait_for(asyncio.gather(*listening), 30) == [200, 200, 200]
    await asyncio.to_thread(net.ask, "POST", "/thaw", {"scope": "principal", "name": "agent:cold"})


async def stream(agent: Agent, proxy: Proxy, session: str) -> int:
    """Open a session's stream, and read it to its end; its status."""
    fields = {name: str(value) for name, value in headers(agent.token, host=None)}
    fields |= {"mcp-session-id": session, "accept": "text/event-stream"}
    async with agent.http.stream("GET", proxy.mcp("rec"), headers=fields, timeout=60) as answer:
        async for _ in answer.aiter_raw():
            pass
        return answer.status_code


async def test_a_rolling_restart_under_load_loses_nothing(net: Net) -> None:
    agent, stop, found = net.agent("agent:rolling"), asyncio.Event(), Counter[str]()
    before = net.rec.counts["safe"]

    async def work() -> None:
        while not stop.is_set():
            try:
                said = await agent.call(net.front)
            except httpx2.TransportError:
                found["lost"] += 1
                continue
            # 502: a replica ended while it had the request; what became of that is in the log.
            assert said.executed or said.status in (502, 503), said
            found["executed" if said.executed else str(said.status)] += 1
            await asyncio.sleep(0.02)

    working = [asyncio.create_task(work()) for _ in range(8)]
    for each in net.replicas:
        assert await asyncio.to_thread(each.stop) == 0
        await asyncio.sleep(2)
        await asyncio.to_thread(each.start)
        await asyncio.sleep(2)
    stop.set()
    await asyncio.gather(*working)
    done = net.rec.counts["safe"] - before

    async def settled() -> bool:
        rows = [row for row in await asyncio.to_thread(rows_of, net.replicas[0]) if row["principal"] == "agent:rolling"]
        executed = [row for row in rows if row["outcome"] and row["outcome"]["state"] == "executed"]
        return all(row["outcome"] for row in rows) and found["executed"] <= len(executed) <= done <= len(rows)

    await eventually(settled, f"something is lost: {found}, {done} done", seconds=40, each=1)
    assert found["executed"] > 20
    print(f"rolling: {dict(found)}, {done} done")


async def test_a_replica_that_is_cut_off_denies_and_the_front_goes_round_it(net: Net) -> None:
    if not net.places:
        pytest.skip("no network namespaces can be made here (it takes root)")
    place, alone = net.places[0], net.replicas[1]
    agent = net.agent("agent:cut")
    assert (await agent.call(alone)).executed
    place.cut()
    loop = asyncio.get_running_loop()
    before = net.rec.counts["safe"]
    for _ in range(sized(5, 50)):
        begun = loop.time()
        said: Said = await agent.call(alone)
        assert (said.status, said.told["reason_code"]) == (503, "audit_unavailable")
        assert loop.time() - begun < 2.0 + 5.0
    assert net.rec.counts["safe"] == before, "it called a server it could not account for"

    async def round_it() -> bool:
        return all([(await agent.call(net.front)).executed for _ in range(6)])

    await eventually(round_it, "the front still sends to it", seconds=30)
    # What is decided meanwhile counts for it as soon as it is back.
    await asyncio.to_thread(
        net.ask, "POST", "/freezes", {"scope": "principal", "name": "agent:cut", "reason": "meanwhile"}
    )
    place.mend()

    async def back() -> bool:
        told = (await agent.call(alone)).told
        assert told.get("reason_code") in ("audit_unavailable", "frozen"), told
        return told["reason_code"] == "frozen"

    assert await eventually(back, "it does not recover", seconds=40) < 5.0 + 25.0
    await asyncio.to_thread(net.ask, "POST", "/thaw", {"scope": "principal", "name": "agent:cut"})
    done = await asyncio.to_thread(alone.cli, "audit", "verify", "-c", str(net.replicas[0].config))
    assert done.returncode == 0
