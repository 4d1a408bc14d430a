"""Durable decisions a second against the number of callers that wait, beside one row a commit: what group commit gives.

    python -m benchmarks.commits [--seconds 1] [--rounds 3] [--postgres URL]

Each caller writes one row and waits until it is durable, again and again, through the real store, on a disk; `single`
is the same store told to put one caller in each commit. Both stay open, and rounds alternate between them; figures are
the middle ones. PostgreSQL is one of the run's own where it is installed. Must not know policy or HTTP.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from policylayer.clock import Clock
from policylayer.keys import Keys
from policylayer.store.rows import Row
from policylayer.store.store import Limits, Program, Store, open_store

CALLERS = (1, 4, 16, 64, 256)
HEADLINE = 64
KEYS = Keys([bytes(range(32))])
ARGUMENTS = '{"path":"' + "x" * 600 + '"}'
SINGLE, GROUPED = "single", "grouped"
BATCH = {SINGLE: 1, GROUPED: Limits().batch}


@dataclass
class Cell:
    """One store at one number of callers: rows a second and callers to a commit, round by round."""

    rates: list[float] = field(default_factory=list)
    together: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """The middle."""
        return statistics.median(self.rates)


async def measure(store: Store, clock: Clock, callers: int, seconds: float) -> tuple[float, float]:
    """Rows a second, and callers to a commit."""
    begun = time.monotonic()
    commits, rows = store.meter.commits, store.meter.rows

    async def caller() -> None:
        while time.monotonic() < begun + seconds:
            now = clock.time_us()
            await store.append(
                (Row(clock.new_id(), "decision", now, effect="allow", enforced="allow", arguments=ARGUMENTS),)
            )

    await asyncio.gather(*(caller() for _ in range(callers)))
    done = store.meter.rows - rows
    return done / (time.monotonic() - begun), done / max(store.meter.commits - commits, 1)


async def rounds(urls: dict[str, str], seconds: float, count: int) -> dict[tuple[str, int], Cell]:
    """The table of one database: a store of each kind, each round through all."""
    clock = Clock()
    stores = {
        kind: open_store(url, KEYS, clock, Program("serve", limits=Limits(batch=BATCH[kind], patience=60.0)))
        for kind, url in urls.items()
    }
    plan = [(SINGLE, HEADLINE), *((GROUPED, callers) for callers in CALLERS)]
    table = {place: Cell() for place in plan}
    for store in stores.values():
        await store.start()
    try:
        for number in range(count):
            for kind, callers in plan if number % 2 == 0 else reversed(plan):
                rate, together = await measure(stores[kind], clock, callers, seconds)
                table[kind, callers].rates.append(rate)
                table[kind, callers].together.append(together)
    finally:
        for store in stores.values():
            await store.close()
    return table


def shown(name: str, table: dict[tuple[str, int], Cell]) -> str:
    """As it is printed."""
    lines = [name, "  callers  rows/s  rows/commit"]
    for (kind, callers), cell in table.items():
        lines.append(f"  {callers:7}  {cell.rate:6.0f}  {statistics.median(cell.together):11.1f}  {kind}")
    times = table[GROUPED, HEADLINE].rate / table[SINGLE, HEADLINE].rate
    return "\n".join([*lines, f"  at {HEADLINE} callers: {times:.1f} times one row a commit", ""])


@contextmanager
def postgres(given: str | None) -> Iterator[str | None]:
    """A PostgreSQL database: the one that is named, or one of the run's own, or None where there can be none."""
    if given is not None:
        yield given
        return
    from tests.support.postgres import missing, server

    if (why := missing()) is not None:
        print(f"PostgreSQL: skipped, {why}")
        yield None
        return
    with server(in_memory=False) as cluster:
        yield cluster.database()


def main() -> None:
    """Both databases, where there are both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--postgres", help="an empty database to measure, instead of one of the run's own")
    given = parser.parse_args()
    print("Durable decisions a second")
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder:
        urls = {kind: f"sqlite:///{folder}/{kind}.db" for kind in BATCH}
        print(shown("SQLite", asyncio.run(rounds(urls, given.seconds, given.rounds))), flush=True)
    with postgres(given.postgres) as url:
        if url is not None:
            print(shown("PostgreSQL", asyncio.run(rounds(dict.fromkeys(BATCH, url), given.seconds, given.rounds))))


if __name__ == "__main__":
    main()
