"""R-14: five times as many callers as the proxy takes in; it sheds, forwards nothing without a row, and goes on.

How much it does meanwhile is compared with what it does unburdened, in turns and by a wide margin. Whoever calls takes
of the same machine, and so is to take little: with an ordinary client it was that which was measured.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.attacks.messages import call, headers
from tests.support.agents import Agent, eventually, rows_of
from tests.support.light import Caller
from tests.support.postgres import server
from tests.support.raw_http import request as http_request
from tests.support.recording import Recording
from tests.support.running import ALLOW_ALL
from tests.support.service import Proxy
from tests.support.sizes import sized

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("agents"), pytest.mark.slow, pytest.mark.shows("audit.1")]
CAPACITY: Final = 8
TIMES: Final = 5
ROUNDS: Final = 3
SECONDS: Final = sized(3, 20)
COLLAPSE: Final = sized(25, 80) / 100
"""Of what it does unburdened, at least; a release is measured on a machine of its own."""


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: Any, tmp_path: Path) -> Iterator[dict[str, Any]]:
    if request.param == "sqlite":
        yield {}
        return
    pytest.importorskip("asyncpg", reason="`asyncpg` is not installed")
    key = tmp_path / "shared.key"
    key.write_text(bytes(range(32)).hex())
    key.chmod(0o600)
    with server() as cluster:
        yield {"database": cluster.database(), "keys": {"file": str(key)}}


async def test_too_many_callers_are_turned_away_and_the_others_served(
    tmp_path: Path, rec: Recording, database: dict[str, Any]
) -> None:
    limits = {"calls": CAPACITY}
    proxy = Proxy(tmp_path / "one", {"rec": {"url": rec.url}}, {"all.yaml": ALLOW_ALL}, limits=limits, **database)
    proxy.start()
    try:
        token = proxy.grant("agent:a", "rec")
        agent = Agent(token)
        asked = http_request("POST", "/mcp/rec", headers(token), call())
        calm, crowded = Counter[str](), Counter[str]()
        for _ in range(ROUNDS):
            calm += await load(proxy.port, asked, CAPACITY)
            crowded += await load(proxy.port, asked, CAPACITY * TIMES)

        async def serves() -> bool:
            return (await agent.call(proxy)).executed

        assert await eventually(serves, "it does not recover", seconds=30) < 10
        assert set(calm) <= {"executed", "shed"}
        assert set(crowded) == {"executed", "shed"}
        assert crowded["executed"] >= COLLAPSE * calm["executed"], (calm, crowded)

        async def told() -> bool:
            rows = await asyncio.to_thread(rows_of, proxy)
            executed = [row for row in rows if row["outcome"] and row["outcome"]["state"] == "executed"]
            return len(rows) == len(executed) == rec.counts["safe"]

        await eventually(told, "the log and the server do not agree")
        assert rec.counts["safe"] == calm["executed"] + crowded["executed"] + 1
        print(f"unburdened {calm}, at {TIMES} times {crowded}")
    finally:
        proxy.stop()


async def load(port: int, asked: bytes, callers: int) -> Counter[str]:
    """So many callers for a while. Whoever is turned away comes back a little later, sooner than it was told."""
    found = Counter[str]()
    stop = asyncio.get_running_loop().time() + SECONDS

    async def one() -> None:
        async with Caller(port, asked) as again:
            while asyncio.get_running_loop().time() < stop:
                status, head, body = await again()
                if status == 200:
                    assert b'"isError":false' in body.replace(b": ", b":"), body
                    found["executed"] += 1
                    continue
                assert status == 503, (head, body)
                assert b"\r\nretry-after: " in head
                found["shed"] += 1
                await asyncio.sleep(0.1)

    await asyncio.gather(*(one() for _ in range(callers)))
    return found
