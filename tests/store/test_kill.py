"""kill -9 at any moment loses no row whose caller was told, and breaks nothing."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from policylayer.clock import Clock
from policylayer.store.sqlite import SqliteStore
from tests.store.conftest import KEYS

TIMES = 3


@pytest.mark.anyio
async def test_what_was_acknowledged_is_there_after_each_kill(path: Path, sql: Callable[..., list[Any]]) -> None:
    """R-01, the store's part of it."""
    told: set[str] = set()
    rng = random.Random(7)
    for _ in range(TIMES):
        command = [sys.executable, "-m", "tests.store.writing", str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(rng.randrange(1, 200))]
            process.kill()
            lines += process.stdout.readlines()
        told |= {line.strip() for line in lines if line.endswith("\n")}
    store = SqliteStore(path, KEYS, Clock())
    await store.start()
    assert len(await store.abandoned()) == TIMES
    await store.close()
    present = {name for (name,) in sql("SELECT id FROM records")}
    assert told
    assert told <= present
    assert sql("PRAGMA integrity_check") == [("ok",)]
    assert sql("SELECT chain FROM records GROUP BY chain HAVING max(seq) <> count(*)") == []
