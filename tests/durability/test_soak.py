"""R-15 and AUTH-02: hours under load, and what time tells. Only `scripts/soak.sh` runs these."""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from tests.attacks.messages import call, headers
from tests.attacks.rig import Rig
from tests.support.raw_http import request
from tests.support.soak import Agents, Approvers, Books

SECONDS = float(os.environ.get("POLICYLAYER_SOAK_SECONDS", "1800"))
RELOAD, ROTATE, FLAP, LOOK = 30.0, 300.0, 60.0, 10.0
PAUSE = float(os.environ.get("POLICYLAYER_SOAK_PAUSE", "0.2"))
TRIES = int(os.environ.get("POLICYLAYER_TIMING_TRIES", "100000"))


def test_hours_of_load(tmp_path: Path) -> None:
    """Memory and descriptors stay where they are after the first hour, and the books balance all the time."""
    seed = random.SystemRandom().randrange(1 << 30)
    rig = Rig(tmp_path, approvals={"hold": "20s", "hold_modern": "20s", "expires": "1m"})
    with rig:
        tokens = [rig.agent("a").token for _ in range(10)]
        agents = Agents(30, tokens, lambda: rig.proxy.port, seed=seed, pause=PAUSE)
        approvers = Approvers(rig.proxy.person("user:p1"), lambda: rig.proxy.port, seed)
        books = Books(rig.ledger, agents, approvers)
        stop = asyncio.Event()
        crew = rig.loop.begin(_run(agents, approvers, stop))
        samples: list[tuple[float, int, int]] = []
        try:
            for moment in _every(LOOK, SECONDS):
                assert not crew.done(), crew.result()
                _disturb(rig, tokens, moment)
                books.forget()
                rig.forget()
                samples.append((moment, rig.vitals.resident(), rig.vitals.descriptors()))
        finally:
            rig.loop.soon(stop.set)
            crew.result(60)
    calm = [sample for sample in samples if sample[0] > min(3600, SECONDS / 3)]
    grown = calm[-1][1] - calm[0][1]
    print(f"seed {seed}: {calm[0][1] >> 10} MiB, grown by {grown} KiB in {calm[-1][0] - calm[0][0]:.0f} s")
    assert max(count for _, _, count in calm) <= calm[0][2] + 100
    if SECONDS < 7200:
        assert grown < 64 * 1024, "an hour has not passed: it just must not run away"
        return
    slope = statistics.linear_regression([at / 3600 for at, _, _ in calm], [size for _, size, _ in calm]).slope
    assert slope <= 0.01 * calm[0][1], f"seed {seed}: memory grows by {slope:.0f} KiB an hour"


async def _run(agents: Agents, approvers: Approvers, stop: asyncio.Event) -> None:
    await asyncio.gather(agents.run(stop), approvers.run(stop))


def _every(step: float, seconds: float) -> Iterator[float]:
    began = time.monotonic()
    while (moment := time.monotonic() - began) < seconds:
        yield moment
        time.sleep(step)


def _disturb(rig: Rig, tokens: list[str], moment: float) -> None:
    """What a day brings: new policies, new credentials, a server that fails for a while."""
    if moment % RELOAD < LOOK:
        rig.proxy.write("extra.yaml", _extra(int(moment)))
    if moment % ROTATE < LOOK and moment > LOOK:
        grants = [each for each in rig.proxy.ask("GET", "/grants")["items"] if each["principal"].startswith("agent:a-")]
        made = rig.proxy.ask("POST", f"/grants/{grants[0]['id']}/rotate", {"overlap_seconds": 60})
        tokens.append(made["token"])
    rig.rec2.always = "status_503" if moment % FLAP < FLAP / 2 else None


def _extra(number: int) -> str:
    head = 'policy: extra\napplies_to: {principals: "*", servers: "*"}\nrules:\n'
    return head + f"  - {{id: never-{number}, tools: [never-{number}], effect: deny, reason: never}}\n"


def test_timing_of_wrong_credentials(tmp_path: Path) -> None:
    """AUTH-02: a wrong first byte of a secret takes as long as a wrong last one, or an unknown prefix (Welch's t)."""
    with Rig(tmp_path) as rig:
        token = rig.good.token
        kind, prefix, secret = token.split("_", 2)
        wrong = {
            "first": f"{kind}_{prefix}_{_other(secret[0])}{secret[1:]}",
            "last": f"{kind}_{prefix}_{secret[:-1]}{_other(secret[-1])}",
            "unknown": f"{kind}_{_other(prefix[0])}{prefix[1:]}_{secret}",
        }
        times: dict[str, list[float]] = {name: [] for name in wrong}
        rng = random.Random(7)
        with rig.wire() as wire:
            for _ in range(TRIES):
                name = rng.choice(list(wrong))
                sent = request("POST", "/mcp/rec", headers(wrong[name]), call())
                began = time.perf_counter()
                assert wire.send(sent).response().status == 401
                times[name].append(time.perf_counter() - began)
        for one, other in (("first", "last"), ("first", "unknown"), ("last", "unknown")):
            assert abs(_welch(times[one], times[other])) < 4.5, (one, other)


def _other(letter: str) -> str:
    return "x" if letter != "x" else "y"


def _welch(one: list[float], other: list[float]) -> float:
    """Welch's t, without the slowest percent: that is the machine's doing."""
    cut = [sorted(times)[: int(len(times) * 0.99)] for times in (one, other)]
    spread = sum(statistics.variance(times) / len(times) for times in cut)
    return float((statistics.fmean(cut[0]) - statistics.fmean(cut[1])) / spread**0.5)
