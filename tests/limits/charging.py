"""A process that charges and says what is durable, until it is killed: `python -m tests.limits.charging URL`."""

from __future__ import annotations

import asyncio
import sys

from policylayer.clock import Clock
from tests.limits.desk import charge, opened


async def main(url: str) -> None:
    desk = await opened(url, Clock())

    async def caller(key: str) -> None:
        while await desk.fits(charge("1", "100000", 86400, key=key), charge("1", "100000", 86400, counter="p/all")):
            sys.stdout.write(f"{key}\n")
            sys.stdout.flush()

    await asyncio.gather(*(caller(f"k{number % 3}") for number in range(50)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
