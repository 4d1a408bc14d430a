"""R-01: the proxy is killed at random points under load, again and again; nothing acknowledged is lost or done twice.

CI kills it 100 times, a release 1,000 (POLICYLAYER_KILLS). Agents and servers live in this process and outlive it. The
log is read by a stranger (`Ledger`): plain sqlite3, beside whichever process writes.
"""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import time
from pathlib import Path

import pytest

from tests.attacks.rig import Rig
from tests.support.service import Preloaded
from tests.support.soak import Agents, Approvers, Books, verdicts

KILLS = int(os.environ.get("POLICYLAYER_KILLS", "100"))
LONGEST = float(os.environ.get("POLICYLAYER_KILL_AFTER", "0.8"))
"""Seconds under load before a kill, at most; the release size is 2."""

AGENTS = 50
RECOVERED = 5.0


@pytest.mark.slow
@pytest.mark.shows("proxy.6", "audit.2", "audit.1")
def test_killed_under_load_nothing_is_lost_or_done_twice(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(1 << 30)
    rng = random.Random(seed)
    rig = Rig(tmp_path / "proxy", approvals={"hold": "20s", "hold_modern": "20s", "expires": "5m"})
    with Preloaded(tmp_path) as rig.proxy.preloaded, rig:
        books, agents, approvers = _crew(rig, seed)
        where = [rig.proxy.port]
        agents.port = approvers.port = lambda: where[0]
        stop = asyncio.Event()
        crew = rig.loop.begin(_run(agents, approvers, stop))
        slowest, known = 0.0, len(rig.ledger.rows)
        try:
            for number in range(KILLS):
                time.sleep(rng.uniform(0, LONGEST))
                assert not crew.done(), crew.result()
                rig.proxy.kill()
                where[0] = 0
                dead = len(rig.ledger.read())
                began = time.monotonic()
                rig.proxy.start()
                slowest = max(slowest, time.monotonic() - began)
                where[0] = rig.proxy.port
                unknown = books.settled(known, dead)
                assert unknown <= AGENTS, f"seed {seed}, kill {number}: {unknown} unknown of {AGENTS} agents' calls"
                known = dead
                books.balance()
        finally:
            rig.loop.soon(stop.set)
            crew.result(20)
        rig.proxy.stop()
        books.balance()
        _sound(rig.proxy.database)
        rig.proxy.start()
        found = verdicts(agents.told)
        assert found["safe"]["executed"] > 2 * KILLS, (seed, found)
        assert found["danger"]["denied"] > KILLS, (seed, found)
        assert found["gated"]["executed"] > KILLS / 10, (seed, found)
        assert slowest < RECOVERED, f"it took {slowest:.1f} s to recover"
        rig.proxy.cli("audit", "verify", "-c", str(rig.proxy.config))


def _crew(rig: Rig, seed: int) -> tuple[Books, Agents, Approvers]:
    tokens = [rig.agent("a").token for _ in range(5)]
    agents = Agents(AGENTS, tokens, lambda: 0, seed=seed)
    approvers = Approvers(rig.proxy.person("user:p1"), lambda: 0, seed)
    return Books(rig.ledger, agents, approvers), agents, approvers


async def _run(agents: Agents, approvers: Approvers, stop: asyncio.Event) -> None:
    await asyncio.gather(agents.run(stop), approvers.run(stop))


def _sound(database: Path) -> None:
    connection = sqlite3.connect(database)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    finally:
        connection.close()
