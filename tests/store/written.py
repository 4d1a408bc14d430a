"""Rows for the tests of both stores, and waiting until a store takes one again."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from policylayer.clock import Clock
from policylayer.core.errors import AuditUnavailable
from policylayer.store.rows import Row
from policylayer.store.store import Store

CLOCK: Final = Clock()


def row(**more: Any) -> Row:
    """One that no other has the id of."""
    return Row(id=CLOCK.new_id(), kind="decision", time_us=CLOCK.time_us(), **more)


async def until_written(store: Store) -> Row:
    """Append until it works, as calls would come in."""
    for _ in range(100):
        one = row()
        try:
            await store.append((one,))
        except AuditUnavailable:
            await asyncio.sleep(0.1)
        else:
            return one
    raise AssertionError("the store did not come back")
