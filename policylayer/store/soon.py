"""A read that a call waits for: it has its answer in time, or the call is refused. Must not know what is read.

One that is given up ends by itself: letting go of a connection to a frozen server takes seconds too, and nobody waits
for that either.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import Connection

from policylayer.core.errors import AuditUnavailable
from policylayer.store.store import Store, T

PATIENCE: Final = 1.5
"""Seconds. A database that is frozen says nothing, and a call must be refused within two."""

_given_up: Final[set[asyncio.Future[Any]]] = set()


async def read_soon(store: Store, fn: Callable[[Connection], T]) -> T:
    """`Store.read`, but not for longer than a call may wait."""
    reading: asyncio.Future[T] = asyncio.ensure_future(store.read(fn))
    try:
        done, _ = await asyncio.wait({reading}, timeout=PATIENCE)
    except BaseException:
        _give_up(reading)
        raise
    if not done:
        _give_up(reading)
        raise AuditUnavailable("the database did not answer in time", "see whether its disk or server is slow")
    return reading.result()


def _give_up(reading: asyncio.Future[Any]) -> None:
    _given_up.add(reading)
    reading.add_done_callback(_ended)
    reading.cancel()


def _ended(reading: asyncio.Future[Any]) -> None:
    _given_up.discard(reading)
    if not reading.cancelled():
        reading.exception()  # Nobody else asks for it.
