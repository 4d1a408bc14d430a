"""A process that writes rows and says which are durable, until it is killed: `python -m tests.store.writing FILE`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from policylayer.clock import Clock
from policylayer.keys import Keys
from policylayer.store.rows import Row
from policylayer.store.sqlite import SqliteStore


async def main(path: Path) -> None:
    clock = Clock()
    store = SqliteStore(path, Keys([bytes(range(32))]), clock)
    await store.start()

    async def caller() -> None:
        while True:
            row = Row(id=clock.new_id(), kind="decision", time_us=clock.time_us(), arguments="x" * 900)
            await store.append((row,))
            sys.stdout.write(f"{row.id}\n")
            sys.stdout.flush()

    await asyncio.gather(*(caller() for _ in range(50)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
