"""Durable decisions a second against the number of callers that wait, beside one row a commit: what group commit gives.

    python -m benchmarks.commits [--seconds 2] [--postgres URL]

Each caller writes one row and waits until it is durable, again and again, through the real store; `single` is the same
store told to put one caller in each commit. Must not know policy or HTTP.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from policylayer.clock import Clock
from policylayer.keys import Keys
from policylayer.store.rows import Row
from policylayer.store.store import Limits, Program, Store, open_store

CALLERS = (1, 4, 16, 64, 256)
KEYS = Keys([bytes(range(32))])
ARGUMENTS = '{"path":"' + "x" * 600 + '"}'


async def measure(store: Store, clock: Clock, callers: int, seconds: float) -> tuple[float, float]:
    """Rows a second, and callers to a commit."""
    until = time.monotonic() + seconds
    commits, rows = store.meter.commits, store.meter.rows

    async def caller() -> None:
        while time.monotonic() < until:
            now = clock.time_us()
            await store.append(
                (Row(clock.new_id(), "decision", now, effect="allow", enforced="allow", arguments=ARGUMENTS),)
            )

    await asyncio.gather(*(caller() for _ in range(callers)))
    done = store.meter.rows - rows
    return done / seconds, done / max(store.meter.commits - commits, 1)


async def series(url: str, seconds: float) -> None:
    """One database: alone in each commit, then together."""
    clock = Clock()
    best = 0.0
    print(f"\n{url.partition(':')[0]}\n  callers  rows/s  rows/commit")
    for label, batch, many in (("single", 1, (64,)), ("grouped", 512, CALLERS)):
        store = open_store(url, KEYS, clock, Program("serve", limits=Limits(batch=batch, patience=30.0)))
        await store.start()
        try:
            for callers in many:
                rate, together = await measure(store, clock, callers, seconds)
                print(f"  {callers:7}  {rate:6.0f}  {together:11.1f}  {label}")
                if label == "single":
                    best = rate
                elif callers == 64:
                    print(f"  at 64 callers: {rate / best:.1f} times one row a commit")
        finally:
            await store.close()


def main() -> None:
    """Both databases, where there are both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--postgres", help="an empty database to measure too")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        asyncio.run(series(f"sqlite:///{folder}/log.db", given.seconds))
    if given.postgres:
        asyncio.run(series(given.postgres, given.seconds))


if __name__ == "__main__":
    main()
