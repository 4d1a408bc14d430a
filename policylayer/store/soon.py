"""A read that a call waits for: it has its answer in time, or the call is refused. Must not know what is read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection

from policylayer.core.errors import AuditUnavailable
from policylayer.store.store import Store, T

PATIENCE: Final = 1.5
"""Seconds. A database that is frozen says nothing, and a call must be refused within two."""


async def read_soon(store: Store, fn: Callable[[Connection], T]) -> T:
    """`Store.read`, but not for longer than a call may wait."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await store.read(fn)
    except TimeoutError:
        raise AuditUnavailable(
            "the database did not answer in time", "see whether its disk or server is slow"
        ) from None
