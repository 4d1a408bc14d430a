"""What a decision costs by engine: YAML alone, with the embedded Rego engine, with an OPA server; and the loop's lag.

`python -m benchmarks.rego [--rounds 2000]` prints microseconds (median and 99th of 100) for one caller,
interleaved, over one small policy that says the same in YAML and Rego; then how long the event loop was held while four
callers used two workers. OPA is left out, with the reason, where it is not installed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from policylayer.clock import Clock
from policylayer.core.call import Call, Question, ServerFacts, Subject
from policylayer.policy.load import load
from policylayer.rego.examine import open_rego
from policylayer.rego.pool import PoolSettings
from policylayer.revisions.active import Active

ROUNDS = 2000
PRINCIPALS = b"principals:\n  agent:a: {}\n"
YAML = b"""
policy: bench
applies_to: {principals: ["*"], servers: ["*"]}
rules:
  - {id: small, tools: [pay], when: {args.amount: {lte: 100}}, effect: allow}
"""
REGO = b"""package policylayer

decision contains {"effect": "allow", "rule": "small"} if {
	input.target == "pay"
	input.args.amount <= 100
}
"""


def question() -> Question:
    """A call of about 1 KB."""
    arguments = {"amount": 42, "currency": "eur", "tags": ["a", "b"], "note": "x" * 800}
    call = Call("shop", "tools/call", "pay", arguments, b"", b"", "2026-07-28")
    return Question(call, Subject("agent:a"), ServerFacts("shop"), datetime(2026, 1, 1, tzinfo=UTC))


@contextlib.asynccontextmanager
async def engines() -> AsyncIterator[dict[str, Active]]:
    """The engines there are, by name."""
    yaml = load({"principals.yaml": PRINCIPALS, "a.yaml": YAML}).policy_set
    files = {"principals.yaml": PRINCIPALS, "a.rego": REGO}
    loaded = load(files)
    assert yaml is not None
    assert loaded.policy_set is not None
    found = {"YAML": Active(yaml)}
    async with contextlib.AsyncExitStack() as stack:
        rego, problems = await open_rego(loaded.policy_set, loaded.rego, files, PoolSettings(deadline=1.0))
        if rego is None:
            print(f"embedded Rego: left out ({problems[0].message})")
        else:
            stack.push_async_callback(rego.close)
            found["Rego, embedded"] = Active(loaded.policy_set, rego)
        server = await opa_server(stack)
        if server is not None:
            found["Rego, OPA server"] = Active(loaded.policy_set, None, server)
        yield found


async def opa_server(stack: contextlib.AsyncExitStack):  # type: ignore[no-untyped-def]
    """A started OPA server, or None with the reason printed."""
    try:
        from policylayer.rego.server import OpaServer, OpaSettings
        from tests.support.opa import opa

        folder = Path(stack.enter_context(TemporaryDirectory()))
        (folder / "a.rego").write_bytes(REGO)
        running = await stack.enter_async_context(opa(str(folder)))
    except BaseException as reason:  # a skip of the test support is no Exception
        print(f"OPA server: left out ({reason})")
        return None
    server = OpaServer(OpaSettings(running.url, deadline=1.0), Clock())
    await server.start()
    stack.push_async_callback(server.close)
    return server


async def timed(ask: Callable[[], Awaitable[object]]) -> float:
    """Microseconds of one decision."""
    began = time.perf_counter()
    await ask()
    return (time.perf_counter() - began) * 1e6


async def main(rounds: int) -> None:
    """The table."""
    asked = question()
    async with engines() as found:
        times: dict[str, list[float]] = {name: [] for name in found}
        for _ in range(rounds):
            for name, engine in found.items():
                times[name].append(await timed(lambda engine=engine: engine.decide(asked)))
        base = sorted(times["YAML"])[rounds // 2]
        print(f"{'engine':20} {'p50 us':>8} {'p99 us':>8} {'above YAML':>11}")
        for name, values in times.items():
            ordered = sorted(values)
            middle = ordered[rounds // 2]
            print(f"{name:20} {middle:8.0f} {ordered[rounds * 99 // 100]:8.0f} {middle - base:11.0f}")
        if "Rego, embedded" in found:
            print(f"event loop, four callers on two workers: held at most {await lag(found['Rego, embedded']):.1f} ms")


async def lag(engine: Active) -> float:
    """The longest that the loop was held, in milliseconds."""
    worst = 0.0
    asked = question()

    async def caller() -> None:
        for _ in range(500):
            await engine.decide(asked)

    working = asyncio.gather(*(caller() for _ in range(4)))
    while not working.done():
        before = time.perf_counter()
        await asyncio.sleep(0)
        worst = max(worst, time.perf_counter() - before)
    await working
    return worst * 1000


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    asyncio.run(main(parser.parse_args().rounds))
