"""kill -9 at any moment loses no count: what a caller was told is charged, and nothing is that has no row."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from decimal import Decimal

import pytest

from policylayer.clock import Clock
from tests.limits.desk import opened

pytestmark = pytest.mark.anyio
TIMES = 4


@pytest.mark.shows("policy.4")
async def test_each_kill_leaves_the_counters_equal_to_the_log(sqlite: str) -> None:
    told: Counter[str] = Counter()
    rng = random.Random(11)
    for _ in range(TIMES):
        command = [sys.executable, "-m", "tests.limits.charging", sqlite]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(rng.randrange(1, 400))]
            process.kill()
            lines += process.stdout.readlines()
        told.update(line.strip() for line in lines if line.endswith("\n"))
    desk = await opened(sqlite, Clock())
    try:
        counted: Counter[str] = Counter()
        for key, amount in await desk.sql("SELECT key, amount FROM counters WHERE bucket_us > 0 AND key LIKE 'k%'"):
            counted[key] += int(Decimal(amount))
        ((rows,),) = await desk.sql("SELECT count(*) FROM records WHERE charges IS NOT NULL")
        everything = await desk.sql("SELECT amount FROM counters WHERE bucket_us > 0 AND counter = 'p/all'")
    finally:
        await desk.close()
    assert told.total() > TIMES
    assert all(counted[key] >= told[key] for key in told)
    assert counted.total() == rows == sum(int(Decimal(amount)) for (amount,) in everything)
